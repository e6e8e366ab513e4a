//! What an account leaves to the one it is merged into, in parts that records have room for.
use std::collections::{BTreeMap, BTreeSet};

use event_schemas::{
    OrderId, Points,
    points::Overflow,
    points_account::{
        Estate, EstateAction, EstateKey, EstateLevel, EstateLot, EstateOrder, EstatePartMoved,
        EstateReservation, EstateTransfer, MovedLot, ReservationPhase,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    State,
    lots::{Held, Lot, Place},
    orders::{Level, Settled},
    transfers::Transfer,
};
use crate::planted::{self, Bug};

/// How far an account came that leaves its estate in several parts. What it still answers for stays with it, so it counts
/// how much of that has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaving {
    pub(super) part: u32,
    pub(super) keys: usize,
    pub(super) reservations: usize,
    pub(super) transfers: usize,
}

/// The room of one part. Whatever comes first fits, so that every part brings something.
struct Room {
    used: usize,
    max: usize,
    is_full: bool,
}

impl Room {
    fn takes(&mut self, weight: usize) -> bool {
        self.is_full |= self.used > 0 && self.used + weight > self.max;
        if !self.is_full {
            self.used += weight;
        }
        !self.is_full
    }
}

impl State {
    /// What leaves next, and whether it is the last. Keys go first, because others ask for them by name; lots go before
    /// the redemptions that may give points back to them, and each with its order.
    pub(super) fn next_part(&self, max: u32) -> (Estate, bool) {
        let gone = self.leaving.unwrap_or_default();
        let mut room = Room { used: 0, max: usize::try_from(max).unwrap_or(usize::MAX), is_full: false };
        let keys = self.estate_keys().skip(gone.keys).take_while(|_| room.takes(1)).collect();
        let actions = self.estate_actions().take_while(|_| room.takes(1)).collect();
        let (orders, lots) = self.estate_orders(&mut room);
        let reservations = self.estate_reservations().skip(gone.reservations);
        let reservations = reservations.take_while(|one| room.takes(2 + one.lots.len())).collect();
        let transfers = self.estate_transfers().skip(gone.transfers);
        let transfers = transfers.take_while(|one| room.takes(1 + one.lots.len())).collect();
        let estate = Estate {
            lots,
            debt: self.balances().debt,
            orders,
            reservations,
            transfers,
            actions,
            keys,
            last_activity_at: self.last_activity_at(),
            frozen: self.frozen(),
        };
        (estate, !room.is_full)
    }

    /// Orders with their lots, then the lots of no order; all lots as they were earned.
    fn estate_orders(&self, room: &mut Room) -> (Vec<EstateOrder>, Vec<EstateLot>) {
        let (mut orders, mut lots) = (Vec::new(), BTreeMap::new());
        for (order, settled) in &self.orders {
            let own: Vec<_> = self.lots_of(*order, settled).collect();
            if !room.takes(1 + settled.levels.len() + own.len()) {
                break;
            }
            orders.push(estate_order(*order, settled));
            lots.extend(own);
        }
        let owned: BTreeSet<Place> = self.orders.values().flat_map(Settled::places).collect();
        let others = self.lots.iter().filter(|(place, _)| !owned.contains(place));
        let others = others.map(|(place, lot)| {
            let Lot { entry: lot, points, release, expires_at } = *lot;
            (place, EstateLot { lot, points, release, expires_at, order: None, rule: None })
        });
        lots.extend(others.take_while(|_| room.takes(1)));
        (orders, lots.into_values().collect())
    }

    fn lots_of<'a>(
        &'a self,
        order: OrderId,
        settled: &'a Settled,
    ) -> impl Iterator<Item = (Place, EstateLot)> + 'a {
        let of_level = move |level: &'a Level| {
            level.lots.iter().filter_map(move |own| {
                let Lot { entry: lot, points, release, expires_at } = *self.lots.get(own.place)?;
                let (order, rule) = (Some(order), Some(level.rule.code()));
                Some((own.place, EstateLot { lot, points, release, expires_at, order, rule }))
            })
        };
        settled.levels.iter().flat_map(of_level)
    }

    fn estate_reservations(&self) -> impl Iterator<Item = EstateReservation> + '_ {
        let known = self.reservations.iter().filter(|_| !planted::is(Bug::MergeForgetsReservations));
        known.map(|(redemption, one)| EstateReservation {
            redemption: *redemption,
            points: one.points,
            discount: one.discount,
            lots: self.moved(&one.held),
            phase: one.phase,
            entry: one.spent.map(|spent| spent.entry),
            after: one.after,
            spent: one.spent.map(|spent| spent.after),
        })
    }

    fn estate_transfers(&self) -> impl Iterator<Item = EstateTransfer> + '_ {
        self.transfers.iter().filter_map(|(transfer, state)| match state {
            Transfer::InTransit(transit) | Transfer::Arrived(transit) => Some(EstateTransfer {
                transfer: *transfer,
                to: transit.to,
                points: transit.points,
                lots: self.moved(&transit.held),
            }),
            Transfer::Completed | Transfer::Returned | Transfer::Received => None,
        })
    }

    fn estate_actions(&self) -> impl Iterator<Item = EstateAction> + '_ {
        self.actions.iter().map(|((action, period), count)| EstateAction {
            action: action.clone(),
            period: period.clone(),
            count: *count,
        })
    }

    fn estate_keys(&self) -> impl Iterator<Item = EstateKey> + '_ {
        let known = self.keys.iter().filter(|_| !planted::is(Bug::MergeForgetsKeys));
        known.filter_map(|(key, first)| {
            Some(EstateKey {
                source: key.source()?,
                entry: first.entry,
                points: first.points,
                after: first.after,
                content: first.content?,
            })
        })
    }

    fn moved(&self, held: &[Held]) -> Vec<MovedLot> {
        let moved =
            |held: &Held| MovedLot { lot: held.entry, points: held.points, expires_at: self.date_of(held) };
        held.iter().map(moved).collect()
    }

    /// A part is gone; what the account still answers for stays known.
    pub(super) fn part_moved(&mut self, event: &EstatePartMoved) {
        let EstatePartMoved { into, part, estate, .. } = event;
        self.merged_into = Some(*into);
        let leaving = self.leaving.get_or_insert_default();
        leaving.part = *part;
        leaving.keys += estate.keys.len();
        leaving.reservations += estate.reservations.len();
        leaving.transfers += estate.transfers.len();
        for lot in &estate.lots {
            self.lots.change(lot.lot, |lot| lot.points = Points::ZERO);
        }
        for order in &estate.orders {
            self.orders.remove(&order.order);
        }
        for used in &estate.actions {
            self.actions.remove(&(used.action.clone(), used.period.clone()));
        }
    }
}

fn estate_order(order: OrderId, settled: &Settled) -> EstateOrder {
    let level = |level: &Level| EstateLevel {
        rule: level.rule.code(),
        granted: level.granted,
        clawed: if planted::is(Bug::MergeForgetsClawbacks) { Points::ZERO } else { level.clawed },
    };
    EstateOrder { order, version: settled.version, levels: settled.levels.iter().map(level).collect() }
}

/// The buckets that an estate fills.
pub(super) struct Worth {
    pub(super) available: Points,
    pub(super) pending: Points,
    pub(super) reserved: Points,
    pub(super) in_transit: Points,
    /// All that moves with it; what is in transit left its account before.
    pub(super) net: Points,
}

impl Worth {
    pub(super) fn of(estate: &Estate) -> Result<Self, Overflow> {
        let lots = |pending: bool| {
            let those = estate.lots.iter().filter(move |lot| lot.release.is_some() == pending);
            Points::sum(those.map(|lot| lot.points))
        };
        let held = |one: &&EstateReservation| one.phase == ReservationPhase::Reserved;
        let (available, pending) = (lots(false)?, lots(true)?);
        let reserved = Points::sum(estate.reservations.iter().filter(held).map(|one| one.points))?;
        Ok(Self {
            available,
            pending,
            reserved,
            in_transit: Points::sum(estate.transfers.iter().map(|one| one.points))?,
            net: Points::sum([available, pending, reserved])?.minus(estate.debt)?,
        })
    }
}
