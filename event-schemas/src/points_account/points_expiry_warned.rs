//! Points will end soon.
use crate::{Points, Timestamp, payload};

payload! {
    /// Points will end within some days unless they are spent. Told once for each date and number of days.
    PointsExpiryWarned {
        /// Within so many days.
        days: u32,
        /// How many points.
        points: Points,
        /// When.
        expires_at: Timestamp,
    }
    sample: Self { days: 30, points: points(54), expires_at: expiry() }
}
