//! The only place where every part meets.
use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use command_api::{
    App, Clock, Commander, Upkeep,
    erasure::{Erasure, Periods},
    issuer::{Credentials, Issuers, Shopify},
    nodes::{Membership, Nodes},
    owner::{Keeping, Snapshots},
    policies::{self, Policies},
    schedule::Schedule,
    webhooks::{self, Secrets, Webhooks},
};
use event_log::Log;
use event_schemas::{MerchantId, Timestamp};
use group_commit::Store;
use http_edge::Auth;
use metrics_exporter_prometheus::PrometheusBuilder;
use privacy::{KeyStore, MerchantScope};
use projections::{Projections, ReadStore};
use query_api::{Deadlines, Live, Probe, Reads};

use crate::{
    contact::Local,
    damaged_keys,
    data_folder::Stores,
    demo, erasing,
    log_address::FolderLock,
    nodes, openapi,
    pages::{self, DemoShops, ShownShop},
    queues::{self, Queues},
    rebuilds::{self, Rebuilds},
    roles::{Role, Roles},
    settings::{Mode, Secret, Settings},
    stopping::Told,
    tokens::{self, Tokens},
    witness::Witness,
};

/// Generation of the tokens that are given out.
const TOKEN_GENERATION: u32 = 1;

/// How long the end waits for the owners to save their state.
const SAVE_MAX: Duration = Duration::from_secs(5);

/// How long a start waits for owners of all partitions, which may be nodes that are starting too.
const OWNED_MAX: Duration = Duration::from_secs(30);
const OWNED_CHECK_EVERY: Duration = Duration::from_millis(20);
/// How long the end waits for the other nodes to learn of it.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// The running system.
pub(crate) struct System {
    commander: Commander,
    keys: KeyStore,
    shops: command_api::Shops,
    projections: Projections,
    router: Router,
    live: Live,
    rebuilds: Rebuilds,
    local: Arc<Local>,
    membership: Option<Arc<dyn Membership>>,
    webhooks: Webhooks,
    witness: Witness,
    webhook_secret: String,
    operator_token: String,
    /// Released behind everything that works in the data folder.
    _lock: FolderLock,
}

/// A shop and the token of its merchant.
pub(crate) struct ShopToken {
    /// The shop's myshopify.com domain.
    pub(crate) domain: String,
    /// Our id of it.
    pub(crate) merchant: MerchantId,
    /// Bearer token with `admin:full`.
    pub(crate) token: String,
}

impl System {
    /// Starts what the roles say over open stores. Other nodes, if there are any, reach it at `url`. Nothing if it was told to
    /// stop before it was done.
    pub(crate) async fn start(
        settings: &Settings,
        stores: Stores,
        url: &str,
        told: &Told,
    ) -> anyhow::Result<Option<Self>> {
        // Before the others count on this node.
        let clock = told.or(clock(settings, &stores.work)).await.transpose()?;
        let Some(clock) = clock else { return Ok(None) };
        // What is half joined cannot be left.
        let joining = nodes::join(settings, &stores.log, url);
        let Some(membership) = told.or_done_within(LEAVE_MAX, joining).await.transpose()? else {
            return Ok(None);
        };
        let starting = async {
            #[cfg(feature = "planted-bugs")]
            privacy::planted::hold_at("start:joined").await;
            Self::start_as(settings, stores, clock, membership.clone()).await
        };
        let started = told.or(starting).await.transpose();
        if let (Err(_) | Ok(None), Some(membership)) = (&started, membership) {
            // Nobody is to wait for a node that does not come.
            leave(&*membership).await;
        }
        started
    }

    async fn start_as(
        settings: &Settings,
        stores: Stores,
        clock: Clock,
        membership: Option<Arc<dyn Membership>>,
    ) -> anyhow::Result<Self> {
        let webhook_secret = secret(settings.webhook_secret.as_ref(), &stores.keys, WEBHOOK_SECRET);
        let (operator_token, auth) = operator(settings, &stores.keys);
        let working = Working::start(settings, &stores, &clock, membership.clone(), &webhook_secret).await?;
        let Working { parts, policies, schedule, webhooks, projections, witness } = working;
        let Stores { log, keys, work, reads, lock, .. } = stores;
        let (commander, shops) = (parts.commander.clone(), parts.shops.clone());
        let mut probes = probes(&log, &commander, &policies, &shops, &keys, &work);
        probes.extend(membership.is_some().then(|| nodes::owned(&commander)));
        let progress = projections.progress();
        let (now, deadlines) = watched_deadlines(settings, &reads, clock);
        let (live, local) = (Live::default(), Arc::new(Local::new(Arc::clone(&auth))?));
        let doors = Doors {
            queues: Queues {
                log: log.clone(),
                policies: policies.clone(),
                schedule,
                webhooks: webhooks.clone(),
                progress: progress.clone(),
                deadlines,
                auth: Arc::clone(&auth),
            },
            rebuilds: Rebuilds::new(log.clone(), reads.clone(), progress.clone(), Arc::clone(&local)),
            tokens: Tokens::new(&keys, &shops, TOKEN_GENERATION, &local),
            damaged: damaged_keys::Page::new(&keys, &local),
            page: nodes::Page::new(membership.as_ref(), &commander, &auth),
            app: App::new(parts, policies, webhooks.clone(), Arc::clone(&auth)),
            reads: Reads {
                metrics: metrics_page(&log)?,
                log,
                store: reads,
                progress,
                live: live.clone(),
                keys: keys.clone(),
                auth,
                now,
                asked: settings.roles.has(Role::Queries),
                probes,
            },
        };
        let rebuilds = doors.rebuilds.clone();
        let router = doors.router(&settings.roles);
        let router = router.merge(nodes::asks(membership.as_deref(), &commander, &keys)?);
        Ok(Self {
            commander,
            keys,
            shops,
            projections,
            router,
            live,
            rebuilds,
            local,
            membership,
            webhooks,
            witness,
            webhook_secret,
            operator_token,
            _lock: lock,
        })
    }

    /// All routes, wrapped once.
    pub(crate) fn router(&self, settings: &Settings) -> Router {
        let pages = pages::router(self.demo_shops(settings));
        http_edge::finish(self.router.clone().merge(pages))
    }

    /// The demo shops for the page, only where nobody else can ask for them.
    fn demo_shops(&self, settings: &Settings) -> Option<DemoShops> {
        let own: Option<IpAddr> = settings.host.parse().ok().filter(IpAddr::is_loopback);
        if settings.mode != Mode::Development || own.is_none() {
            return None;
        }
        let (keys, shops) = (self.keys.clone(), self.shops.clone());
        Some(Arc::new(move || {
            let demo = with_tokens(&shops, &keys).into_iter().filter(|shop| demo::is_demo(&shop.domain));
            demo.map(|shop| ShownShop { shop_domain: shop.domain, token: shop.token }).collect()
        }))
    }

    /// What webhooks are signed with.
    pub(crate) fn webhook_secret(&self) -> &str {
        &self.webhook_secret
    }

    /// The operator's token.
    pub(crate) fn operator_token(&self) -> &str {
        &self.operator_token
    }

    /// All shops with their tokens.
    pub(crate) fn shops(&self) -> Vec<ShopToken> {
        with_tokens(&self.shops, &self.keys)
    }

    /// The token of the shop with this domain.
    pub(crate) fn token_of(&self, domain: &str) -> Option<String> {
        self.shops().into_iter().find(|shop| shop.domain == domain).map(|shop| shop.token)
    }

    /// The token that opens some of the operator's routes for whoever can read the data folder.
    pub(crate) fn local_token(&self) -> &str {
        self.local.token()
    }

    /// Waits until every partition has an owner that this node knows of, but not for ever: whether it came to that is
    /// asked of `/readyz`.
    pub(crate) async fn until_owned(&self) {
        #[cfg(feature = "planted-bugs")]
        privacy::planted::hold_at("start:listens").await;
        let owned = async {
            while self.membership.is_some() && !self.commander.unowned().is_empty() {
                tokio::time::sleep(OWNED_CHECK_EVERY).await;
            }
        };
        if tokio::time::timeout(OWNED_MAX, owned).await.is_err() {
            tracing::warn!(partitions = ?self.commander.unowned(), "Some partitions have no owner");
        }
    }

    /// Leaves the other nodes, which take over what this one owned.
    pub(crate) async fn leave(&self) {
        // First: what is in hand still sends commands.
        match tokio::time::timeout(LEAVE_MAX, self.webhooks.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "The other nodes wait for this one's deliveries"
                );
            }
            Err(_) => tracing::warn!("Some deliveries are not at their end; another node begins them again"),
        }
        if let Some(membership) = &self.membership {
            leave(&**membership).await;
        }
    }

    /// Ends the answers that would not end by themselves, or not soon.
    pub(crate) fn close_streams(&self) {
        self.live.close();
        self.rebuilds.close();
    }

    /// Ends what can be ended in order; the rest is safe to drop at any time.
    pub(crate) async fn stop(self) {
        drop(self.projections);
        // What is not saved in time is read from the log at the next start.
        if let Ok(Err(error)) = tokio::time::timeout(SAVE_MAX, self.commander.save()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "The owners' state is not saved");
        }
        if let Err(error) = self.witness.now().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "The witness is not up to date");
        }
    }
}

async fn clock(settings: &Settings, work: &Store) -> anyhow::Result<Clock> {
    let tolerance = Duration::from_secs(settings.clock_tolerance_s.into());
    let clock = Clock::open(work, settings.mode == Mode::Development).await?.within(tolerance);
    clock.agrees().await.context("the clock of this machine cannot be trusted")?;
    Ok(clock)
}

async fn leave(membership: &dyn Membership) {
    if tokio::time::timeout(LEAVE_MAX, membership.leave()).await.is_err() {
        tracing::warn!("The other nodes learn of the end when the session of this one is over");
    }
}

fn with_tokens(shops: &command_api::Shops, keys: &KeyStore) -> Vec<ShopToken> {
    let token = |shop: &command_api::shops::Shop| ShopToken {
        domain: shop.domain.to_string(),
        merchant: shop.merchant,
        token: keys.issue_token(shop.merchant, TOKEN_GENERATION),
    };
    shops.all().iter().map(|shop| token(shop)).collect()
}

/// What works by itself, each as much of it as the roles say.
struct Working {
    parts: policies::Parts,
    policies: Policies,
    schedule: Schedule,
    webhooks: Webhooks,
    projections: Projections,
    witness: Witness,
}

impl Working {
    /// Owners first, then what sends them commands, then what reads.
    async fn start(
        settings: &Settings,
        stores: &Stores,
        clock: &Clock,
        membership: Option<Arc<dyn Membership>>,
        webhook_secret: &str,
    ) -> anyhow::Result<Self> {
        let Stores { log, keys, work, reads, snapshots, .. } = stores;
        let share = |role: Role| membership.as_deref().map(|nodes| nodes.share(role.name()));
        let owning = membership.as_deref().map(|nodes| nodes::owning(nodes, &settings.roles));
        let parts = parts(settings, log, keys, work, snapshots.clone(), clock, owning).await?;
        let witness = Witness::start(settings, &parts.commander).await?;
        let policies = Policies::start_among(parts.clone(), share(Role::Policies)).await;
        let policies = policies.context("could not start the policies")?;
        let schedule = Schedule::start_among(&parts, share(Role::Policies)).await;
        let schedule = schedule.context("could not start the schedule")?;
        // They end with the runtime.
        let ports = erasing::ports(reads, log.partitions(), &witness);
        drop(Erasure::start(&parts, ports, Periods::default()));
        Upkeep::start(&parts);
        let webhooks = webhooks(settings, &parts, webhook_secret);
        let projections =
            Projections::start_among(log.clone(), reads.clone(), share(Role::Projector)).await?;
        Ok(Self { parts, policies, schedule, webhooks, projections, witness })
    }
}

/// Has somebody look at the deadlines of requests where questions are answered; gives what tells the time, and who looks.
fn watched_deadlines(settings: &Settings, reads: &ReadStore, clock: Clock) -> (Now, Option<Deadlines>) {
    let now: Now = Arc::new(move || clock.now());
    let deadlines =
        settings.roles.has(Role::Queries).then(|| Deadlines::new(reads.clone(), Arc::clone(&now)));
    if let Some(deadlines) = deadlines.clone() {
        tokio::spawn(deadlines.watch());
    }
    (now, deadlines)
}

type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What is behind the routes.
struct Doors {
    app: App,
    reads: Reads,
    queues: Queues,
    page: nodes::Page,
    rebuilds: Rebuilds,
    tokens: Tokens,
    damaged: damaged_keys::Page,
}

impl Doors {
    /// All of them; those of roles that this process does not have say so.
    fn router(self, roles: &Roles) -> Router {
        let (queries, health) = query_api::routers(self.reads);
        let routes = roles
            .doors(Role::Commands, command_api::command_router(self.app.clone()))
            .merge(roles.doors(Role::Webhooks, command_api::delivery_router(self.app)))
            .merge(roles.doors(Role::Queries, queries))
            .merge(health)
            .merge(queues::router(self.queues))
            .merge(nodes::router(self.page))
            .merge(rebuilds::router(self.rebuilds))
            .merge(tokens::router(self.tokens))
            .merge(damaged_keys::router(self.damaged));
        openapi::served(routes)
    }
}

async fn parts(
    settings: &Settings,
    log: &Log,
    keys: &KeyStore,
    work: &Store,
    snapshots: Snapshots,
    clock: &Clock,
    nodes: Option<Nodes>,
) -> anyhow::Result<policies::Parts> {
    let memory_mb = usize::try_from(settings.state_memory_mb)?;
    let keeping =
        Keeping::new(snapshots.clone(), settings.live_streams, memory_mb.saturating_mul(1024 * 1024));
    let commander = command_api::owner::start_among(log, keys, clock, Some(keeping), nodes)
        .await
        .context("could not claim the partitions")?;
    let shops = command_api::Shops::start(log, Some(&snapshots)).await.context("could not read the shops")?;
    let issuers = Issuers::new(keys.clone(), shops.clone(), shopify(settings)?);
    Ok(policies::Parts {
        log: log.clone(),
        commander,
        shops,
        clock: clock.clone(),
        keys: keys.clone(),
        work: work.clone(),
        issuers,
    })
}

/// The door and the workers behind it.
fn webhooks(settings: &Settings, parts: &policies::Parts, secret: &str) -> Webhooks {
    let previous = settings.webhook_secret_previous.as_ref().map(Secret::expose);
    let parts = webhooks::Parts {
        commander: parts.commander.clone(),
        shops: parts.shops.clone(),
        clock: parts.clock.clone(),
        keys: parts.keys.clone(),
        work: parts.work.clone(),
        secrets: Secrets::new(secret, previous),
    };
    if settings.roles.has(Role::Webhooks) { Webhooks::start(parts) } else { Webhooks::door(parts) }
}

/// Shopify's discounts, if any shop let us make them.
fn shopify(settings: &Settings) -> anyhow::Result<Option<Shopify>> {
    if settings.shopify_tokens.is_empty() {
        return Ok(None);
    }
    let tokens =
        settings.shopify_tokens.iter().map(|(shop, token)| (shop.clone(), token.expose().to_owned()));
    let credentials: Credentials = tokens.collect();
    let admin_url = settings.shopify_admin_url.as_deref();
    Shopify::new(credentials, &settings.shopify_api_version, admin_url)
        .map(Some)
        .context("the settings for Shopify's Admin API cannot be used")
}

/// Purposes of the secrets that are derived when none is given.
const WEBHOOK_SECRET: &str = "webhook-secret";
const OPERATOR_TOKEN: &str = "operator-token";

fn secret(given: Option<&Secret>, keys: &KeyStore, purpose: &str) -> String {
    given.map_or_else(|| keys.derived_secret(purpose), |secret| secret.expose().to_owned())
}

/// The secret that webhooks are signed with when the settings name none.
pub(crate) fn derived_webhook_secret(keys: &KeyStore) -> String {
    keys.derived_secret(WEBHOOK_SECRET)
}

/// Tokens need no table: they are derived from the installation's own key.
struct Derived {
    keys: KeyStore,
    operator_token: String,
}

/// The operator's token, and who knows it and those of merchants.
fn operator(settings: &Settings, keys: &KeyStore) -> (String, Arc<dyn Auth>) {
    let operator_token = secret(settings.operator_token.as_ref(), keys, OPERATOR_TOKEN);
    let tokens = Derived { keys: keys.clone(), operator_token: operator_token.clone() };
    (operator_token, Arc::new(tokens))
}

impl Auth for Derived {
    fn merchant(&self, token: &str) -> Option<MerchantScope> {
        self.keys.verify_token(token)
    }

    fn operator(&self, token: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), self.operator_token.as_bytes())
            .is_ok()
    }
}

/// What `/healthz` asks, one line each. It answers in words that may be shown to anybody.
fn probes(
    log: &Log,
    commander: &Commander,
    policies: &Policies,
    shops: &command_api::Shops,
    keys: &KeyStore,
    work: &Store,
) -> Vec<Arc<dyn Probe>> {
    let (log, commander, policies) = (log.clone(), commander.clone(), policies.clone());
    let (work, store, claiming, shops) = (work.clone(), log.clone(), commander.clone(), shops.clone());
    vec![
        Arc::new(Check("store", move || store.silence().is_none(), "the store of the log does not answer")),
        Arc::new(Check(
            "clock",
            move || claiming.waiting_for_clock().is_empty(),
            "the machine's clock is wrong",
        )),
        Arc::new(Check("log", move || commander.stopped_partitions().is_empty(), "a partition has stopped")),
        Arc::new(Check(
            "records",
            move || log.partitions_with_a_hole().is_empty(),
            "a record of the log is missing",
        )),
        Arc::new(Check("policies", move || policies.stopped_partitions().is_empty(), "a policy has stopped")),
        Arc::new(Check("shops", move || shops.is_followed(), "what shops change is no longer followed")),
        damaged_keys::probe(keys),
        Arc::new(Check("work", move || work.is_open(), "the store of the inbox has ended")),
    ]
}

/// A name, a question, and what to say if the answer is no.
struct Check<F>(&'static str, F, &'static str);

impl<F: Fn() -> bool + Send + Sync> Probe for Check<F> {
    fn name(&self) -> &'static str {
        self.0
    }

    fn check(&self) -> Result<(), String> {
        if (self.1)() { Ok(()) } else { Err(self.2.to_owned()) }
    }
}

fn metrics_page(log: &Log) -> anyhow::Result<Arc<dyn Fn() -> String + Send + Sync>> {
    let handle = PrometheusBuilder::new().install_recorder().context("could not set up the metrics")?;
    let log = log.clone();
    Ok(Arc::new(move || {
        metrics::gauge!("log_store_silent").set(if log.silence().is_some() { 1.0 } else { 0.0 });
        handle.run_upkeep();
        handle.render()
    }))
}
