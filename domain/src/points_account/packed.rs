//! The state as it is kept: without what follows from the rest, so that an account of ten orders is a few hundred bytes.
use std::collections::{BTreeMap, BTreeSet};

use event_schemas::{
    Code, CustomerId, EntryId, OrderId, Points, RedemptionId, Timestamp, TransferId,
    points_account::{Balances, Release},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Reservation, State,
    estate::Leaving,
    keys::{Entry, Key},
    lots::{Lot, Lots, Place},
    orders::{Level, OwnLot, Rule, Seal, Settled},
    transfers::Transfer,
};
use crate::planted::{self, Bug};

/// Balances as numbers in a row: their own form leaves out what is zero, and then no reader without names finds its way.
pub(super) mod balances {
    use super::{Balances, Deserialize, Deserializer, Points, Serialize, Serializer};

    /// Both ways by one list, which names every bucket.
    macro_rules! in_a_row {
        ($($bucket:ident),*) => {
            pub(in super::super) fn serialize<S: Serializer>(
                all: &Balances,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let Balances { $($bucket),* } = *all;
                [$($bucket),*].serialize(serializer)
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Balances, D::Error> {
                let [$($bucket),*] = <[Points; 12]>::deserialize(deserializer)?;
                Ok(Balances { $($bucket),* })
            }
        };
    }

    in_a_row!(
        available,
        pending,
        reserved,
        in_transit,
        debt,
        lifetime_earned,
        lifetime_redeemed,
        lifetime_expired,
        lifetime_clawed_back,
        lifetime_adjusted,
        lifetime_voided,
        lifetime_transferred
    );
}

/// The parts that are kept: their names, and their order.
macro_rules! kept {
    ($($(#[$meta:meta])* $field:ident: $kept:ty, $lent:ty;)*) => {
        #[derive(Deserialize)]
        struct Packed {
            $($(#[$meta])* $field: $kept,)*
        }

        /// The same, lent by the state: a long one is not copied to be kept.
        #[derive(Serialize)]
        struct PackedRef<'a> {
            $($(#[$meta])* $field: $lent,)*
        }
    };
}

kept! {
    /// Whether it was opened, frozen, erased: a bit for each.
    flags: u8, u8;
    /// Into whom it was merged, and how far its estate left if not all of it did.
    merged_into: Option<(CustomerId, Option<Leaving>)>, Option<(CustomerId, Option<Leaving>)>;
    #[serde(with = "balances")]
    balances: Balances, Balances;
    last_activity_at: Option<Timestamp>, Option<Timestamp>;
    next: Place, Place;
    seal: Seal, Seal;
    orders: Vec<PackedOrder>, Vec<PackedOrder>;
    lots: Vec<PackedLot>, Vec<PackedLot>;
    reservations: Vec<(RedemptionId, Reservation)>, Pairs<'a, RedemptionId, Reservation>;
    transfers: Vec<(TransferId, Transfer)>, Pairs<'a, TransferId, Transfer>;
    keys: Vec<(Key, Entry)>, Pairs<'a, Key, Entry>;
    actions: Vec<((Code, Code), u32)>, Pairs<'a, (Code, Code), u32>;
    warned: Vec<(Timestamp, u32)>, Pairs<'a, Timestamp, u32>;
    absorbed: Vec<(CustomerId, Option<u32>)>, Pairs<'a, CustomerId, Option<u32>>;
}

/// A map as the sequence of its pairs.
struct Pairs<'a, K, V>(&'a BTreeMap<K, V>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

#[derive(Serialize, Deserialize)]
struct PackedOrder {
    order: [u8; 16],
    version: u32,
    levels: Vec<PackedLevel>,
}

#[derive(Serialize, Deserialize)]
struct PackedLevel {
    rule: Rule,
    granted: Points,
    clawed: Points,
    lots: Vec<PackedOwnLot>,
}

/// An order's lot; with its points if they are in it and if its entry follows from the order.
#[derive(Serialize, Deserialize)]
struct PackedOwnLot {
    place: Place,
    version: u32,
    inside: Option<Inside>,
}

/// A lot without its name.
#[derive(Serialize, Deserialize)]
struct Inside {
    points: Points,
    release: Option<Release>,
    expires_at: Option<Seconds>,
}

#[derive(Serialize, Deserialize)]
struct PackedLot {
    place: Place,
    entry: [u8; 16],
    inside: Inside,
}

/// A time that is mostly a whole number of seconds.
#[derive(Serialize, Deserialize)]
enum Seconds {
    Whole(i64),
    Micros(i64),
}

impl From<Timestamp> for Seconds {
    fn from(time: Timestamp) -> Self {
        let micros = time.micros();
        if micros % 1_000_000 == 0 { Self::Whole(micros / 1_000_000) } else { Self::Micros(micros) }
    }
}

impl From<Seconds> for Timestamp {
    fn from(seconds: Seconds) -> Self {
        match seconds {
            Seconds::Whole(seconds) => Self::from_micros(seconds.saturating_mul(1_000_000)),
            Seconds::Micros(micros) => Self::from_micros(micros),
        }
    }
}

impl Inside {
    fn of(lot: &Lot) -> Self {
        Self { points: lot.points, release: lot.release, expires_at: lot.expires_at.map(Seconds::from) }
    }

    fn lot(self, entry: EntryId) -> Lot {
        let expires_at = self.expires_at.map(Timestamp::from);
        Lot { entry, points: self.points, release: self.release, expires_at }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut nameless = BTreeSet::new();
        let seal = seal(self);
        let orders =
            self.orders.iter().map(|(order, settled)| pack(self, seal, *order, settled, &mut nameless));
        let orders = orders.collect();
        let named = self.lots.iter().filter(|(place, _)| !nameless.contains(place));
        let no_warnings = BTreeMap::new();
        let forgets = planted::is(Bug::SnapshotForgetsWarnings);
        let packed = PackedRef {
            flags: [self.opened, self.frozen, self.redacted]
                .into_iter()
                .rev()
                .fold(0, |flags, flag| flags << 1 | u8::from(flag)),
            merged_into: self.merged_into.map(|into| (into, self.leaving)),
            balances: self.balances,
            last_activity_at: self.last_activity_at,
            next: self.lots.next(),
            seal,
            orders,
            lots: named
                .map(|(place, lot)| PackedLot { place, entry: lot.entry.bytes(), inside: Inside::of(lot) })
                .collect(),
            reservations: Pairs(&self.reservations),
            transfers: Pairs(&self.transfers),
            keys: Pairs(&self.keys),
            actions: Pairs(&self.actions),
            warned: Pairs(if forgets { &no_warnings } else { &self.warned }),
            absorbed: Pairs(&self.absorbed),
        };
        packed.serialize(serializer)
    }
}

/// The seal of the first lot of an order that is still open. Lots that came from elsewhere may have others.
fn seal(state: &State) -> Seal {
    let levels = state.orders.iter().flat_map(|(order, one)| one.levels.iter().map(move |of| (*order, of)));
    let mut lots = levels.flat_map(|(order, level)| level.lots.iter().map(move |lot| (order, level, lot)));
    let shown = lots.find_map(|(order, level, OwnLot { place, version })| {
        state.lots.get(*place).map(|lot| Seal::behind(lot.entry, order, *version, &level.rule))
    });
    shown.unwrap_or_default()
}

fn pack(
    state: &State,
    seal: Seal,
    order: OrderId,
    settled: &Settled,
    nameless: &mut BTreeSet<Place>,
) -> PackedOrder {
    let mut levels = Vec::new();
    for level in &settled.levels {
        let own = level.lots.iter().map(|OwnLot { place, version }| {
            let named = |lot: &&Lot| lot.entry == seal.entry(order, *version, &level.rule);
            let inside = state.lots.get(*place).filter(named).map(Inside::of);
            if inside.is_some() {
                nameless.insert(*place);
            }
            PackedOwnLot { place: *place, version: *version, inside }
        });
        let lots = own.collect();
        levels.push(PackedLevel {
            rule: level.rule.clone(),
            granted: level.granted,
            clawed: level.clawed,
            lots,
        });
    }
    PackedOrder { order: order.bytes(), version: settled.version, levels }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packed = Packed::deserialize(deserializer)?;
        let [opened, frozen, redacted] = [0, 1, 2].map(|bit| packed.flags >> bit & 1 == 1);
        let mut lots: Vec<_> = packed
            .lots
            .into_iter()
            .map(|lot| (lot.place, lot.inside.lot(EntryId::from_bytes(lot.entry))))
            .collect();
        let orders: BTreeMap<_, _> =
            packed.orders.into_iter().map(|order| unpack(order, packed.seal, &mut lots)).collect();
        Ok(Self {
            opened,
            frozen,
            redacted,
            merged_into: packed.merged_into.map(|(into, _)| into),
            leaving: packed.merged_into.and_then(|(_, leaving)| leaving),
            balances: packed.balances,
            last_activity_at: packed.last_activity_at,
            lots: Lots::new(packed.next, lots),
            orders,
            reservations: packed.reservations.into_iter().collect(),
            transfers: packed.transfers.into_iter().collect(),
            keys: packed.keys.into_iter().collect(),
            actions: packed.actions.into_iter().collect(),
            warned: packed.warned.into_iter().collect(),
            absorbed: packed.absorbed.into_iter().collect(),
        })
    }
}

fn unpack(packed: PackedOrder, seal: Seal, lots: &mut Vec<(Place, Lot)>) -> (OrderId, Settled) {
    let order = OrderId::from_bytes(packed.order);
    let levels = packed.levels.into_iter().map(|level| {
        let own = level.lots.into_iter().map(|PackedOwnLot { place, version, inside }| {
            let named = inside.map(|inside| inside.lot(seal.entry(order, version, &level.rule)));
            lots.extend(named.map(|lot| (place, lot)));
            OwnLot { place, version }
        });
        let own = own.collect();
        Level { rule: level.rule, granted: level.granted, clawed: level.clawed, lots: own }
    });
    (order, Settled { version: packed.version, levels: levels.collect() })
}
