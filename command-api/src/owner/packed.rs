//! The compact form of state in memory and in `snap.db`: only this very program reads it back.
//!
//! Numbers are varints, a struct is a bitmap of its fields and those fields without their names. A field that is packed as
//! a single zero (nothing, none, the first of an enum) is left out, and so is one that its type skips: the bitmap's lowest
//! bit says that another one follows, of the fields that were skipped. It does not describe itself, so whatever has to look
//! ahead (internally tagged and untagged enums) cannot be read back.
mod read;
mod write;

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

/// A value has no packed form, or bytes are not the packed form of what is expected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PackError(String);

impl PackError {
    pub(super) fn cut() -> Self {
        Self("the packed bytes end too early".to_owned())
    }
}

impl serde::ser::Error for PackError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for PackError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// More fields than this do not fit a struct's bitmap.
const FIELDS_MAX: u32 = 63;

/// Appends the packed value.
pub(crate) fn pack<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), PackError> {
    value.serialize(&mut write::Writer { out })
}

/// Reads one value from the start of the bytes and moves behind it.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, PackError> {
    T::deserialize(&mut read::Reader { rest: bytes })
}

/// The most bytes that [`put_varint`] writes.
pub(super) const VARINT_MAX: usize = 10;

/// Seven bits a byte, lowest first; the high bit says that more follow.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads what [`put_varint`] wrote.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Result<u64, PackError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(PackError::cut)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(PackError("a number has no end".to_owned()))
}

#[cfg(test)]
mod tests;
