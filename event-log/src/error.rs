//! What can go wrong, as a reader or an owner has to tell it apart.

use std::{path::PathBuf, sync::Arc};

use crate::{frame::Undecodable, ids::Position};

/// Any cause, kept as the source of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A fault of the log or of what it stands on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log holds another history than the one read before: stop and alarm.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The store failed; the call may be repeated.
    #[error(transparent)]
    Storage(#[from] Fault),
    /// There is no log to open; only `init` makes one.
    #[error("there is no log at {place}")]
    NotFound {
        /// Where it was looked for.
        place: String,
    },
    /// `init` never touches what is there.
    #[error("something is already at {place}")]
    AlreadyExists {
        /// What is in the way.
        place: String,
    },
    /// The server as it is cannot be trusted with a log, or does not let us.
    #[error("the log at {place} cannot be used: {reason}")]
    Unusable {
        /// The server, without secrets.
        place: String,
        /// What to change.
        reason: String,
    },
    /// Another process, or another log of this one, may write.
    #[error("the log at {} is open for writing elsewhere", path.display())]
    Locked {
        /// The log.
        path: PathBuf,
    },
    /// The file is no log of a version we know.
    #[error("the file at {} is not a log: {reason}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The log was opened read-only.
    #[error("the log was opened read-only")]
    ReadOnly,
    /// The log has no such partition.
    #[error("partition {partition} is not one of the log's {partitions}")]
    NoSuchPartition {
        /// The partition asked for.
        partition: u16,
        /// How many there are.
        partitions: u16,
    },
    /// Bytes that are not a checkpoint of a version we know.
    #[error("the bytes are not a checkpoint")]
    BadCheckpoint,
    /// The owner could not take a record into its state while it claimed.
    #[error("the owner of partition {partition} could not take in the record at position {position}")]
    Owner {
        /// The partition being claimed.
        partition: u16,
        /// The record's position.
        position: Position,
        /// What the owner said.
        #[source]
        source: BoxError,
    },
    /// No claim was admitted in time.
    #[error("partition {partition} could not be claimed in {attempts} attempts")]
    ClaimTimedOut {
        /// The partition being claimed.
        partition: u16,
        /// How often it was tried.
        attempts: u32,
        /// Why the last attempt failed, if the store said so.
        #[source]
        source: Option<Fault>,
    },
    /// A record was not durable and read back in time.
    #[error("no word of a record of partition {partition} within the time allowed")]
    AppendTimedOut {
        /// The record's partition.
        partition: u16,
    },
    /// A record of ours fell out of its place because one before it is missing.
    #[error("a record of partition {partition} was orphaned")]
    Orphaned {
        /// The record's partition.
        partition: u16,
    },
}

/// The store failed. What was asked of it may or may not have happened.
#[derive(Debug, thiserror::Error)]
#[error("the log's store failed to {action}")]
pub struct Fault {
    /// What it was doing.
    pub action: &'static str,
    /// What it said.
    #[source]
    pub source: BoxError,
}

impl Fault {
    /// A failure to do `action`.
    pub fn new(action: &'static str, source: impl Into<BoxError>) -> Self {
        Self { action, source: source.into() }
    }
}

/// A reader met another history than its own. It stops for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("partition {partition} diverged at position {position}: {reason}")]
pub struct Diverged {
    /// The partition.
    pub partition: u16,
    /// Where it was noticed.
    pub position: Position,
    /// What does not fit.
    pub reason: Reason,
}

/// What does not fit in a history that diverged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reason {
    /// `prev` or `height` does not follow the head.
    #[error("the record does not extend the chain")]
    ChainBroken,
    /// The claim of the record's writer was never admitted here.
    #[error("the record's writer never claimed this term")]
    UnknownWriter,
    /// On a conditional store every claim extends the head.
    #[error("the claim does not extend the chain")]
    ClaimOffHead,
    /// On a conditional store no record of an older term, and no duplicate, can be stored.
    #[error("the record is stale")]
    Stale,
    /// On a conditional store no record can have a gap before it.
    #[error("a record before it is missing")]
    Orphan,
    /// On a conditional store every record is decodable.
    #[error("the bytes are not a record")]
    Undecodable,
    /// The record is of a format that only a newer program knows, so nobody here can say what follows from it.
    #[error("the record has a newer format than this program knows: update this program")]
    Newer,
    /// The last record read is not there any more.
    #[error("the last record read is gone")]
    LastReadGone,
    /// The last record read has other bytes now.
    #[error("the last record read was changed")]
    LastReadChanged,
    /// Positions of a partition only rise.
    #[error("the position does not follow the one before")]
    OutOfOrder,
    /// A checkpoint of another log, partition or beginning.
    #[error("the checkpoint is of another history")]
    OtherHistory,
    /// The store's own head is not the head of its records.
    #[error("the store's head is not the head of its records")]
    StoreHead,
    /// The record's route belongs to another partition.
    #[error("the record's route belongs to another partition")]
    Misrouted,
    /// The merchant's own chain does not fit.
    #[error("the record does not extend its merchant's chain")]
    MerchantChain,
}

impl From<Undecodable> for Reason {
    fn from(undecodable: Undecodable) -> Self {
        match undecodable {
            Undecodable::NoRecord => Self::Undecodable,
            Undecodable::Newer => Self::Newer,
        }
    }
}

impl Reason {
    pub(crate) fn at(self, partition: u16, position: Position) -> Diverged {
        Diverged { partition, position, reason: self }
    }
}

/// Why a writer takes no more records.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// Somebody newer owns the partition: answer 503, drop speculative state, serve nothing; claim again only if still assigned.
    #[error("partition {partition} was claimed by a newer writer of term {number}")]
    Fenced {
        /// The partition.
        partition: u16,
        /// The newer term.
        number: u64,
    },
    /// It is unknown what of the unanswered records is in the log: keep the commands and claim again; a command found
    /// in the rebuilt state has its outcome there, one not found is decided again like a new one.
    #[error("it is unknown whether records of partition {partition} were stored")]
    Doubt {
        /// The partition.
        partition: u16,
        /// What raised the doubt.
        #[source]
        source: Arc<Error>,
    },
    /// The history changed under the writer: stop and alarm.
    #[error(transparent)]
    Diverged(#[from] Diverged),
}

/// Why a record was not even tried. Nothing of it was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The writer takes no more records.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The route belongs to another partition.
    #[error("a record for partition {belongs_to} was handed to partition {partition}")]
    Misrouted {
        /// The writer's partition.
        partition: u16,
        /// The route's partition.
        belongs_to: u16,
    },
    /// The body is longer than [`crate::BODY_LEN_MAX`].
    #[error("a body of {body_len} bytes is too large for the log")]
    TooLarge {
        /// The body's length in bytes.
        body_len: usize,
    },
}
