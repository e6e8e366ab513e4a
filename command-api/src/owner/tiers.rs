//! Streams by temperature: decoded while they are used, packed while there is room, and only in the snapshots otherwise.
use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    answers::Answers,
    packed::PackError,
    partition::StreamKey,
    stream::{PackedState, Stream},
};

/// What an entry costs beside its packed bytes: key, slot, queue and allocation.
const OVERHEAD_BYTES: usize = 160;

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

enum Slot {
    Live(Box<Stream>),
    /// Version, answers and state, as in the snapshots.
    Packed(Box<[u8]>),
}

/// The streams in memory.
pub(super) struct Tiers {
    limits: Limits,
    slots: HashMap<StreamKey, Slot>,
    /// The decoded ones, the longest unlooked-at first.
    live: VecDeque<StreamKey>,
    live_bytes: usize,
    /// Those that were packed, oldest first; some may be decoded again.
    packed: VecDeque<StreamKey>,
    packed_bytes: usize,
    packed_count: usize,
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
        Self {
            limits,
            slots: HashMap::new(),
            live: VecDeque::new(),
            live_bytes: 0,
            packed: VecDeque::new(),
            packed_bytes: 0,
            packed_count: 0,
        }
    }

    /// Decodes the stream if it is packed; `false` if it is not in memory.
    pub(super) fn wake(&mut self, key: StreamKey) -> Result<bool, PackError> {
        let stream = match self.slots.get_mut(&key) {
            None => return Ok(false),
            Some(Slot::Live(stream)) => {
                stream.used = true;
                return Ok(true);
            }
            Some(Slot::Packed(bytes)) => {
                let stream = Stream::unpack(bytes)?;
                self.packed_bytes = self.packed_bytes.saturating_sub(bytes.len() + OVERHEAD_BYTES);
                self.packed_count -= 1;
                stream
            }
        };
        self.insert(key, stream);
        Ok(true)
    }

    pub(super) fn insert(&mut self, key: StreamKey, stream: Stream) {
        self.live_bytes += stream.weight;
        self.live.push_back(key);
        self.slots.insert(key, Slot::Live(Box::new(stream)));
    }

    /// The stream, if it is decoded.
    pub(super) fn live(&mut self, key: StreamKey) -> Option<&mut Stream> {
        match self.slots.get_mut(&key) {
            Some(Slot::Live(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The same, to look only.
    pub(super) fn peek(&self, key: StreamKey) -> Option<&Stream> {
        match self.slots.get(&key) {
            Some(Slot::Live(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The stream as it is now, packed; none if it is parked, or has no packed form.
    pub(super) fn form(&mut self, key: StreamKey) -> Option<Form> {
        match self.slots.get_mut(&key)? {
            Slot::Packed(bytes) => Some(Form::Ready(bytes.to_vec())),
            Slot::Live(stream) => {
                let before = stream.weight;
                let state = stream.pack_state()?;
                self.live_bytes = (self.live_bytes + stream.weight).saturating_sub(before);
                state.ok().map(|state| Form::State(state, stream.answers.clone()))
            }
        }
    }

    pub(super) fn parked(&self) -> usize {
        self.slots
            .values()
            .filter(|slot| matches!(slot, Slot::Live(stream) if stream.aggregate.is_none()))
            .count()
    }

    /// How many are decoded, and how many packed.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.slots.len() - self.packed_count, self.packed_count)
    }

    /// Packs what is over the limit of decoded streams: of those that nobody used since the last look, the oldest. What
    /// is on its way or parked stays.
    pub(super) fn cool(&mut self) {
        let mut looks = self.live.len();
        while looks > 0 && (self.live.len() > self.limits.live || self.live_bytes > self.limits.live_bytes) {
            looks -= 1;
            let Some(key) = self.live.pop_front() else { return };
            let Some(stream) = self.live(key) else { continue };
            if std::mem::take(&mut stream.used) || stream.in_flight > 0 {
                self.live.push_back(key);
                continue;
            }
            let before = stream.weight;
            let packed = match stream.pack_state() {
                Some(Ok(state)) => state.with(&stream.answers).into_boxed_slice(),
                Some(Err(_)) | None => {
                    self.live.push_back(key);
                    continue;
                }
            };
            self.live_bytes = self.live_bytes.saturating_sub(before);
            self.packed_bytes += packed.len() + OVERHEAD_BYTES;
            self.packed_count += 1;
            self.packed.push_back(key);
            self.slots.insert(key, Slot::Packed(packed));
        }
        if self.packed.len() > 2 * self.packed_count + 1_024 {
            let mut seen = HashSet::new();
            let slots = &self.slots;
            self.packed.retain(|key| matches!(slots.get(key), Some(Slot::Packed(_))) && seen.insert(*key));
        }
    }

    /// Lets go of packed streams that are over the limit, oldest first. Those that the snapshots do not have as they
    /// are stay; `false` if they alone are too many.
    pub(super) fn evict(&mut self, is_saved: impl Fn(&StreamKey) -> bool) -> bool {
        let mut looks = self.packed.len();
        while looks > 0 && self.packed_bytes > self.limits.packed_bytes {
            looks -= 1;
            let Some(key) = self.packed.pop_front() else { break };
            let Some(Slot::Packed(bytes)) = self.slots.get(&key) else { continue };
            if !is_saved(&key) {
                self.packed.push_back(key);
                continue;
            }
            self.packed_bytes = self.packed_bytes.saturating_sub(bytes.len() + OVERHEAD_BYTES);
            self.packed_count -= 1;
            self.slots.remove(&key);
            metrics::counter!("state_evictions_total").increment(1);
        }
        self.packed_bytes <= self.limits.packed_bytes
    }
}
