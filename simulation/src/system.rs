//! One life of the process: everything wired as the executable does it, over stores that outlast it.
use std::{path::Path, sync::Arc, time::Duration};

use axum::Router;
use command_api::{
    App, Clock, Commander, Shops,
    issuer::Issuers,
    policies::{self, Policies},
    schedule::Schedule,
    webhooks::{self, Secrets, Webhooks},
};
use event_log::Log;
use http_edge::Auth;
use privacy::{KeyStore, MerchantScope, RootKey};
use projections::{Projections, ReadStore};
use tower::ServiceExt as _;

use crate::{
    journal::Answer,
    shopify::{Asked, OPERATOR, SECRET},
};

/// Why a life did not begin.
pub(crate) type Refused = Box<dyn std::error::Error>;

/// The running parts.
pub(crate) struct System {
    pub(crate) log: Log,
    pub(crate) keys: KeyStore,
    pub(crate) clock: Clock,
    pub(crate) commander: Commander,
    pub(crate) policies: Policies,
    pub(crate) webhooks: Webhooks,
    pub(crate) reads: ReadStore,
    pub(crate) projections: Projections,
    router: Router,
}

impl System {
    pub(crate) async fn start(log: Log, folder: &Path) -> Result<Self, Refused> {
        let root = RootKey::from_bytes([7; 32]);
        let keys = KeyStore::create_or_open(&folder.join("keys.db"), &root, *log.id().as_bytes()).await?;
        let work = command_api::work::open(&folder.join("work.db"))?;
        let reads = ReadStore::open(&folder.join("read.db")).await?;
        let clock = Clock::open(&work, true).await?;
        let commander = command_api::owner::start(&log, &keys, &clock).await?;
        let shops = Shops::start(&log, None).await?;
        let parts = policies::Parts {
            log: log.clone(),
            commander: commander.clone(),
            shops: shops.clone(),
            clock: clock.clone(),
            keys: keys.clone(),
            work: work.clone(),
            issuers: Issuers::new(keys.clone(), shops.clone(), None),
        };
        let policies = Policies::start(parts.clone()).await?;
        Schedule::start(&parts).await?;
        let webhooks = Webhooks::start(webhooks::Parts {
            commander: commander.clone(),
            shops,
            clock: clock.clone(),
            keys: keys.clone(),
            work,
            secrets: Secrets::new(SECRET, None),
        });
        let projections = Projections::start(log.clone(), reads.clone()).await?;
        let app = App::new(parts, policies.clone(), webhooks.clone(), Arc::new(Tokens(keys.clone())));
        let router = http_edge::finish(command_api::router(app).split_for_parts().0);
        Ok(Self { log, keys, clock, commander, policies, webhooks, reads, projections, router })
    }

    /// Status and text.
    pub(crate) async fn ask(&self, asked: &Asked) -> Answer {
        let response =
            self.router.clone().oneshot(asked.request()).await.unwrap_or_else(|never| match never {});
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until everything accepted is worked off and folded; else what is not.
    pub(crate) async fn until_idle(&self) -> Result<(), String> {
        let mut open = String::new();
        for _ in 0..PATIENCE {
            let pending = self.webhooks.probe().await.map_or(u64::MAX, |counts| counts.pending);
            let policies: u64 = self.policies.lag().iter().map(|lag| lag.lag_events).sum();
            let projections: u64 =
                self.projections.progress().report().iter().map(|report| report.lag_events).sum();
            if (pending, policies, projections) == (0, 0, 0) {
                return Ok(());
            }
            open = format!(
                "{pending} deliveries, {policies} records of policies and {projections} of projections wait"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(open)
    }
}

/// Half seconds of simulated time.
const PATIENCE: u32 = 1_200;

struct Tokens(KeyStore);

impl Auth for Tokens {
    fn merchant(&self, token: &str) -> Option<MerchantScope> {
        self.0.verify_token(token)
    }

    fn operator(&self, token: &str) -> bool {
        token == OPERATOR
    }
}
