//! Process managers, one line each: what an event sets off elsewhere. Pure, so the same event always asks for the same.
use event_schemas::{CustomerId, Event, EventId, Points, RedemptionId, money::Money};

use crate::{Command, StreamRef, enrolment, order_settlement, redemption_process};

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
    },
    /// Have a discount code issued, named after the redemption so that it is never two; then `RecordCodeIssued` or
    /// `FailRedemption`.
    IssueCode {
        /// The redemption.
        redemption: RedemptionId,
        /// Who redeems.
        customer: CustomerId,
        /// What it costs.
        points: Points,
        /// The discount it gives.
        discount: Money,
    },
    /// Have the redemption's code made void; doing it again does nothing.
    VoidCode {
        /// The redemption.
        redemption: RedemptionId,
        /// Who redeemed.
        customer: CustomerId,
    },
}

impl Reaction {
    pub(crate) fn command(step: &'static str, stream: StreamRef, command: impl Into<Command>) -> Self {
        Self { step, effect: Effect::Command { stream, command: command.into() } }
    }
}

/// All process managers.
#[must_use]
pub const fn policies() -> &'static [Policy] {
    &[
        Policy { name: "order-settlement", react: order_settlement::react },
        Policy { name: "redemption", react: redemption_process::react },
        Policy { name: "enrolment", react: enrolment::react },
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
            let all: Vec<_> =
                policies().iter().flat_map(|policy| (policy.react)(id, stream, &event)).collect();
            for (i, reaction) in all.iter().enumerate() {
                assert!(all[..i].iter().all(|other| other.step != reaction.step), "{}", kind.name);
                if let Effect::Command { stream, command } = &reaction.effect {
                    assert_eq!(stream.stream_type, command.stream_type(), "{}", kind.name);
                }
            }
            reactions += all.len();
        }
        assert_eq!(reactions, 9);
    }
}
