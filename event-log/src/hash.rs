//! SHA-256 with a prefix per purpose and the length of every part, so that no two meanings share a digest.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::ids::hex;

/// Recorded in genesis; a change of anything in this file is a new version.
pub(crate) const HASH_VERSION: u8 = 1;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Stands for "nothing before"; no input is known to have this digest.
    pub const ZERO: Self = Self([0; 32]);

    /// Takes the 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// What a digest is taken for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Genesis,
    Record,
    Head,
    Route,
}

impl Purpose {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Genesis => b"event-log genesis 1\0",
            Self::Record => b"event-log record 1\0",
            Self::Head => b"event-log head 1\0",
            Self::Route => b"event-log route 1\0",
        }
    }
}

/// Prefix, then for each part its length (8 bytes, big-endian) and its bytes.
pub(crate) fn digest(purpose: Purpose, parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(purpose.prefix());
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Hash(bytes)
}

/// Rolls the head over a record: a hash of the record's own hash, so that its bytes are read once
/// and a chain can be proven by someone who may see only hashes.
pub(crate) fn roll(head: Hash, record: Hash) -> Hash {
    digest(Purpose::Head, &[head.as_bytes(), record.as_bytes()])
}
