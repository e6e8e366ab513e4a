//! A reward left the catalogue.
use crate::payload;

payload! {
    /// A reward can no longer be had. Codes that were issued stay valid.
    RewardRetired {}
    sample: Self {}
}
