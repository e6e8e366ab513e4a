//! Builds read models anew from position zero, beside those that are served: compares them where the served ones stand,
//! shows the rows that differ, catches up, and serves the new ones in one step. The old ones stay for a way back.
//!
//! Whoever follows the log into the served tables may go on meanwhile, as a server does.
use std::{fmt, path::Path};

use event_log::{Diverged, Log, Reason};
use projections::{Change, Compared, Differences, ReadAddress, ReadStore, RolledBack, Shadow, TableDigest};
use serde::Serialize;

use crate::{about, progress::Progress};

/// Rows that differ are shown up to this many.
const SHOWN_MAX: usize = 10;

/// It could not be done; what was served is still served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program has the log open for writing, such as a server: it can do the job.
    #[error("another program has this data folder open")]
    InUse,
    /// There is no such projection.
    #[error("there is no projection {name}; there are {}", known().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Whoever wanted it wants it no more.
    #[error("it was cancelled, and nothing has changed")]
    Cancelled,
    /// The log could not be opened.
    #[error("the log could not be opened")]
    Log(#[source] event_log::Error),
    /// The log could not be folded into the tables.
    #[error("the tables could not be built")]
    Build(#[from] projections::Error),
}

/// One projection, or all.
#[derive(Clone, Copy, Debug)]
pub struct Chosen(Option<&'static str>);

impl Chosen {
    /// The projection of this name; all if none is named.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn of(name: Option<&str>) -> Result<Self, Error> {
        let Some(name) = name else { return Ok(Self(None)) };
        let known = known().into_iter().find(|known| *known == name);
        known.map(|known| Self(Some(known))).ok_or_else(|| Error::Unknown { name: name.to_owned() })
    }

    fn has(self, name: &str) -> bool {
        self.0.is_none_or(|chosen| chosen == name)
    }
}

/// The names of all projections.
#[must_use]
pub fn known() -> Vec<&'static str> {
    projections::all().iter().map(|definition| definition.name).collect()
}

/// What a rebuild came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether the new tables are served now.
    pub swapped: bool,
    /// Each projection.
    pub projections: Vec<Rebuilt>,
}

/// One projection, rebuilt.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuilt {
    /// The projection.
    pub name: &'static str,
    /// How the new table compares with the served one, at the place where that stands.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// What the new table came to when it had caught up with the log.
    pub now: TableDigest,
    /// Events that could not be folded and wait.
    pub parked: u64,
}

/// A new table beside a served one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "comparison")]
pub enum Comparison {
    /// Nothing was served yet.
    First,
    /// The same rows.
    Equal {
        /// Of both.
        digest: TableDigest,
    },
    /// Other rows.
    Differs {
        /// What was served.
        served: TableDigest,
        /// What the log gives.
        rebuilt: TableDigest,
        /// The rows.
        differences: Differences,
    },
    /// What was served stands in a history that is not the log's, such as that before a restore.
    OtherHistory {
        /// The partition.
        partition: u16,
        /// Where it stands in it.
        position: u64,
    },
}

impl Report {
    /// Whether no served row was wrong.
    #[must_use]
    pub fn equal(&self) -> bool {
        let right =
            |rebuilt: &Rebuilt| matches!(rebuilt.comparison, Comparison::First | Comparison::Equal { .. });
        self.projections.iter().all(right)
    }
}

/// Opens a log and its read store, which is made if there is none, for a job that nobody else does beside it. The log is
/// opened for writing only for its lock: nobody else follows it into the read store meanwhile.
///
/// # Errors
/// [`Error::InUse`]; those of the log and the store.
pub async fn open(log: &Path, reads: &ReadAddress) -> Result<(Log, ReadStore), Error> {
    let log = event_log::sqlite::open(log).map_err(|error| match error {
        event_log::Error::Locked { .. } => Error::InUse,
        other => Error::Log(other),
    })?;
    Ok((log, ReadStore::open_at(reads).await?))
}

/// The same with a log that is not a file, for whoever keeps others away from the read store.
///
/// # Errors
/// Those of the log and the store.
pub async fn open_beside(
    log: Result<Log, event_log::Error>,
    reads: &ReadAddress,
) -> Result<(Log, ReadStore), Error> {
    Ok((log.map_err(Error::Log)?, ReadStore::open_at(reads).await?))
}

/// Rebuilds, one at a time for a store; with `dry_run` it only compares. As long as nothing new is served, `cancelled`
/// ends it.
///
/// # Errors
/// What kept it from being done; nothing has changed then.
pub async fn rebuild(
    log: &Log,
    store: &ReadStore,
    chosen: Chosen,
    dry_run: bool,
    progress: &mut Progress,
    cancelled: impl Future<Output = ()>,
) -> Result<Report, Error> {
    let shadow = store.shadow(|name| chosen.has(name)).await?;
    let built = tokio::select! {
        biased;
        () = cancelled => Err(Error::Cancelled),
        built = build(log, &shadow, progress) => built,
    };
    match built {
        Ok(projections) if !dry_run => {
            #[cfg(feature = "planted-bugs")]
            privacy::planted::hold_at("rebuilt").await;
            shadow.serve(log, &mut |_| {}).await?;
            Ok(Report { swapped: true, projections })
        }
        built => {
            shadow.discard().await?;
            Ok(Report { swapped: false, projections: built? })
        }
    }
}

/// Serves the tables before the last rebuild again, at the end of the log.
///
/// # Errors
/// What kept it from being done.
pub async fn roll_back(
    log: &Log,
    store: &ReadStore,
    chosen: Chosen,
    progress: &mut Progress,
) -> Result<RolledBackAll, Error> {
    progress.begin("catching up", 0);
    let rolled_back =
        store.roll_back(log, |name| chosen.has(name), &mut |records| progress.advance(records)).await;
    progress.end();
    Ok(RolledBackAll { projections: rolled_back? })
}

/// What a way back came to.
#[derive(Clone, Debug, Serialize)]
pub struct RolledBackAll {
    /// Each projection.
    pub projections: Vec<RolledBack>,
}

impl RolledBackAll {
    /// Whether every projection had tables to go back to.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.projections.iter().all(|rolled_back| rolled_back.to.is_some())
    }
}

async fn build(log: &Log, shadow: &Shadow, progress: &mut Progress) -> Result<Vec<Rebuilt>, Error> {
    progress.begin("rebuilding", about(log));
    let compared = shadow.compare(log, SHOWN_MAX, &mut |records| progress.advance(records)).await;
    let comparisons: Box<dyn Iterator<Item = Comparison> + Send> = match compared {
        Ok(compared) => Box::new(compared.into_iter().map(Comparison::from)),
        Err(error) => Box::new(std::iter::repeat(elsewhere(&error).ok_or(error)?)),
    };
    shadow.fold_to_end(log, &mut |records| progress.advance(records)).await?;
    progress.end();
    let (now, parked) = (shadow.digests().await?, shadow.parked().await?);
    let all = now.into_iter().zip(parked).zip(comparisons);
    let rebuilt = |(((name, now), (_, parked)), comparison)| Rebuilt { name, comparison, now, parked };
    Ok(all.map(rebuilt).collect())
}

impl From<Compared> for Comparison {
    fn from(Compared { begun, served, rebuilt, differences, .. }: Compared) -> Self {
        match (served == rebuilt, begun) {
            (true, true) => Self::Equal { digest: rebuilt },
            (true, false) => Self::First,
            (false, _) => Self::Differs { served, rebuilt, differences },
        }
    }
}

/// The served tables cannot be compared, but they can be replaced.
fn elsewhere(error: &projections::Error) -> Option<Comparison> {
    match error {
        projections::Error::Log(event_log::Error::Diverged(Diverged {
            partition,
            position,
            reason: Reason::OtherHistory,
        })) => Some(Comparison::OtherHistory { partition: *partition, position: position.get() }),
        _ => None,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rebuilt in &self.projections {
            write!(f, "{rebuilt}")?;
        }
        match (self.swapped, self.equal()) {
            (true, true) => {
                writeln!(f, "Equal. The new tables are served; --rollback serves the old ones again.")
            }
            (true, false) => {
                writeln!(f, "Not equal. The new tables are served; --rollback serves the old ones again.")
            }
            (false, true) => writeln!(f, "Equal. Nothing was changed."),
            (false, false) => writeln!(f, "Not equal. Nothing was changed."),
        }
    }
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, comparison, now, parked } = self;
        match comparison {
            Comparison::First => writeln!(f, "{name}: {} rows; nothing was served before", now.rows)?,
            Comparison::Equal { digest } => {
                writeln!(f, "{name}: {} rows, table equals live (digest {})", digest.rows, digest.digest)?;
            }
            Comparison::Differs { served, rebuilt, differences } => {
                writeln!(
                    f,
                    "{name}: rows that differ: {}; served {} rows with digest {}, the log gives {} with digest {}",
                    differences.rows, served.rows, served.digest, rebuilt.rows, rebuilt.digest
                )?;
                differences_to(f, differences)?;
            }
            Comparison::OtherHistory { partition, position } => writeln!(
                f,
                "{name}: {} rows; not compared, because what was served stands in another history than the log's \
                 (partition {partition}, position {position})",
                now.rows
            )?,
        }
        if *parked > 0 {
            writeln!(f, "  {parked} events wait in sequences that could not be folded")?;
        }
        Ok(())
    }
}

fn differences_to(f: &mut fmt::Formatter<'_>, differences: &Differences) -> fmt::Result {
    for difference in &differences.first {
        let key: Vec<_> =
            difference.key.iter().map(|cell| format!("{} {}", cell.column, cell.value)).collect();
        let key = key.join(", ");
        match &difference.change {
            Change::OnlyServed => writeln!(f, "  {key}: served, but the log does not give it")?,
            Change::OnlyRebuilt => writeln!(f, "  {key}: missing")?,
            Change::Columns(columns) => {
                writeln!(f, "  {key}:")?;
                for changed in columns {
                    writeln!(
                        f,
                        "    {}: served {}, rebuilt {}",
                        changed.column, changed.served, changed.rebuilt
                    )?;
                }
            }
        }
    }
    let more = differences.rows.saturating_sub(differences.first.len() as u64);
    if more > 0 { writeln!(f, "  and {more} more") } else { Ok(()) }
}

impl fmt::Display for RolledBackAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for RolledBack { name, from, to } in &self.projections {
            match to {
                Some(to) => writeln!(f, "{name}: generation {to} is served again instead of {from}")?,
                None => writeln!(f, "{name}: there is no generation before {from}")?,
            }
        }
        Ok(())
    }
}
