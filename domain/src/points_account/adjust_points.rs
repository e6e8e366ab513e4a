//! Staff add or take points by hand, with a reason. Below zero only if that is allowed: the rest becomes debt.
use event_schemas::{
    Code, Digest, EntryId, Personal, Points, Timestamp,
    points_account::{Allocation, PointsAdjusted},
};
use serde::{Deserialize, Serialize};

use super::{
    Draft, Event, ExpiryRule, State,
    draft::{derived, total},
    keys::Key,
};
use crate::Rejection;

/// Adds or takes points by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdjustPoints {
    /// The entry: the business key.
    pub entry: EntryId,
    /// Signed, not zero.
    pub points: Points,
    /// Why.
    pub reason: Code,
    /// What the customer may read.
    #[serde(with = "event_schemas::personal::transit")]
    pub public_note: Option<Personal<String>>,
    /// What only staff may read.
    #[serde(with = "event_schemas::personal::transit")]
    pub internal_note: Option<Personal<String>>,
    /// Whether points that are short may become debt.
    pub allow_negative: bool,
    /// The sender's clock.
    pub at: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
    /// Keyed digest of the command's content.
    pub content: Digest,
}

/// Where adjusted points come from or go to.
#[derive(Default)]
struct Split {
    allocations: Vec<Allocation>,
    to_debt: Points,
    repaid: Points,
    expires_at: Option<Timestamp>,
}

pub(super) fn decide(state: &State, command: &AdjustPoints) -> Result<Vec<Event>, Rejection> {
    if command.points.is_zero() {
        return Err(Rejection::AdjustmentZero);
    }
    if let Some(first) = state.honoured(&Key::Adjustment(command.entry)) {
        let same = first.content == Some(command.content);
        return if same { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    let mut draft = Draft::of(state);
    let split = if command.points.is_positive() {
        draft.expire_inactive(command.entry, command.at, &command.expiry)?;
        let repaid = draft.credit(command.points)?;
        Split { repaid, expires_at: command.expiry.of_lot(command.at)?, ..Split::default() }
    } else {
        take(&mut draft, command)?
    };
    draft.after.lifetime_adjusted = draft.after.lifetime_adjusted.plus(command.points)?;
    let after = draft.after;
    Ok(draft.with(PointsAdjusted {
        entry: command.entry,
        points: command.points,
        reason: command.reason.clone(),
        public_note: command.public_note.clone(),
        internal_note: command.internal_note.clone(),
        allocations: split.allocations,
        to_debt: split.to_debt,
        repaid: split.repaid,
        expires_at: split.expires_at,
        at: Some(command.at),
        content: command.content,
        after,
    }))
}

fn take(draft: &mut Draft<'_>, command: &AdjustPoints) -> Result<Split, Rejection> {
    let needed = command.points.negated()?;
    draft.expire(derived(command.entry, "expire"), command.at, &command.expiry)?;
    let available = draft.after.available;
    if needed > available && !command.allow_negative {
        return Err(Rejection::InsufficientPoints { needed, available });
    }
    let allocations = draft.take(needed, &[]);
    let taken = total(&allocations)?;
    let to_debt = needed.minus(taken)?;
    draft.debit(taken, to_debt)?;
    Ok(Split { allocations, to_debt, ..Split::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command,
        specs::{adjust, earn, settle, spend, state_after, when, when_after},
    };

    #[test]
    fn added_points_can_be_spent_and_count_as_adjusted() {
        let after = state_after([adjust(1, 10)]).balances();
        assert_eq!(
            (after.available, after.lifetime_adjusted, after.lifetime_earned),
            (Points(10), Points(10), Points(0))
        );
    }

    #[test]
    fn taken_points_come_from_the_oldest_lots() {
        let events = when_after([earn(1, 10), earn(2, 10)], adjust(1, -15)).events();
        let [Event::PointsAdjusted(adjusted)] = &events[..] else { panic!("{events:?}") };
        let expected = [
            Allocation { lot: earn(1, 0).entry, points: Points(10) },
            Allocation { lot: earn(2, 0).entry, points: Points(5) },
        ];
        assert_eq!(adjusted.allocations, expected);
        assert_eq!((adjusted.to_debt, adjusted.after.available), (Points(0), Points(5)));
    }

    #[test]
    fn taking_more_than_there_is_needs_the_flag() {
        when_after([earn(1, 10)], adjust(1, -11))
            .then_rejected(Rejection::InsufficientPoints { needed: Points(11), available: Points(10) });
        let allowed = AdjustPoints { allow_negative: true, ..adjust(1, -11) };
        let after = state_after([Command::from(earn(1, 10)), allowed.into()]).balances();
        assert_eq!(
            (after.available, after.debt, after.lifetime_adjusted),
            (Points(0), Points(1), Points(-11))
        );
    }

    #[test]
    fn added_points_repay_debt_first() {
        let in_debt = [settle(1, 1, 10).into(), spend(1, 10), settle(1, 2, 0).into()];
        let after = state_after::<Command>(in_debt.into_iter().chain([adjust(1, 12).into()])).balances();
        assert_eq!((after.available, after.debt), (Points(2), Points(0)));
    }

    #[test]
    fn the_same_entry_again_changes_nothing_and_with_other_content_is_a_conflict() {
        when_after([adjust(1, 10)], adjust(1, 10)).then_unchanged();
        when_after([adjust(1, 10)], adjust(1, 11)).then_rejected(Rejection::SourceConflict);
    }

    #[test]
    fn an_adjustment_of_zero_or_beyond_64_bits_is_rejected() {
        when(adjust(1, 0)).then_rejected(Rejection::AdjustmentZero);
        when(adjust(1, i64::MIN)).then_rejected(Rejection::PointsOverflow);
    }
}
