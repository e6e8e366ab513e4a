//! Which streams have something to do by themselves, and from when on.
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use domain::{Due, DueKind, StreamRef};
use event_schemas::{MerchantId, Timestamp};
use uuid::Uuid;

use super::partition::StreamKey;

/// Which due streams are wanted.
#[derive(Clone, Copy, Debug)]
pub struct DueQuery {
    /// What they are due for.
    pub kind: DueKind,
    /// Those due at this time or earlier.
    pub up_to: Timestamp,
    /// Of one shop only.
    pub merchant: Option<MerchantId>,
    /// Only those behind this one in the order of the answer: the last of the page before.
    pub after: Option<DueStream>,
    /// At most this many.
    pub limit: usize,
}

/// A stream that has something to do. They are ordered by time, then by shop and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueStream {
    /// Since when it is due.
    pub at: Timestamp,
    /// The shop.
    pub merchant: MerchantId,
    /// The aggregate to ask.
    pub stream: StreamRef,
}

/// What is due, by kind and time.
#[derive(Default)]
pub(super) struct DueIndex(BTreeMap<DueKind, BTreeSet<DueStream>>);

impl DueIndex {
    /// Replaces what one stream is due for.
    pub(super) fn replace(&mut self, key: StreamKey, route: Uuid, before: &[Due], now: &[Due]) {
        let stream = StreamRef { stream_type: key.stream_type, id: key.id, route };
        let place = |due: &Due| DueStream { at: due.at, merchant: key.merchant, stream };
        for due in before {
            self.0.entry(due.kind).or_default().remove(&place(due));
        }
        for due in now {
            self.0.entry(due.kind).or_default().insert(place(due));
        }
    }

    /// Those that the query wants, in order.
    pub(super) fn find(&self, query: &DueQuery) -> Vec<DueStream> {
        let from = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.0.get(&query.kind).into_iter().flat_map(|due| due.range((from, Bound::Unbounded)));
        let in_time = behind.take_while(|due| due.at <= query.up_to);
        let wanted = in_time.filter(|due| query.merchant.is_none_or(|merchant| due.merchant == merchant));
        wanted.take(query.limit).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::StreamType;

    use super::*;

    const SHOPS: [MerchantId; 2] = [MerchantId::from_bytes([1; 16]), MerchantId::from_bytes([2; 16])];

    fn key(merchant: MerchantId, id: u128) -> StreamKey {
        StreamKey { merchant, stream_type: StreamType::PointsAccount, id: Uuid::from_u128(id) }
    }

    fn due(kind: DueKind, at: i64) -> Due {
        Due { kind, at: Timestamp::from_micros(at) }
    }

    fn release_by(up_to: i64) -> DueQuery {
        let up_to = Timestamp::from_micros(up_to);
        DueQuery { kind: DueKind::Release, up_to, merchant: None, after: None, limit: 100 }
    }

    /// Stream `n` of both shops is to release at time `n`, and to expire at once.
    fn index() -> DueIndex {
        let mut index = DueIndex::default();
        for (merchant, n) in SHOPS.into_iter().flat_map(|shop| (1..=9).map(move |n| (shop, n))) {
            let now = [due(DueKind::Release, n), due(DueKind::Expiry, 0)];
            index.replace(key(merchant, n.unsigned_abs().into()), Uuid::nil(), &[], &now);
        }
        index
    }

    fn found(index: &DueIndex, query: &DueQuery) -> Vec<(i64, u8)> {
        index.find(query).iter().map(|due| (due.at.micros(), due.merchant.bytes()[0])).collect()
    }

    #[test]
    fn only_what_is_due_of_the_kind_is_found_earliest_first() {
        assert_eq!(found(&index(), &release_by(2)), [(1, 1), (1, 2), (2, 1), (2, 2)]);
        let of_one = DueQuery { merchant: Some(SHOPS[1]), ..release_by(2) };
        assert_eq!(found(&index(), &of_one), [(1, 2), (2, 2)]);
        assert_eq!(found(&index(), &DueQuery { kind: DueKind::Warning, ..release_by(9) }), []);
    }

    #[test]
    fn pages_come_behind_each_other_without_gaps_or_repeats() {
        let index = index();
        let mut query = DueQuery { limit: 5, ..release_by(9) };
        let mut paged = Vec::new();
        loop {
            let page = index.find(&query);
            query.after = page.last().copied();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, index.find(&release_by(9)));
        assert_eq!(paged.len(), 18);
    }

    #[test]
    fn a_stream_that_changed_is_listed_where_it_is_due_now_and_nowhere_else() {
        let mut index = index();
        let before = [due(DueKind::Release, 1), due(DueKind::Expiry, 0)];
        index.replace(key(SHOPS[0], 1), Uuid::nil(), &before, &[due(DueKind::Release, 3)]);
        index.replace(key(SHOPS[1], 1), Uuid::nil(), &before, &[]);
        assert_eq!(found(&index, &release_by(3)), [(2, 1), (2, 2), (3, 1), (3, 1), (3, 2)]);
        assert_eq!(index.find(&DueQuery { kind: DueKind::Expiry, ..release_by(9) }).len(), 16);
    }
}
