//! Builds read models anew from position zero, beside those that are served: compares them where the served ones stand,
//! shows the rows that differ, catches up, and serves the new ones in one step. The old ones stay for a way back.
use std::{fmt, path::PathBuf};

use event_log::{Diverged, Log, Reason};
use projections::{Change, Differences, ReadStore, RolledBack, Served, ServedState, Shadow, TableDigest};
use serde::Serialize;

use crate::{about, progress::Progress};

/// Rows that differ are shown up to this many.
const SHOWN_MAX: usize = 10;

/// What to work on.
#[derive(Clone, Debug)]
pub struct Job {
    /// The log.
    pub log: PathBuf,
    /// The read store; made if there is none.
    pub reads: PathBuf,
    /// One projection, or all.
    pub projection: Option<String>,
}

/// It could not be done; what was served is still served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two would write the same tables.
    #[error(
        "a server is running on this data folder. Stop it and try again: a rebuild cannot be handed to a running server yet"
    )]
    InUse,
    /// There is no such projection.
    #[error("there is no projection {name}; there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The log could not be opened.
    #[error("the log could not be opened")]
    Log(#[source] event_log::Error),
    /// The log could not be folded into the tables.
    #[error("the tables could not be built")]
    Build(#[from] projections::Error),
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
    /// What the new table comes to at the end of the log.
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

/// Rebuilds; with `dry_run` it only compares.
///
/// # Errors
/// What kept it from being done; nothing has changed then.
pub async fn rebuild(job: &Job, dry_run: bool, progress: &mut Progress) -> Result<Report, Error> {
    let (log, store) = open(job).await?;
    let shadow = store.shadow(|name| job.chosen(name)).await?;
    let built = build(&log, &shadow, progress).await;
    match built {
        Ok(projections) if !dry_run => {
            shadow.swap().await?;
            Ok(Report { swapped: true, projections })
        }
        built => {
            shadow.discard().await?;
            Ok(Report { swapped: false, projections: built? })
        }
    }
}

/// Serves the tables before the last rebuild again.
///
/// # Errors
/// What kept it from being done.
pub async fn roll_back(job: &Job) -> Result<RolledBackAll, Error> {
    let (_log, store) = open(job).await?;
    Ok(RolledBackAll { projections: store.roll_back(|name| job.chosen(name)).await? })
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

impl Job {
    fn chosen(&self, name: &str) -> bool {
        self.projection.as_deref().is_none_or(|chosen| chosen == name)
    }
}

/// The log is opened for writing only for its lock: nobody else follows it into the read store meanwhile.
async fn open(job: &Job) -> Result<(Log, ReadStore), Error> {
    let known: Vec<_> = projections::all().iter().map(|definition| definition.name).collect();
    if let Some(name) = job.projection.as_ref().filter(|name| !known.contains(&name.as_str())) {
        return Err(Error::Unknown { name: name.clone(), known });
    }
    let log = event_log::sqlite::open(&job.log).map_err(|error| match error {
        event_log::Error::Locked { .. } => Error::InUse,
        other => Error::Log(other),
    })?;
    Ok((log, ReadStore::open(&job.reads).await?))
}

async fn build(log: &Log, shadow: &Shadow, progress: &mut Progress) -> Result<Vec<Rebuilt>, Error> {
    let served = shadow.served(log.partitions()).await?;
    progress.begin("rebuilding", about(log));
    let folded = shadow.fold_to(log, &served, &mut |records| progress.advance(records)).await;
    let mut comparisons = Vec::new();
    match folded {
        Ok(()) => {
            for (served, (_, rebuilt)) in served.iter().zip(shadow.digests().await?) {
                comparisons.push(compare(shadow, served, rebuilt).await?);
            }
        }
        Err(error) => {
            let elsewhere = elsewhere(&error).ok_or(error)?;
            comparisons.resize(served.len(), elsewhere);
        }
    }
    shadow.fold_to_end(log, &mut |records| progress.advance(records)).await?;
    progress.end();
    let (now, parked) = (shadow.digests().await?, shadow.parked().await?);
    let all = now.into_iter().zip(parked).zip(comparisons);
    let rebuilt = |(((name, now), (_, parked)), comparison)| Rebuilt { name, comparison, now, parked };
    Ok(all.map(rebuilt).collect())
}

async fn compare(
    shadow: &Shadow,
    served: &Served,
    rebuilt: TableDigest,
) -> Result<Comparison, projections::Error> {
    let ServedState::Table { checkpoints, digest, .. } = &served.state else { return Ok(Comparison::First) };
    if *digest == rebuilt {
        let begun = checkpoints.iter().any(Option::is_some);
        return Ok(if begun { Comparison::Equal { digest: rebuilt } } else { Comparison::First });
    }
    let differences = shadow.differences(served.name, SHOWN_MAX).await?;
    Ok(Comparison::Differs { served: *digest, rebuilt, differences })
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
