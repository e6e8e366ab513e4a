//! What a reader remembers between runs: the whole admit state and the last admitted record.

use crate::{
    admit::State,
    bytes_reader::BytesReader,
    error::{Error, Reason},
    genesis::{Class, Genesis},
    hash::Hash,
    ids::{LogId, Position, WriterId},
    merchant::MerchantHeads,
    reader::AdmittedRecord,
};

const CHECKPOINT_VERSION: u8 = 1;
const COVERING_VERSION: u8 = 1;

/// Where a reader is in one partition of one log. Never of the last record *read*: skipped ones are read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log.
    pub log_id: LogId,
    /// Which partition.
    pub partition: u16,
    /// The whole admit state after the record.
    pub state: State,
    /// Position of the last admitted record; [`Position::START`] if there is none.
    pub position: Position,
    /// Hash of the last admitted record; zeros if there is none.
    pub hash: Hash,
}

impl Checkpoint {
    /// Before the first record.
    pub fn start(genesis: &Genesis, partition: u16) -> Self {
        let state = genesis.state(partition);
        Self { log_id: genesis.log_id, partition, state, position: Position::START, hash: Hash::ZERO }
    }

    /// Whether the checkpoint can be of this log at all; whether its record is still there, only a fetch can tell.
    pub(crate) fn check(&self, genesis: &Genesis, partition: u16) -> Result<(), Reason> {
        let start = Self::start(genesis, partition);
        let same_log = self.log_id == start.log_id
            && self.partition == partition
            && self.state.class == genesis.class
            && (self.position > Position::START || *self == start);
        if same_log { Ok(()) } else { Err(Reason::OtherHistory) }
    }

    /// Version and fields, big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160);
        bytes.push(CHECKPOINT_VERSION);
        bytes.extend(self.log_id.as_bytes());
        bytes.extend(self.partition.to_be_bytes());
        bytes.push(self.state.class as u8);
        bytes.extend(self.state.head.as_bytes());
        bytes.extend(self.state.height.to_be_bytes());
        bytes.extend(self.state.number.to_be_bytes());
        bytes.extend(self.state.writer.as_bytes());
        bytes.extend(self.state.seq.to_be_bytes());
        bytes.extend(self.position.get().to_be_bytes());
        bytes.extend(self.hash.as_bytes());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::BadCheckpoint`] on anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = BytesReader(bytes);
        let checkpoint = Self::read(&mut reader).filter(|_| reader.0.is_empty());
        checkpoint.ok_or(Error::BadCheckpoint)
    }

    fn read(reader: &mut BytesReader<'_>) -> Option<Self> {
        if reader.u8()? != CHECKPOINT_VERSION {
            return None;
        }
        Some(Self {
            log_id: LogId::from_bytes(reader.take()?),
            partition: reader.u16()?,
            state: State {
                class: Class::from_code(reader.u8()?)?,
                head: Hash::from_bytes(reader.take()?),
                height: reader.u64()?,
                number: reader.u64()?,
                writer: WriterId::from_bytes(reader.take()?),
                seq: reader.u64()?,
            },
            position: Position::new(reader.u64()?),
            hash: Hash::from_bytes(reader.take()?),
        })
    }
}

/// The checkpoint of an owner: what it needs besides its own state to claim without reading from the beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Covering {
    /// Where the owner's state was taken, from admitted records only.
    pub checkpoint: Checkpoint,
    /// The merchants' heads there.
    pub merchants: MerchantHeads,
    /// The highest key count of any record up to there.
    pub key_count: u64,
}

impl Covering {
    /// Before the first record.
    pub fn start(genesis: &Genesis, partition: u16) -> Self {
        let checkpoint = Checkpoint::start(genesis, partition);
        Self { checkpoint, merchants: MerchantHeads::default(), key_count: 0 }
    }

    /// Takes in the records that a reader of the partition admitted behind it, all that one call of
    /// [`Reader::next`](crate::Reader::next) gave, and the reader's checkpoint after them.
    ///
    /// # Errors
    /// [`Error::Diverged`] if a record does not extend its merchant's chain.
    pub fn follow(&mut self, records: &[AdmittedRecord], checkpoint: Checkpoint) -> Result<(), Error> {
        for record in records {
            let followed = self.merchants.follow(&record.frame, record.hash);
            followed.map_err(|reason| reason.at(record.partition, record.position))?;
            self.key_count = self.key_count.max(record.frame.key_count);
        }
        self.checkpoint = checkpoint;
        Ok(())
    }

    /// Version and fields, big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![COVERING_VERSION];
        bytes.extend(self.checkpoint.to_bytes());
        bytes.extend(self.key_count.to_be_bytes());
        self.merchants.write(&mut bytes);
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::BadCheckpoint`] on anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = BytesReader(bytes);
        let covering = Self::read(&mut reader).filter(|_| reader.0.is_empty());
        covering.ok_or(Error::BadCheckpoint)
    }

    fn read(reader: &mut BytesReader<'_>) -> Option<Self> {
        if reader.u8()? != COVERING_VERSION {
            return None;
        }
        let checkpoint = Checkpoint::read(reader)?;
        let key_count = reader.u64()?;
        Some(Self { checkpoint, key_count, merchants: MerchantHeads::read(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::{Frame, Kind},
        ids::Term,
    };

    fn sample() -> Covering {
        let genesis = Genesis::new(8, Class::Open);
        let mut covering = Covering { key_count: 5, ..Covering::start(&genesis, 3) };
        covering.checkpoint.position = Position::new(9);
        for merchant in 1..4 {
            let frame = Frame {
                kind: Kind::Commit,
                term: Term { number: 1, writer: WriterId::NOBODY },
                seq: 1,
                height: 1,
                prev: Hash::ZERO,
                merchant: [merchant; 16],
                merchant_seq: 1,
                merchant_prev: Hash::ZERO,
                route: [0; 16],
                stream: [0; 16],
                key_count: 0,
            };
            covering.merchants.follow(&frame, Hash::from_bytes([merchant; 32])).unwrap();
        }
        covering
    }

    #[test]
    fn checkpoints_survive_storage() {
        let covering = sample();
        assert_eq!(Covering::from_bytes(&covering.to_bytes()).unwrap(), covering);
        let checkpoint = covering.checkpoint;
        assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes()).unwrap(), checkpoint);
    }

    #[test]
    fn cut_grown_or_newer_checkpoints_are_refused() {
        let bytes = sample().to_bytes();
        for len in 0..bytes.len() {
            assert!(Covering::from_bytes(&bytes[..len]).is_err());
        }
        let grown = [bytes.clone(), vec![0]].concat();
        let newer = [vec![COVERING_VERSION + 1], bytes[1..].to_vec()].concat();
        assert!(Covering::from_bytes(&grown).is_err());
        assert!(Covering::from_bytes(&newer).is_err());
    }

    #[test]
    fn a_checkpoint_of_another_log_partition_or_beginning_is_refused() {
        let genesis = Genesis::new(8, Class::Conditional);
        let start = Checkpoint::start(&genesis, 1);
        assert_eq!(start.check(&genesis, 1), Ok(()));
        assert_eq!(start.check(&genesis, 2), Err(Reason::OtherHistory));
        assert_eq!(start.check(&Genesis::new(8, Class::Conditional), 1), Err(Reason::OtherHistory));
        assert_eq!(start.check(&Genesis { class: Class::Open, ..genesis }, 1), Err(Reason::OtherHistory));
        let raised = Checkpoint { state: State { number: 1, ..start.state }, ..start };
        assert_eq!(raised.check(&genesis, 1), Err(Reason::OtherHistory));
    }
}
