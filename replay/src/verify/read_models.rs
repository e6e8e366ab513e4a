//! The read models: where they stand in the log, and whether their rows are what the log gives up to there.
use event_log::Log;
use projections::{ReadStore, Served, ServedState};

use super::{Check, Error, Fault, Files, Outcome, Report, chain, history::History};
use crate::progress::Progress;

/// The served tables at this moment; none, and said so, if there are none to look at.
pub(super) async fn look(files: &Files, log: &Log, report: &mut Report) -> Vec<Served> {
    let mut none = |outcome: Outcome| {
        report.set(Check::Checkpoint, outcome.clone());
        report.set(Check::ReadModel, outcome);
        Vec::new()
    };
    if files.reads.file().is_some_and(|file| !file.exists()) {
        let reason = format!("there are no read models at {}", files.reads);
        return none(Outcome::Skipped { reason });
    }
    match projections::served(&files.reads, log.partitions()).await {
        Err(error) => {
            let reason = format!("the read models could not be read: {}", chain(&error));
            none(Outcome::Unable { reason })
        }
        Ok(served) if served.iter().all(|served| !matches!(served.state, ServedState::Table { .. })) => {
            none(Outcome::Skipped { reason: "no read model of this version was built yet".to_owned() })
        }
        Ok(served) => served,
    }
}

/// Folds the log afresh to where each served table stands, and compares.
pub(super) async fn compare(
    log: &Log,
    served: &[Served],
    history: &History,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<(), Error> {
    if served.is_empty() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let fresh = ReadStore::open(&folder.path().join("fresh.db")).await?;
    progress.begin("folding read models afresh", report.counted.records);
    fresh.fold_to(log, served, &mut |records| progress.advance(records)).await?;
    progress.end();
    let digests = fresh.digests().await?;
    for Served { name, state } in served {
        let ServedState::Table { digest, parked, .. } = state else {
            report.notes.push(unbuilt(name, state));
            continue;
        };
        if *parked > 0 {
            report.notes.push(format!("{name}: {parked} events wait in sequences that could not be folded"));
        }
        let Some((_, fresh)) = digests.iter().find(|(fresh, _)| fresh == name) else { continue };
        if fresh != digest {
            report.found(Fault {
                check: Check::ReadModel,
                partition: None,
                position: None,
                reason: format!(
                    "{name} serves {} rows with digest {}, the log gives {} rows with digest {}; \
                 `loyalnest rebuild {name} --dry-run` shows which rows",
                    digest.rows, digest.digest, fresh.rows, fresh.digest,
                ),
            });
        }
    }
    if report.fault.is_none() {
        report.set(Check::ReadModel, Outcome::Passed);
        report.notes.extend(served.iter().filter_map(|served| behind(served, log, history)));
    }
    Ok(())
}

fn unbuilt(name: &str, state: &ServedState) -> String {
    match state {
        ServedState::OtherVersion { found } => {
            format!("{name}: not compared, version {found} of it is served, which is not this program's")
        }
        ServedState::Absent | ServedState::Table { .. } => {
            format!("{name}: not compared, it was not built yet")
        }
    }
}

/// A table that lags is compared where it stands.
fn behind(served: &Served, log: &Log, history: &History) -> Option<String> {
    let ServedState::Table { .. } = served.state else { return None };
    let missing: u64 = (0..log.partitions())
        .map(|partition| {
            let folded = served.checkpoint(partition).map_or(0, |checkpoint| checkpoint.state.height);
            history.height(partition).saturating_sub(folded)
        })
        .sum();
    let name = served.name;
    (missing > 0).then(|| format!("{name}: compared where it stands, {missing} records behind the log"))
}
