//! How a delivery's body lies under its seal: compressed where that makes it shorter, else JSON as it came.
//!
//! Compressed before it is sealed, because afterwards nothing can be. A row's length then tells a little of what is in it
//! to who holds the file; nobody can ask for lengths of texts of their choice mixed with a secret.
use std::{borrow::Cow, cell::RefCell};

use lz4_flex::block::{self, CompressTable};

use super::{door::BODY_LEN_MAX, inbox::Error};

/// First byte of an LZ4 block behind its clear length (4 bytes, little-endian). No JSON begins with it.
const LZ4: u8 = 1;
const HEAD_LEN: usize = 5;
/// What a thread keeps room for: bodies of nearly 32 KiB. Longer ones bring their own.
const PACKED_LEN: usize = 32 * 1024;

/// What a thread compresses with. Made anew for each body it would cost as much as compressing does.
struct Press {
    table: CompressTable,
    packed: Vec<u8>,
}

thread_local! {
    static PRESS: RefCell<Press> =
        RefCell::new(Press { table: CompressTable::small(), packed: vec![0; PACKED_LEN] });
}

/// What is sealed of a body.
pub(super) fn packed(json: &[u8]) -> Cow<'_, [u8]> {
    let length = HEAD_LEN + block::get_maximum_output_size(json.len());
    if length > PACKED_LEN {
        return compressed(json, &mut CompressTable::default(), &mut vec![0; length]);
    }
    PRESS.with_borrow_mut(|Press { table, packed }| compressed(json, table, packed))
}

fn compressed<'a>(json: &'a [u8], table: &mut CompressTable, packed: &mut [u8]) -> Cow<'a, [u8]> {
    let Ok(length) = u32::try_from(json.len()) else { return Cow::Borrowed(json) };
    packed[0] = LZ4;
    packed[1..HEAD_LEN].copy_from_slice(&length.to_le_bytes());
    match block::compress_into_with_table(json, &mut packed[HEAD_LEN..], table) {
        Ok(block_len) if HEAD_LEN + block_len < json.len() => {
            Cow::Owned(packed[..HEAD_LEN + block_len].to_vec())
        }
        // It would not be shorter.
        Ok(_) | Err(_) => Cow::Borrowed(json),
    }
}

/// The body again, also of rows from before there was compression.
pub(super) fn unpacked(kept: Vec<u8>) -> Result<Vec<u8>, Error> {
    let Some((&LZ4, rest)) = kept.split_first() else { return Ok(kept) };
    let (length, packed) = rest.split_first_chunk::<4>().ok_or(Error::NotUnpacked)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Error::NotUnpacked)?;
    // The length was sealed with the rest, so this only keeps a mistake of ours from taking all memory.
    if length > BODY_LEN_MAX {
        return Err(Error::NotUnpacked);
    }
    let json = block::decompress(packed, length).map_err(|_| Error::NotUnpacked)?;
    if json.len() == length { Ok(json) } else { Err(Error::NotUnpacked) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(lines: usize) -> Vec<u8> {
        let line = r#"{"id":7,"title":"Coffee","price":"5.40","quantity":1,"tax_lines":[]}"#;
        format!(r#"{{"line_items":[{}]}}"#, vec![line; lines].join(",")).into_bytes()
    }

    #[test]
    fn a_body_comes_back_as_it_was_and_a_long_one_takes_less() {
        for json in [b"{}".to_vec(), b"7".to_vec(), order(1), order(80), order(90_000)] {
            let packed = packed(&json).into_owned();
            assert!(packed.len() <= json.len());
            assert_eq!(unpacked(packed).unwrap(), json);
        }
        assert!(packed(&order(80)).len() * 4 < order(80).len());
    }

    #[test]
    fn a_body_from_before_compression_is_read_as_it_lies() {
        for json in [&b"{\"id\":7}"[..], b" [1]", b""] {
            assert_eq!(unpacked(json.to_vec()).unwrap(), json);
        }
    }

    #[test]
    fn what_is_cut_or_claims_another_length_is_refused() {
        let whole = packed(&order(80)).into_owned();
        for cut in 1..whole.len() {
            assert!(unpacked(whole[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        for length in [0, 1, u32::MAX] {
            let mut changed = whole.clone();
            changed[1..HEAD_LEN].copy_from_slice(&length.to_le_bytes());
            assert!(unpacked(changed).is_err(), "{length}");
        }
    }
}
