//! The fixed binary head of every record, and its one encode and decode.

use bytes::Bytes;

use crate::{
    bytes_reader::BytesReader,
    hash::{Hash, Purpose, digest},
    ids::{Term, WriterId},
};

/// The longest body a record may have.
pub const BODY_LEN_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the frame before the body.
pub const FRAME_LEN: usize = 174;

/// The first byte of every record. It only rises, and it does with a new [`Kind`] too: who does not know it must stop, and
/// can tell by nothing else.
pub(crate) const FORMAT: u8 = 1;
/// The first byte of what a store knows to be nobody's record.
#[cfg(feature = "kafka")]
pub(crate) const NO_FORMAT: u8 = 0;

/// What a record is, as far as the log cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A writer takes the partition.
    Claim = 1,
    /// A command's answer with its events.
    Commit = 2,
    /// A command's answer without events.
    Outcome = 3,
    /// Says nothing, except that everything before it was admitted.
    Barrier = 4,
}

impl Kind {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Claim, Self::Commit, Self::Outcome, Self::Barrier].into_iter().find(|kind| *kind as u8 == code)
    }

    /// Commits and outcomes belong to a merchant and a route; claims and barriers to nobody.
    pub(crate) fn is_routed(self) -> bool {
        matches!(self, Self::Commit | Self::Outcome)
    }
}

/// What stands before every body: the place in the chain, and where the record belongs.
///
/// Encoded big-endian: format (1 byte), kind (1), number (8), writer (16), seq (8), height (8), prev (32), merchant (16),
/// merchant_seq (8), merchant_prev (32), route (16), stream (16), key_count (8), body length (4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What the record is.
    pub kind: Kind,
    /// Whose term it was written in; a claim's own term.
    pub term: Term,
    /// Its place in the term: 0 for the claim, then 1, 2, 3.
    pub seq: u64,
    /// Its place among the admitted records of the partition, from 1; a claim's is what the claimer expected.
    pub height: u64,
    /// The chain's head before it; a claim's is what the claimer saw.
    pub prev: Hash,
    /// Whose record it is; zeros for claims and barriers.
    pub merchant: [u8; 16],
    /// Its place among the merchant's records in this partition, from 1; 0 for claims and barriers.
    pub merchant_seq: u64,
    /// Hash of the merchant's record before it in this partition; zeros for the first.
    pub merchant_prev: Hash,
    /// Decides, with the merchant, which partition it belongs to.
    pub route: [u8; 16],
    /// Which aggregate it is about.
    pub stream: [u8; 16],
    /// How many inserts the key store had counted; a key store below the log's highest may not open.
    pub key_count: u64,
}

/// A record as stored: its bytes, what they say and their hash. The body follows the frame in `bytes`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The frame at the start of the bytes.
    pub frame: Frame,
    /// Frame and body, exactly as hashed and stored.
    pub bytes: Bytes,
    /// Hash of `bytes`.
    pub hash: Hash,
}

/// Bytes that are not a record of a format we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Undecodable {
    /// Nobody's record.
    #[error("the bytes are not a record")]
    NoRecord,
    /// Whether it is history only a newer program can tell.
    #[error("the record has a newer format")]
    Newer,
}

impl Record {
    /// Writes frame and body. The body is at most [`BODY_LEN_MAX`] bytes; the writer refuses longer ones before this.
    pub fn encode(frame: Frame, body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(FRAME_LEN + body.len());
        bytes.extend([FORMAT, frame.kind as u8]);
        bytes.extend(frame.term.number.to_be_bytes());
        bytes.extend(frame.term.writer.as_bytes());
        bytes.extend(frame.seq.to_be_bytes());
        bytes.extend(frame.height.to_be_bytes());
        bytes.extend(frame.prev.as_bytes());
        bytes.extend(frame.merchant);
        bytes.extend(frame.merchant_seq.to_be_bytes());
        bytes.extend(frame.merchant_prev.as_bytes());
        bytes.extend(frame.route);
        bytes.extend(frame.stream);
        bytes.extend(frame.key_count.to_be_bytes());
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
        let hash = hash_of(&bytes);
        Self { frame, bytes: bytes.into(), hash }
    }

    /// Reads a record; every byte must be accounted for.
    ///
    /// # Errors
    /// [`Undecodable`] on another format, an unknown kind, or a body of another length than the frame says.
    pub fn decode(bytes: Bytes) -> Result<Self, Undecodable> {
        let frame = frame(&bytes)?;
        let hash = hash_of(&bytes);
        Ok(Self { frame, bytes, hash })
    }

    /// What follows the frame.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(FRAME_LEN..)
    }
}

/// The hash by which a record is known, decodable or not.
pub(crate) fn hash_of(bytes: &[u8]) -> Hash {
    digest(Purpose::Record, &[bytes])
}

/// The frame at the start of a record's bytes, if they are one.
pub(crate) fn frame(bytes: &[u8]) -> Result<Frame, Undecodable> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => frame_of_this_format(rest).ok_or(Undecodable::NoRecord),
        Some((format, _)) if *format > FORMAT => Err(Undecodable::Newer),
        _ => Err(Undecodable::NoRecord),
    }
}

fn frame_of_this_format(bytes: &[u8]) -> Option<Frame> {
    let mut reader = BytesReader(bytes);
    let frame = Frame {
        kind: Kind::from_code(reader.u8()?)?,
        term: Term { number: reader.u64()?, writer: WriterId::from_bytes(reader.take()?) },
        seq: reader.u64()?,
        height: reader.u64()?,
        prev: Hash::from_bytes(reader.take()?),
        merchant: reader.take()?,
        merchant_seq: reader.u64()?,
        merchant_prev: Hash::from_bytes(reader.take()?),
        route: reader.take()?,
        stream: reader.take()?,
        key_count: reader.u64()?,
    };
    let body_len = usize::try_from(reader.u32()?).ok()?;
    (reader.0.len() == body_len).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Frame {
        Frame {
            kind: Kind::Commit,
            term: Term { number: 2, writer: WriterId::from_bytes([3; 16]) },
            seq: 4,
            height: 5,
            prev: Hash::from_bytes([6; 32]),
            merchant: [7; 16],
            merchant_seq: 8,
            merchant_prev: Hash::from_bytes([9; 32]),
            route: [10; 16],
            stream: [11; 16],
            key_count: 12,
        }
    }

    #[test]
    fn a_record_survives_encoding() {
        let record = Record::encode(sample(), b"body");
        assert_eq!(record.bytes.len(), FRAME_LEN + 4);
        assert_eq!(Record::decode(record.bytes.clone()).as_ref(), Ok(&record));
        assert_eq!(record.body(), "body");
    }

    /// Computed by another implementation from the layout in the rustdoc; a change breaks every log ever written.
    #[test]
    fn the_bytes_and_the_hash_never_change() {
        let record = Record::encode(sample(), b"body");
        assert_eq!(
            record.hash.to_string(),
            "f65e70536400eaff85250ddce4078a9ce505e7748694939e6dd036cd5f425dd5"
        );
    }

    #[test]
    fn a_changed_bit_anywhere_is_another_record() {
        let record = Record::encode(sample(), b"body");
        for index in 0..record.bytes.len() {
            let mut bytes = record.bytes.to_vec();
            bytes[index] ^= 1;
            let hash = Record::decode(bytes.into()).map(|changed| changed.hash);
            assert_ne!(hash, Ok(record.hash), "byte {index}");
        }
    }

    #[test]
    fn bytes_that_are_cut_grown_or_of_another_format_are_undecodable() {
        let bytes = Record::encode(sample(), b"body").bytes;
        let mut grown = bytes.to_vec();
        grown.push(0);
        let mut no_format = bytes.to_vec();
        no_format[0] = 0;
        let mut other_kind = bytes.to_vec();
        other_kind[1] = 9;
        let cut = bytes.slice(..bytes.len() - 1);
        for bad in [Bytes::new(), cut, grown.into(), no_format.into(), other_kind.into()] {
            assert_eq!(Record::decode(bad), Err(Undecodable::NoRecord));
        }
    }

    #[test]
    fn whatever_begins_with_a_higher_format_is_a_newer_programs_record() {
        let mut bytes = Record::encode(sample(), b"body").bytes.to_vec();
        for format in [FORMAT + 1, u8::MAX] {
            bytes[0] = format;
            for len in [1, FRAME_LEN - 1, bytes.len()] {
                let record = Bytes::copy_from_slice(&bytes[..len]);
                assert_eq!(Record::decode(record), Err(Undecodable::Newer));
            }
        }
    }
}
