//! Why projections or queries fail. A poison event is no error: it is parked, and the rest goes on.
use event_log::Position;
use event_schemas::record::BodyError;
use group_commit::StoreError;

/// Projections or a query could not do their work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused.
    #[error("the read store failed")]
    Store(#[from] StoreError),
    /// A transaction failed; what it wrote is there wholly or not at all.
    #[error("the read store could not be written")]
    Write(#[from] group_commit::Fault),
    /// The log failed, or its history changed.
    #[error("the log could not be read")]
    Log(#[from] event_log::Error),
    /// A record that this program cannot read: a newer one wrote it, or it is damaged. Never skipped.
    #[error("the record at position {position} of partition {partition} cannot be read")]
    Unreadable {
        /// The partition.
        partition: u16,
        /// The record's place.
        position: Position,
        /// What of it.
        source: BodyError,
    },
    /// Another program writes the same read store.
    #[error("another program moved the checkpoint of {projection} in partition {partition}")]
    Moved {
        /// The projection.
        projection: &'static str,
        /// The partition.
        partition: u16,
    },
    /// A program of another version built the table that is served, which is not read and not written then.
    #[error(
        "the read model {projection} is of version {found}, and this program knows version {known}: {}",
        if found > known { "update this node" } else { "start this node again, and it builds the table anew" }
    )]
    OtherVersion {
        /// The projection.
        projection: &'static str,
        /// The version that is served.
        found: u32,
        /// The version that this program knows.
        known: u32,
    },
    /// The read store is being closed.
    #[error("the read store is closed")]
    Closed,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(feature = "postgres")]
impl From<postgres_store::Error> for Error {
    fn from(error: postgres_store::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Error {
    /// Whether the store or the log cannot be asked at the moment, however right the question is.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Store(error) | Self::Write(group_commit::Fault::Store(error)) => error.is_out_of_reach(),
            Self::Write(group_commit::Fault::Away(_)) | Self::Log(event_log::Error::Storage { .. }) => true,
            _ => false,
        }
    }

    /// Whether this program must give way to one that knows the tables that are served.
    #[must_use]
    pub const fn is_outdated(&self) -> bool {
        matches!(self, Self::OtherVersion { .. })
    }

    /// Whether trying again may help.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::Store(_) | Self::Write(_) | Self::Log(event_log::Error::Storage { .. }) => true,
            Self::Log(_)
            | Self::Unreadable { .. }
            | Self::Moved { .. }
            | Self::OtherVersion { .. }
            | Self::Closed => false,
        }
    }
}

/// The error with all its causes, for a log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
