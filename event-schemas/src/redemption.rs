//! Events of one exchange of points for a reward. `RedemptionRequested` is the intent; the outcome follows the call.
mod discount_code_issued;
mod redemption_cancelled;
mod redemption_completed;
mod redemption_expired;
mod redemption_failed;
mod redemption_requested;

pub use discount_code_issued::DiscountCodeIssued;
pub use redemption_cancelled::RedemptionCancelled;
pub use redemption_completed::RedemptionCompleted;
pub use redemption_expired::RedemptionExpired;
pub use redemption_failed::RedemptionFailed;
pub use redemption_requested::RedemptionRequested;
