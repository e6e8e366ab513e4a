//! The streams in memory, found by key: sixteen bytes a stream, and its name lies with what it holds.
use std::{collections::HashMap, hash::BuildHasher as _};

use event_schemas::{MerchantId, StreamType};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use uuid::Uuid;

use super::{partition::StreamKey, stream::Stream};
use crate::chance;

/// Whether it was used since the hand passed, and the name.
const HEAD_BYTES: usize = 1 + 2 + 4 + 16;

/// A stream's key with the shop's number of this table.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    stream_type: u16,
    shop: u32,
    id: [u8; 16],
}

/// Where a stream stands.
pub(super) enum Slot {
    Live(Box<Live>),
    Packed(Packed),
}

/// A decoded stream.
pub(super) struct Live {
    name: Name,
    pub(super) stream: Stream,
}

/// Head, then version, answers and state, as in the snapshots.
pub(super) struct Packed(Box<[u8]>);

/// All streams in memory. Its hand goes round to find what was not used for long.
pub(super) struct Table {
    slots: HashTable<Slot>,
    hasher: FixedState,
    shops: Vec<MerchantId>,
    numbers: HashMap<MerchantId, u32, FixedState>,
    hand: usize,
}

impl Slot {
    fn name(&self) -> Name {
        match self {
            Self::Live(live) => live.name,
            Self::Packed(packed) => packed.name(),
        }
    }

    /// Puts a decoded stream in its place.
    pub(super) fn wake(&mut self, stream: Stream) {
        *self = Self::Live(Box::new(Live { name: self.name(), stream }));
    }

    /// Puts its packed form in its place; how many bytes that has.
    pub(super) fn pack(&mut self, state: &[u8]) -> usize {
        let packed = Packed::new(self.name(), state);
        let bytes = packed.len();
        *self = Self::Packed(packed);
        bytes
    }
}

impl Packed {
    /// Takes no more room than it needs. Just packed counts as used.
    fn new(Name { stream_type, shop, id }: Name, state: &[u8]) -> Self {
        Self(
            [&[1][..], &stream_type.to_le_bytes(), &shop.to_le_bytes(), &id, state]
                .concat()
                .into_boxed_slice(),
        )
    }

    fn name(&self) -> Name {
        // All of them begin with a head.
        let head: &[u8; HEAD_BYTES] = self.0.first_chunk().unwrap_or(&[0; HEAD_BYTES]);
        let [_, t0, t1, s0, s1, s2, s3, id @ ..] = *head;
        Name { stream_type: u16::from_le_bytes([t0, t1]), shop: u32::from_le_bytes([s0, s1, s2, s3]), id }
    }

    /// Version, answers and state.
    pub(super) fn state(&self) -> &[u8] {
        self.0.get(HEAD_BYTES..).unwrap_or_default()
    }

    /// Its bytes, with the head.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn take_used(&mut self) -> bool {
        self.0.first_mut().is_some_and(|used| std::mem::take(used) != 0)
    }
}

impl Table {
    pub(super) fn new() -> Self {
        // Nobody can choose keys that all fall into one place, because nobody knows the seed.
        let hasher = FixedState::with_seed(chance::id().as_u64_pair().1);
        let numbers = HashMap::with_hasher(hasher.clone());
        Self { slots: HashTable::new(), hasher, shops: Vec::new(), numbers, hand: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many steps bring the hand round once.
    pub(super) fn round(&self) -> usize {
        self.slots.num_buckets()
    }

    pub(super) fn get(&self, key: StreamKey) -> Option<&Slot> {
        let name = self.known(key)?;
        self.slots.find(self.hasher.hash_one(name), |slot| slot.name() == name)
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Slot> {
        let name = self.known(key)?;
        self.slots.find_mut(self.hasher.hash_one(name), |slot| slot.name() == name)
    }

    /// Takes in a stream that is not there.
    pub(super) fn insert(&mut self, key: StreamKey, stream: Stream) {
        let name = self.name(key);
        let Self { slots, hasher, .. } = self;
        let slot = Slot::Live(Box::new(Live { name, stream }));
        slots.insert_unique(hasher.hash_one(name), slot, |slot| hasher.hash_one(slot.name()));
    }

    /// Moves the hand one step. A packed stream that it finds there, was not used since the last round and may go is
    /// let go of; how many bytes it had.
    pub(super) fn turn(&mut self, may_go: impl FnOnce(&StreamKey) -> bool) -> Option<usize> {
        self.hand = if self.hand < self.slots.num_buckets() { self.hand } else { 0 };
        let at = self.hand;
        self.hand += 1;
        let Ok(mut found) = self.slots.get_bucket_entry(at) else { return None };
        let Slot::Packed(packed) = found.get_mut() else { return None };
        let key = key(&self.shops, packed.name())?;
        if packed.take_used() || !may_go(&key) {
            return None;
        }
        let bytes = packed.len();
        found.remove();
        Some(bytes)
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
