//! The files of an installation: created together or not at all, opened together or not at all.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use command_api::owner::Snapshots;
use event_log::{Log, Position};
use group_commit::Database;
use privacy::{KeyStore, RootKey};
use projections::{ReadAddress, ReadStore};

use crate::{
    log_address::FolderLock,
    settings::{Mode, Settings},
};

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
    /// Keeps others out for as long as the files are open.
    pub(crate) lock: FolderLock,
}

/// Stands while the first start creates the set. Nothing was acknowledged under it, so what it left half done goes.
const CREATING: &str = "creating";

/// Where the files of a data folder are.
pub(crate) struct Files {
    pub(crate) log: PathBuf,
    pub(crate) keys: PathBuf,
    work: PathBuf,
    pub(crate) reads: ReadAddress,
    snapshots: PathBuf,
    creating: PathBuf,
}

impl Files {
    pub(crate) fn of(settings: &Settings) -> Self {
        let file = |name| settings.data.join(name);
        Self {
            log: file("log.db"),
            keys: file("keys.db"),
            work: file("work.db"),
            reads: settings.read.clone(),
            snapshots: file("snap.db"),
            creating: file(CREATING),
        }
    }

    /// Those that hold what cannot be made again.
    fn primary(&self, settings: &Settings) -> Vec<&Path> {
        let log = settings.log.is_file().then_some(&*self.log);
        log.into_iter().chain([&*self.keys, &*self.work]).collect()
    }
}

/// Opens the installation of the settings, or creates it where nothing of it exists.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Stores> {
    let files = Files::of(settings);
    fs::create_dir_all(&settings.data)
        .with_context(|| format!("could not create the data folder {}", settings.data.display()))?;
    let lock = settings.log.lock(&settings.data)?.context("another program has this data folder open")?;
    let resumed = files.creating.exists();
    if resumed {
        clear_half_created(settings, &files)?;
    }
    let primary = files.primary(settings);
    let missing: Vec<&Path> = primary.iter().copied().filter(|file| !file.exists()).collect();
    let created = missing.len() == primary.len();
    if !created && !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|file| file.display().to_string()).collect();
        bail!(
            "the data folder {} is incomplete: {} missing. Restore it, or start in an empty folder",
            settings.data.display(),
            names.join(" and ")
        );
    }
    if created {
        create(settings, &files, lock, resumed).await
    } else {
        open_existing(settings, &files, lock).await
    }
}

async fn create(
    settings: &Settings,
    files: &Files,
    lock: FolderLock,
    resumed: bool,
) -> anyhow::Result<Stores> {
    fs::write(&files.creating, "")?;
    sync_folder(&settings.data)?;
    let root = match (settings.mode, settings.root_key.exists()) {
        (_, true) => load_root(settings)?,
        (Mode::Development, false) => RootKey::create_file(&settings.root_key)
            .with_context(|| format!("could not create {}", settings.root_key.display()))?,
        (Mode::Production, false) => bail!("there is no root key at {}", settings.root_key.display()),
    };
    let log = create_log(settings, files, resumed).await.context("could not create the log")?;
    let stores = open_beside(log, &root, files, lock, true).await?;
    fs::remove_file(&files.creating)?;
    // Were the mark to come back after a power cut, the next start would take what was acknowledged for half created.
    sync_folder(&settings.data)?;
    Ok(stores)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("could not sync the data folder {}", folder.display()))
}

/// Outside the data folder, the start that went before may have come so far as to make the log.
async fn create_log(settings: &Settings, files: &Files, resumed: bool) -> anyhow::Result<Log> {
    match settings.log.init(&files.log, settings.partitions).await {
        Err(event_log::Error::AlreadyExists { .. }) if resumed => {
            let log = settings.log.open(&files.log).await?;
            let is_empty = (0..log.partitions()).all(|partition| log.end(partition) == Position::START);
            is_empty.then_some(log).context("it holds the history of another data folder")
        }
        made => Ok(made?),
    }
}

async fn open_existing(settings: &Settings, files: &Files, lock: FolderLock) -> anyhow::Result<Stores> {
    let root = load_root(settings)?;
    let log = settings.log.open(&files.log).await.context("could not open the log")?;
    open_beside(log, &root, files, lock, false).await
}

fn load_root(settings: &Settings) -> anyhow::Result<RootKey> {
    RootKey::load_file(&settings.root_key)
        .with_context(|| format!("could not read the root key {}", settings.root_key.display()))
}

async fn open_beside(
    log: Log,
    root: &RootKey,
    files: &Files,
    lock: FolderLock,
    created: bool,
) -> anyhow::Result<Stores> {
    let keys = KeyStore::create_or_open(&files.keys, root, *log.id().as_bytes())
        .await
        .with_context(|| format!("could not open the key store {}", files.keys.display()))?;
    let work = command_api::work::open(&files.work)
        .with_context(|| format!("could not open {}", files.work.display()))?;
    let reads =
        ReadStore::open_at(&files.reads).await.with_context(|| format!("could not open {}", files.reads))?;
    let snapshots = Snapshots::open(&files.snapshots, log.id())
        .await
        .with_context(|| format!("could not open {}", files.snapshots.display()))?;
    Ok(Stores { log, keys, work, reads, snapshots, created, lock })
}

fn clear_half_created(settings: &Settings, files: &Files) -> anyhow::Result<()> {
    // A running first start holds the log's lock; then the log's own refusal is the better message.
    for file in files.primary(settings) {
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
    let files = Files::of(settings);
    let log = settings.log.open_read_only(&files.log).await?;
    let keys = KeyStore::create_or_open(&files.keys, &load_root(settings)?, *log.id().as_bytes()).await?;
    Ok(crate::wiring::derived_webhook_secret(&keys))
}
