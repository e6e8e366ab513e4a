//! The running parts over a log in memory, with a real key store and work.db in a temporary folder.
#[cfg(feature = "postgres")]
use std::cell::RefCell;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::{
    Aggregate, Command, StreamRef,
    customer::{Profile, RedactCustomer, RegisterCustomer},
    merchant::InstallMerchant,
    points_account::{EarnPoints, EarnSource, ExpiryRule, RedactAccount, ReservePoints},
};
use event_log::{Class, Log, memory};
use event_schemas::{
    Code, CommandKey, CorrelationId, Currency, CustomerId, Digest, EntryId, MerchantId, Points, RedemptionId,
    RequestId, ShopDomain, TimeZone, Timestamp,
    customer::RegisteredBy,
    points_account::Balances,
    record::{Actor, Trace},
    sample,
};
use group_commit::Store;
use http_edge::Auth;
#[cfg(feature = "postgres")]
use postgres_store::testing::TestDatabase;
use privacy::{EVERY_MERCHANT, KeyStore, Kind, MerchantScope, Reference, RootKey, Whom};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    app::App,
    clock::Clock,
    commands::{Answered, Commander, Envelope, Lane, Origin, Outcome},
    exports,
    issuer::{Issuers, Shopify},
    owner,
    policies::{Parts, Policies},
    requests,
    schedule::Schedule,
    shops::Shops,
    webhooks::{
        self, Webhooks,
        purge::{Finder, Purged, purge},
    },
    work,
};

/// A command with this key makes its decision panic.
pub(crate) const POISON: CommandKey = CommandKey(Uuid::from_u128(0xdead));

/// The root key of every bench.
pub(crate) const ROOT: [u8; 32] = [7; 32];

pub(crate) const OPERATOR: &str = "operator";

pub(crate) struct Bench {
    pub(crate) commander: Commander,
    pub(crate) shops: Shops,
    pub(crate) clock: Clock,
    pub(crate) keys: KeyStore,
    pub(crate) work: Store,
    pub(crate) log: Log,
    pub(crate) policies: Policies,
    pub(crate) issuers: Issuers,
    pub(crate) schedule: Schedule,
    pub(crate) folder: TempDir,
}

#[cfg(feature = "postgres")]
thread_local! {
    static SERVER: RefCell<Option<Arc<TestDatabase>>> =
        const { RefCell::new(None) };
}

/// Runs a test once more, with keys and inbox of its benches in a Postgres.
#[cfg(feature = "postgres")]
pub(crate) fn on_postgres(test: impl FnOnce()) {
    SERVER.set(Some(Arc::new(TestDatabase::create())));
    test();
    drop(SERVER.take());
}

/// Tests of this module or of another one once more, see [`on_postgres`].
#[cfg(feature = "postgres")]
macro_rules! again_on_postgres {
    ($($module:ident::$test:ident,)*) => {
        $(#[test]
        fn $test() {
            $crate::testing::on_postgres($module::$test);
        })*
    };
}
#[cfg(feature = "postgres")]
pub(crate) use again_on_postgres;

/// Keys and work of a bench, once more for whoever asks again.
pub(crate) async fn stores(folder: &std::path::Path, root: &RootKey, log: [u8; 16]) -> (KeyStore, Store) {
    #[cfg(feature = "postgres")]
    if let Some(server) = SERVER.with_borrow(Clone::clone) {
        let address = server.address();
        let keys = KeyStore::create_or_open_at(&address, root, log).await.unwrap();
        return (keys, work::open_at(&address).await.unwrap());
    }
    let keys = KeyStore::create_or_open(&folder.join("keys.db"), root, log).await.unwrap();
    (keys, work::open(&folder.join("work.db")).unwrap())
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::over(memory::init(2, Class::Conditional)).await
    }

    pub(crate) async fn over(log: Log) -> Self {
        Self::resume(log, tempfile::tempdir().unwrap()).await
    }

    /// Everything again over what is there, as after a restart.
    pub(crate) async fn resume(log: Log, folder: TempDir) -> Self {
        Self::resume_with(log, folder, None).await
    }

    /// The same with a shop that makes codes itself.
    pub(crate) async fn resume_with(log: Log, folder: TempDir, shopify: Option<Shopify>) -> Self {
        Self::assemble(log, folder, shopify, true).await
    }

    /// Nothing sets anything off, except what a test has followed.
    pub(crate) async fn with_still_policies() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::assemble(memory::init(2, Class::Conditional), folder, None, false).await
    }

    async fn assemble(log: Log, folder: TempDir, shopify: Option<Shopify>, tailing: bool) -> Self {
        let root = RootKey::from_bytes(ROOT);
        let (keys, work) = stores(folder.path(), &root, *log.id().as_bytes()).await;
        let clock = Clock::open(&work, true).await.unwrap();
        let commander = owner::start(&log, &keys, &clock).await.unwrap();
        let shops = Shops::start(&log, None).await.unwrap();
        let issuers = Issuers::new(keys.clone(), shops.clone(), shopify);
        let parts = Parts {
            log: log.clone(),
            commander: commander.clone(),
            shops: shops.clone(),
            clock: clock.clone(),
            keys: keys.clone(),
            work: work.clone(),
            issuers: issuers.clone(),
        };
        let policies =
            if tailing { Policies::start(parts.clone()).await } else { Policies::still(parts.clone()).await };
        let policies = policies.unwrap();
        let schedule = Schedule::start(&parts).await.unwrap();
        Self { commander, shops, clock, keys, work, log, policies, issuers, schedule, folder }
    }

    pub(crate) fn parts(&self) -> Parts {
        Parts {
            log: self.log.clone(),
            commander: self.commander.clone(),
            shops: self.shops.clone(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
            work: self.work.clone(),
            issuers: self.issuers.clone(),
        }
    }

    /// The routes, for requests with the tokens of [`Self::token`] and [`OPERATOR`].
    pub(crate) fn router(&self) -> axum::Router {
        let webhooks = Webhooks::start(webhooks::Parts {
            commander: self.commander.clone(),
            shops: self.shops.clone(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
            work: self.work.clone(),
            secrets: webhooks::Secrets::new("secret", None),
        });
        let auth = Arc::new(Tokens(self.keys.clone()));
        let app = App::new(self.parts(), self.policies.clone(), webhooks, auth);
        http_edge::finish(crate::router(app).split_for_parts().0)
    }

    pub(crate) fn token(&self, merchant: MerchantId) -> String {
        self.keys.issue_token(merchant, 1)
    }

    /// A shop with default settings, in US dollars.
    pub(crate) async fn install(&self, domain: &str) -> MerchantId {
        let merchant = self.keys_of(domain).await;
        let install = InstallMerchant {
            shop_domain: ShopDomain::try_new(domain).unwrap(),
            currency: Currency::try_new("USD").unwrap(),
            timezone: TimeZone::try_new("UTC").unwrap(),
        };
        let answered = self.accept(merchant, StreamRef::merchant(merchant), install).await;
        self.shops.wait_until(answered.at).await.unwrap();
        merchant
    }

    /// The keys of a shop, of which the log need not know.
    pub(crate) async fn keys_of(&self, domain: &str) -> MerchantId {
        let reference = Reference::new(Kind::ShopDomain, domain, Uuid::now_v7(), None);
        let merchant = MerchantId(self.keys.resolve(EVERY_MERCHANT, reference).await.unwrap().id);
        self.keys.ensure_merchant(merchant).await.unwrap();
        merchant
    }

    /// A registered customer.
    pub(crate) async fn customer(&self, merchant: MerchantId) -> CustomerId {
        let customer = CustomerId(Uuid::now_v7());
        self.keys.ensure_subject(merchant, customer).await.unwrap();
        let profile = Profile {
            shopify_customer_id: None,
            email: None,
            first_name: None,
            last_name: None,
            phone: None,
            email_verified: false,
            email_digest: None,
            digest: sample::DIGEST,
        };
        let register = RegisterCustomer { registered_by: RegisteredBy::Api, profile };
        self.accept(merchant, StreamRef::customer(customer), register).await;
        customer
    }

    pub(crate) async fn earn(&self, merchant: MerchantId, customer: CustomerId, points: i64) -> Answered {
        self.accept(merchant, StreamRef::account(customer), earn(points)).await
    }

    pub(crate) async fn accept(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        command: impl Into<Command>,
    ) -> Answered {
        let answered = self.commander.send(self.envelope(merchant, stream, command)).await.unwrap();
        assert_eq!(answered.outcome, Outcome::Accepted);
        answered
    }

    pub(crate) fn envelope(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        command: impl Into<Command>,
    ) -> Envelope {
        envelope(self.clock.now(), merchant, stream, command)
    }

    pub(crate) async fn balances(&self, merchant: MerchantId, customer: CustomerId) -> Balances {
        self.commander.read(merchant, StreamRef::account(customer), balances).await.unwrap()
    }

    /// Moves the clock and waits until all that fell due is done.
    pub(crate) async fn advance_to(&self, time: Timestamp) {
        self.clock.advance_to(time).await.unwrap();
        self.schedule_idle().await;
    }

    /// Waits until nothing is due.
    pub(crate) async fn schedule_idle(&self) {
        within("nothing is due", async {
            while !self.schedule.is_idle() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until the policies have nothing left to do.
    pub(crate) async fn policies_idle(&self) {
        within("the policies have nothing left to do", async {
            while self.policies.lag().iter().any(|lag| lag.lag_events > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// A command of a merchant's program, with a key of its own.
pub(crate) fn envelope(
    occurred_at: Timestamp,
    merchant: MerchantId,
    stream: StreamRef,
    command: impl Into<Command>,
) -> Envelope {
    Envelope {
        merchant,
        stream,
        command: command.into(),
        key: CommandKey(Uuid::now_v7()),
        content: sample::DIGEST,
        occurred_at,
        origin: Origin {
            actor: Actor::Merchant,
            correlation: CorrelationId(Uuid::now_v7()),
            trace: Trace::default(),
            causation: None,
        },
        lane: Lane::Interactive,
    }
}

pub(crate) fn balances(aggregate: &Aggregate) -> Balances {
    match aggregate {
        Aggregate::PointsAccount(account) => account.balances(),
        _ => Balances::default(),
    }
}

/// An award with a source and an entry of its own.
pub(crate) fn earn(points: i64) -> EarnPoints {
    let id = Uuid::now_v7();
    EarnPoints {
        entry: EntryId(id),
        points: Points(points),
        reason: Code::fixed("goodwill"),
        source: EarnSource::Api(Digest(id.into_bytes())),
        rule: None,
        release: None,
        at: sample::time(),
        expiry: ExpiryRule::none(),
        reference: None,
        content: sample::DIGEST,
    }
}

pub(crate) fn reserve(points: i64) -> ReservePoints {
    ReservePoints {
        redemption: RedemptionId(Uuid::now_v7()),
        points: Points(points),
        discount: sample::usd(points),
        rule_version: 1,
        reward: None,
        pos: None,
        at: sample::time(),
        expiry: ExpiryRule::none(),
    }
}

/// Far above what anything takes on a busy machine, so that only a fault runs into it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for what must happen by itself; the test fails with its name if it does not.
pub(crate) async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(PATIENCE, happens).await;
    happened.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Runs `work` as a process of its own, which is killed at the end: nothing it started goes on.
pub(crate) fn process<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

struct Tokens(KeyStore);

impl Auth for Tokens {
    fn merchant(&self, token: &str) -> Option<MerchantScope> {
        self.0.verify_token(token)
    }
    fn operator(&self, token: &str) -> bool {
        token == OPERATOR
    }
}

impl Bench {
    /// Erases people as the process over the log does, as far as keys, streams and work are concerned.
    pub(crate) async fn erase(
        &self,
        merchant: MerchantId,
        request: RequestId,
        people: &BTreeSet<CustomerId>,
    ) -> Purged {
        let purged = self.purge(merchant, request, people).await;
        self.destroy(merchant, request, people).await;
        purged
    }

    /// Fences people, destroys their keys and tells their streams.
    pub(crate) async fn destroy(
        &self,
        merchant: MerchantId,
        request: RequestId,
        people: &BTreeSet<CustomerId>,
    ) {
        let whom = Whom::Person(people.iter().copied().collect());
        self.keys.fence(merchant, &whom, request.0).await.unwrap();
        self.keys.destroy(merchant, &whom, request.0).await.unwrap();
        for person in people {
            let (customer, account) = (StreamRef::customer(*person), StreamRef::account(*person));
            let tell = self.envelope(merchant, customer, RedactCustomer { request });
            self.commander.send(tell).await.unwrap();
            let tell = self.envelope(merchant, account, RedactAccount { request });
            self.commander.send(tell).await.unwrap();
        }
    }

    /// Removes people's deliveries and exports.
    pub(crate) async fn purge(
        &self,
        merchant: MerchantId,
        request: RequestId,
        people: &BTreeSet<CustomerId>,
    ) -> Purged {
        let finder = Finder::new(self.work.clone(), self.keys.clone());
        let people: Vec<_> = people.iter().copied().collect();
        let rows = finder.find(merchant, request, &Whom::Person(people.clone())).await.unwrap();
        let purged = self.work.run(move |work| {
            let purged = purge(work, &rows)?;
            let references = requests::people(work, request)?.unwrap_or_default();
            exports::purge(work, merchant, Some(&people), &references)?;
            requests::forget(work, request)?;
            Ok(purged)
        });
        purged.await.unwrap()
    }
}
