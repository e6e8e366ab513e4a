//! One customer's ledger: lots of points, orders' levels, reservations, transfers, debt, and business keys for ever.
mod absorb_account;
mod adjust_points;
mod awaited;
mod commit_redemption;
mod complete_transfer;
mod draft;
mod earn_points;
mod estate;
mod evolve;
mod expire_points;
mod expiry;
mod extend_points_expiry;
mod freeze_account;
mod keys;
mod lots;
mod merge_account;
mod move_estate_part;
mod open_account;
mod orders;
mod packed;
mod parts;
mod record_action;
mod redact_account;
mod reinstate_points;
mod release_pending_points;
mod release_reservation;
mod reservations;
mod reserve_points;
mod return_transfer;
mod settle_order;
mod transfer_points_in;
mod transfer_points_out;
mod transfers;
mod unfreeze_account;
mod warn_of_expiry;

pub use absorb_account::AbsorbAccount;
pub use adjust_points::AdjustPoints;
pub use awaited::Awaited;
pub use commit_redemption::CommitRedemption;
pub use complete_transfer::CompleteTransfer;
pub use earn_points::{EarnPoints, EarnSource};
pub use event_schemas::points_account::ReservationPhase as Phase;
pub use expire_points::ExpirePoints;
pub use expiry::{ExpiryRule, Grace};
pub use extend_points_expiry::ExtendPointsExpiry;
pub use freeze_account::FreezeAccount;
pub use keys::Entry;
pub use lots::Lot;
pub use merge_account::MergeAccount;
pub use move_estate_part::MoveEstatePart;
pub use open_account::OpenAccount;
pub use orders::{Level, Rule, Settled, settlement_entry};
pub use parts::{ESTATE_PART_MAX, LOTS_MAX, RELEASES_MAX, SPENT_LOTS_MAX, is_full};
pub use record_action::RecordAction;
pub use redact_account::RedactAccount;
pub use reinstate_points::ReinstatePoints;
pub use release_pending_points::{CUSTOMER_ERASED, ReleasePendingPoints};
pub use release_reservation::ReleaseReservation;
pub use reservations::Reservation;
pub use reserve_points::ReservePoints;
pub use return_transfer::ReturnTransfer;
pub use settle_order::SettleOrder;
pub use transfer_points_in::TransferPointsIn;
pub use transfer_points_out::TransferPointsOut;
pub use transfers::TransferStanding;
pub use unfreeze_account::UnfreezeAccount;
pub use warn_of_expiry::{WARNING_DAYS, WarnOfExpiry};

use std::collections::BTreeMap;

use event_schemas::{
    Code, CustomerId, Digest, EntryId, OrderId, Points, RedemptionId, StreamType, Timestamp, TransferId,
    catalogue::PointsAccountEvent as Event,
    points_account::{Balances, Release},
};

use crate::{
    Decider, Due, DueKind, Rejection,
    decider::commands,
    planted::{self, Bug},
};
use draft::Draft;
use estate::Leaving;
use keys::Key;
use lots::{Held, Lots};
use transfers::Transfer;

commands! {
    PointsAccount {
        OpenAccount = "open-account" in open_account;
        SettleOrder = "settle-order" in settle_order;
        EarnPoints = "earn-points" in earn_points;
        RecordAction = "record-action" in record_action;
        ReleasePendingPoints = "release-pending-points" in release_pending_points;
        AdjustPoints = "adjust-points" in adjust_points;
        ReservePoints = "reserve-points" in reserve_points;
        CommitRedemption = "commit-redemption" in commit_redemption;
        ReleaseReservation = "release-reservation" in release_reservation;
        ReinstatePoints = "reinstate-points" in reinstate_points;
        ExpirePoints = "expire-points" in expire_points;
        WarnOfExpiry = "warn-of-expiry" in warn_of_expiry;
        ExtendPointsExpiry = "extend-points-expiry" in extend_points_expiry;
        TransferPointsOut = "transfer-points-out" in transfer_points_out;
        TransferPointsIn = "transfer-points-in" in transfer_points_in;
        CompleteTransfer = "complete-transfer" in complete_transfer;
        ReturnTransfer = "return-transfer" in return_transfer;
        MergeAccount = "merge-account" in merge_account;
        MoveEstatePart = "move-estate-part" in move_estate_part;
        AbsorbAccount = "absorb-account" in absorb_account;
        FreezeAccount = "freeze-account" in freeze_account;
        UnfreezeAccount = "unfreeze-account" in unfreeze_account;
        RedactAccount = "redact-account" in redact_account;
    }
}

/// An account after its history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    opened: bool,
    frozen: bool,
    redacted: bool,
    merged_into: Option<CustomerId>,
    balances: Balances,
    last_activity_at: Option<Timestamp>,
    lots: Lots,
    orders: BTreeMap<OrderId, Settled>,
    reservations: BTreeMap<RedemptionId, Reservation>,
    transfers: BTreeMap<TransferId, Transfer>,
    keys: BTreeMap<Key, Entry>,
    actions: BTreeMap<(Code, Code), u32>,
    warned: BTreeMap<Timestamp, u32>,
    /// Whose accounts it took in: the newest part while others are still to come, none once that was all.
    absorbed: BTreeMap<CustomerId, Option<u32>>,
    /// How far its own estate left, while a part of it is still here.
    leaving: Option<Leaving>,
}

impl State {
    /// Whether the account was opened, by a command or by its first points.
    #[must_use]
    pub const fn opened(&self) -> bool {
        self.opened
    }

    /// Whether what people and programs ask of it is refused.
    #[must_use]
    pub const fn frozen(&self) -> bool {
        self.frozen
    }

    /// Whether its customer was erased: nothing is asked of it any more.
    #[must_use]
    pub const fn redacted(&self) -> bool {
        self.redacted
    }

    /// Whose account goes on in its place, if it ended or is leaving its estate part by part.
    #[must_use]
    pub const fn merged_into(&self) -> Option<CustomerId> {
        self.merged_into
    }

    /// Whether a part of its estate left and another one is still here.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The buckets.
    #[must_use]
    pub const fn balances(&self) -> Balances {
        self.balances
    }

    /// From when on inactivity counts: when the customer last earned or redeemed, or when points came to the account
    /// that had none, whichever was later.
    #[must_use]
    pub const fn last_activity_at(&self) -> Option<Timestamp> {
        self.last_activity_at
    }

    /// The adjustment with this entry.
    #[must_use]
    pub fn entry(&self, entry: EntryId) -> Option<Entry> {
        self.honoured(&Key::Adjustment(entry)).copied()
    }

    /// The award for this source.
    #[must_use]
    pub fn entry_for_source(&self, source: &EarnSource) -> Option<Entry> {
        self.honoured(&source.key()).copied()
    }

    /// The award for this deed.
    #[must_use]
    pub fn entry_for_action(&self, action: &Code, source: &Digest) -> Option<Entry> {
        self.honoured(&Key::Action(action.clone(), *source)).copied()
    }

    /// The movement that spent this redemption's points.
    #[must_use]
    pub fn entry_for_redemption(&self, redemption: RedemptionId) -> Option<Entry> {
        let reservation = self.reservation(redemption)?;
        let spent = reservation.spent?;
        let points = Points(reservation.points.0.checked_neg()?);
        Some(Entry { entry: spent.entry, points, after: spent.after, content: None })
    }

    /// The points set aside for this redemption.
    #[must_use]
    pub fn reservation(&self, redemption: RedemptionId) -> Option<&Reservation> {
        self.reservations.get(&redemption)
    }

    /// All points ever set aside, whatever became of them, but for those that live on elsewhere.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        let gone = match (self.merged_into, self.leaving) {
            (None, _) => 0,
            (Some(_), Some(leaving)) => leaving.reservations,
            (Some(_), None) => self.reservations.len(),
        };
        self.reservations.values().skip(gone)
    }

    /// How far a transfer came that left this account.
    #[must_use]
    pub fn transfer(&self, transfer: TransferId) -> Option<TransferStanding> {
        self.transfers.get(&transfer).and_then(Transfer::standing)
    }

    fn transfer_ended(&self, transfer: TransferId) -> bool {
        self.transfer(transfer).is_some_and(TransferStanding::is_ended)
    }

    /// How far this order is settled; none if it never moved points.
    #[must_use]
    pub fn settled(&self, order: OrderId) -> Option<&Settled> {
        self.orders.get(&order)
    }

    /// All lots with points in them, in the order in which they were earned.
    pub fn lots(&self) -> impl Iterator<Item = &Lot> {
        self.lots.iter().map(|(_, lot)| lot)
    }

    fn honoured(&self, key: &Key) -> Option<&Entry> {
        self.keys.get(key).filter(|_| !planted::is(Bug::KeyForgotten))
    }

    /// Whether a lot or an adjustment has this id.
    fn knows_entry(&self, entry: EntryId) -> bool {
        self.lots.place(entry).is_some() || self.entry(entry).is_some()
    }

    fn lot(&self, entry: EntryId) -> Result<Lot, Rejection> {
        let lot = self.lots.place(entry).and_then(|place| self.lots.get(place));
        lot.copied().ok_or(Rejection::LotUnknown)
    }

    /// The date of points that left their lot, as the lot has it now.
    fn date_of(&self, held: &Held) -> Option<Timestamp> {
        let open = self.lots.place(held.entry).and_then(|place| self.lots.get(place));
        open.map_or(held.expires_at, |lot| lot.expires_at)
    }

    fn times(&self, action: &Code, period: &Code) -> u32 {
        self.actions.get(&(action.clone(), period.clone())).copied().unwrap_or(0)
    }

    fn reserved_for(&self, redemption: RedemptionId) -> Result<&Reservation, Rejection> {
        self.reservation(redemption).ok_or(Rejection::UnknownRedemption)
    }

    /// Whether an account that ended still answers the command itself, because it was answered before the end.
    fn answered_before(&self, command: &Command) -> bool {
        match command {
            Command::EarnPoints(command) => self.keys.contains_key(&command.source.key()),
            Command::RecordAction(command) => self.keys.contains_key(&record_action::key(command)),
            Command::AdjustPoints(command) => self.entry(command.entry).is_some(),
            Command::ReservePoints(command) => self.reservations.contains_key(&command.redemption),
            Command::TransferPointsOut(command) => self.transfers.contains_key(&command.transfer),
            Command::TransferPointsIn(command) => {
                matches!(self.transfers.get(&command.transfer), Some(Transfer::Received))
            }
            Command::CompleteTransfer(command) => self.transfer_ended(command.transfer),
            Command::ReturnTransfer(command) => self.transfer_ended(command.transfer),
            Command::MergeAccount(command) => self.merged_into == Some(command.into),
            Command::MoveEstatePart(_) | Command::RedactAccount(_) => true,
            Command::AbsorbAccount(command) => self.took_in(command.from, command.part),
            _ => false,
        }
    }
}

impl Decider for State {
    const STREAM: StreamType = StreamType::PointsAccount;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        if self.redacted && !redact_account::outlives_erasure(command) {
            return Err(Rejection::AccountRedacted);
        }
        match self.merged_into {
            Some(into) if !(self.answered_before(command) || planted::is(Bug::MergedAccountGoesOn)) => {
                Err(Rejection::AccountMerged { into })
            }
            _ => dispatch(self, command),
        }
    }

    fn evolve(&mut self, event: &Event) {
        self.take_in(event);
    }

    fn due(&self) -> Vec<Due> {
        if self.merged_into.is_some() {
            return Vec::new();
        }
        let scheduled = self.lots.scheduled().next().and_then(|(_, lot)| match lot.release {
            Some(Release::At(time)) => Some(time),
            _ => None,
        });
        // What nobody will tell of has waited long enough.
        let release = if self.is_forlorn() { Some(Timestamp::from_micros(0)) } else { scheduled };
        let expiry = self.lots.dates().next();
        let active = self.last_activity_at.filter(|_| self.balances.available.is_positive());
        let due = [
            (DueKind::Release, release.filter(|_| !planted::is(Bug::ReleaseNotDue))),
            (DueKind::Expiry, expiry),
            (DueKind::Warning, warn_of_expiry::next(self)),
            (DueKind::Activity, active),
        ];
        due.into_iter().filter_map(|(kind, at)| at.map(|at| Due { kind, at })).collect()
    }
}

#[cfg(test)]
mod specs;
