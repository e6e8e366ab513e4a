//! Where a read store is.
use std::{
    convert::Infallible,
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

/// Why a text names no read store.
#[derive(Debug, thiserror::Error)]
pub enum NoReadAddress {
    /// The address of a database is wrong.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] postgres_store::Error),
    /// This program was built without it.
    #[error("this program was built without Postgres; build it with --features postgres")]
    NotBuiltIn,
    /// Nobody can say no to a file's name.
    #[error(transparent)]
    File(#[from] Infallible),
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

    fn from_str(text: &str) -> Result<Self, NoReadAddress> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Ok(Self::File(text.parse()?));
        }
        #[cfg(feature = "postgres")]
        return Ok(Self::Postgres(text.parse()?));
        #[cfg(not(feature = "postgres"))]
        Err(NoReadAddress::NotBuiltIn)
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
