//! The key that signs what this installation vouches for.
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use crate::{Error, KeyStore};

/// Length of a public key.
pub(crate) const PUBLIC_LEN: usize = 32;
/// Length of a signature.
pub(crate) const SIGNATURE_LEN: usize = 64;

/// An Ed25519 key pair, held in memory like the root key that wraps its seed.
pub(crate) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(crate) fn new(seed: &[u8; 32]) -> Result<Self, Error> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| Error::Crypto)
    }
}

impl KeyStore {
    /// The Ed25519 signature of these bytes under the installation's key, which is made with the store.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(self.vault.signer.0.sign(bytes).as_ref());
        signature
    }

    /// The key that verifies [`KeyStore::sign`]. Publish it where whoever verifies does not have to ask us.
    #[must_use]
    pub fn public_key(&self) -> [u8; PUBLIC_LEN] {
        let mut public = [0; PUBLIC_LEN];
        public.copy_from_slice(self.vault.signer.0.public_key().as_ref());
        public
    }
}
