//! Events of one customer's ledger. Each carries the whole split and the balances after it, so no reader repeats a rule.
mod balances;
mod movements;
mod points_account_opened;
mod points_adjusted;
mod points_clawed_back;
mod points_earned;
mod points_redeemed;
mod points_reinstated;
mod points_reservation_released;
mod points_reserved;

pub use balances::Balances;
pub use movements::{Allocation, RuleUsed, Source};
pub use points_account_opened::PointsAccountOpened;
pub use points_adjusted::PointsAdjusted;
pub use points_clawed_back::PointsClawedBack;
pub use points_earned::PointsEarned;
pub use points_redeemed::PointsRedeemed;
pub use points_reinstated::PointsReinstated;
pub use points_reservation_released::PointsReservationReleased;
pub use points_reserved::PointsReserved;
