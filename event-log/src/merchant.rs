//! The chain of each merchant within a partition, so that one merchant's history can be proven complete without
//! showing another's. Kept by owners and auditors beside the admit state; `admit` knows nothing of it.

use std::collections::HashMap;

use crate::{bytes_reader::BytesReader, error::Reason, frame::Frame, hash::Hash};

/// The last record of a merchant in a partition: its place and its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MerchantHead {
    /// How many records the merchant has in this partition.
    pub seq: u64,
    /// Hash of the last of them.
    pub hash: Hash,
}

/// The heads of all merchants of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MerchantHeads(HashMap<[u8; 16], MerchantHead>);

impl MerchantHeads {
    /// The head of one merchant; zeros before its first record.
    pub fn get(&self, merchant: &[u8; 16]) -> MerchantHead {
        self.0.get(merchant).copied().unwrap_or(MerchantHead { seq: 0, hash: Hash::ZERO })
    }

    /// Takes an admitted record in.
    ///
    /// # Errors
    /// [`Reason::MerchantChain`] if the record does not extend its merchant's chain, or has one though its kind has none.
    pub fn follow(&mut self, frame: &Frame, hash: Hash) -> Result<(), Reason> {
        if !frame.kind.is_routed() {
            let bare =
                frame.merchant == [0; 16] && frame.merchant_seq == 0 && frame.merchant_prev == Hash::ZERO;
            return if bare { Ok(()) } else { Err(Reason::MerchantChain) };
        }
        let head = self.get(&frame.merchant);
        if Some(frame.merchant_seq) != head.seq.checked_add(1) || frame.merchant_prev != head.hash {
            return Err(Reason::MerchantChain);
        }
        self.0.insert(frame.merchant, MerchantHead { seq: frame.merchant_seq, hash });
        Ok(())
    }

    /// Sorted by merchant, so that equal heads have equal bytes.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let mut heads: Vec<_> = self.0.iter().collect();
        heads.sort_by_key(|(merchant, _)| **merchant);
        bytes.extend((heads.len() as u64).to_be_bytes());
        for (merchant, head) in heads {
            bytes.extend(merchant);
            bytes.extend(head.seq.to_be_bytes());
            bytes.extend(head.hash.as_bytes());
        }
    }

    pub(crate) fn read(reader: &mut BytesReader<'_>) -> Option<Self> {
        let count = reader.u64()?;
        let mut heads = HashMap::new();
        for _ in 0..count {
            let merchant = reader.take()?;
            let head = MerchantHead { seq: reader.u64()?, hash: Hash::from_bytes(reader.take()?) };
            heads.insert(merchant, head);
        }
        Some(Self(heads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::Kind,
        ids::{Term, WriterId},
    };

    fn frame(merchant: u8, merchant_seq: u64, merchant_prev: Hash) -> Frame {
        Frame {
            kind: Kind::Outcome,
            term: Term { number: 1, writer: WriterId::NOBODY },
            seq: 1,
            height: 1,
            prev: Hash::ZERO,
            merchant: [merchant; 16],
            merchant_seq,
            merchant_prev,
            route: [0; 16],
            stream: [0; 16],
            key_count: 0,
        }
    }

    const FIRST: Hash = Hash::from_bytes([1; 32]);
    const SECOND: Hash = Hash::from_bytes([2; 32]);

    #[test]
    fn each_merchant_has_a_chain_of_its_own() {
        let mut heads = MerchantHeads::default();
        assert_eq!(heads.follow(&frame(1, 1, Hash::ZERO), FIRST), Ok(()));
        assert_eq!(heads.follow(&frame(2, 1, Hash::ZERO), SECOND), Ok(()));
        assert_eq!(heads.follow(&frame(1, 2, FIRST), SECOND), Ok(()));
        assert_eq!(heads.get(&[1; 16]), MerchantHead { seq: 2, hash: SECOND });
    }

    #[test]
    fn a_missing_or_repeated_record_of_a_merchant_is_found() {
        let mut heads = MerchantHeads::default();
        heads.follow(&frame(1, 1, Hash::ZERO), FIRST).unwrap();
        for broken in [frame(1, 1, FIRST), frame(1, 3, FIRST), frame(1, 2, SECOND), frame(1, 2, Hash::ZERO)] {
            assert_eq!(heads.follow(&broken, SECOND), Err(Reason::MerchantChain));
        }
    }

    #[test]
    fn claims_and_barriers_belong_to_no_merchant() {
        let mut heads = MerchantHeads::default();
        let barrier = Frame { kind: Kind::Barrier, ..frame(0, 0, Hash::ZERO) };
        assert_eq!(heads.follow(&barrier, FIRST), Ok(()));
        assert_eq!(heads, MerchantHeads::default());
        assert_eq!(heads.follow(&Frame { merchant_seq: 1, ..barrier }, FIRST), Err(Reason::MerchantChain));
    }
}
