//! The merchant's own program awards points, once per source.
use event_schemas::{
    Code, Digest, EntryId, Personal, Points,
    points_account::{PointsEarned, RuleUsed, Source},
};

use super::{Event, State, credit};
use crate::Rejection;

/// Awards points for a source of the caller's.
#[derive(Clone, Debug, PartialEq)]
pub struct EarnPoints {
    /// The entry, if points move.
    pub entry: EntryId,
    /// All points of the award, above zero.
    pub points: Points,
    /// Why.
    pub reason: Code,
    /// Keyed digest of the caller's `source_id`: the business key.
    pub source: Digest,
    /// The rule behind it, if the points come from an amount.
    pub rule: Option<RuleUsed>,
    /// The caller's `source_id`.
    pub reference: Option<Personal<String>>,
    /// Keyed digest of the command's content.
    pub content: Digest,
}

pub(super) fn decide(state: &State, command: &EarnPoints) -> Result<Vec<Event>, Rejection> {
    if !command.points.is_positive() {
        return Err(Rejection::PointsNotPositive);
    }
    if let Some(first) = state.entry_for_source(&command.source) {
        let same = first.content == Some(command.content);
        return if same { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    if state.entry(command.entry).is_some() {
        return Err(Rejection::SourceConflict);
    }
    let mut after = state.balances();
    after.lifetime_earned = after.lifetime_earned.plus(command.points)?;
    let repaid = credit(&mut after, command.points)?;
    Ok(state.opening(PointsEarned {
        entry: command.entry,
        source: Source::Api { id: command.source },
        reason: command.reason.clone(),
        points: command.points,
        repaid,
        rule: command.rule.clone(),
        release: None,
        expires_at: None,
        at: None,
        reference: command.reference.clone(),
        content: command.content,
        after,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::specs::{earn, other_entry, state_after, when, when_after};

    #[test]
    fn an_award_can_be_spent_at_once() {
        let state = state_after([earn(1, 10)]);
        assert_eq!((state.balances().available, state.balances().lifetime_earned), (Points(10), Points(10)));
        assert_eq!(state.entry_for_source(&earn(1, 10).source).unwrap().points, Points(10));
    }

    #[test]
    fn the_same_source_again_awards_nothing_even_under_another_entry() {
        when_after([earn(1, 10)], EarnPoints { entry: other_entry(9), ..earn(1, 10) }).then_unchanged();
    }

    #[test]
    fn the_same_source_with_other_content_is_a_conflict() {
        when_after([earn(1, 10)], earn(1, 11)).then_rejected(Rejection::SourceConflict);
    }

    #[test]
    fn an_entry_is_never_used_for_two_sources() {
        when_after([earn(1, 10)], EarnPoints { entry: earn(1, 10).entry, ..earn(2, 10) })
            .then_rejected(Rejection::SourceConflict);
    }

    #[test]
    fn awards_are_above_zero() {
        when(earn(1, 0)).then_rejected(Rejection::PointsNotPositive);
        when(earn(1, -5)).then_rejected(Rejection::PointsNotPositive);
    }
}
