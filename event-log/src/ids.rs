//! The names of things in a log: logs, writers, terms and places.

use std::fmt;

use crate::chance::with_rng;

/// Who a log is, for ever: 128 random bits drawn by `init`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 16]);

/// Who claimed a term: 128 fresh random bits for every attempt to claim. Writers are compared for equality, never ordered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriterId([u8; 16]);

macro_rules! opaque_id {
    ($name:ident) => {
        impl $name {
            /// Takes the 16 bytes as they are.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Draws 128 random bits.
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                with_rng(|rng| rng.fill_bytes(&mut bytes));
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
    };
}

opaque_id!(LogId);
opaque_id!(WriterId);

impl WriterId {
    /// The writer of the time before the first claim.
    pub const NOBODY: Self = Self([0; 16]);
}

/// One ownership of a partition: the number orders terms, the writer tells two claims of one number apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term {
    /// Rises with every admitted claim; 0 before the first.
    pub number: u64,
    /// Who claimed it.
    pub writer: WriterId,
}

/// A place in a partition: strictly increasing, not gapless, comparable only within one partition of one log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Position(u64);

impl Position {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// The position with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number; it fits 63 bits.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(crate) fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; 64];
    bytes.chunks(text.len() / 2).try_for_each(|bytes| {
        let text = &mut text[..2 * bytes.len()];
        hex::encode_to_slice(bytes, text).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(text).map_err(|_| fmt::Error)?)
    })
}
