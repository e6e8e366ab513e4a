//! The streams in memory, found by key: sixteen bytes a stream, and its name lies with what it holds.
use std::{collections::HashMap, hash::BuildHasher as _};

use event_schemas::{MerchantId, StreamType};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use uuid::Uuid;

use super::{
    partition::StreamKey,
    pieces::{Piece, Pieces},
    stream::Stream,
};
use crate::chance;

/// A packed stream begins with its name.
const NAME_BYTES: usize = 2 + 4 + 16;

/// A stream's key with the shop's number of this table.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    stream_type: u16,
    shop: u32,
    id: [u8; 16],
}

impl Name {
    fn write(self) -> [u8; NAME_BYTES] {
        let ([t0, t1], [s0, s1, s2, s3]) = (self.stream_type.to_le_bytes(), self.shop.to_le_bytes());
        let mut bytes = [0; NAME_BYTES];
        let (head, id) = bytes.split_at_mut(6);
        head.copy_from_slice(&[t0, t1, s0, s1, s2, s3]);
        id.copy_from_slice(&self.id);
        bytes
    }

    /// The name of a packed stream, and what is behind it.
    fn read(packed: &[u8]) -> (Self, &[u8]) {
        // All of them begin with one.
        let (name, state) = packed.split_first_chunk().unwrap_or((&[0; NAME_BYTES], &[]));
        let [t0, t1, s0, s1, s2, s3, id @ ..] = *name;
        let shop = u32::from_le_bytes([s0, s1, s2, s3]);
        (Self { stream_type: u16::from_le_bytes([t0, t1]), shop, id }, state)
    }
}

/// Where a stream is.
enum Slot {
    Live(Box<Live>),
    Packed {
        /// Name, then version, answers and state, as in the snapshots.
        piece: Piece,
        /// Since the hand passed.
        used: bool,
    },
}

/// A decoded stream.
struct Live {
    name: Name,
    stream: Stream,
}

impl Slot {
    fn name(&self, pieces: &Pieces) -> Name {
        match self {
            Self::Live(live) => live.name,
            Self::Packed { piece, .. } => Name::read(pieces.get(*piece)).0,
        }
    }
}

/// All streams in memory. Its hand goes round to find what was not used for long.
pub(super) struct Table {
    slots: HashTable<Slot>,
    pieces: Pieces,
    hasher: FixedState,
    shops: Vec<MerchantId>,
    numbers: HashMap<MerchantId, u32, FixedState>,
    hand: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        // Nobody can choose keys that all fall into one place, because nobody knows the seed.
        let hasher = FixedState::with_seed(chance::id().as_u64_pair().1);
        let numbers = HashMap::with_hasher(hasher.clone());
        let (slots, pieces) = (HashTable::new(), Pieces::new());
        Self { slots, pieces, hasher, shops: Vec::new(), numbers, hand: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many steps bring the hand round once.
    pub(super) fn round(&self) -> usize {
        self.slots.num_buckets()
    }

    /// The stream, if it is decoded.
    pub(super) fn live(&self, key: StreamKey) -> Option<&Stream> {
        match self.get(key)? {
            Slot::Live(live) => Some(&live.stream),
            Slot::Packed { .. } => None,
        }
    }

    /// The stream, if it is decoded.
    pub(super) fn live_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        match self.get_mut(key)? {
            Slot::Live(live) => Some(&mut live.stream),
            Slot::Packed { .. } => None,
        }
    }

    /// Version, answers and state of the stream, if it is packed.
    pub(super) fn packed(&self, key: StreamKey) -> Option<&[u8]> {
        match self.get(key)? {
            Slot::Live(_) => None,
            Slot::Packed { piece, .. } => Some(Name::read(self.pieces.get(*piece)).1),
        }
    }

    /// Takes in a stream that is not there.
    pub(super) fn insert(&mut self, key: StreamKey, stream: Stream) {
        let name = self.name(key);
        let Self { slots, pieces, hasher, .. } = self;
        let slot = Slot::Live(Box::new(Live { name, stream }));
        slots.insert_unique(hasher.hash_one(name), slot, |slot| hasher.hash_one(slot.name(pieces)));
    }

    /// Puts the decoded stream in the place of the packed one; how much room that took.
    pub(super) fn wake(&mut self, key: StreamKey, stream: Stream) -> Option<usize> {
        let name = self.known(key)?;
        let slot = self.get_mut(key)?;
        let Slot::Packed { piece, .. } = *slot else { return None };
        *slot = Slot::Live(Box::new(Live { name, stream }));
        self.pieces.remove(piece);
        Some(piece.room())
    }

    /// Puts the packed stream in the place of the decoded one; how much room it takes. None if it is too long.
    pub(super) fn pack(&mut self, key: StreamKey, state: &[u8]) -> Option<usize> {
        let piece = self.pieces.put(&[&self.known(key)?.write(), state])?;
        // What was just packed was used not long ago.
        *self.get_mut(key)? = Slot::Packed { piece, used: true };
        Some(piece.room())
    }

    /// Moves the hand one step. A packed stream that it finds there, was not used since the last round and may go is
    /// let go of; how much room it took.
    pub(super) fn turn(&mut self, may_go: impl FnOnce(&StreamKey) -> bool) -> Option<usize> {
        self.hand = if self.hand < self.slots.num_buckets() { self.hand } else { 0 };
        let at = self.hand;
        self.hand += 1;
        let Ok(mut found) = self.slots.get_bucket_entry(at) else { return None };
        let Slot::Packed { piece, used } = found.get_mut() else { return None };
        let (piece, was_used) = (*piece, std::mem::take(used));
        let key = key(&self.shops, Name::read(self.pieces.get(piece)).0)?;
        if was_used || !may_go(&key) {
            return None;
        }
        found.remove();
        self.pieces.remove(piece);
        Some(piece.room())
    }

    fn get(&self, key: StreamKey) -> Option<&Slot> {
        let name = self.known(key)?;
        self.slots.find(self.hasher.hash_one(name), |slot| slot.name(&self.pieces) == name)
    }

    fn get_mut(&mut self, key: StreamKey) -> Option<&mut Slot> {
        let name = self.known(key)?;
        let Self { slots, pieces, hasher, .. } = self;
        slots.find_mut(hasher.hash_one(name), |slot| slot.name(pieces) == name)
    }

    fn known(&self, StreamKey { merchant, stream_type, id }: StreamKey) -> Option<Name> {
        let shop = *self.numbers.get(&merchant)?;
        Some(Name { stream_type: stream_type.number(), shop, id: id.into_bytes() })
    }

    fn name(&mut self, StreamKey { merchant, stream_type, id }: StreamKey) -> Name {
        let shop = *self.numbers.entry(merchant).or_insert_with(|| {
            self.shops.push(merchant);
            // Their numbers end long after the memory does.
            u32::try_from(self.shops.len() - 1).unwrap_or(u32::MAX)
        });
        Name { stream_type: stream_type.number(), shop, id: id.into_bytes() }
    }
}

fn key(shops: &[MerchantId], Name { stream_type, shop, id }: Name) -> Option<StreamKey> {
    let merchant = *shops.get(usize::try_from(shop).ok()?)?;
    Some(StreamKey { merchant, stream_type: StreamType::from_number(stream_type)?, id: Uuid::from_bytes(id) })
}
