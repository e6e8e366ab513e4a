//! Points live longer.
use crate::{Code, Personal, payload, points_account::LotExpiry};

payload! {
    /// Lots got later dates.
    PointsExpiryExtended {
        /// Each lot with its new date.
        lots: Vec<LotExpiry>,
        /// Why.
        reason: Code,
        /// What only staff may read.
        note: Option<Personal<String>>,
    }
    sample: Self {
        lots: vec![LotExpiry { lot: ENTRY, expires_at: expiry() }],
        reason: Code::fixed("goodwill"),
        note: sealed(),
    }
}
