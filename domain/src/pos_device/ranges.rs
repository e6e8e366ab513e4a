//! Which numbers were seen, as ranges: as small as there are gaps.
use std::collections::BTreeMap;

use event_schemas::pos_device::SequenceRange;
use serde::{Deserialize, Serialize};

/// Ranges that neither overlap nor touch: first to last, both included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    pub(super) fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let before = self.0.range(..number).next_back().map(|(first, last)| (*first, *last));
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(number) => first,
            _ => number,
        };
        let behind = number.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(first, behind.unwrap_or(number));
    }

    pub(super) fn highest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, last)| *last)
    }

    /// The gaps from 1 up to the highest number, lowest first.
    pub(super) fn gaps(&self) -> impl Iterator<Item = SequenceRange> {
        let mut next = 1;
        self.0.iter().filter_map(move |(first, last)| {
            let gap = (next < *first).then(|| SequenceRange { first: next, last: *first - 1 });
            next = last.saturating_add(1);
            gap
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Seen to fail when a number that closes a gap did not take the range behind it in.
        #[test]
        fn ranges_hold_exactly_what_was_put_in_and_are_never_split(numbers in prop::collection::vec(1_u64..40, 0..60)) {
            let mut ranges = Ranges::default();
            numbers.iter().for_each(|number| ranges.insert(*number));
            for number in 0..42 {
                prop_assert_eq!(ranges.contains(number), numbers.contains(&number));
            }
            let highest = numbers.iter().max().copied().unwrap_or_default();
            prop_assert_eq!(ranges.highest(), highest);
            let missing: Vec<u64> = ranges.gaps().flat_map(|gap| gap.first..=gap.last).collect();
            let expected: Vec<u64> = (1..=highest).filter(|number| !numbers.contains(number)).collect();
            prop_assert_eq!(missing, expected);
            let gaps = ranges.gaps().count();
            prop_assert!(ranges.0.len() <= gaps + 1);
        }
    }
}
