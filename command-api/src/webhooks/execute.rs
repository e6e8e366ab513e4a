//! Carries out what a delivery asks for. Every step may be repeated: ids come from the directory, command keys from the row.
mod orders;
mod people;
mod privacy;
mod shops;

use std::{error::Error, sync::Arc};

use ::privacy::{Error as KeyError, KeyStore};
use domain::{Command, Rejection, StreamRef};
use event_log::PositionToken;
use event_schemas::{CommandKey, CustomerId, MerchantId, Timestamp, record::Actor};
use group_commit::Fault;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    inbox::{self, Delivery, End, Inbox},
    purge::ERASED,
    translate::{Plan, ShopFacts, Translated, is_compliance, translate},
};
use crate::{
    commands::{Commander, Envelope, Lane, Origin, Outcome, Unavailable},
    problem,
    requests::{self, Requests},
    shops::{Shop, Shops},
};

/// So often a delivery waits for a shop to join: an hour or so.
pub(super) const WAITS_FOR_JOINING: u32 = 80;

/// Why a delivery has not had its effect.
#[derive(Debug)]
pub(super) enum Setback {
    /// It never will, as it stands.
    Never(String),
    /// It is about somebody who is erased, or whose shop is: that is a regular end.
    Erased,
    /// Something that we need is away: it is tried again until that is back.
    Away(&'static str),
    /// Our own mistake, perhaps brought on by the payload.
    Fault(Box<dyn Error + Send + Sync>),
}

#[derive(Clone)]
pub(super) struct Executor {
    pub(super) commander: Commander,
    pub(super) shops: Shops,
    pub(super) keys: KeyStore,
    pub(super) inbox: Inbox,
    pub(super) requests: Requests,
    /// One merge at a time: two that look at once before they merge could close a ring.
    pub(super) merging: Arc<Mutex<()>>,
}

impl Executor {
    /// Carries out one delivery, all of it or as far as it comes. It has waited so often by now.
    pub(super) async fn execute(&self, delivery: &Delivery, waits: u32) -> Result<End, Setback> {
        let Some(shop) = self.shops.by_id(delivery.merchant) else {
            return Err(self.without_shop(delivery.merchant, waits).await);
        };
        let facts = ShopFacts { domain: shop.domain.clone(), currency: shop.currency };
        let Some(translated) = translate(&delivery.topic, &delivery.body, &facts) else {
            return Ok(End::Processed { reason: Some("topic-ignored"), position: None, subject: None });
        };
        let Translated { named, plan } = translated.map_err(|unusable| Setback::Never(unusable.reason()))?;
        let mut run =
            Run { executor: self, delivery, shop, last: None, subject: None, reason: None, forget: false };
        let is_named = run.is_named(&named).await?;
        if !is_named && !delivery.edited {
            // What cannot be undone is not done on the word of a header.
            if is_compliance(&delivery.topic) {
                return Err(Setback::Never("shop-not-named".to_owned()));
            }
            if delivery.shared && !run.is_safe_under_two_shops(&plan).await? {
                return Err(Setback::Never("shop-ambiguous".to_owned()));
            }
        }
        run.carry_out(plan).await?;
        let position = run.last.map(|at| at.to_string());
        if run.forget {
            return Ok(End::Forgotten { reason: run.reason, position });
        }
        Ok(End::Processed { reason: run.reason, position, subject: run.subject })
    }

    /// A shop may join at any moment, and the list of shops may be behind. Where the log knows of none for long, a person
    /// is to look: its joining is lost, or never came to its end.
    async fn without_shop(&self, merchant: MerchantId, waits: u32) -> Setback {
        let away = Setback::Away("shop-not-loaded");
        if waits < WAITS_FOR_JOINING {
            return away;
        }
        match self.commander.has_joined(merchant).await {
            Ok(true) => away,
            Ok(false) => Setback::Never("unknown-shop".to_owned()),
            Err(why) => why.into(),
        }
    }
}

/// A delivery about somebody who is erased has no effect, now and for ever.
pub(super) const fn end_of_erased() -> End {
    End::Forgotten { reason: Some(ERASED), position: None }
}

/// One delivery on its way.
struct Run<'a> {
    executor: &'a Executor,
    delivery: &'a Delivery,
    shop: Arc<Shop>,
    /// Where its last record stands.
    last: Option<PositionToken>,
    /// The customer that it is about.
    subject: Option<CustomerId>,
    /// Why it has no effect, if it has none.
    reason: Option<&'static str>,
    /// Its body is of no more use once it is done.
    forget: bool,
}

impl Run<'_> {
    async fn carry_out(&mut self, plan: Plan) -> Result<(), Setback> {
        match plan {
            Plan::Order(order) => self.order(order).await,
            Plan::Refund { order, refund } => self.refund(order, refund).await,
            Plan::Transaction { order, transaction } => self.transaction(order, transaction).await,
            Plan::OrderDeleted { order } => self.order_deleted(order).await,
            Plan::Customer { person, updated_at } => self.customer(person, updated_at).await,
            Plan::CustomerState { person, updated_at, enabled } => {
                self.customer_state(person, updated_at, enabled).await
            }
            Plan::CustomerDeleted { customer } => self.customer_deleted(customer).await,
            Plan::CustomersMerged { kept, gone } => self.customers_merged(kept, gone).await,
            Plan::Shop(facts) => self.shop_updated(facts).await,
            Plan::Subscription { name, status, updated_at } => {
                self.subscribed(name, status, updated_at).await
            }
            Plan::Uninstall => self.uninstalled().await,
            Plan::Product(sync) => self.product(sync).await,
            Plan::ProductDeleted { product } => self.product_deleted(&product).await,
            Plan::Redact(subject) => self.redact(subject).await,
            Plan::Export(subject) => self.export(subject).await,
            Plan::RedactShop => self.redact_shop().await,
            Plan::Nothing { reason } => {
                self.reason = Some(reason);
                Ok(())
            }
        }
    }

    /// Whether a body that names no shop and came under two of them can have its effect under each.
    ///
    /// What acts on an order waits for an order of the shop, and a product that a shop does not sell changes nothing
    /// there. A person whom the shop knows already is of that shop.
    async fn is_safe_under_two_shops(&self, plan: &Plan) -> Result<bool, Setback> {
        match plan {
            Plan::Refund { .. }
            | Plan::Transaction { .. }
            | Plan::OrderDeleted { .. }
            | Plan::Product(_)
            | Plan::ProductDeleted { .. }
            | Plan::Nothing { .. } => Ok(true),
            Plan::CustomerDeleted { customer } => self.is_customer_here(customer).await,
            Plan::CustomersMerged { kept, gone } => {
                Ok(self.is_customer_here(kept).await? || self.is_customer_here(gone).await?)
            }
            Plan::Order(_)
            | Plan::Customer { .. }
            | Plan::CustomerState { .. }
            | Plan::Shop(_)
            | Plan::Subscription { .. }
            | Plan::Redact(_)
            | Plan::Export(_)
            | Plan::RedactShop
            | Plan::Uninstall => Ok(false),
        }
    }

    /// Sends a command. `step` names it within this delivery; `subject` is whose key its content is digested with.
    async fn send(
        &mut self,
        step: &str,
        stream: StreamRef,
        command: impl Into<Command>,
        subject: Option<CustomerId>,
        occurred_at: Timestamp,
    ) -> Result<(), Setback> {
        let (merchant, body) = (self.delivery.merchant, self.delivery.body.as_bytes());
        let (keys, command) = (&self.executor.keys, command.into());
        let content = match subject {
            Some(customer) => keys.sealer(merchant, customer)?.digest("webhook", body),
            // Of nobody who is known: no key that an erasure leaves may tell what the body says.
            None => keys.digest(merchant, "webhook", &canonical(&command)?)?,
        };
        let actor = self.actor();
        let (correlation, trace) = (self.delivery.correlation, self.delivery.trace);
        let envelope = Envelope {
            merchant,
            stream,
            command,
            key: self.key(step),
            content,
            occurred_at,
            origin: Origin { actor, correlation, trace, causation: None },
            lane: Lane::Bulk,
        };
        let answered = self.executor.commander.send(envelope).await?;
        self.last = Some(answered.at);
        match answered.outcome {
            Outcome::Accepted | Outcome::Unchanged => Ok(()),
            Outcome::Rejected(Rejection::AccountRedacted | Rejection::ShopRedacted) => Err(Setback::Erased),
            Outcome::Rejected(rejection) => Err(Setback::Never(rejection.code().to_owned())),
        }
    }

    /// Whose word it is.
    const fn actor(&self) -> Actor {
        if self.delivery.edited { Actor::Merchant } else { Actor::Shopify }
    }

    /// The same at every try of this drive, so that a crash between two steps repeats harmlessly.
    fn key(&self, step: &str) -> CommandKey {
        let name = format!("{}/{step}", self.delivery.drive);
        CommandKey(Uuid::new_v5(&self.delivery.row, name.as_bytes()))
    }
}

/// The fields of a command that names nobody, in their order.
fn canonical(command: &Command) -> Result<Vec<u8>, Setback> {
    serde_json::to_vec(command).map_err(|error| Setback::Fault(Box::new(error)))
}

impl From<Unavailable> for Setback {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Overloaded
            | Unavailable::NotOwned
            | Unavailable::KeysAway
            | Unavailable::Stopped => Self::Away(unavailable.code()),
            Unavailable::AggregateParked | Unavailable::RecordTooLarge { .. } => {
                Self::Never(unavailable.code().to_owned())
            }
            Unavailable::Fault(ref cause) if problem::erased(&**cause) => Self::Erased,
            Unavailable::Fault(_) => Self::Fault(Box::new(unavailable)),
        }
    }
}

impl From<KeyError> for Setback {
    fn from(error: KeyError) -> Self {
        match error {
            error if requests::is_erased(&error) => Self::Erased,
            KeyError::Unavailable(fault) => match fault.into() {
                Self::Away(_) => Self::Away("key-store-unavailable"),
                broken => broken,
            },
            other => Self::Fault(Box::new(other)),
        }
    }
}

impl From<inbox::Error> for Setback {
    fn from(error: inbox::Error) -> Self {
        match error {
            inbox::Error::Keys(error) => error.into(),
            inbox::Error::Store(error) => error.into(),
            other => Self::Fault(Box::new(other)),
        }
    }
}

impl From<Fault> for Setback {
    fn from(error: Fault) -> Self {
        match error {
            Fault::Panicked => Self::Fault(Box::new(error)),
            Fault::Store(ref refusal) if refusal.is_of_the_call() => Self::Fault(Box::new(error)),
            Fault::Store(_) | Fault::Commit(_) | Fault::Away(_) | Fault::Closed => {
                Self::Away("store-unavailable")
            }
        }
    }
}
