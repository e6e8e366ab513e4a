//! Streams by temperature: decoded while they are used, packed while there is room, and only in the snapshots otherwise.
use std::collections::VecDeque;

use super::{
    answers::Answers,
    packed::PackError,
    partition::StreamKey,
    stream::{PackedState, Stream},
    table::Table,
};

/// What a packed stream costs beside its room: its place in the table, of which a third is empty.
const SLOT_BYTES: usize = 26;

/// How much of a partition's state may be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Streams that are decoded.
    pub(super) live: usize,
    /// Bytes that the decoded ones had when they were packed.
    pub(super) live_bytes: usize,
    /// Bytes of packed ones, with what it costs to find them.
    pub(super) packed_bytes: usize,
}

impl Limits {
    /// Everything stays decoded.
    pub(super) const NONE: Self = Self { live: usize::MAX, live_bytes: usize::MAX, packed_bytes: usize::MAX };
}

/// The streams in memory.
pub(super) struct Tiers {
    limits: Limits,
    table: Table,
    /// The decoded ones, the longest unlooked-at first.
    live: VecDeque<StreamKey>,
    live_bytes: usize,
    packed_bytes: usize,
}

/// What a stream comes to at the moment.
pub(super) enum Form {
    /// Its state, and the answers that have a place.
    State(PackedState, Answers),
    /// All of it, ready to be stored.
    Ready(Vec<u8>),
}

impl Tiers {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, table: Table::new(), live: VecDeque::new(), live_bytes: 0, packed_bytes: 0 }
    }

    /// Decodes the stream if it is packed; `false` if it is not in memory.
    pub(super) fn wake(&mut self, key: StreamKey) -> Result<bool, PackError> {
        if let Some(stream) = self.table.live_mut(key) {
            stream.used = true;
            return Ok(true);
        }
        let Some(state) = self.table.packed(key) else { return Ok(false) };
        let stream = Stream::unpack(state)?;
        self.live_bytes += stream.weight;
        self.live.push_back(key);
        let room = self.table.wake(key, stream).map_or(0, |room| room + SLOT_BYTES);
        self.packed_bytes = self.packed_bytes.saturating_sub(room);
        Ok(true)
    }

    /// Takes in a stream that is not in memory.
    pub(super) fn insert(&mut self, key: StreamKey, stream: Stream) {
        self.live_bytes += stream.weight;
        self.live.push_back(key);
        self.table.insert(key, stream);
    }

    /// The stream, if it is decoded.
    pub(super) fn live(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.table.live_mut(key)
    }

    /// The same, to look only.
    pub(super) fn peek(&self, key: StreamKey) -> Option<&Stream> {
        self.table.live(key)
    }

    /// The stream as it is now, packed; none if it is parked, or has no packed form.
    pub(super) fn form(&mut self, key: StreamKey) -> Option<Form> {
        if let Some(stream) = self.table.live_mut(key) {
            let before = stream.weight;
            let state = stream.pack_state()?;
            self.live_bytes = (self.live_bytes + stream.weight).saturating_sub(before);
            return state.ok().map(|state| Form::State(state, stream.answers.clone()));
        }
        self.table.packed(key).map(|state| Form::Ready(state.to_vec()))
    }

    pub(super) fn parked(&self) -> usize {
        let is_parked = |key: &&StreamKey| self.peek(**key).is_some_and(|stream| stream.aggregate.is_none());
        self.live.iter().filter(is_parked).count()
    }

    /// How many are decoded, and how many packed.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.live.len(), self.table.len() - self.live.len())
    }

    /// Packs what is over the limit of decoded streams: of those that nobody used since the last look, the oldest. What
    /// is on its way or parked stays.
    pub(super) fn cool(&mut self) {
        let mut looks = self.live.len();
        while looks > 0 && (self.live.len() > self.limits.live || self.live_bytes > self.limits.live_bytes) {
            looks -= 1;
            let Some(key) = self.live.pop_front() else { return };
            let Some(stream) = self.table.live_mut(key) else { continue };
            if std::mem::take(&mut stream.used) || stream.in_flight > 0 {
                self.live.push_back(key);
                continue;
            }
            let before = stream.weight;
            let state = stream.pack_state().and_then(Result::ok).map(|state| state.with(&stream.answers));
            let Some(room) = state.and_then(|state| self.table.pack(key, &state)) else {
                self.live.push_back(key);
                continue;
            };
            self.live_bytes = self.live_bytes.saturating_sub(before);
            self.packed_bytes += room + SLOT_BYTES;
        }
    }

    /// Lets go of packed streams that are over the limit, those first that were not used for long. Those that the
    /// snapshots do not have as they are stay; `false` if they alone are too many.
    pub(super) fn evict(&mut self, is_saved: impl Fn(&StreamKey) -> bool) -> bool {
        // The first round may find all of them used.
        let mut steps = 2 * self.table.round();
        while steps > 0 && self.packed_bytes > self.limits.packed_bytes {
            steps -= 1;
            if let Some(room) = self.table.turn(&is_saved) {
                self.packed_bytes = self.packed_bytes.saturating_sub(room + SLOT_BYTES);
                metrics::counter!("state_evictions_total").increment(1);
            }
        }
        self.packed_bytes <= self.limits.packed_bytes
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{MerchantId, StreamType};
    use uuid::Uuid;

    use super::*;

    fn key(shop: u8, id: u128) -> StreamKey {
        let merchant = MerchantId::from_bytes([shop; 16]);
        StreamKey { merchant, stream_type: StreamType::PointsAccount, id: Uuid::from_u128(id) }
    }

    /// As many streams of the shop, packed; as many of them as the bytes have room for.
    fn packed(shop: u8, count: u128) -> Tiers {
        let limits = Limits { live: 0, live_bytes: 0, packed_bytes: usize::MAX };
        let mut tiers = Tiers::new(limits);
        for id in 0..count {
            tiers.insert(key(shop, id), Stream { used: false, ..Stream::new(key(shop, id)) });
        }
        tiers.cool();
        assert_eq!(tiers.count(), (0, usize::try_from(count).unwrap()));
        tiers
    }

    fn evict_to(tiers: &mut Tiers, part: (usize, usize)) {
        tiers.limits.packed_bytes = tiers.packed_bytes * part.0 / part.1;
        assert!(tiers.evict(|_| true));
    }

    fn there(tiers: &Tiers) -> Vec<u128> {
        (0..64).filter(|id| tiers.table.packed(key(1, *id)).is_some()).collect()
    }

    /// Seen to fail where the hand lets go of whatever it finds first.
    #[test]
    fn a_stream_that_was_used_again_outlives_those_that_were_not() {
        let mut tiers = packed(1, 64);
        evict_to(&mut tiers, (1, 2));
        let used: Vec<u128> = there(&tiers).into_iter().step_by(2).collect();
        assert_eq!(used.len(), 16);
        for id in &used {
            assert!(tiers.wake(key(1, *id)).unwrap());
            tiers.live(key(1, *id)).unwrap().used = false;
        }
        tiers.cool();
        evict_to(&mut tiers, (1, 2));
        assert_eq!(there(&tiers), used);
    }

    /// Seen to fail where the bytes of what was let go still count.
    #[test]
    fn what_is_not_saved_stays_and_is_told() {
        let mut tiers = packed(1, 64);
        tiers.limits.packed_bytes = 0;
        assert!(!tiers.evict(|key| key.id.as_u128() >= 8));
        assert_eq!(there(&tiers), Vec::from_iter(0..8));
        assert!(tiers.evict(|_| true));
        assert_eq!((there(&tiers), tiers.packed_bytes), (Vec::new(), 0));
    }

    /// Seen to fail where the shop is no part of a stream's name.
    #[test]
    fn streams_of_two_shops_with_the_same_id_are_two() {
        let mut tiers = packed(1, 64);
        assert!(!tiers.wake(key(2, 5)).unwrap());
        tiers.insert(key(2, 5), Stream { version: 9, ..Stream::new(key(2, 5)) });
        assert!(tiers.wake(key(1, 5)).unwrap());
        let versions = [1, 2].map(|shop| tiers.peek(key(shop, 5)).unwrap().version);
        assert_eq!((versions, tiers.count()), ([0, 9], (2, 63)));
    }
}
