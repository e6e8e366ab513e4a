//! Why a store did not do a call's work.

/// A store refused a statement, or holds what it should not.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Postgres refused, or could not be asked.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] postgres_store::Error),
    /// A cell holds what nobody writes there.
    #[error("a cell cannot be read: {0}")]
    Cell(String),
    /// A row that must be there is not.
    #[error("a row that must be there is missing")]
    Missing,
}

impl StoreError {
    /// Whether the store cannot be asked at the moment, however right the question is.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(error) => error.is_out_of_reach(),
            _ => false,
        }
    }

    /// Whether the call's own work is to blame, so that it fails the same way however often it is done. Else the store is
    /// away, has no room, cannot be used, or was busy with others.
    #[must_use]
    pub fn is_of_the_call(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(refusal, _)) => !matches!(
                refusal.code,
                Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::FileLockingProtocolFailed
                    | Code::OperationInterrupted
                    | Code::OutOfMemory
                    | Code::SystemIoFailure
                    | Code::DiskFull
                    | Code::CannotOpen
                    | Code::PermissionDenied
                    | Code::ReadOnly
                    | Code::DatabaseCorrupt
                    | Code::NotADatabase
            ),
            Self::Sqlite(_) | Self::Cell(_) | Self::Missing => true,
            #[cfg(feature = "postgres")]
            Self::Postgres(error) => error.is_of_the_statement(),
        }
    }

    /// A cell that holds something else than what was `expected`.
    #[must_use]
    pub fn misread(expected: &str) -> Self {
        Self::Cell(format!("expected {expected}"))
    }

    /// A cell whose value does not convert.
    pub fn of_cell(error: impl std::fmt::Display) -> Self {
        Self::Cell(error.to_string())
    }
}

/// The store could not do a call's work.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store refused. If the connection was lost, the outcome is unknown: the work may come back.
    #[error("the store failed; whether the work is durable is unknown")]
    Store(#[from] StoreError),
    /// The group's commit failed for all its calls; the outcome is unknown.
    #[error("the commit that the call shared failed: {0}")]
    Commit(String),
    /// The store cannot be reached; nothing was done.
    #[error("the store cannot be reached: {0}")]
    Away(String),
    /// The work panicked; nothing of it was kept.
    #[error("the work panicked")]
    Panicked,
    /// The store's thread is gone.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The error with all its causes, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    /// Catches, tried: a full disk counted as a mistake of the call, and a broken rule counted as a disk that is full.
    #[test]
    fn a_file_that_cannot_be_used_at_the_moment_is_no_mistake_of_the_call() {
        let refused = |code| {
            StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).is_of_the_call()
        };
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_FULL, ffi::SQLITE_READONLY] {
            assert!(!refused(code), "{code}");
        }
        for code in [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_ERROR, ffi::SQLITE_TOOBIG] {
            assert!(refused(code), "{code}");
        }
    }
}
