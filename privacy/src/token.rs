//! Bearer tokens and secrets, derived from one key and never stored: both APIs verify them without a table.
use aws_lc_rs::constant_time::verify_slices_are_equal;
use event_schemas::MerchantId;

use crate::KeyStore;

/// Proof that a caller may see one merchant's data. Only a verified token makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MerchantScope {
    merchant: MerchantId,
    generation: u32,
}

impl MerchantScope {
    /// The merchant.
    #[must_use]
    pub const fn merchant(self) -> MerchantId {
        self.merchant
    }

    /// Generation of the token; who revokes tokens refuses older ones.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// A scope without a token.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub const fn for_tests(merchant: MerchantId) -> Self {
        Self { merchant, generation: 1 }
    }
}

impl KeyStore {
    /// The merchant's bearer token of this generation, `lnt_<merchant>_<generation>_<mac>`; always the same.
    #[must_use]
    pub fn issue_token(&self, merchant: MerchantId, generation: u32) -> String {
        let mac = self.vault.token.mac("loyalnest/token/1", &[&merchant.bytes(), &generation.to_be_bytes()]);
        format!("lnt_{}_{generation}_{}", merchant.0.simple(), hex::encode(mac))
    }

    /// The scope of a token that this installation issued. Compares in constant time.
    #[must_use]
    pub fn verify_token(&self, token: &str) -> Option<MerchantScope> {
        let (merchant, rest) = token.strip_prefix("lnt_")?.split_once('_')?;
        let merchant: MerchantId = merchant.parse().ok()?;
        let generation = rest.split_once('_')?.0.parse().ok()?;
        // The whole text is compared, so no second spelling of a token is one.
        verify_slices_are_equal(self.issue_token(merchant, generation).as_bytes(), token.as_bytes()).ok()?;
        Some(MerchantScope { merchant, generation })
    }

    /// A secret of this installation, 64 hexadecimal digits, the same after every start.
    #[must_use]
    pub fn derived_secret(&self, purpose: &str) -> String {
        hex::encode(self.vault.token.mac("loyalnest/secret/1", &[purpose.as_bytes()]))
    }
}
