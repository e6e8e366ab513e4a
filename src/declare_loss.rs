//! `declare-loss`: says which records the log lost that others remember, and has everything begin again without them.
//!
//! Readers that meet another history than their own stop for good. When the history cannot be had back, two people say
//! so: the log gets a record of it in every partition that lost some, and whatever lies behind the loss is forgotten.
use std::{fmt, process::ExitCode};

use anyhow::{Context as _, ensure};
use chrono::{SecondsFormat, Utc};
use event_log::{Checkpoint, FETCH_RECORDS_MAX, Log, NewRecord};
use replay::progress::Progress;
use serde::Serialize;
use serde_json::json;

use crate::{
    data_folder::{self, Stores},
    nodes,
    replay_roles::{FOUND, UNKNOWN, progress, told, with},
    settings::Settings,
    witness,
};

/// How many people must stand for it.
const PEOPLE_MIN: usize = 2;
const NAME_MAX: usize = 64;
const WHY_MAX: usize = 500;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Who says so.
    pub by: Vec<String>,
    /// Why the records are gone.
    pub why: Option<String>,
    /// Whether to do it; else it is only looked.
    pub yes: bool,
}

/// Says what is lost, and declares it if that was asked for. 0: nothing is lost, or it is declared; 1: something is lost,
/// and nothing was changed; 2: could not.
pub async fn run(settings: &Settings, declaration: Declaration, json: bool) -> ExitCode {
    let report = declaration.look_and_do(settings, &mut progress(json)).await;
    let report = report.context("could not declare a loss");
    let Some(report) = told(report, json) else { return UNKNOWN.into() };
    if json {
        println!("{}", with("declared", report.done.is_some().into(), &report));
    } else {
        print!("{report}");
    }
    if report.lost.is_empty() || report.done.is_some() { ExitCode::SUCCESS } else { FOUND.into() }
}

/// What somebody may want to know whose server cannot start on a log that lost records.
#[must_use]
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let is_another_history = |cause: &(dyn std::error::Error + 'static)| {
        let diverged = match cause.downcast_ref() {
            Some(event_log::Error::Diverged(diverged)) => Some(diverged),
            _ => cause.downcast_ref(),
        };
        diverged.is_some_and(|diverged: &event_log::Diverged| diverged.reason != event_log::Reason::Newer)
    };
    error.chain().any(is_another_history).then_some(
        "The log is not the one that was seen before. Restore the right one; if it is gone for good, \
         `loyalnest declare-loss` says what is lost and how to go on without it.",
    )
}

/// What the log lost, and what was done about it.
#[derive(Serialize)]
struct Report {
    lost: Vec<Lost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
}

/// What one partition lost.
#[derive(Serialize)]
struct Lost {
    partition: u16,
    /// Where the log ends now, and how many records it has.
    position: u64,
    records: u64,
    /// Who remembers something else.
    remembered: Vec<Memory>,
}

/// What somebody remembers that the log does not have.
#[derive(Clone, Serialize)]
struct Memory {
    #[serde(flatten)]
    whose: Whose,
    position: u64,
    records: u64,
    /// What does not fit.
    reason: String,
}

#[derive(Clone, Copy, Serialize)]
#[serde(tag = "whose", content = "name", rename_all = "kebab-case")]
enum Whose {
    ReadModel(&'static str),
    Snapshots,
    Policies,
    Witness,
}

/// What was forgotten.
#[derive(Serialize)]
struct Done {
    read_models: Vec<&'static str>,
    deliveries_to_work_off_again: u64,
}

/// A declaration that may be recorded.
struct Signed {
    by: Vec<String>,
    why: String,
}

impl Declaration {
    fn signed(self) -> anyhow::Result<Option<Signed>> {
        if !self.yes {
            return Ok(None);
        }
        let fits = |text: &str, max| !text.trim().is_empty() && text.len() <= max;
        let mut by: Vec<String> = self.by.iter().map(|name| name.trim().to_owned()).collect();
        by.sort();
        by.dedup();
        ensure!(
            by.len() >= PEOPLE_MIN && by.iter().all(|name| fits(name, NAME_MAX)),
            "two people must stand for it: --by NAME --by NAME, each at most {NAME_MAX} bytes"
        );
        let why = self.why.filter(|why| fits(why, WHY_MAX));
        let why = why.with_context(|| format!("say why: --why TEXT, at most {WHY_MAX} bytes"))?;
        Ok(Some(Signed { by, why }))
    }

    async fn look_and_do(self, settings: &Settings, progress: &mut Progress) -> anyhow::Result<Report> {
        let signed = self.signed()?;
        // Nobody else may work in the folder meanwhile; a running server is told to be ended first.
        let stores = data_folder::open_again(settings).await?;
        nodes::ensure_none(settings, &stores.log).await?;
        let lost = look(settings, &stores, progress).await?;
        let done = match signed {
            Some(signed) if !lost.is_empty() => {
                nodes::forget_owners(settings, &stores.log).await?;
                Some(declare(settings, &stores, &lost, &signed).await?)
            }
            _ => None,
        };
        Ok(Report { lost, done })
    }
}

/// Holds everything that is remembered of the log against the log, once that is read from its beginning to its end.
async fn look(settings: &Settings, stores: &Stores, progress: &mut Progress) -> anyhow::Result<Vec<Lost>> {
    let log = &stores.log;
    let ends = ends(log, progress).await.map_err(unreadable)?;
    let read_models = stores.reads.remembered(log).await?.into_iter();
    let snapshots = stores.snapshots.remembered(log.partitions()).await?.into_iter();
    let policies = command_api::loss::remembered(&stores.work).await?.into_iter();
    let witness = witness::remembered(settings)?.into_iter();
    let all = read_models
        .map(|(name, place)| (Whose::ReadModel(name), place))
        .chain(snapshots.map(|place| (Whose::Snapshots, place)))
        .chain(policies.map(|place| (Whose::Policies, place)))
        .chain(witness.map(|place| (Whose::Witness, place)));
    let mut lost: Vec<Lost> = Vec::new();
    for (whose, place) in all {
        let Some(found) = log.contradicts(&place).await? else { continue };
        let (position, records) = (place.position.get(), place.state.height);
        let memory = Memory { whose, position, records, reason: found.reason.to_string() };
        match lost.iter_mut().find(|lost| lost.partition == place.partition) {
            Some(lost) => lost.remembered.push(memory),
            None => {
                let end = ends.get(usize::from(place.partition)).context("the log has fewer partitions")?;
                let (position, records) = (end.position.get(), end.state.height);
                lost.push(Lost { partition: place.partition, position, records, remembered: vec![memory] });
            }
        }
    }
    lost.sort_by_key(|lost| lost.partition);
    Ok(lost)
}

/// Why nothing can be said, and what to do. Only a chain that does not hold is broken for certain.
fn unreadable(error: event_log::Error) -> anyhow::Error {
    const RESTORE: &str =
        "What is broken in itself no declaration mends: restore a copy that `loyalnest verify` finds sound";
    let what = match error {
        event_log::Error::Diverged(diverged) if diverged.reason == event_log::Reason::Newer => {
            "this program cannot tell what the log lost".to_owned()
        }
        event_log::Error::Diverged(_) => format!("the log's own records do not fit each other. {RESTORE}"),
        _ => format!(
            "the log could not be read to its end, so nothing is known of what it lost. If its server or its disk does not \
             answer, look again once it does. {RESTORE}"
        ),
    };
    anyhow::Error::new(error).context(what)
}

/// Where each partition ends.
async fn ends(log: &Log, progress: &mut Progress) -> Result<Vec<Checkpoint>, event_log::Error> {
    let mut sweeper = log.sweep(&[])?;
    loop {
        let records = sweeper.next(FETCH_RECORDS_MAX).await?.records.len();
        if records == 0 {
            return Ok(sweeper.checkpoints().copied().collect());
        }
        progress.advance(records as u64);
    }
}

/// Records the loss first, then what is needed even if the rest fails: what comes behind can be done again, but takes away
/// what shows the loss.
async fn declare(
    settings: &Settings,
    stores: &Stores,
    lost: &[Lost],
    signed: &Signed,
) -> anyhow::Result<Done> {
    for lost in lost.iter().filter(|_| !is_planted("declare-loss-unrecorded")) {
        record(&stores.log, lost, signed).await.context("could not record the loss")?;
    }
    let deliveries_to_work_off_again = match is_planted("declare-loss-keeps-deliveries") {
        false => command_api::loss::begin_again(&stores.work).await?,
        true => 0,
    };
    let mut read_models = Vec::new();
    for memory in lost.iter().flat_map(|lost| &lost.remembered) {
        if let Whose::ReadModel(name) = memory.whose
            && !read_models.contains(&name)
        {
            read_models.push(name);
        }
    }
    if !is_planted("declare-loss-keeps-read-models") {
        stores.reads.begin_anew(read_models.clone()).await?;
    }
    for lost in lost.iter().filter(|_| !is_planted("declare-loss-keeps-snapshots")) {
        stores.snapshots.forget(lost.partition).await?;
    }
    if !is_planted("declare-loss-keeps-witness") {
        let partitions: Vec<u16> = lost.iter().map(|lost| lost.partition).collect();
        witness::forget(settings, &partitions)?;
    }
    Ok(Done { read_models, deliveries_to_work_off_again })
}

/// Whether a test has this step left out.
#[cfg(feature = "planted-bugs")]
fn is_planted(bug: &str) -> bool {
    std::env::var("LOYALNEST_PLANTED_BUG").is_ok_and(|planted| planted == bug)
}

/// No step is left out in an honest build.
#[cfg(not(feature = "planted-bugs"))]
const fn is_planted(_: &str) -> bool {
    false
}

/// Takes the partition over and says in it what is missing before. Whoever owned it is fenced.
async fn record(log: &Log, lost: &Lost, signed: &Signed) -> anyhow::Result<()> {
    let mut writer = log.claim(lost.partition, |_| Ok(())).await?;
    let body = json!({"loss_declared": {
        "at": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        "by": signed.by,
        "why": signed.why,
        "log_ended_at": lost.position,
        "records": lost.records,
        "records_remembered": lost.records_remembered(),
    }});
    let record = NewRecord { body: body.to_string().into(), ..NewRecord::barrier(writer.key_count()) };
    writer.append(record)?.await?;
    Ok(())
}

impl Lost {
    fn records_remembered(&self) -> u64 {
        self.remembered.iter().map(|memory| memory.records).max().unwrap_or_default()
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadModel(name) => write!(f, "the read model {name}"),
            Self::Snapshots => f.write_str("the owner's state"),
            Self::Policies => f.write_str("the policies"),
            Self::Witness => f.write_str("the witness"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost.is_empty() {
            return writeln!(f, "Nothing that is remembered is missing from the log.");
        }
        for lost in &self.lost {
            let Lost { partition, position, records, remembered } = lost;
            writeln!(f, "partition {partition}: the log ends at position {position} with {records} records")?;
            for Memory { whose, position, records, reason } in remembered {
                writeln!(f, "  {whose} saw record {records} at position {position}: {reason}")?;
            }
            let missing = lost.records_remembered().saturating_sub(*records);
            if missing > 0 {
                writeln!(f, "  at least {missing} records are lost")?;
            } else {
                writeln!(f, "  other records stand where the lost ones stood")?;
            }
        }
        let Some(Done { read_models, deliveries_to_work_off_again }) = &self.done else {
            return writeln!(
                f,
                "Nothing was changed. If no copy of the log has these records, let two people say so:\n  \
                 loyalnest declare-loss --by NAME --by NAME --why TEXT --yes\n\
                 Then these read models are filled anew, policies follow the log from its beginning, and deliveries\n\
                 whose bodies are still there are worked off again. What the log still has stays as it is."
            );
        };
        writeln!(
            f,
            "The loss is declared and recorded. {} read models are filled anew, {deliveries_to_work_off_again} \
             deliveries are worked off again; start the server.",
            read_models.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(by: &[&str], why: Option<&str>) -> Declaration {
        Declaration {
            by: by.iter().map(|name| (*name).to_owned()).collect(),
            why: why.map(str::to_owned),
            yes: true,
        }
    }

    #[test]
    fn a_log_that_is_out_of_reach_is_not_called_broken() {
        let away =
            unreadable(event_log::Error::Storage(event_log::Fault::new("read the log", "nobody there")));
        let away = format!("{away:#}");
        assert!(away.contains("look again once it does") && away.contains("nobody there"), "{away}");
        let diverged = event_log::Diverged {
            partition: 1,
            position: event_log::Position::START,
            reason: event_log::Reason::ChainBroken,
        };
        let broken = unreadable(diverged.into());
        assert!(hint(&broken).is_some());
        let broken = format!("{broken:#}");
        assert!(broken.contains("restore a copy") && !broken.contains("look again"), "{broken}");
    }

    #[test]
    fn a_log_with_a_newer_programs_record_is_called_neither_broken_nor_lost() {
        let newer = event_log::Diverged {
            partition: 1,
            position: event_log::Position::START,
            reason: event_log::Reason::Newer,
        };
        let newer = unreadable(newer.into());
        assert_eq!(hint(&newer), None);
        let newer = format!("{newer:#}");
        assert!(newer.contains("update this program") && !newer.contains("restore a copy"), "{newer}");
    }

    #[test]
    fn two_people_must_say_why() {
        for (by, why, wanted) in [
            (&["ada"][..], Some("disk"), "two people"),
            (&["ada", " ada "], Some("disk"), "two people"),
            (&["ada", ""], Some("disk"), "two people"),
            (&["ada", "ben"], None, "say why"),
            (&["ada", "ben"], Some("  "), "say why"),
        ] {
            let refused = declaration(by, why).signed().err().map(|error| error.to_string());
            assert!(refused.is_some_and(|said| said.contains(wanted)), "{by:?} {why:?}");
        }
        let signed = declaration(&["ben", "ada"], Some("the disk")).signed().unwrap();
        assert!(signed.is_some_and(|signed| signed.by == ["ada", "ben"]));
        assert!(Declaration { yes: false, ..declaration(&[], None) }.signed().unwrap().is_none());
    }
}
