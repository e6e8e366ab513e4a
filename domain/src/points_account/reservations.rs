//! Points set aside for a redemption, and how that went on.
use std::collections::BTreeMap;

use event_schemas::{
    EntryId, Money, Points, Timestamp,
    points_account::{Allocation, Balances, LotExpiry, ReservationPhase as Phase},
};
use serde::{Deserialize, Serialize};

use super::{
    Grace, State,
    lots::{Held, less_repaid},
    transfers::Transfer,
};
use crate::Rejection;

/// Points set aside for a redemption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// All points set aside.
    pub points: Points,
    /// What they buy.
    pub discount: Money,
    /// The account after the reservation.
    #[serde(with = "super::packed::balances")]
    pub after: Balances,
    /// How far it came.
    pub phase: Phase,
    /// The lots they came from, as long as they can come back.
    pub(super) held: Vec<Held>,
    pub(super) spent: Option<Spent>,
}

/// The movement that spent a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spent {
    pub(super) entry: EntryId,
    #[serde(with = "super::packed::balances")]
    pub(super) after: Balances,
}

impl Reservation {
    /// The lots that its points came from.
    #[must_use]
    pub fn allocations(&self) -> Vec<Allocation> {
        allocations(&self.held)
    }

    /// What comes back when so many points repay debt.
    pub(super) fn less(&self, repaid: Points) -> Vec<Held> {
        less_repaid(&self.held, repaid, |held| &mut held.points)
    }
}

pub(super) fn allocations(held: &[Held]) -> Vec<Allocation> {
    held.iter().map(|held| Allocation { lot: held.entry, points: held.points }).collect()
}

impl State {
    /// The new dates of lots that points come back to after theirs was over.
    pub(super) fn renewals(
        &self,
        back: &[Held],
        at: Timestamp,
        grace: &Grace,
    ) -> Result<Vec<LotExpiry>, Rejection> {
        let expires_at = grace.until(at)?;
        let is_over = |held: &&Held| {
            let open = self.lots.place(held.entry).and_then(|place| self.lots.get(place));
            open.map_or(held.expires_at, |lot| lot.expires_at).is_some_and(|date| date <= at)
        };
        Ok(back.iter().filter(is_over).map(|held| LotExpiry { lot: held.entry, expires_at }).collect())
    }

    /// Points come back to the lots that they left, with what the event says of their dates.
    pub(super) fn come_back(&mut self, held: &[Held], back: &[Allocation], expiries: &[LotExpiry]) {
        for Allocation { lot, points } in back {
            let renewed = expiries.iter().find(|one| one.lot == *lot).map(|one| one.expires_at);
            if let Some(held) = held.iter().find(|held| held.entry == *lot) {
                self.lots.put_back(Held { points: *points, ..*held }, renewed);
            }
        }
        self.date_held(expiries);
    }

    /// A lot has one date: points of it that are held or on their way come back with it.
    pub(super) fn date_held(&mut self, dates: &[LotExpiry]) {
        if dates.is_empty() {
            return;
        }
        let dates: BTreeMap<_, _> = dates.iter().map(|one| (one.lot, one.expires_at)).collect();
        let reserved = self.reservations.values_mut().flat_map(|one| &mut one.held);
        let sent = self.transfers.values_mut().flat_map(|one| match one {
            Transfer::InTransit(transit) | Transfer::Arrived(transit) => transit.held.as_mut_slice(),
            Transfer::Completed | Transfer::Returned | Transfer::Received => &mut [],
        });
        for held in reserved.chain(sent) {
            held.expires_at = dates.get(&held.entry).copied().or(held.expires_at);
        }
    }
}
