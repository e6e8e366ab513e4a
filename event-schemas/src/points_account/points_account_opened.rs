//! An account was opened.
use crate::payload;

payload! {
    /// An account was opened, empty.
    PointsAccountOpened {}
    sample: Self {}
}
