//! What an installation keeps. Its files are created together or not at all, opened together or not at all; what servers
//! keep is made by whichever of its nodes comes first.
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use command_api::owner::Snapshots;
use event_log::{Log, Position};
use group_commit::Store;
use privacy::{KeyStore, RootKey};
use projections::{ReadAddress, ReadStore};

use crate::{
    log_address::FolderLock,
    settings::{Mode, Settings},
    stores_address::StoresAddress,
};

/// Everything that an installation keeps, open.
pub(crate) struct Stores {
    /// All history.
    pub(crate) log: Log,
    /// Keys and directory.
    pub(crate) keys: KeyStore,
    /// Inbox, idempotency rows, policy progress.
    pub(crate) work: Store,
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

/// How long another node may take to make the log.
const MAKING_MAX: Duration = Duration::from_secs(30);

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
        let stores = if settings.stores.is_folder() { vec![&*self.keys, &*self.work] } else { Vec::new() };
        log.into_iter().chain(stores).collect()
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
    if primary.is_empty() {
        return open_servers(settings, &files, lock).await;
    }
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

/// Opens the installation of the settings; makes nothing where it is not complete.
pub(crate) async fn open_again(settings: &Settings) -> anyhow::Result<Stores> {
    let files = Files::of(settings);
    let missing = files.primary(settings).into_iter().find(|file| !file.exists());
    if let Some(missing) = missing {
        bail!("{} is missing; restore it", missing.display());
    }
    let lock = settings.log.lock(&settings.data)?.context("another program has this data folder open")?;
    open_existing(settings, &files, lock).await
}

async fn create(
    settings: &Settings,
    files: &Files,
    lock: FolderLock,
    resumed: bool,
) -> anyhow::Result<Stores> {
    fs::write(&files.creating, "")?;
    sync_folder(&settings.data)?;
    let root = first_root(settings)?;
    let log = create_log(settings, files, resumed).await.context("could not create the log")?;
    let stores = open_beside(log, &root, settings, files, lock, true).await?;
    fs::remove_file(&files.creating)?;
    // Were the mark to come back after a power cut, the next start would take what was acknowledged for half created.
    sync_folder(&settings.data)?;
    Ok(stores)
}

/// Several nodes may do so at once, each with a data folder of its own: one of them makes the log, and then it has created
/// the installation.
async fn open_servers(settings: &Settings, files: &Files, lock: FolderLock) -> anyhow::Result<Stores> {
    let opened = match settings.log.open(&files.log).await {
        Err(event_log::Error::NotFound { .. }) => None,
        opened => Some(opened.context("could not open the log")?),
    };
    let (log, root, created) = match opened {
        Some(log) => (log, load_root(settings)?, false),
        None => {
            let root = first_root(settings)?;
            match settings.log.init(&files.log, settings.partitions).await {
                Err(event_log::Error::AlreadyExists { .. }) => {
                    (open_made(settings, files).await?, root, false)
                }
                made => (made.context("could not create the log")?, root, true),
            }
        }
    };
    open_beside(log, &root, settings, files, lock, created).await
}

/// The log that another node is making at this moment.
async fn open_made(settings: &Settings, files: &Files) -> anyhow::Result<Log> {
    let begun = Instant::now();
    loop {
        match settings.log.open(&files.log).await {
            Err(error) if begun.elapsed() < MAKING_MAX => {
                tracing::info!(error = &error as &dyn std::error::Error, "The log is not ready yet");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            opened => return opened.context("could not open the log"),
        }
    }
}

/// The root key of an installation that has nothing yet.
fn first_root(settings: &Settings) -> anyhow::Result<RootKey> {
    match (settings.mode, settings.root_key.exists()) {
        (_, true) => load_root(settings),
        (Mode::Development, false) => RootKey::create_file(&settings.root_key)
            .with_context(|| format!("could not create {}", settings.root_key.display())),
        (Mode::Production, false) => bail!("there is no root key at {}", settings.root_key.display()),
    }
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
    open_beside(log, &root, settings, files, lock, false).await
}

fn load_root(settings: &Settings) -> anyhow::Result<RootKey> {
    RootKey::load_file(&settings.root_key)
        .with_context(|| format!("could not read the root key {}", settings.root_key.display()))
}

async fn open_beside(
    log: Log,
    root: &RootKey,
    settings: &Settings,
    files: &Files,
    lock: FolderLock,
    created: bool,
) -> anyhow::Result<Stores> {
    let keys = open_keys(&log, root, settings, files).await?;
    let work = open_work(settings, files).await?;
    let reads =
        ReadStore::open_at(&files.reads).await.with_context(|| format!("could not open {}", files.reads))?;
    let snapshots = Snapshots::open(&files.snapshots, log.id())
        .await
        .with_context(|| format!("could not open {}", files.snapshots.display()))?;
    Ok(Stores { log, keys, work, reads, snapshots, created, lock })
}

async fn open_keys(
    log: &Log,
    root: &RootKey,
    settings: &Settings,
    files: &Files,
) -> anyhow::Result<KeyStore> {
    let id = *log.id().as_bytes();
    match &settings.stores {
        StoresAddress::Folder => KeyStore::create_or_open(&files.keys, root, id)
            .await
            .with_context(|| format!("could not open the key store {}", files.keys.display())),
        #[cfg(feature = "postgres")]
        StoresAddress::Postgres(address) => KeyStore::create_or_open_at(address, root, id)
            .await
            .with_context(|| format!("could not open the key store in {address}")),
    }
}

async fn open_work(settings: &Settings, files: &Files) -> anyhow::Result<Store> {
    match &settings.stores {
        StoresAddress::Folder => command_api::work::open(&files.work)
            .with_context(|| format!("could not open {}", files.work.display())),
        #[cfg(feature = "postgres")]
        StoresAddress::Postgres(address) => command_api::work::open_at(address)
            .await
            .with_context(|| format!("could not open the store of the inbox in {address}")),
    }
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
    let keys = open_keys(&log, &load_root(settings)?, settings, &files).await?;
    Ok(crate::wiring::derived_webhook_secret(&keys))
}
