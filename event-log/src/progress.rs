//! How far one partition was read: each record is admitted, and held against what was read before it.

use tracing::error;

use crate::{
    admit::{Admission, State, admit},
    backend::{Fetched, Last, StoreHead, Stored},
    checkpoint::Checkpoint,
    error::{Diverged, Reason},
    frame::{Kind, Record, Undecodable, hash_of},
    genesis::{Class, Genesis},
    hash::Hash,
    ids::Position,
    mutation::{Mutation, planted},
    reader::{AdmittedRecord, Skipped},
};

/// What changes from fetch to fetch, as a whole or not at all.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) checkpoint: Checkpoint,
    /// The last record *read*, skipped or not; it must still be there at the next fetch.
    pub(crate) read_position: Position,
    read_hash: Hash,
    pub(crate) skipped: Skipped,
    /// Of that, what stands before the checkpoint.
    pub(crate) skipped_before: Skipped,
    /// Where the first orphan stands behind the last claim.
    pub(crate) orphaned_at: Option<Position>,
}

impl Progress {
    pub(crate) fn new(from: Checkpoint) -> Self {
        Self {
            checkpoint: from,
            read_position: from.position,
            read_hash: from.hash,
            skipped: Skipped::default(),
            skipped_before: Skipped::default(),
            orphaned_at: None,
        }
    }

    /// Everything that a fetch of this partition alone found.
    pub(crate) fn take(
        &mut self,
        genesis: &Genesis,
        fetched: Fetched,
        all_read: bool,
    ) -> Result<Vec<AdmittedRecord>, Diverged> {
        let partition = self.checkpoint.partition;
        self.recheck(&fetched.last).map_err(|reason| reason.at(partition, self.read_position))?;
        let mut records = Vec::with_capacity(fetched.records.len());
        for stored in fetched.records {
            let position = stored.position;
            let admitted = self.read(genesis, stored).map_err(|reason| reason.at(partition, position))?;
            records.extend(admitted);
        }
        if all_read {
            self.check_end(genesis, fetched.head)?;
        }
        Ok(records)
    }

    /// There is nothing behind what was read, and the store must say so too.
    pub(crate) fn check_end(&self, genesis: &Genesis, head: Option<StoreHead>) -> Result<(), Diverged> {
        let keeps_head = genesis.class == Class::Conditional;
        if planted(Mutation::SkipStoreHead) {
            return Ok(());
        }
        if keeps_head && head != Some(StoreHead::from(&self.checkpoint.state)) {
            return Err(Reason::StoreHead.at(self.checkpoint.partition, self.read_position));
        }
        Ok(())
    }

    /// What was read last must still be there.
    pub(crate) fn recheck(&self, last: &Last) -> Result<(), Reason> {
        let begins_here = self.read_position == Position::START;
        match last {
            Last::OtherLog => Err(Reason::OtherHistory),
            _ if begins_here || planted(Mutation::SkipRecheck) => Ok(()),
            Last::Unbroken => Ok(()),
            Last::Bytes(bytes) if hash_of(bytes) == self.read_hash => Ok(()),
            Last::Bytes(_) => Err(Reason::LastReadChanged),
            Last::Absent => Err(Reason::LastReadGone),
        }
    }

    /// The next record; nothing if it is to be skipped.
    pub(crate) fn read(
        &mut self,
        genesis: &Genesis,
        stored: Stored,
    ) -> Result<Option<AdmittedRecord>, Reason> {
        let Stored { position, bytes } = stored;
        if position <= self.read_position {
            return Err(Reason::OutOfOrder);
        }
        self.read_position = position;
        let record = match Record::decode(bytes.clone()) {
            Ok(record) => record,
            Err(why) => return self.skip_undecodable(&bytes, why),
        };
        self.read_hash = record.hash;
        match admit(&mut self.checkpoint.state, &record) {
            Admission::Admitted => self.admitted(genesis, position, &record).map(Some),
            Admission::Stale => {
                self.skipped.stale += 1;
                Ok(None)
            }
            Admission::Orphan => {
                self.skipped.orphans += 1;
                if !planted(Mutation::OverlookOrphans) {
                    self.orphaned_at.get_or_insert(position);
                }
                Ok(None)
            }
            Admission::Diverged(reason) => Err(reason),
        }
    }

    fn skip_undecodable(&mut self, bytes: &[u8], why: Undecodable) -> Result<Option<AdmittedRecord>, Reason> {
        if self.checkpoint.state.class == Class::Conditional || why == Undecodable::Newer {
            return Err(why.into());
        }
        error!(
            log.partition = self.checkpoint.partition,
            log.position = self.read_position.get(),
            "Skipped undecodable bytes in partition {} at position {}",
            self.checkpoint.partition,
            self.read_position,
        );
        self.read_hash = hash_of(bytes);
        self.skipped.undecodable += 1;
        Ok(None)
    }

    fn admitted(
        &mut self,
        genesis: &Genesis,
        position: Position,
        record: &Record,
    ) -> Result<AdmittedRecord, Reason> {
        let partition = self.checkpoint.partition;
        let Record { frame, hash, .. } = *record;
        if frame.kind.is_routed() && genesis.partition_of(frame.merchant, frame.route) != partition {
            return Err(Reason::Misrouted);
        }
        if frame.kind == Kind::Claim {
            self.orphaned_at = None;
        }
        self.checkpoint.position = position;
        self.checkpoint.hash = hash;
        self.skipped_before = self.skipped;
        let State { height, head, .. } = self.checkpoint.state;
        Ok(AdmittedRecord { partition, position, frame, body: record.body(), hash, height, head })
    }
}

/// Alarms that nothing more is read.
pub(crate) fn told(genesis: &Genesis, diverged: Diverged) {
    error!(
        log.id = %genesis.log_id,
        log.partition = diverged.partition,
        log.position = diverged.position.get(),
        "Stopped reading partition {} of log {}: {diverged}", diverged.partition, genesis.log_id,
    );
}
