//! Carries out what a delivery asks for. Every step may be repeated: ids come from the directory, command keys from the row.
mod orders;
mod people;
mod shops;

use std::{error::Error, sync::Arc};

use domain::{Command, StreamRef};
use event_log::PositionToken;
use event_schemas::{CommandKey, CustomerId, Timestamp, record::Actor};
use privacy::KeyStore;
use uuid::Uuid;

use super::{
    inbox::{self, Delivery, End, Inbox},
    translate::{Plan, ShopFacts, Translated, translate},
};
use crate::{
    commands::{Commander, Envelope, Lane, Origin, Outcome, Unavailable},
    shops::{Shop, Shops},
};

/// Why a delivery has not had its effect.
#[derive(Debug)]
pub(super) enum Setback {
    /// It never will, as it stands.
    Never(String),
    /// Something that we need is away.
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
}

impl Executor {
    /// Carries out one delivery, all of it or as far as it comes.
    pub(super) async fn execute(&self, delivery: &Delivery) -> Result<End, Setback> {
        let shop = self.shops.by_id(delivery.merchant).ok_or(Setback::Away("shop-not-loaded"))?;
        let facts = ShopFacts { domain: shop.domain.clone(), currency: shop.currency };
        let Some(translated) = translate(&delivery.topic, &delivery.body, &facts) else {
            return Ok(End::Processed { reason: Some("topic-ignored"), position: None, subject: None });
        };
        let Translated { named, plan } = translated.map_err(|unusable| Setback::Never(unusable.reason()))?;
        let mut run = Run { executor: self, delivery, shop, last: None, subject: None };
        let is_named = run.is_named(&named).await?;
        match plan {
            // An order of this shop makes its refunds effective, so they need no name.
            Plan::Refund { order, refund } => run.refund(order, refund).await?,
            _ if delivery.shared && !is_named && !delivery.edited => {
                return Err(Setback::Never("shop-ambiguous".to_owned()));
            }
            Plan::Order(order) => run.order(order).await?,
            Plan::Customer { person, updated_at } => run.customer(person, updated_at).await?,
            Plan::Shop { currency, timezone } => run.shop_updated(currency, timezone).await?,
            Plan::Uninstall => run.uninstalled().await?,
        }
        let position = run.last.map(|at| at.to_string());
        Ok(End::Processed { reason: None, position, subject: run.subject })
    }
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
}

impl Run<'_> {
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
        let keys = &self.executor.keys;
        let content = match subject {
            Some(customer) => keys.sealer(merchant, customer)?.digest("webhook", body),
            None => keys.digest(merchant, "webhook", body)?,
        };
        let actor = if self.delivery.edited { Actor::Merchant } else { Actor::Shopify };
        let (correlation, trace) = (self.delivery.correlation, self.delivery.trace);
        let envelope = Envelope {
            merchant,
            stream,
            command: command.into(),
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
            Outcome::Rejected(rejection) => Err(Setback::Never(rejection.code().to_owned())),
        }
    }

    /// The same at every try of this drive, so that a crash between two steps repeats harmlessly.
    fn key(&self, step: &str) -> CommandKey {
        let name = format!("{}/{step}", self.delivery.drive);
        CommandKey(Uuid::new_v5(&self.delivery.row, name.as_bytes()))
    }
}

impl From<Unavailable> for Setback {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Overloaded | Unavailable::NotOwned | Unavailable::Stopped => {
                Self::Away(unavailable.code())
            }
            Unavailable::AggregateParked => Self::Never(unavailable.code().to_owned()),
            Unavailable::Fault(_) => Self::Fault(Box::new(unavailable)),
        }
    }
}

impl From<privacy::Error> for Setback {
    fn from(error: privacy::Error) -> Self {
        match error {
            privacy::Error::Erased { .. } | privacy::Error::Redacted { .. } => {
                Self::Never("subject-erased".to_owned())
            }
            privacy::Error::Unavailable(_) => Self::Away("key-store-unavailable"),
            other => Self::Fault(Box::new(other)),
        }
    }
}

impl From<inbox::Error> for Setback {
    fn from(error: inbox::Error) -> Self {
        match error {
            inbox::Error::Keys(error) => error.into(),
            other => Self::Fault(Box::new(other)),
        }
    }
}
