//! The merchant's own program or a till awards points, once per source.
use event_schemas::{
    Code, Digest, EntryId, Personal, Points, Timestamp,
    points_account::{PointsEarned, PosEntry, Release, RuleUsed, Source},
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, State, keys::Key};
use crate::Rejection;

/// Awards points for a source of the caller's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarnPoints {
    /// The entry, if points move.
    pub entry: EntryId,
    /// All points of the award, above zero.
    pub points: Points,
    /// Why.
    pub reason: Code,
    /// The business key.
    pub source: EarnSource,
    /// The rule behind it, if the points come from an amount.
    pub rule: Option<RuleUsed>,
    /// What the points wait for; they can be spent at once if missing.
    pub release: Option<Release>,
    /// The sender's clock.
    pub at: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
    /// The caller's `source_id`.
    #[serde(with = "event_schemas::personal::transit")]
    pub reference: Option<Personal<String>>,
    /// Keyed digest of the command's content.
    pub content: Digest,
}

/// What a caller's award goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EarnSource {
    /// Keyed digest of the caller's `source_id`.
    Api(Digest),
    /// An entry of a till.
    Pos(PosEntry),
}

impl EarnSource {
    pub(super) const fn key(self) -> Key {
        match self {
            Self::Api(id) => Key::Api(id),
            Self::Pos(entry) => Key::Pos(entry),
        }
    }
}

pub(super) fn decide(state: &State, command: &EarnPoints) -> Result<Vec<Event>, Rejection> {
    if !command.points.is_positive() {
        return Err(Rejection::PointsNotPositive);
    }
    if let Some(first) = state.honoured(&command.source.key()) {
        let same = first.content == Some(command.content);
        return if same { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    state.not_frozen()?;
    if state.knows_entry(command.entry) {
        return Err(Rejection::SourceConflict);
    }
    let mut draft = Draft::of(state);
    draft.award(Award {
        entry: command.entry,
        source: match command.source {
            EarnSource::Api(id) => Source::Api { id },
            EarnSource::Pos(entry) => Source::Pos(entry),
        },
        reason: command.reason.clone(),
        points: command.points,
        rule: command.rule.clone(),
        release: command.release,
        at: command.at,
        expiry: &command.expiry,
        reference: command.reference.clone(),
        content: command.content,
    })?;
    Ok(draft.events())
}

/// An award as it is decided.
pub(super) struct Award<'a> {
    pub(super) entry: EntryId,
    pub(super) source: Source,
    pub(super) reason: Code,
    pub(super) points: Points,
    pub(super) rule: Option<RuleUsed>,
    pub(super) release: Option<Release>,
    pub(super) at: Timestamp,
    pub(super) expiry: &'a ExpiryRule,
    pub(super) reference: Option<Personal<String>>,
    pub(super) content: Digest,
}

impl Draft<'_> {
    /// Awards points: pending ones wait for their release, others repay debt first.
    pub(super) fn award(&mut self, award: Award<'_>) -> Result<(), Rejection> {
        let release = still_to_come(award.release, award.at);
        self.after.lifetime_earned = self.after.lifetime_earned.plus(award.points)?;
        let (repaid, expires_at) = if release.is_some() {
            self.after.pending = self.after.pending.plus(award.points)?;
            (Points::ZERO, None)
        } else {
            (self.credit(award.points)?, award.expiry.of_lot(award.at)?)
        };
        self.push(PointsEarned {
            entry: award.entry,
            source: award.source,
            reason: award.reason,
            points: award.points,
            repaid,
            rule: award.rule,
            release,
            expires_at,
            at: Some(award.at),
            reference: award.reference,
            content: award.content,
            after: self.after,
        });
        Ok(())
    }
}

/// A release whose time has come is none.
pub(super) fn still_to_come(release: Option<Release>, at: Timestamp) -> Option<Release> {
    release.filter(|release| !matches!(release, Release::At(due) if *due <= at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::specs::{at, earn, freeze, other_entry, state_after, when, when_after};

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
    fn an_award_with_days_to_come_is_pending_and_one_whose_days_are_over_is_not() {
        let waiting = EarnPoints { release: Some(Release::At(at(1))), ..earn(1, 10) };
        let over = EarnPoints { release: Some(Release::At(at(0))), ..earn(1, 10) };
        assert_eq!(state_after([waiting]).balances().pending, Points(10));
        assert_eq!(state_after([over]).balances().available, Points(10));
    }

    #[test]
    fn a_frozen_account_refuses_awards_but_answers_for_those_it_made() {
        let frozen = || [super::super::Command::from(earn(1, 10)), freeze()];
        when_after(frozen(), earn(2, 10)).then_rejected(Rejection::AccountFrozen);
        when_after(frozen(), earn(1, 10)).then_unchanged();
    }

    #[test]
    fn awards_are_above_zero() {
        when(earn(1, 0)).then_rejected(Rejection::PointsNotPositive);
        when(earn(1, -5)).then_rejected(Rejection::PointsNotPositive);
    }
}
