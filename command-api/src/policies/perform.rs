//! One step of a policy: a command with a key that follows from its event, or a call to the outside named after it.
use std::time::Duration;

use super::{Cause, Policies};
use crate::{
    commands::{Answered, Envelope, Lane, Origin, Outcome, Unavailable},
    erasure,
    issuer::{CodeIssuer, CodeOrder, NotIssued, Worth},
};
use domain::{
    Aggregate, Command, Effect, IfRefused, Instead, Reaction, Rejection, StreamRef,
    points_account::{self, Awaited},
    privacy_request::OpenRedaction,
    redemption::{self, ExpireRedemption, FailRedemption, RecordCodeIssued},
};
use event_schemas::{
    Code, CommandKey, CustomerId, Digest, EventId, Personal, RedemptionId, RequestId, Timestamp,
    privacy_request::{RedactionScope, RequestSource},
    record::Actor,
    reward::Benefit,
};
use uuid::Uuid;

/// How long a call to the outside may hold up whoever waits behind it; it goes on as a parked step.
const SHORT: Duration = Duration::from_secs(2);
/// A reward that could not be issued for so long is given up, and the points go back.
const RESERVED_FOR: Duration = Duration::from_secs(15 * 60);
/// Accounts that were merged into each other one after the other; more would be a ring.
const MERGES_MAX: u32 = 32;

/// Why a step waits that cancels a redemption whose points are not spent yet.
pub(super) const REDEMPTION_UNFINISHED: &str = "redemption-unfinished";
/// Why a step waits that an account turned away which ended: what that account left is still on its way.
pub(super) const ESTATE_EXPECTED: &str = "estate-expected";

/// How long calls to the outside may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Others wait.
    Short,
    /// As long as the issuer tries.
    Long,
}

/// A step did not come to an end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may, if it is tried again right away.
    Later(Box<dyn std::error::Error + Send + Sync>),
    /// It will not come to one soon. A code in kebab-case.
    Stuck(String),
    /// Whoever it is for was erased: there is nothing to be done any more.
    Erased,
}

impl From<privacy::Error> for Trouble {
    fn from(error: privacy::Error) -> Self {
        let code = match error {
            privacy::Error::Redacted { .. }
            | privacy::Error::Erased { .. }
            | privacy::Error::ShopErased { .. } => return Self::Erased,
            privacy::Error::Unavailable(_) => return Self::Later(error.into()),
            privacy::Error::UnknownMerchant { .. } | privacy::Error::KeyMissing { .. } => "key-missing",
            privacy::Error::Damaged { .. } | privacy::Error::DoesNotOpen => "key-damaged",
            privacy::Error::EpochGone { .. } => "epoch-gone",
            _ => "key-fault",
        };
        tracing::error!(error = &error as &dyn std::error::Error, "A policy's step has no key that works");
        Self::Stuck(code.into())
    }
}

impl From<Unavailable> for Trouble {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            // It would be wrong to hold up all others for one partition, or one stream.
            Unavailable::Stopped
            | Unavailable::AggregateParked
            | Unavailable::RecordTooLarge { .. }
            | Unavailable::Fault(_) => {
                tracing::error!(error = &unavailable as &dyn std::error::Error, "A policy's command failed");
                Self::Stuck(unavailable.code().into())
            }
            Unavailable::Overloaded | Unavailable::NotOwned | Unavailable::KeysAway => {
                Self::Later(unavailable.into())
            }
        }
    }
}

/// The stream that answered, and what.
type Sent = (StreamRef, Answered);

impl Policies {
    /// Does it, and says what was answered by which stream; nothing if no command was needed. Where whoever it is for was
    /// erased the process ends as it should.
    pub(super) async fn perform(
        &self,
        cause: &Cause,
        id: EventId,
        reaction: Reaction,
        patience: Patience,
    ) -> Result<Option<Sent>, Trouble> {
        match self.take(cause, id, reaction, patience).await {
            Err(Trouble::Erased) => Ok(None),
            taken => taken,
        }
    }

    async fn take(
        &self,
        cause: &Cause,
        id: EventId,
        Reaction { step, effect }: Reaction,
        patience: Patience,
    ) -> Result<Option<Sent>, Trouble> {
        match effect {
            Effect::Command { stream, command, if_refused } => {
                self.finished(cause, stream, &command).await?;
                let hops_max = if if_refused == IfRefused::Park { 0 } else { MERGES_MAX };
                let sent = self.send_on(cause, id, step, stream, command, hops_max).await;
                match (refused(&sent), if_refused) {
                    (Some(why), IfRefused::GoOnOr(instead)) => {
                        let Instead { step, stream, mut command } = *instead;
                        command.because(&why);
                        expected(self.send_on(cause, id, step, stream, command, MERGES_MAX).await?)
                    }
                    _ => expected(sent?),
                }
            }
            Effect::IssueCode { redemption, customer, benefit } => {
                let stream = StreamRef::redemption(redemption, customer);
                let key = id.command_key(step);
                let known = self.parts.commander.recall(cause.merchant, stream, key, |_| ()).await?;
                if let Some((answered, ())) = known {
                    // Asking the issuer again could bring a code back that was made void since.
                    return self.issued(cause, id, (stream, answered)).await;
                }
                let command = self.issue(cause, redemption, benefit, patience).await?;
                let sent = self.send(cause, id, step, key, stream, command).await?;
                self.issued(cause, id, sent).await
            }
            Effect::VoidCode { redemption, customer } => {
                self.void(cause, redemption, customer, patience).await.map(|()| None)
            }
        }
    }

    /// A code that nobody may have any more is none: the redemption fails, so that its points go back.
    async fn issued(&self, cause: &Cause, id: EventId, sent: Sent) -> Result<Option<Sent>, Trouble> {
        match &sent.1.outcome {
            Outcome::Rejected(why) if why.is_of_the_erased() => {
                let step = "fail-of-the-erased";
                let fail = FailRedemption { reason: Code::fixed(why.code()) }.into();
                expected(self.send(cause, id, step, id.command_key(step), sent.0, fail).await?)
            }
            _ => expected(sent),
        }
    }

    /// Sends a command to a stream, or to the account that its account was merged into, so many merges on.
    async fn send_on(
        &self,
        cause: &Cause,
        id: EventId,
        step: &'static str,
        mut stream: StreamRef,
        command: Command,
        hops_max: u32,
    ) -> Result<Sent, Trouble> {
        let brings_estate_of = match &command {
            Command::PointsAccount(points_account::Command::AbsorbAccount(absorb)) => Some(absorb.from),
            _ => None,
        };
        let mut key = id.command_key(step);
        let mut awaited = Awaited::default();
        let mut hop = 0;
        loop {
            let mut command = command.clone();
            self.complete(cause, stream, &mut command).await?;
            let sent = self.send(cause, id, step, key, stream, command).await?;
            let into = match &sent.1.outcome {
                Outcome::Rejected(Rejection::AccountMerged { into }) if hop < hops_max => *into,
                _ => {
                    if let Some(from) = brings_estate_of {
                        self.parked.try_soon();
                        self.erase_too(cause, from, stream).await?;
                    }
                    return Ok(sent);
                }
            };
            hop += 1;
            if let Some(ended) = stream.subject() {
                awaited.expect(ended);
            }
            stream = StreamRef::account(into);
            key = id.command_key(&format!("{step}/{hop}"));
            awaited = self.arrived(cause, stream, awaited).await?;
        }
    }

    /// Who turns out to be a person who was erased is erased too: the door could not know of it when it was asked.
    async fn erase_too(
        &self,
        cause: &Cause,
        customer: CustomerId,
        account: StreamRef,
    ) -> Result<(), Trouble> {
        let Some(lives_on) = account.subject() else { return Ok(()) };
        let erased_by = |aggregate: &Aggregate| match aggregate {
            Aggregate::Customer(person) => person.redacted_by(),
            _ => None,
        };
        let commander = &self.parts.commander;
        let erased_by = commander.read(cause.merchant, StreamRef::customer(lives_on), erased_by).await?;
        let Some(request) = erased_by else { return Ok(()) };
        if self.parts.keys.is_erased(cause.merchant, Some(customer)).await? {
            return Ok(());
        }
        let envelope = follow_up(cause, request, customer, self.parts.clock.now());
        Ok(commander.send(envelope).await.map(drop)?)
    }

    /// What is still awaited behind this account. Nothing is sent to it before, because a refusal would be its answer to
    /// the command for ever.
    async fn arrived(&self, cause: &Cause, stream: StreamRef, awaited: Awaited) -> Result<Awaited, Trouble> {
        let beyond = move |aggregate: &Aggregate| match aggregate {
            Aggregate::PointsAccount(account) => awaited.beyond(account),
            _ => None,
        };
        let left = self.parts.commander.read(cause.merchant, stream, beyond).await?;
        // It would be wrong to hold up the others here: among them may be who brings the estate.
        left.ok_or_else(|| Trouble::Stuck(ESTATE_EXPECTED.to_owned()))
    }

    /// An order may use a code before its points are spent. Until then nobody is asked to give them back, because a
    /// refusal would be the answer to the command for ever.
    async fn finished(&self, cause: &Cause, stream: StreamRef, command: &Command) -> Result<(), Trouble> {
        if !matches!(command, Command::Redemption(redemption::Command::CancelRedemption(_))) {
            return Ok(());
        }
        let is_over =
            |aggregate: &Aggregate| matches!(aggregate, Aggregate::Redemption(state) if state.is_over());
        if self.parts.commander.read(cause.merchant, stream, is_over).await? {
            return Ok(());
        }
        Err(Trouble::Stuck(REDEMPTION_UNFINISHED.to_owned()))
    }

    async fn send(
        &self,
        cause: &Cause,
        id: EventId,
        step: &'static str,
        key: CommandKey,
        stream: StreamRef,
        command: Command,
    ) -> Result<Sent, Trouble> {
        let content = [id.record.bytes().as_slice(), &id.index.to_be_bytes(), step.as_bytes()].concat();
        let envelope = Envelope {
            merchant: cause.merchant,
            stream,
            command,
            key,
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
        Ok((stream, self.parts.commander.send(envelope).await?))
    }

    /// The command that records the code, or that there will be none. Both have the step's key, so only one can count.
    async fn issue(
        &self,
        cause: &Cause,
        redemption: RedemptionId,
        benefit: Benefit,
        patience: Patience,
    ) -> Result<Command, Trouble> {
        let now = self.parts.clock.now();
        let waited = now.micros().saturating_sub(cause.recorded_at.micros());
        if u128::try_from(waited).is_ok_and(|waited| waited >= RESERVED_FOR.as_micros()) {
            return Ok(ExpireRedemption {}.into());
        }
        let order = self.order(cause, redemption).await?;
        let issuer = self.parts.issuers.of(&order.shop);
        let worth = Worth { benefit, from: cause.occurred_at };
        match within(patience, issuer.issue(&order, worth)).await {
            Ok(()) => {
                let code = Some(Personal::Clear(order.code));
                Ok(RecordCodeIssued { code, issuer: issuer.name() }.into())
            }
            Err(NotIssued::Refused(reason)) => Ok(FailRedemption { reason }.into()),
            Err(NotIssued::Unavailable(source)) => Err(away(issuer, &*source)),
        }
    }

    /// Has the code made void by whoever made it; where that is not known, by whoever would have. A till made none.
    async fn void(
        &self,
        cause: &Cause,
        redemption: RedemptionId,
        customer: CustomerId,
        patience: Patience,
    ) -> Result<(), Trouble> {
        let stream = StreamRef::redemption(redemption, customer);
        let issued_by = |aggregate: &Aggregate| match aggregate {
            Aggregate::Redemption(state) => (state.at_till(), state.issuer().cloned()),
            _ => (false, None),
        };
        let (at_till, made_by) = self.parts.commander.glance(cause.merchant, stream, issued_by).await?;
        if at_till {
            return Ok(());
        }
        let order = self.order(cause, redemption).await?;
        let issuers = &self.parts.issuers;
        let issuer = match made_by {
            Some(name) => issuers
                .named(&name, &order.shop)
                .ok_or_else(|| Trouble::Stuck("issuer-not-configured".to_owned()))?,
            None => issuers.of(&order.shop),
        };
        match within(patience, issuer.void(&order)).await {
            Ok(()) => Ok(()),
            Err(NotIssued::Refused(reason)) => Err(Trouble::Stuck(reason.as_str().to_owned())),
            Err(NotIssued::Unavailable(source)) => Err(away(issuer, &*source)),
        }
    }

    async fn order(&self, cause: &Cause, redemption: RedemptionId) -> Result<CodeOrder, Trouble> {
        match self.parts.issuers.order(cause.merchant, redemption)? {
            Some(order) => Ok(order),
            None => Err(self.without_shop(cause).await),
        }
    }

    /// Shops are read from another partition, which may be behind. It is not waited for one whose joining is lost.
    pub(super) async fn without_shop(&self, cause: &Cause) -> Trouble {
        match self.parts.commander.has_joined(cause.merchant).await {
            Ok(true) if self.parts.shops.is_followed() => Trouble::Later("the shop is not known yet".into()),
            Ok(_) => Trouble::Stuck("unknown-shop".to_owned()),
            Err(why) => why.into(),
        }
    }
}

/// Asks that somebody be erased who turned out to be a person who was.
fn follow_up(cause: &Cause, request: RequestId, customer: CustomerId, at: Timestamp) -> Envelope {
    let (id, stream) = erasure::follow_up(request, customer);
    Envelope {
        merchant: cause.merchant,
        stream,
        command: OpenRedaction {
            scope: RedactionScope::Customer,
            subjects: vec![customer],
            source: RequestSource::Operator,
            requested_at: at,
        }
        .into(),
        key: CommandKey(Uuid::new_v5(&id.0, b"open")),
        // Nothing of it is personal.
        content: Digest(id.bytes()),
        occurred_at: at,
        origin: Origin {
            actor: Actor::System,
            correlation: cause.correlation,
            trace: cause.trace,
            causation: None,
        },
        lane: Lane::Interactive,
    }
}

/// Why the stream refused, or would have if it could be asked.
fn refused(sent: &Result<Sent, Trouble>) -> Option<Rejection> {
    match sent {
        Ok((_, Answered { outcome: Outcome::Rejected(why), .. })) => Some(why.clone()),
        Err(Trouble::Erased) => Some(Rejection::AccountRedacted),
        _ => None,
    }
}

fn expected(sent: Sent) -> Result<Option<Sent>, Trouble> {
    match &sent.1.outcome {
        Outcome::Rejected(why) if why.is_of_the_erased() => Ok(Some(sent)),
        Outcome::Accepted | Outcome::Unchanged => Ok(Some(sent)),
        Outcome::Rejected(rejection) => Err(Trouble::Stuck(rejection.code().to_owned())),
    }
}

/// An answer that comes too late is no answer; what the call did meanwhile, its repeat finds out.
async fn within(
    patience: Patience,
    call: impl Future<Output = Result<(), NotIssued>>,
) -> Result<(), NotIssued> {
    match patience {
        Patience::Long => call.await,
        Patience::Short => match tokio::time::timeout(SHORT, call).await {
            Ok(answer) => answer,
            Err(late) => Err(NotIssued::Unavailable(late.into())),
        },
    }
}

fn away(issuer: &dyn CodeIssuer, source: &(dyn std::error::Error + 'static)) -> Trouble {
    tracing::warn!(error = source, "The issuer {} cannot be reached; the step waits", issuer.name());
    Trouble::Stuck("issuer-unavailable".to_owned())
}
