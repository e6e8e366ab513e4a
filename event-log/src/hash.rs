//! SHA-256 with a prefix per purpose and the length of every part, so that no two meanings share a digest.

use std::{cell::RefCell, fmt};

use aws_lc_rs::digest::{self, Context, SHA256};

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

/// Inputs of up to so many bytes are put together and hashed in one call: taking them in part by part costs more than
/// hashing them.
const ONE_CALL_MAX: usize = 64 * 1024;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Prefix, then for each part its length (8 bytes, big-endian) and its bytes.
pub(crate) fn digest(purpose: Purpose, parts: &[&[u8]]) -> Hash {
    let digest = if parts.iter().map(|part| part.len()).sum::<usize>() <= ONE_CALL_MAX {
        INPUT.with_borrow_mut(|input| {
            input.clear();
            feed(purpose, parts, |bytes| input.extend_from_slice(bytes));
            digest::digest(&SHA256, input)
        })
    } else {
        let mut context = Context::new(&SHA256);
        feed(purpose, parts, |bytes| context.update(bytes));
        context.finish()
    };
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    Hash(bytes)
}

fn feed(purpose: Purpose, parts: &[&[u8]], mut take: impl FnMut(&[u8])) {
    take(purpose.prefix());
    for part in parts {
        take(&(part.len() as u64).to_be_bytes());
        take(part);
    }
}

/// Rolls the head over a record: a hash of the record's own hash, so that its bytes are read once
/// and a chain can be proven by someone who may see only hashes.
pub(crate) fn roll(head: Hash, record: Hash) -> Hash {
    digest(Purpose::Head, &[head.as_bytes(), record.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_hashed_the_same_in_one_call_and_in_parts() {
        let long = vec![7; ONE_CALL_MAX];
        for parts in [&[&long[..]][..], &[&long, b"more"], &[b"", b"short"]] {
            let mut context = Context::new(&SHA256);
            feed(Purpose::Record, parts, |bytes| context.update(bytes));
            assert_eq!(digest(Purpose::Record, parts).as_bytes(), context.finish().as_ref());
        }
    }
}
