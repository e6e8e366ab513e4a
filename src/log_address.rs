//! Where the log of an installation is: every kind of place, how it is written down, and how a log is opened there.
use std::{fmt, fs, path::Path, str::FromStr};

use anyhow::Context as _;
use event_log::{Error, Log};
use serde::{Serialize, Serializer};

/// The file in the data folder.
const FILE: &str = "sqlite";
/// In the data folder while a program works on it whose log is elsewhere; a log in a file has a lock of its own.
const LOCK: &str = "lock";

/// Where the log is. Shown without passwords.
#[derive(Clone, Debug, Default)]
pub enum LogAddress {
    /// `sqlite`: a file in the data folder.
    #[default]
    File,
    /// `postgres://user:password@host:port/database`.
    #[cfg(feature = "postgres")]
    Postgres(Box<event_log::postgres::Address>),
    /// `kafka://host:port,host:port/topic`.
    #[cfg(feature = "kafka")]
    Kafka(event_log::kafka::Address),
}

impl LogAddress {
    /// Whether the log is one of the data folder's files.
    pub(crate) const fn is_file(&self) -> bool {
        matches!(self, Self::File)
    }

    /// The same place, reached as a file of settings says.
    pub(crate) fn secured_by(self, file: &Path) -> anyhow::Result<Self> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(address) => Ok(Self::Kafka(address.secured_by(file)?)),
            _ => anyhow::bail!("{} is for a log on Kafka (--log kafka://…)", file.display()),
        }
    }

    /// Makes a log.
    pub(crate) async fn init(&self, file: &Path, partitions: u16) -> Result<Log, Error> {
        match self {
            Self::File => event_log::sqlite::init(file, partitions),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => event_log::postgres::init(address, partitions, Some(columns())).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(address) => event_log::kafka::init(address, partitions, Some(columns())).await,
        }
    }

    /// Opens the log for writing.
    pub(crate) async fn open(&self, file: &Path) -> Result<Log, Error> {
        match self {
            Self::File => event_log::sqlite::open(file),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => event_log::postgres::open(address, Some(columns())).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(address) => event_log::kafka::open(address, Some(columns())).await,
        }
    }

    /// Opens the log for reading, beside whoever writes it.
    pub(crate) async fn open_read_only(&self, file: &Path) -> Result<Log, Error> {
        match self {
            Self::File => event_log::sqlite::open_read_only(file),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => event_log::postgres::open_read_only(address).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(address) => event_log::kafka::open_read_only(address).await,
        }
    }

    /// Keeps other programs out of the data folder, if the log does not do it; `None` if one is there.
    pub(crate) fn lock(&self, data: &Path) -> anyhow::Result<Option<FolderLock>> {
        if self.is_file() {
            return Ok(Some(FolderLock(None)));
        }
        let path = data.join(LOCK);
        let file = fs::File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("could not open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FolderLock(Some(file)))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("could not lock {}", path.display()))
            }
        }
    }
}

/// The data folder is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "it is held, not looked at")] Option<fs::File>);

/// What other programs may see of a record, where a store can show it.
#[cfg(any(feature = "postgres", feature = "kafka"))]
fn columns() -> std::sync::Arc<dyn event_log::Columns> {
    std::sync::Arc::new(command_api::RecordColumns)
}

impl FromStr for LogAddress {
    /// What was expected; never the text itself, which may hold a password.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://").map_or(text, |(scheme, _)| scheme) {
            FILE => Ok(Self::File),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let address =
                    text.parse().map_err(|error: event_log::postgres::ServerError| error.to_string());
                address.map(|address| Self::Postgres(Box::new(address)))
            }
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(not_built("Postgres", "postgres")),
            #[cfg(feature = "kafka")]
            "kafka" => text
                .parse()
                .map(Self::Kafka)
                .map_err(|error: event_log::kafka::NotAnAddress| error.to_string()),
            #[cfg(not(feature = "kafka"))]
            "kafka" => Err(not_built("Kafka", "kafka")),
            _ => Err(format!(
                "expected {FILE}, postgres://user:password@host:port/database or kafka://host:port,host:port/topic"
            )),
        }
    }
}

#[cfg(not(all(feature = "postgres", feature = "kafka")))]
fn not_built(name: &str, feature: &str) -> String {
    format!("this executable was built without {name}; build it with --features {feature}")
}

impl fmt::Display for LogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str(FILE),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => address.fmt(f),
            #[cfg(feature = "kafka")]
            Self::Kafka(address) => address.fmt(f),
        }
    }
}

impl Serialize for LogAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
