//! Events of one customer's ledger. Each carries the whole split and the balances after it, so no reader repeats a rule.
mod balances;
mod estate;
mod freezes;
mod merges;
mod movements;
mod order_settled;
mod points_account_opened;
mod points_account_redacted;
mod points_adjusted;
mod points_clawed_back;
mod points_earned;
mod points_expired;
mod points_expiry_extended;
mod points_expiry_warned;
mod points_redeemed;
mod points_reinstated;
mod points_release_scheduled;
mod points_released;
mod points_reservation_released;
mod points_reserved;
mod points_voided;
mod postings;
mod transfers;

pub use balances::Balances;
pub use estate::{
    Estate, EstateAction, EstateKey, EstateLevel, EstateLot, EstateOrder, EstateReservation, EstateTransfer,
    ReservationPhase,
};
pub use freezes::{PointsAccountFrozen, PointsAccountUnfrozen};
pub use merges::{EstatePartAbsorbed, EstatePartMoved, PointsAccountAbsorbed, PointsAccountMerged};
pub use movements::{Allocation, LotExpiry, MovedLot, PosEntry, Release, RuleUsed, Source};
pub use order_settled::OrderSettled;
pub use points_account_opened::PointsAccountOpened;
pub use points_account_redacted::PointsAccountRedacted;
pub use points_adjusted::PointsAdjusted;
pub use points_clawed_back::PointsClawedBack;
pub use points_earned::PointsEarned;
pub use points_expired::{ExpiryReason, PointsExpired};
pub use points_expiry_extended::PointsExpiryExtended;
pub use points_expiry_warned::PointsExpiryWarned;
pub use points_redeemed::PointsRedeemed;
pub use points_reinstated::PointsReinstated;
pub use points_release_scheduled::PointsReleaseScheduled;
pub use points_released::PointsReleased;
pub use points_reservation_released::PointsReservationReleased;
pub use points_reserved::PointsReserved;
pub use points_voided::PointsVoided;
pub use postings::{Ledger, Posting};
pub use transfers::{
    PointsTransferCompleted, PointsTransferReturned, PointsTransferredIn, PointsTransferredOut,
};

use crate::{Timestamp, catalogue::PointsAccountEvent};

impl PointsAccountEvent {
    /// The balances that the event states, if it moves points.
    #[must_use]
    pub const fn after(&self) -> Option<&Balances> {
        match self {
            Self::PointsEarned(event) => Some(&event.after),
            Self::PointsClawedBack(event) => Some(&event.after),
            Self::PointsReserved(event) => Some(&event.after),
            Self::PointsRedeemed(event) => Some(&event.after),
            Self::PointsReservationReleased(event) => Some(&event.after),
            Self::PointsReinstated(event) => Some(&event.after),
            Self::PointsAdjusted(event) => Some(&event.after),
            Self::PointsReleased(event) => Some(&event.after),
            Self::PointsVoided(event) => Some(&event.after),
            Self::PointsExpired(event) => Some(&event.after),
            Self::PointsTransferredOut(event) => Some(&event.after),
            Self::PointsTransferredIn(event) => Some(&event.after),
            Self::PointsTransferCompleted(event) => Some(&event.after),
            Self::PointsTransferReturned(event) => Some(&event.after),
            Self::PointsAccountMerged(event) => Some(&event.after),
            Self::PointsAccountAbsorbed(event) => Some(&event.after),
            Self::EstatePartMoved(event) => Some(&event.after),
            Self::EstatePartAbsorbed(event) => Some(&event.after),
            Self::PointsAccountOpened(_)
            | Self::PointsReleaseScheduled(_)
            | Self::PointsExpiryExtended(_)
            | Self::PointsExpiryWarned(_)
            | Self::PointsAccountFrozen(_)
            | Self::PointsAccountUnfrozen(_)
            | Self::PointsAccountRedacted(_)
            | Self::OrderSettled(_) => None,
        }
    }

    /// When points came that can be spent, or were set aside to be spent, if the event says so.
    #[must_use]
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::PointsEarned(event) => event.at,
            Self::PointsReserved(event) => event.at,
            Self::PointsReleased(event) => event.at,
            Self::PointsAdjusted(event) => event.at,
            Self::PointsReinstated(event) => event.at,
            Self::PointsTransferredIn(event) => event.at,
            _ => None,
        }
    }
}
