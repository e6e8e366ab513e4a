//! Where keys and nonces get their random bits: from the cryptographic library, or in a simulated world from its seed.
use aws_lc_rs::{error::Unspecified, rand};

/// Fills with bits that nobody can guess.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Unspecified> {
    #[cfg(feature = "simulated")]
    if seeded::fill(bytes) {
        return Ok(());
    }
    rand::fill(bytes)
}
