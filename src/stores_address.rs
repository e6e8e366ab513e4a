//! Where keys, directory, inbox and the progress of policies are kept.
use std::{fmt, str::FromStr};

#[cfg(feature = "postgres")]
use event_log::postgres::Address;
use serde::{Serialize, Serializer};

/// Files of the data folder, or a database that several nodes share; shown without its password.
#[derive(Clone, Debug, Default)]
pub enum StoresAddress {
    /// `keys.db` and `work.db`.
    #[default]
    Folder,
    /// A database of a Postgres.
    #[cfg(feature = "postgres")]
    Postgres(Address),
}

impl StoresAddress {
    /// Whether they are files of the data folder.
    pub(crate) const fn is_folder(&self) -> bool {
        matches!(self, Self::Folder)
    }

    /// The database, if they are in one.
    #[cfg(feature = "postgres")]
    pub(crate) const fn postgres(&self) -> Option<&Address> {
        match self {
            Self::Folder => None,
            Self::Postgres(address) => Some(address),
        }
    }
}

impl FromStr for StoresAddress {
    /// What was expected; never the text itself, which may hold a password.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None if text == "sqlite" => Ok(Self::Folder),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => {
                text.parse().map(Self::Postgres).map_err(|error| format!("{error}"))
            }
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => {
                Err("this executable was built without Postgres; build it with --features postgres"
                    .to_owned())
            }
            _ => Err("expected sqlite, or postgres://user:password@host:port/database".to_owned()),
        }
    }
}

impl fmt::Display for StoresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str("sqlite"),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

impl Serialize for StoresAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
