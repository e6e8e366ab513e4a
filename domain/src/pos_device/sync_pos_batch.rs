//! A batch of a till: what is new in it counts, whatever came before it, after it, or twice.
use std::{
    collections::{BTreeMap, btree_map},
    ops::RangeInclusive,
};

use event_schemas::{
    Code, CustomerId, Digest, Money, Points, Timestamp,
    points_account::RuleUsed,
    pos_device::{PosBatchReceived, PosEntryAccepted, PosEntryKind, PosEntryRejected},
};
use serde::{Deserialize, Serialize};

use super::{Event, GAPS_MAX, State};
use crate::Rejection;

/// A batch. Sequence numbers begin with 1 and go up by one with every entry that the till makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncPosBatch {
    /// Its entries, in any order.
    pub entries: Vec<PosEntry>,
}

/// One entry of a batch, with the customer and points that its sender found for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PosEntry {
    /// The till's number for it.
    pub sequence: u64,
    /// What it comes to, or why it cannot be used as it is.
    pub found: Result<Found, Code>,
}

/// An entry that an account can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Whose points.
    pub customer: CustomerId,
    /// What it does.
    pub kind: PosEntryKind,
    /// How many points, above zero.
    pub points: Points,
    /// What the till took off, if points were spent.
    pub discount: Option<Money>,
    /// When it happened, by the till's clock.
    pub occurred_at: Timestamp,
    /// Keyed digest of its content.
    pub content: Digest,
    /// The rule by which a sale's amount comes to the points, if an amount was told.
    pub rule: Option<RuleUsed>,
}

/// What a till may number an entry with: what every store keeps as a signed number.
pub const SEQUENCES: RangeInclusive<u64> = 1..=i64::MAX.unsigned_abs();

pub(super) fn decide(state: &State, command: &SyncPosBatch) -> Result<Vec<Event>, Rejection> {
    let mut new = BTreeMap::new();
    for entry in &command.entries {
        if !SEQUENCES.contains(&entry.sequence) {
            return Err(Rejection::InvalidSequence);
        }
        if !state.takes(entry) {
            continue;
        }
        // Twice in one batch: the first counts, like over two batches.
        if let btree_map::Entry::Vacant(place) = new.entry(entry.sequence) {
            place.insert(event(entry));
        }
    }
    let (Some((&first, _)), Some((&last, _))) = (new.first_key_value(), new.last_key_value()) else {
        return Ok(Vec::new());
    };
    let mut seen = state.seen.clone();
    new.keys().for_each(|sequence| seen.insert(*sequence));
    let missing = seen.gaps().take(GAPS_MAX).collect();
    let received = PosBatchReceived { first, last, missing }.into();
    Ok([received].into_iter().chain(new.into_values()).collect())
}

fn event(entry: &PosEntry) -> Event {
    let sequence = entry.sequence;
    match &entry.found {
        Ok(Found { customer, kind, points, discount, occurred_at, content, rule }) => PosEntryAccepted {
            sequence,
            customer: *customer,
            kind: *kind,
            points: *points,
            discount: *discount,
            occurred_at: *occurred_at,
            content: *content,
            rule: rule.clone(),
        }
        .into(),
        Err(code) => PosEntryRejected { sequence, code: code.clone() }.into(),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{payload::Payload, pos_device::SequenceRange};

    use super::*;
    use crate::{
        pos_device::{RECENT_MAX, Standing},
        testing::{fold, given},
    };

    fn earn(sequence: u64) -> PosEntry {
        let PosEntryAccepted { customer, kind, points, discount, occurred_at, content, rule, .. } =
            PosEntryAccepted::sample();
        PosEntry {
            sequence,
            found: Ok(Found { customer, kind, points, discount, occurred_at, content, rule }),
        }
    }

    fn unusable(sequence: u64) -> PosEntry {
        PosEntry { sequence, found: Err(Code::fixed("customer-not-found")) }
    }

    fn accepted(sequence: u64) -> Event {
        PosEntryAccepted { sequence, ..PosEntryAccepted::sample() }.into()
    }

    fn received(first: u64, last: u64, missing: &[(u64, u64)]) -> Event {
        let missing = missing.iter().map(|&(first, last)| SequenceRange { first, last }).collect();
        PosBatchReceived { first, last, missing }.into()
    }

    fn batch(entries: impl IntoIterator<Item = PosEntry>) -> SyncPosBatch {
        SyncPosBatch { entries: entries.into_iter().collect() }
    }

    #[test]
    fn a_batch_is_taken_in_and_gaps_are_reported() {
        given::<State>([]).when(batch([earn(2), earn(4)])).then([
            received(2, 4, &[(1, 1), (3, 3)]),
            accepted(2),
            accepted(4),
        ]);
    }

    #[test]
    fn a_repeated_batch_changes_nothing() {
        let history = || [received(1, 2, &[]), accepted(1), accepted(2)];
        given::<State>(history()).when(batch([earn(1), earn(2)])).then_unchanged();
        let overlapping = batch([earn(2), earn(3), earn(3)]);
        given::<State>(history()).when(overlapping).then([received(3, 3, &[]), accepted(3)]);
    }

    #[test]
    fn a_late_batch_closes_its_gap() {
        let history = [received(1, 3, &[(2, 2)]), accepted(1), accepted(3)];
        given::<State>(history).when(batch([earn(2)])).then([received(2, 2, &[]), accepted(2)]);
    }

    #[test]
    fn what_cannot_be_used_is_told_once_and_counts_when_it_can_be_used() {
        let rejected =
            || Event::from(PosEntryRejected { sequence: 1, code: Code::fixed("customer-not-found") });
        given::<State>([]).when(batch([unusable(1)])).then([received(1, 1, &[]), rejected()]);
        given::<State>([rejected()]).when(batch([unusable(1)])).then_unchanged();
        given::<State>([rejected()]).when(batch([earn(1)])).then([received(1, 1, &[]), accepted(1)]);
    }

    #[test]
    fn what_the_account_refused_stays_refused() {
        let refused = PosEntryRejected { sequence: 1, code: Code::fixed("insufficient-points") };
        given::<State>([accepted(1), refused.into()]).when(batch([earn(1)])).then_unchanged();
    }

    #[test]
    fn the_same_number_with_other_content_has_no_effect_and_is_told() {
        let mut other = earn(1);
        other.found = other.found.map(|found| Found { content: Digest([9; 16]), ..found });
        let state: State = fold([accepted(1)]);
        assert_eq!(state.standing(&other), Standing::Conflict);
        assert_eq!(state.standing(&earn(1)), Standing::Accepted);
        given::<State>([accepted(1)]).when(batch([other])).then_unchanged();
    }

    #[test]
    fn numbers_begin_with_one() {
        for sequence in [0, SEQUENCES.end() + 1, u64::MAX] {
            given::<State>([]).when(batch([earn(sequence)])).then_rejected(Rejection::InvalidSequence);
        }
    }

    #[test]
    fn a_till_with_a_long_history_stays_small() {
        let entries = (1..=5_000).map(accepted);
        let state: State = fold(entries);
        assert_eq!((state.highest(), state.recent.len()), (5_000, RECENT_MAX));
        // One that is older than what is remembered is known all the same.
        assert_eq!(state.standing(&earn(1)), Standing::Accepted);
    }
}
