//! The files of an installation: created together or not at all, opened together or not at all.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use command_api::owner::Snapshots;
use event_log::Log;
use group_commit::Database;
use privacy::{KeyStore, RootKey};
use projections::ReadStore;

use crate::settings::{Mode, Settings};

/// Everything that an installation keeps, open.
pub(crate) struct Stores {
    /// All history.
    pub(crate) log: Log,
    /// Keys and directory.
    pub(crate) keys: KeyStore,
    /// Inbox, idempotency rows, policy progress.
    pub(crate) work: Database,
    /// Read models.
    pub(crate) reads: ReadStore,
    /// State of the owners.
    pub(crate) snapshots: Snapshots,
    /// Whether this start created them.
    pub(crate) created: bool,
}

/// Stands while the first start creates the set. Nothing was acknowledged under it, so what it left half done goes.
const CREATING: &str = "creating";

/// Where the files of a data folder are.
pub(crate) struct Files {
    pub(crate) log: PathBuf,
    pub(crate) keys: PathBuf,
    work: PathBuf,
    pub(crate) reads: PathBuf,
    snapshots: PathBuf,
    creating: PathBuf,
}

impl Files {
    pub(crate) fn of(data: &Path) -> Self {
        let file = |name| data.join(name);
        Self {
            log: file("log.db"),
            keys: file("keys.db"),
            work: file("work.db"),
            reads: file("read.db"),
            snapshots: file("snap.db"),
            creating: file(CREATING),
        }
    }

    /// Those that hold what cannot be made again.
    fn primary(&self) -> [&Path; 3] {
        [&self.log, &self.keys, &self.work]
    }
}

/// Opens the installation of the settings, or creates it where nothing of it exists.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Stores> {
    let files = Files::of(&settings.data);
    fs::create_dir_all(&settings.data)
        .with_context(|| format!("could not create the data folder {}", settings.data.display()))?;
    if files.creating.exists() {
        clear_half_created(&files)?;
    }
    let missing: Vec<&Path> = files.primary().into_iter().filter(|file| !file.exists()).collect();
    let created = missing.len() == files.primary().len();
    if !created && !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|file| file.display().to_string()).collect();
        bail!(
            "the data folder {} is incomplete: {} missing. Restore it, or start in an empty folder",
            settings.data.display(),
            names.join(" and ")
        );
    }
    if created { create(settings, &files).await } else { open_existing(settings, &files).await }
}

async fn create(settings: &Settings, files: &Files) -> anyhow::Result<Stores> {
    fs::write(&files.creating, "")?;
    let root = match (settings.mode, settings.root_key.exists()) {
        (_, true) => load_root(settings)?,
        (Mode::Development, false) => RootKey::create_file(&settings.root_key)
            .with_context(|| format!("could not create {}", settings.root_key.display()))?,
        (Mode::Production, false) => bail!("there is no root key at {}", settings.root_key.display()),
    };
    let log = event_log::sqlite::init(&files.log, settings.partitions).context("could not create the log")?;
    let stores = open_beside(log, &root, files, true).await?;
    fs::remove_file(&files.creating)?;
    Ok(stores)
}

async fn open_existing(settings: &Settings, files: &Files) -> anyhow::Result<Stores> {
    let root = load_root(settings)?;
    let log = event_log::sqlite::open(&files.log).context("could not open the log")?;
    open_beside(log, &root, files, false).await
}

fn load_root(settings: &Settings) -> anyhow::Result<RootKey> {
    RootKey::load_file(&settings.root_key)
        .with_context(|| format!("could not read the root key {}", settings.root_key.display()))
}

async fn open_beside(log: Log, root: &RootKey, files: &Files, created: bool) -> anyhow::Result<Stores> {
    let keys = KeyStore::create_or_open(&files.keys, root, *log.id().as_bytes())
        .await
        .with_context(|| format!("could not open the key store {}", files.keys.display()))?;
    let work = command_api::work::open(&files.work)
        .with_context(|| format!("could not open {}", files.work.display()))?;
    let reads = ReadStore::open(&files.reads)
        .await
        .with_context(|| format!("could not open {}", files.reads.display()))?;
    let snapshots = Snapshots::open(&files.snapshots, log.id())
        .await
        .with_context(|| format!("could not open {}", files.snapshots.display()))?;
    Ok(Stores { log, keys, work, reads, snapshots, created })
}

fn clear_half_created(files: &Files) -> anyhow::Result<()> {
    // A running first start holds the log's lock; then the log's own refusal is the better message.
    for file in files.primary() {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            match fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("could not remove {}", Path::new(&name).display()));
                }
                _ => {}
            }
        }
    }
    fs::remove_file(&files.creating).context("could not remove the mark of an unfinished first start")
}

/// The derived secret of an installation that may be in use by a running server.
pub(crate) async fn derived_webhook_secret(settings: &Settings) -> anyhow::Result<String> {
    let files = Files::of(&settings.data);
    let log = event_log::sqlite::open_read_only(&files.log)?;
    let keys = KeyStore::create_or_open(&files.keys, &load_root(settings)?, *log.id().as_bytes()).await?;
    Ok(crate::wiring::derived_webhook_secret(&keys))
}
