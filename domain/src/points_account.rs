//! One customer's ledger: lots of points, reservations, debt, and every award's business key for ever.
mod adjust_points;
mod commit_redemption;
mod earn_points;
mod lots;
mod open_account;
mod reinstate_points;
mod release_reservation;
mod reserve_points;
mod settle_order;

pub use adjust_points::AdjustPoints;
pub use commit_redemption::CommitRedemption;
pub use earn_points::EarnPoints;
pub use lots::Lot;
pub use open_account::OpenAccount;
pub use reinstate_points::ReinstatePoints;
pub use release_reservation::ReleaseReservation;
pub use reserve_points::ReservePoints;
pub use settle_order::SettleOrder;

use std::collections::BTreeMap;

use event_schemas::{
    Digest, EntryId, Money, OrderId, Points, RedemptionId, StreamType,
    catalogue::PointsAccountEvent as Event,
    points::Overflow,
    points_account::{
        Allocation, Balances, PointsAccountOpened, PointsAdjusted, PointsClawedBack, PointsEarned,
        PointsRedeemed, PointsReinstated, PointsReservationReleased, PointsReserved, Source,
    },
};
use serde::{Deserialize, Serialize};

use crate::{Decider, Rejection, decider::commands};
use lots::Lots;

commands! {
    PointsAccount {
        OpenAccount = "open-account" in open_account;
        SettleOrder = "settle-order" in settle_order;
        EarnPoints = "earn-points" in earn_points;
        AdjustPoints = "adjust-points" in adjust_points;
        ReservePoints = "reserve-points" in reserve_points;
        CommitRedemption = "commit-redemption" in commit_redemption;
        ReleaseReservation = "release-reservation" in release_reservation;
        ReinstatePoints = "reinstate-points" in reinstate_points;
    }
}

/// An account after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    opened: bool,
    balances: Balances,
    lots: Lots,
    entries: BTreeMap<EntryId, Entry>,
    sources: BTreeMap<Digest, EntryId>,
    orders: BTreeMap<OrderId, Settled>,
    reservations: BTreeMap<RedemptionId, Reservation>,
}

/// One movement, as it is answered at the first and at every later asking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The entry.
    pub entry: EntryId,
    /// What it changed, signed.
    pub points: Points,
    /// The account after it.
    pub after: Balances,
    /// Keyed digest of the command's content, where a business key guards it.
    pub content: Option<Digest>,
}

/// How far an order is settled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// Version of the newest assessment that moved points.
    pub version: u32,
    /// All points granted for it.
    pub granted: Points,
    /// All points taken back of it, those forgiven too.
    pub clawed: Points,
    /// Its lots, oldest first.
    lots: Vec<EntryId>,
}

/// Points set aside for a redemption, and how that went on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// All points set aside.
    pub points: Points,
    /// What they buy.
    pub discount: Money,
    /// The lots they came from.
    pub allocations: Vec<Allocation>,
    /// The account after the reservation.
    pub after: Balances,
    /// How far it came.
    pub phase: Phase,
    entry: Option<EntryId>,
}

/// How far a reservation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The points are held.
    Reserved,
    /// The points are spent.
    Redeemed,
    /// The points went back unspent.
    Released,
    /// The points were spent and came back.
    Reinstated,
}

impl State {
    /// Whether the account was opened, by a command or by its first points.
    #[must_use]
    pub const fn opened(&self) -> bool {
        self.opened
    }

    /// The buckets.
    #[must_use]
    pub const fn balances(&self) -> Balances {
        self.balances
    }

    /// The movement with this id.
    #[must_use]
    pub fn entry(&self, entry: EntryId) -> Option<&Entry> {
        self.entries.get(&entry)
    }

    /// The award for this source.
    #[must_use]
    pub fn entry_for_source(&self, source: &Digest) -> Option<&Entry> {
        self.sources.get(source).and_then(|entry| self.entries.get(entry))
    }

    /// The movement that spent this redemption's points.
    #[must_use]
    pub fn entry_for_redemption(&self, redemption: RedemptionId) -> Option<&Entry> {
        self.reservation(redemption)?.entry.and_then(|entry| self.entries.get(&entry))
    }

    /// The points set aside for this redemption.
    #[must_use]
    pub fn reservation(&self, redemption: RedemptionId) -> Option<&Reservation> {
        self.reservations.get(&redemption)
    }

    /// How far this order is settled; none if it never moved points.
    #[must_use]
    pub fn settled(&self, order: OrderId) -> Option<&Settled> {
        self.orders.get(&order)
    }

    /// All lots, in the order of their ids.
    pub fn lots(&self) -> impl Iterator<Item = (EntryId, &Lot)> {
        self.lots.iter()
    }

    /// The events with the account's opening before them, if they are its first.
    fn opening(&self, event: impl Into<Event>) -> Vec<Event> {
        let opened = (!self.opened).then(|| PointsAccountOpened {}.into());
        opened.into_iter().chain([event.into()]).collect()
    }

    fn reserved_for(&self, redemption: RedemptionId) -> Result<&Reservation, Rejection> {
        self.reservation(redemption).ok_or(Rejection::UnknownRedemption)
    }

    fn record(&mut self, entry: EntryId, points: Points, after: Balances, content: Option<Digest>) {
        self.balances = after;
        self.entries.insert(entry, Entry { entry, points, after, content });
    }
}

/// Adds points that can be spent. Debt is repaid first; the answer is how much of it.
fn credit(balances: &mut Balances, points: Points) -> Result<Points, Overflow> {
    let repaid = points.min(balances.debt);
    balances.debt = balances.debt.minus(repaid)?;
    balances.available = balances.available.plus(points.minus(repaid)?)?;
    Ok(repaid)
}

/// Takes points that can be spent, and owes those that are short.
fn debit(balances: &mut Balances, taken: Points, to_debt: Points) -> Result<(), Overflow> {
    balances.available = balances.available.minus(taken)?;
    balances.debt = balances.debt.plus(to_debt)?;
    Ok(())
}

fn total(allocations: &[Allocation]) -> Result<Points, Overflow> {
    Points::sum(allocations.iter().map(|one| one.points))
}

impl Decider for State {
    const STREAM: StreamType = StreamType::PointsAccount;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::PointsAccountOpened(PointsAccountOpened {}) => self.opened = true,
            Event::PointsEarned(earned) => self.earned(earned),
            Event::PointsClawedBack(clawed) => self.clawed_back(clawed),
            Event::PointsAdjusted(adjusted) => self.adjusted(adjusted),
            Event::PointsReserved(reserved) => self.reserved(reserved),
            Event::PointsRedeemed(redeemed) => self.redeemed(redeemed),
            Event::PointsReservationReleased(released) => self.released(released),
            Event::PointsReinstated(reinstated) => self.reinstated(reinstated),
            other => {
                if let Some(after) = other.after() {
                    self.balances = *after;
                }
            }
        }
    }
}

/// What each event makes of the account. Sums were checked by the decision and stand in the event.
impl State {
    fn earned(&mut self, event: &PointsEarned) {
        self.lots.grant(event.entry, event.points.0 - event.repaid.0);
        match &event.source {
            Source::Order { order, version } => {
                let settled = self.orders.entry(*order).or_default();
                settled.version = *version;
                settled.granted.0 += event.points.0;
                settled.lots.push(event.entry);
            }
            Source::Api { id } | Source::Action { id, .. } => {
                self.sources.insert(*id, event.entry);
            }
            Source::Pos(_) => {}
        }
        self.record(event.entry, event.points, event.after, Some(event.content));
    }

    fn clawed_back(&mut self, event: &PointsClawedBack) {
        self.lots.claw_back(&event.from_active);
        let settled = self.orders.entry(event.order).or_default();
        settled.version = event.version;
        settled.clawed.0 += event.points.0;
        self.record(event.entry, Points(event.forgiven.0 - event.points.0), event.after, None);
    }

    fn adjusted(&mut self, event: &PointsAdjusted) {
        if event.points.is_positive() {
            self.lots.grant(event.entry, event.points.0 - event.repaid.0);
        }
        self.lots.spend(&event.allocations);
        self.record(event.entry, event.points, event.after, Some(event.content));
    }

    fn reserved(&mut self, event: &PointsReserved) {
        self.lots.reserve(&event.allocations);
        self.balances = event.after;
        let reservation = Reservation {
            points: event.points,
            discount: event.discount,
            allocations: event.allocations.clone(),
            after: event.after,
            phase: Phase::Reserved,
            entry: None,
        };
        self.reservations.insert(event.redemption, reservation);
    }

    fn redeemed(&mut self, event: &PointsRedeemed) {
        self.lots.redeem(&event.allocations);
        if let Some(reservation) = self.reservations.get_mut(&event.redemption) {
            reservation.phase = Phase::Redeemed;
            reservation.entry = Some(event.entry);
        }
        self.record(event.entry, Points(-event.points.0), event.after, None);
    }

    fn released(&mut self, event: &PointsReservationReleased) {
        self.balances = event.after;
        if let Some(reservation) = self.reservations.get_mut(&event.redemption) {
            reservation.phase = Phase::Released;
            self.lots.release(&reservation.allocations, &event.allocations);
        }
    }

    fn reinstated(&mut self, event: &PointsReinstated) {
        if let Some(reservation) = self.reservations.get_mut(&event.redemption) {
            reservation.phase = Phase::Reinstated;
            self.lots.reinstate(&reservation.allocations, &event.allocations);
        }
        self.record(event.entry, event.points, event.after, None);
    }
}

#[cfg(test)]
mod specs;
