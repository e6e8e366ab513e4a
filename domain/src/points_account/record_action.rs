//! A person did something that earns by itself: once per deed, and only so often in a period.
use event_schemas::{
    Code, Digest, EntryId, Personal, Points, Timestamp, merchant::ActionLimit, points_account::Source,
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, State, earn_points::Award, keys::Key};
use crate::Rejection;

/// Awards points for something that a person did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordAction {
    /// The entry, if points move.
    pub entry: EntryId,
    /// The action's name in the settings.
    pub action: Code,
    /// What it earns by the settings; none = it is off.
    pub points: Points,
    /// How often it earns.
    pub limit: ActionLimit,
    /// What the limit counts it in, in the shop's time zone: `2026-03-01`, `2026-03`, `2026` or `lifetime`.
    pub period: Code,
    /// Keyed digest of what was done: the business key.
    pub source: Digest,
    /// The sender's clock.
    pub at: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
    /// The outside's own name of what was done.
    #[serde(with = "event_schemas::personal::transit")]
    pub reference: Option<Personal<String>>,
    /// Keyed digest of the command's content.
    pub content: Digest,
}

pub(super) fn decide(state: &State, command: &RecordAction) -> Result<Vec<Event>, Rejection> {
    if let Some(first) = state.honoured(&key(command)) {
        let same = first.content == Some(command.content);
        return if same { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    state.not_frozen()?;
    let mut draft = Draft::of(state);
    draft.record_action(command)?;
    Ok(draft.events())
}

pub(super) fn key(command: &RecordAction) -> Key {
    Key::Action(command.action.clone(), command.source)
}

impl Draft<'_> {
    /// Awards an action that is new.
    pub(super) fn record_action(&mut self, command: &RecordAction) -> Result<(), Rejection> {
        if !command.points.is_positive() {
            return Err(Rejection::ActionNotConfigured);
        }
        if self.state.times(&command.action, &command.period) >= command.limit.count {
            let (limit, per) = (command.limit.count, command.limit.per);
            return Err(Rejection::ActionLimitReached { limit, per });
        }
        self.award(Award {
            entry: command.entry,
            source: Source::Action {
                action: command.action.clone(),
                id: command.source,
                period: command.period.clone(),
            },
            reason: command.action.clone(),
            points: command.points,
            rule: None,
            release: None,
            at: command.at,
            expiry: &command.expiry,
            reference: command.reference.clone(),
            content: command.content,
        })
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::merchant::LimitPeriod;

    use super::*;
    use crate::points_account::specs::{action, state_after, when, when_after};

    #[test]
    fn an_action_earns_once_per_deed() {
        assert_eq!(state_after([action(1, "2026")]).balances().available, Points(5));
        when_after([action(1, "2026")], action(1, "2026")).then_unchanged();
        when_after([action(1, "2026")], RecordAction { content: Digest([9; 16]), ..action(1, "2026") })
            .then_rejected(Rejection::SourceConflict);
    }

    /// Catches: a limit that counts all periods together, or none.
    #[test]
    fn an_action_earns_only_so_often_in_a_period() {
        let history = || [action(1, "2026"), action(2, "2026")];
        when_after(history(), action(3, "2026"))
            .then_rejected(Rejection::ActionLimitReached { limit: 2, per: LimitPeriod::Year });
        assert_eq!(when_after(history(), action(3, "2027")).events().len(), 1);
    }

    #[test]
    fn an_action_that_is_off_earns_nothing() {
        when(RecordAction { points: Points(0), ..action(1, "2026") })
            .then_rejected(Rejection::ActionNotConfigured);
    }
}
