//! What the handlers share: the state of the router.
use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;
use event_schemas::{CustomerId, MerchantId, Timestamp, record::Actor};
use http_edge::{Auth, Problem, RequestContext, WithAuth};
use privacy::KeyStore;
use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    commands::{Commander, Origin},
    exports::Exports,
    idempotency::Idempotency,
    issuer::Issuers,
    policies::{Parts, Policies},
    problem::{account_redacted, key_fault, shop_not_loaded, shop_redacted},
    requests::Requests,
    shops::{Shop, Shops},
    webhooks::Webhooks,
};

/// The state of the router; cheap to clone, because every request does.
#[derive(Clone)]
pub struct App(Arc<Running>);

/// The running parts.
pub struct Running {
    pub(crate) commander: Commander,
    pub(crate) shops: Shops,
    pub(crate) clock: Clock,
    pub(crate) keys: KeyStore,
    pub(crate) idempotency: Idempotency,
    pub(crate) policies: Policies,
    pub(crate) issuers: Issuers,
    pub(crate) requests: Requests,
    pub(crate) exports: Exports,
    /// Settings are merged and written by one call at a time; those of other nodes are told apart by the version.
    pub(crate) settings_turn: Mutex<()>,
    webhooks: Webhooks,
    auth: Arc<dyn Auth>,
}

impl App {
    /// Puts the running parts together.
    #[must_use]
    pub fn new(parts: Parts, policies: Policies, webhooks: Webhooks, auth: Arc<dyn Auth>) -> Self {
        let exports = Exports::new(&parts);
        let Parts { commander, shops, clock, keys, work, issuers, .. } = parts;
        let requests = Requests::new(commander.clone(), keys.clone(), work.clone(), clock.clone());
        let idempotency = Idempotency::new(work, keys.clone());
        let settings_turn = Mutex::default();
        Self(Arc::new(Running {
            commander,
            shops,
            clock,
            keys,
            idempotency,
            policies,
            issuers,
            requests,
            exports,
            settings_turn,
            webhooks,
            auth,
        }))
    }

    /// The shop of somebody who has its token. Tokens are handed out once a shop has joined, so if it is not here, this
    /// node has not read as far.
    pub(crate) fn shop(&self, merchant: MerchantId) -> Result<Arc<Shop>, Problem> {
        self.shops.by_id(merchant).ok_or_else(shop_not_loaded)
    }

    /// The same, unless the shop was erased: for calls that are about nobody whose key would say so.
    pub(crate) async fn living_shop(&self, merchant: MerchantId) -> Result<Arc<Shop>, Problem> {
        if self.keys.is_erased(merchant, None).await.map_err(|error| key_fault(&error))? {
            return Err(shop_redacted());
        }
        self.shop(merchant)
    }

    /// Checks that the customer is registered at this shop, or was merged before that: then their account says into whom.
    /// Who was erased is refused before anything is kept of the call.
    ///
    /// A glance that finds it is enough: whoever asks sends a command to the same partition next.
    pub(crate) async fn known_customer(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
    ) -> Result<(), Problem> {
        let stream = domain::StreamRef::customer(customer);
        let standing = |aggregate: &domain::Aggregate| match aggregate {
            domain::Aggregate::Customer(state) if state.redacted() => Standing::Erased,
            domain::Aggregate::Customer(state) if state.registered() || state.merged_into().is_some() => {
                Standing::Known
            }
            _ => Standing::Unknown,
        };
        let glanced = self.commander.glance(merchant, stream, standing).await?;
        let known = match glanced {
            Standing::Unknown => self.commander.read(merchant, stream, standing).await?,
            heard_of => heard_of,
        };
        match known {
            Standing::Known => Ok(()),
            Standing::Erased => Err(account_redacted()),
            Standing::Unknown => Err(Problem::not_found("customer-not-found", "The customer is unknown")),
        }
    }

    /// Keyed digest under the customer's key.
    pub(crate) fn subject_digest(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
        purpose: &str,
        bytes: &[u8],
    ) -> Result<event_schemas::Digest, Problem> {
        match self.keys.sealer(merchant, customer) {
            Ok(sealer) => Ok(sealer.digest(purpose, bytes)),
            Err(privacy::Error::Redacted { .. }) => Err(account_redacted()),
            Err(error) => Err(key_fault(&error)),
        }
    }

    /// The business time that a caller names, or now; it cannot be ahead of the clock.
    pub(crate) fn occurred_at(&self, named: Option<Timestamp>) -> Result<Timestamp, Problem> {
        let now = self.clock.now();
        match named {
            Some(time) if time > now => {
                Err(Problem::unprocessable("time-ahead", "The time is ahead of the clock")
                    .field("/occurred_at", "expected a time that has come"))
            }
            named => Ok(named.unwrap_or(now)),
        }
    }
}

/// How a customer stands.
#[derive(Clone, Copy)]
enum Standing {
    Unknown,
    Known,
    Erased,
}

/// Where a command of a request comes from.
pub(crate) const fn origin(context: RequestContext, actor: Actor) -> Origin {
    Origin { actor, correlation: context.correlation, trace: context.trace, causation: None }
}

impl Deref for App {
    type Target = Running;
    fn deref(&self) -> &Running {
        &self.0
    }
}

impl WithAuth for App {
    fn auth(&self) -> &dyn Auth {
        &*self.auth
    }
}

impl FromRef<App> for Webhooks {
    fn from_ref(app: &App) -> Self {
        app.webhooks.clone()
    }
}
