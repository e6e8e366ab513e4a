//! The witness: what this process last saw of the log, kept beside the root key, where backups of the data do not reach.
//!
//! A log and a key store that were set back to the same moment agree with each other, and a person who was erased since
//! would come back with them. Whoever remembers more than both finds it out before anything is served.
use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use command_api::Commander;
use event_log::{Checkpoint, Log};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::sleep};

use crate::{roles::Role, settings::Settings};

/// How much of an intact log a crash can take from the witness.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// Format that this program reads and writes.
const FORMAT: u32 = 1;
/// Behind the name of the root key's file, unless the settings name another place.
pub(crate) const BESIDE: &str = ".witness";

/// Writes down what the owners of this process see admitted, now and then and on demand.
#[derive(Clone)]
pub(crate) struct Witness(Arc<Witnessing>);

struct Witnessing {
    file: PathBuf,
    commander: Commander,
    /// As the file has it.
    written: Mutex<Seen>,
}

/// What was seen of a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    format: u32,
    /// The log's id, for people.
    log: String,
    partitions: BTreeMap<u16, Place>,
}

/// The last record of a partition.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    position: u64,
    records: u64,
    /// The head of the chain behind it, in hexadecimal digits, for people.
    head: String,
    /// How many inserts of the key store the records up to there have seen.
    key_count: u64,
    /// The log's own checkpoint, in base64.
    checkpoint: String,
}

impl Witness {
    /// Begins to write, first of all now.
    pub(crate) async fn start(settings: &Settings, commander: &Commander) -> anyhow::Result<Self> {
        let file = file(settings);
        let nothing =
            Seen { format: FORMAT, log: commander.log_id().to_string(), partitions: BTreeMap::new() };
        let written = read(&file)?.filter(|seen| seen.log == nothing.log).unwrap_or(nothing);
        let witnessing = Witnessing { file, commander: commander.clone(), written: Mutex::new(written) };
        let witness = Self(Arc::new(witnessing));
        if settings.roles.has(Role::Commands) {
            witness.now().await.with_context(|| {
                let file = witness.0.file.display();
                format!("could not write the witness {file}; give it another place with --witness FILE")
            })?;
        }
        tokio::spawn(now_and_then(Arc::downgrade(&witness.0)));
        Ok(witness)
    }

    /// Writes down what is admitted by now; durable when it returns.
    pub(crate) async fn now(&self) -> io::Result<()> {
        self.0.now().await
    }
}

impl Witnessing {
    async fn now(&self) -> io::Result<()> {
        let mut written = self.written.lock().await;
        let mut seen = written.clone();
        for (checkpoint, key_count) in self.commander.admitted() {
            seen.take(&checkpoint, key_count);
        }
        if seen == *written && self.file.exists() {
            return Ok(());
        }
        let (file, text) = (self.file.clone(), serde_json::to_string_pretty(&seen)?);
        tokio::task::spawn_blocking(move || write(&file, &text)).await??;
        *written = seen;
        Ok(())
    }
}

async fn now_and_then(witnessing: Weak<Witnessing>) {
    let mut silent = false;
    loop {
        sleep(WRITE_EVERY).await;
        let Some(witnessing) = witnessing.upgrade() else { return };
        let done = witnessing.now().await;
        metrics::gauge!("witness_silent").set(if done.is_ok() { 0.0 } else { 1.0 });
        if let Err(error) = &done
            && !silent
        {
            let file = witnessing.file.display();
            tracing::error!(
                error = error as &dyn std::error::Error,
                "ALARM: the witness {file} cannot be written"
            );
        }
        silent = done.is_err();
    }
}

impl Seen {
    fn take(&mut self, checkpoint: &Checkpoint, key_count: u64) {
        let place = Place {
            position: checkpoint.position.get(),
            records: checkpoint.state.height,
            head: checkpoint.state.head.to_string(),
            key_count,
            checkpoint: STANDARD_NO_PAD.encode(checkpoint.to_bytes()),
        };
        let known = self.partitions.get(&checkpoint.partition);
        if known.is_none_or(|known| known.records <= place.records) {
            self.partitions.insert(checkpoint.partition, place);
        }
    }

    fn checkpoints(&self) -> anyhow::Result<Vec<Checkpoint>> {
        let of = |place: &Place| Ok(Checkpoint::from_bytes(&STANDARD_NO_PAD.decode(&place.checkpoint)?)?);
        self.partitions.values().map(of).collect()
    }
}

/// Refuses a log that is not the one, or not all of the one, that was seen before.
pub(crate) async fn check(settings: &Settings, log: &Log) -> anyhow::Result<()> {
    #[cfg(feature = "planted-bugs")]
    if std::env::var("LOYALNEST_PLANTED_BUG").is_ok_and(|planted| planted == "witness-not-asked") {
        return Ok(());
    }
    for file in files(settings)? {
        for checkpoint in checkpoints(&file)? {
            let Checkpoint { partition, position, state, .. } = checkpoint;
            let contradicted = log
                .contradicts(&checkpoint)
                .await
                .with_context(|| format!("the witness {} cannot be held against the log", file.display()))?;
            if let Some(diverged) = contradicted {
                return Err(anyhow::Error::new(diverged).context(format!(
                    "the witness {} saw record {} of partition {partition} at position {position}, and this log does \
                     not have it: the log was set back, or it is another one",
                    file.display(),
                    state.height,
                )));
            }
        }
    }
    Ok(())
}

/// Whether nobody wrote down yet what was seen of the log.
pub(crate) fn is_missing(settings: &Settings) -> anyhow::Result<bool> {
    Ok(files(settings)?.is_empty())
}

/// What was seen of any log by the processes whose root key is this one's, on this machine.
pub(crate) fn remembered(settings: &Settings) -> anyhow::Result<Vec<Checkpoint>> {
    let each = files(settings)?.into_iter().map(|file| checkpoints(&file));
    Ok(each.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// The highest count of keys that any record had seen, as far as anybody on this machine remembers.
pub(crate) fn key_count(settings: &Settings) -> anyhow::Result<u64> {
    let mut highest = 0;
    for file in files(settings)? {
        let places = read(&file)?.map(|seen| seen.partitions).unwrap_or_default();
        highest = places.values().map(|place| place.key_count).fold(highest, u64::max);
    }
    Ok(highest)
}

/// Forgets what was seen of these partitions, for a log whose loss is declared.
pub(crate) fn forget(settings: &Settings, partitions: &[u16]) -> anyhow::Result<()> {
    for file in files(settings)? {
        let Some(mut seen) = read(&file)? else { continue };
        seen.partitions.retain(|partition, _| !partitions.contains(partition));
        let text = serde_json::to_string_pretty(&seen)?;
        write(&file, &text).with_context(|| format!("could not write the witness {}", file.display()))?;
    }
    Ok(())
}

/// Puts what was seen beside another root key, if it lies beside the one of the settings.
pub(crate) fn copy(settings: &Settings, root_key: &Path) -> anyhow::Result<()> {
    if settings.witness != with_suffix(&settings.root_key, BESIDE) {
        return Ok(());
    }
    let there = with_suffix(root_key, BESIDE);
    for file in files(settings)? {
        let (Some(name), Some(base)) = (file.file_name(), settings.witness.file_name()) else { continue };
        let node = name.to_string_lossy().replacen(&*base.to_string_lossy(), "", 1);
        let (text, copy) = (fs::read_to_string(&file)?, with_suffix(&there, &node));
        write(&copy, &text).with_context(|| format!("could not write the witness {}", copy.display()))?;
    }
    Ok(())
}

/// The file of this process; each of several nodes has its own.
fn file(settings: &Settings) -> PathBuf {
    let node = settings.node.as_ref().map(|name| format!("-{name}"));
    with_suffix(&settings.witness, &node.unwrap_or_default())
}

/// Those of this process and of other nodes on this machine.
fn files(settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    let base = &settings.witness;
    let name = base.file_name().context("the setting witness names no file")?.to_string_lossy().into_owned();
    let folder = base.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => {
            entries.with_context(|| format!("could not look for a witness in {}", folder.display()))?
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let found = entry.file_name().to_string_lossy().into_owned();
        let of_a_node = found.strip_prefix(&name).and_then(|rest| rest.strip_prefix('-'));
        if found == name || of_a_node.is_some_and(|node| !node.ends_with(UNFINISHED)) {
            files.push(folder.join(entry.file_name()));
        }
    }
    files.sort();
    Ok(files)
}

fn checkpoints(file: &Path) -> anyhow::Result<Vec<Checkpoint>> {
    let Some(seen) = read(file)? else { return Ok(Vec::new()) };
    seen.checkpoints().with_context(|| unreadable(file))
}

fn read(file: &Path) -> anyhow::Result<Option<Seen>> {
    let text = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| unreadable(file))?,
    };
    let seen: Seen = serde_json::from_slice(&text).with_context(|| unreadable(file))?;
    if seen.format != FORMAT {
        bail!("the witness {} has format {}, this program knows {FORMAT}", file.display(), seen.format);
    }
    Ok(Some(seen))
}

fn unreadable(file: &Path) -> String {
    format!(
        "the witness {} cannot be read. Restore it; if you know that log and keys are whole, remove it",
        file.display()
    )
}

/// Ends the name of a file that is being written.
const UNFINISHED: &str = ".new";

/// The old file or the new one, whatever happens.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let unfinished = with_suffix(file, UNFINISHED);
    let mut options = fs::OpenOptions::new();
    let mut opened = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    opened.write_all(text.as_bytes())?;
    opened.sync_all()?;
    fs::rename(&unfinished, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use event_log::{Class, memory};

    use super::*;
    use crate::settings::Given;

    fn settings(folder: &Path, node: Option<&str>) -> Settings {
        let given = Given {
            data: Some(folder.join("data")),
            root_key: Some(folder.join("root.key")),
            ..Given::default()
        };
        Settings { node: node.map(str::to_owned), ..Settings::resolve(given, None).unwrap() }
    }

    /// A log with a record, and what its owner saw.
    async fn seen_log() -> (Log, Checkpoint) {
        let log = memory::init(2, Class::Conditional);
        let writer = log.claim(1, |_| Ok(())).await.unwrap();
        let (checkpoint, _) = writer.watch().admitted();
        (log, checkpoint)
    }

    fn note(settings: &Settings, checkpoint: &Checkpoint) {
        let mut seen =
            Seen { format: FORMAT, log: checkpoint.log_id.to_string(), partitions: BTreeMap::new() };
        seen.take(checkpoint, 7);
        write(&file(settings), &serde_json::to_string_pretty(&seen).unwrap()).unwrap();
    }

    #[tokio::test]
    async fn a_log_that_is_another_or_was_set_back_is_refused_until_that_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), Some("b"));
        let (log, checkpoint) = seen_log().await;
        check(&settings, &log).await.unwrap();
        note(&settings, &checkpoint);
        check(&settings, &log).await.unwrap();
        let beyond = Checkpoint { position: event_log::Position::new(9), ..checkpoint };
        for (log, seen) in [(memory::init(2, Class::Conditional), checkpoint), (log, beyond)] {
            note(&settings, &seen);
            let refused = check(&settings, &log).await.unwrap_err();
            assert!(refused.downcast_ref::<event_log::Diverged>().is_some(), "{refused:#}");
            assert!(format!("{refused:#}").contains("root.key.witness-b"), "{refused:#}");
            let of_another_node = Settings { node: Some("a".to_owned()), ..settings.clone() };
            assert!(check(&of_another_node, &log).await.is_err(), "it lies on the same machine");
            forget(&settings, &[1]).unwrap();
            check(&settings, &log).await.unwrap();
            assert_eq!(key_count(&settings).unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn what_was_seen_is_kept_for_the_owner_alone_and_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), None);
        let (_, checkpoint) = seen_log().await;
        note(&settings, &checkpoint);
        let file = file(&settings);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(remembered(&settings).unwrap(), [checkpoint]);
        assert_eq!(key_count(&settings).unwrap(), 7);
        let mut seen = read(&file).unwrap().unwrap();
        let mut older = checkpoint;
        older.state.height -= 1;
        seen.take(&older, 1);
        assert_eq!(seen.checkpoints().unwrap(), [checkpoint]);
        fs::write(&file, "half").unwrap();
        let said = format!("{:#}", check(&settings, &seen_log().await.0).await.unwrap_err());
        assert!(said.contains("cannot be read") && said.contains("root.key.witness"), "{said}");
    }
}
