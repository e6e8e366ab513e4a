//! Where the first outcome of every command key stands: in a stream by short hash and position, and in full only for
//! records on their way and the newest ones.
use std::collections::{BTreeSet, HashMap, VecDeque};

use event_log::{Position, PositionToken};
use event_schemas::CommandKey;

use super::{
    IN_FLIGHT_MAX,
    packed::{PackError, VARINT_MAX, put_varint, take_varint},
    partition::{First, StreamKey},
};

/// So many first outcomes are kept in full. More than can be on their way, so that whoever waits behind the last record on
/// its way still finds the one that he asked for.
const RECENT_MAX: usize = 2 * IN_FLIGHT_MAX;

/// The answers of one stream. Two keys may have the same hash; the record at the position says whose it is.
#[derive(Clone, Default)]
pub(super) struct Answers(BTreeSet<(u32, u64)>);

/// The random part of both kinds of key: drawn, or derived by hashing.
const fn short(key: CommandKey) -> u32 {
    let [.., a, b, c, d] = key.bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl Answers {
    pub(super) fn insert(&mut self, key: CommandKey, at: Position) {
        self.0.insert((short(key), at.get()));
    }

    /// Where the first outcome of the key may stand, earliest first.
    pub(super) fn candidates(&self, key: CommandKey) -> impl Iterator<Item = Position> {
        let hash = short(key);
        self.0.range((hash, 0)..=(hash, u64::MAX)).map(|(_, position)| Position::new(*position))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their number, then four bytes of hash and a varint of position each.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (hash, position) in &self.0 {
            out.extend_from_slice(&hash.to_be_bytes());
            put_varint(out, *position);
        }
    }

    /// The most bytes that [`Self::pack`] adds.
    pub(super) fn packed_len_max(&self) -> usize {
        VARINT_MAX + self.0.len() * (size_of::<u32>() + VARINT_MAX)
    }

    pub(super) fn unpack(bytes: &mut &[u8]) -> Result<Self, PackError> {
        let mut answers = BTreeSet::new();
        for _ in 0..take_varint(bytes)? {
            let (hash, rest) = bytes.split_first_chunk().ok_or_else(PackError::cut)?;
            *bytes = rest;
            answers.insert((u32::from_be_bytes(*hash), take_varint(bytes)?));
        }
        Ok(Self(answers))
    }
}

/// The newest first outcomes, in full.
#[derive(Default)]
pub(super) struct Recent {
    firsts: HashMap<(StreamKey, CommandKey), First>,
    order: VecDeque<(StreamKey, CommandKey)>,
}

impl Recent {
    pub(super) fn get(&self, stream: StreamKey, key: CommandKey) -> Option<&First> {
        self.firsts.get(&(stream, key))
    }

    pub(super) fn insert(&mut self, stream: StreamKey, key: CommandKey, first: First) {
        if self.firsts.insert((stream, key), first).is_none() {
            self.order.push_back((stream, key));
        }
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.firsts.remove(&oldest);
        }
    }

    /// Notes where the record of a key was admitted.
    pub(super) fn settle(&mut self, stream: StreamKey, key: CommandKey, at: PositionToken) {
        if let Some(first) = self.firsts.get_mut(&(stream, key)) {
            first.at = Some(at);
        }
    }
}
