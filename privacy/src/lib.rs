//! Keys, the directory and sealing: whatever leads to a person goes through here, and destroying a key ends it.
//!
//! Keys form a tree: the root key wraps the epoch key, the global key and the token key; the epoch key wraps each
//! merchant's wrapping key; that wraps the merchant's own data key, one data key per subject and one per inbox day.
//! What the root wraps is held in memory like the root, and so is a merchant's wrapping key while its row is remembered;
//! data keys are unwrapped for one use and zeroized, and only their wrapped rows are cached. An erasure fences, then
//! overwrites keys; what was remembered of them is forgotten by every process before anybody says that they are gone.
mod aead;
mod blind;
mod cache;
pub mod certificate;
mod chance;
mod channel;
mod damage;
mod day;
mod directory;
mod epochs;
mod erasure;
mod error;
mod keys;
mod kind;
#[cfg(test)]
mod leaks;
mod lease;
mod notices;
mod open;
mod page;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod returned;
mod ring;
mod root;
mod rotation;
mod schema;
mod seal;
mod session;
mod signing;
mod store;
mod strip;
mod sweep;
mod token;
mod vault;

pub use channel::Channel;
pub use damage::{DamagedKey, KeyFault};
pub use directory::{EVERY_MERCHANT, Entry, Reference};
pub use epochs::EpochState;
pub use erasure::{Destroyed, Fenced, Proof, Whom};
pub use error::Error;
pub use kind::Kind;
pub use open::Opened;
pub use root::RootKey;
pub use rotation::Rotated;
pub use seal::{EventSealer, SubjectSealer};
pub use store::KeyStore;
pub use sweep::DirectoryRow;
pub use token::MerchantScope;
