//! One step of a policy: a command with a key that follows from its event, or a call to the outside named after it.
use domain::{
    Command, Effect, Reaction, StreamRef,
    points_account::SettleOrder,
    redemption::{FailRedemption, RecordCodeIssued},
};
use event_schemas::{CustomerId, EventId, Money, Personal, RedemptionId, record::Actor};
use privacy::Kind;

use super::{Cause, Policies};
use crate::{
    commands::{Answered, Envelope, Lane, Origin, Outcome, Unavailable},
    issuer::{CodeOrder, NotIssued},
};

/// A step did not come to an end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may, if it is tried again.
    Later(Box<dyn std::error::Error + Send + Sync>),
    /// It was answered as nobody expected; somebody has to look. A code in kebab-case.
    Stuck(String),
}

impl From<privacy::Error> for Trouble {
    fn from(error: privacy::Error) -> Self {
        match error {
            privacy::Error::Redacted { .. } | privacy::Error::Erased { .. } => {
                Self::Stuck("account-redacted".into())
            }
            privacy::Error::UnknownMerchant { .. } | privacy::Error::KeyMissing { .. } => {
                Self::Stuck("key-missing".into())
            }
            other => Self::Later(other.into()),
        }
    }
}

impl From<Unavailable> for Trouble {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::AggregateParked | Unavailable::Fault(_) => {
                tracing::error!(error = &unavailable as &dyn std::error::Error, "A policy's command failed");
                Self::Stuck(unavailable.code().into())
            }
            Unavailable::Overloaded | Unavailable::NotOwned | Unavailable::Stopped => {
                Self::Later(unavailable.into())
            }
        }
    }
}

impl Policies {
    /// Does it, and says what was answered by which stream; nothing if no command was needed.
    pub(super) async fn perform(
        &self,
        cause: &Cause,
        id: EventId,
        Reaction { step, effect }: Reaction,
    ) -> Result<Option<(StreamRef, Answered)>, Trouble> {
        let (stream, command) = match effect {
            Effect::Command { stream, mut command } => {
                if let (Some(settle), Some(customer)) = (command.settling(), stream.subject()) {
                    self.complete(cause, customer, settle).await?;
                }
                (stream, command)
            }
            Effect::IssueCode { redemption, customer, discount, .. } => {
                (StreamRef::redemption(redemption, customer), self.issue(cause, redemption, discount).await?)
            }
            Effect::VoidCode { redemption, .. } => {
                let voided = self.parts.issuer.void(cause.merchant, redemption).await;
                return voided.map(|()| None).map_err(trouble);
            }
        };
        let content = [id.record.bytes().as_slice(), &id.index.to_be_bytes(), step.as_bytes()].concat();
        let envelope = Envelope {
            merchant: cause.merchant,
            stream,
            command,
            key: id.command_key(step),
            content: self.parts.keys.digest(cause.merchant, "policy", &content)?,
            occurred_at: cause.occurred_at,
            origin: Origin {
                actor: Actor::System,
                correlation: cause.correlation,
                trace: cause.trace,
                causation: Some(id),
            },
            lane: Lane::Interactive,
        };
        let answered = self.parts.commander.send(envelope).await?;
        match &answered.outcome {
            Outcome::Accepted | Outcome::Unchanged => Ok(Some((stream, answered))),
            Outcome::Rejected(rejection) => Err(Trouble::Stuck(rejection.code().to_owned())),
        }
    }

    /// The command that records the code, or that there will be none. Both have the step's key, so only one can count.
    async fn issue(
        &self,
        cause: &Cause,
        redemption: RedemptionId,
        discount: Money,
    ) -> Result<Command, Trouble> {
        let issuer = &self.parts.issuer;
        let code = issuer.code(cause.merchant, redemption)?;
        let order = CodeOrder { merchant: cause.merchant, redemption, code, discount };
        match issuer.issue(&order).await {
            Ok(()) => {
                let code = Some(Personal::Clear(order.code));
                Ok(RecordCodeIssued { code, issuer: issuer.name() }.into())
            }
            Err(NotIssued::Refused(reason)) => Ok(FailRedemption { reason }.into()),
            Err(NotIssued::Unavailable(source)) => Err(Trouble::Later(source)),
        }
    }

    /// Fills in what a pure policy cannot know.
    async fn complete(
        &self,
        cause: &Cause,
        customer: CustomerId,
        settle: &mut SettleOrder,
    ) -> Result<(), Trouble> {
        let keys = &self.parts.keys;
        if let Some(shop) = self.parts.shops.by_id(cause.merchant) {
            settle.when_short = shop.settings.refund.when_short;
        }
        let reference = keys.reveal(cause.merchant, Kind::Order, settle.order.0).await?;
        settle.reference = reference.map(Personal::Clear);
        let level =
            [settle.order.bytes().as_slice(), &settle.version.to_be_bytes(), &settle.target.0.to_be_bytes()]
                .concat();
        settle.content = keys.sealer(cause.merchant, customer)?.digest("settle-order", &level);
        Ok(())
    }
}

fn trouble(not_issued: NotIssued) -> Trouble {
    match not_issued {
        NotIssued::Refused(reason) => Trouble::Stuck(reason.as_str().to_owned()),
        NotIssued::Unavailable(source) => Trouble::Later(source),
    }
}
