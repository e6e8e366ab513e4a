//! Process managers, one line each: what an event sets off elsewhere. Pure, so the same event always asks for the same.
use event_schemas::{Code, CustomerId, Event, EventId, RedemptionId, reward::Benefit};

use crate::{
    Command, Rejection, StreamRef, enrolment, merge_process, order_settlement, points_account, pos_device,
    pos_process, redemption_process, transfer_process,
};

/// A process manager. It keeps no state: what it needs is in the event.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Its name, under which its progress is kept.
    pub name: &'static str,
    /// What an event of a stream sets off, in order. Everything stays at the event's merchant.
    pub react: fn(EventId, StreamRef, &Event) -> Vec<Reaction>,
}

/// One thing to do because of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Reaction {
    /// What distinguishes it from the event's other reactions; [`EventId::command_key`] makes its key from it.
    pub step: &'static str,
    /// What to do.
    pub effect: Effect,
}

/// What a reaction does.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a command.
    Command {
        /// To this stream.
        stream: StreamRef,
        /// The command.
        command: Command,
        /// What follows when the stream refuses it.
        if_refused: IfRefused,
    },
    /// Have a discount code issued, named after the redemption so that it is never two; then `RecordCodeIssued` or
    /// `FailRedemption`.
    IssueCode {
        /// The redemption.
        redemption: RedemptionId,
        /// Who redeems.
        customer: CustomerId,
        /// What the code gives.
        benefit: Benefit,
    },
    /// Have the redemption's code made void, if there is one; doing it again does nothing.
    VoidCode {
        /// The redemption.
        redemption: RedemptionId,
        /// Who redeemed.
        customer: CustomerId,
    },
}

/// What follows when a stream refuses a policy's command. That its customer was erased ends every process as it should,
/// and none of this follows but [`Self::GoOnOr`]: see [`Rejection::is_of_the_erased`].
#[derive(Clone, Debug, PartialEq)]
pub enum IfRefused {
    /// Nobody expects it: the step is parked until somebody has looked.
    Park,
    /// From an account that was merged the command goes on to the one it was merged into; else as [`Self::Park`].
    GoOn,
    /// The same, but other refusals are part of the process too: this is sent instead.
    GoOnOr(Box<Instead>),
}

/// A command in the place of one that was refused; it goes on from merged accounts, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Instead {
    /// What distinguishes it from all other steps of the event.
    pub step: &'static str,
    /// To this stream.
    pub stream: StreamRef,
    /// The command; the sender fills in why ([`Command::because`]).
    pub command: Command,
}

impl Reaction {
    /// A command that is never refused, as far as anybody can tell.
    pub(crate) fn command(step: &'static str, stream: StreamRef, command: impl Into<Command>) -> Self {
        Self::sent(step, stream, command, IfRefused::Park)
    }

    /// A command to a customer's account, wherever that lives on.
    pub(crate) fn to_account(step: &'static str, customer: CustomerId, command: impl Into<Command>) -> Self {
        Self::sent(step, StreamRef::account(customer), command, IfRefused::GoOn)
    }

    /// The same, with another command in its place if it is refused.
    pub(crate) fn to_account_or(
        step: &'static str,
        customer: CustomerId,
        command: impl Into<Command>,
        instead: Instead,
    ) -> Self {
        Self::sent(step, StreamRef::account(customer), command, IfRefused::GoOnOr(Box::new(instead)))
    }

    fn sent(
        step: &'static str,
        stream: StreamRef,
        command: impl Into<Command>,
        if_refused: IfRefused,
    ) -> Self {
        Self { step, effect: Effect::Command { stream, command: command.into(), if_refused } }
    }
}

impl Command {
    /// Fills in why the command in whose place this one is sent was refused.
    pub fn because(&mut self, why: &Rejection) {
        let reason = match self {
            Self::PosDevice(pos_device::Command::RejectPosEntry(reject)) => &mut reject.code,
            Self::PointsAccount(points_account::Command::ReturnTransfer(back)) => &mut back.reason,
            _ => return,
        };
        *reason = Code::fixed(why.code());
    }
}

/// All process managers.
#[must_use]
pub const fn policies() -> &'static [Policy] {
    &[
        Policy { name: "order-settlement", react: order_settlement::react },
        Policy { name: "redemption", react: redemption_process::react },
        Policy { name: "enrolment", react: enrolment::react },
        Policy { name: "transfer", react: transfer_process::react },
        Policy { name: "merge", react: merge_process::react },
        Policy { name: "pos", react: pos_process::react },
    ]
}

#[cfg(test)]
mod tests {
    use event_schemas::{RecordId, sample};

    use super::*;

    #[test]
    fn each_command_of_a_policy_is_for_the_stream_it_is_sent_to_and_each_step_is_its_own() {
        let id = EventId { record: RecordId(sample::ENTRY.0), index: 0 };
        let stream = StreamRef::redemption(sample::REDEMPTION, sample::CUSTOMER);
        let mut reactions = 0;
        for kind in event_schemas::EVENTS {
            let event = Event::decode(kind.number, kind.version, &(kind.sample)().unwrap()).unwrap();
            let stream = StreamRef { stream_type: event.stream_type(), ..stream };
            let all: Vec<_> =
                policies().iter().flat_map(|policy| (policy.react)(id, stream, &event)).collect();
            let mut steps = Vec::new();
            for reaction in &all {
                steps.push(reaction.step);
                if let Effect::Command { stream, command, if_refused } = &reaction.effect {
                    assert_eq!(stream.stream_type, command.stream_type(), "{}", kind.name);
                    if let IfRefused::GoOnOr(instead) = if_refused {
                        assert_eq!(
                            instead.stream.stream_type,
                            instead.command.stream_type(),
                            "{}",
                            kind.name
                        );
                        steps.push(instead.step);
                    }
                }
            }
            let count = steps.len();
            steps.sort_unstable();
            steps.dedup();
            assert_eq!(steps.len(), count, "{}", kind.name);
            reactions += all.len();
        }
        assert_eq!(reactions, 20);
    }
}
