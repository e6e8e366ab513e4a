//! Where a read store is.
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A file, or a database; shown without its password.
#[derive(Clone, Debug)]
pub enum ReadAddress {
    /// A SQLite file.
    File(PathBuf),
    /// A database of a Postgres.
    #[cfg(feature = "postgres")]
    Postgres(postgres_store::Address),
}

/// Why a text names no database. It never holds the text, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum NoReadAddress {
    /// The address of a database is wrong.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] postgres_store::Error),
    /// This program was built without it.
    #[error("this executable was built without Postgres; build it with --features postgres")]
    NotBuiltIn,
    /// No kind of database is called so.
    #[error("expected postgres://user:password@host:port/database")]
    Unknown,
}

impl ReadAddress {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        }
    }
}

impl FromStr for ReadAddress {
    type Err = NoReadAddress;

    /// The address of a database; files are named by their paths.
    fn from_str(text: &str) -> Result<Self, NoReadAddress> {
        match text.split_once("://") {
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(text.parse()?)),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => Err(NoReadAddress::NotBuiltIn),
            _ => Err(NoReadAddress::Unknown),
        }
    }
}

impl From<&Path> for ReadAddress {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PathBuf> for ReadAddress {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for ReadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => address.fmt(f),
        }
    }
}
