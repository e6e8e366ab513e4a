//! Read models that are built anew beside the served ones.
use std::{
    future::pending,
    path::{Path, PathBuf},
};

use event_log::Log;
use projections::{Change, Projections, ReadStore};
use rand::{SeedableRng as _, rngs::StdRng};
use replay::{
    progress::Progress,
    rebuild::{Chosen, Comparison, Error, Report, RolledBackAll, open, rebuild, roll_back},
    verify::Verdict,
};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{book::Book, verify::verified};

/// A data folder that nobody has open, with its read models at the end of the log.
struct Shelf {
    folder: TempDir,
    log: PathBuf,
    reads: PathBuf,
}

impl Shelf {
    async fn new(seed: u64) -> Self {
        let mut book = Book::open(StdRng::seed_from_u64(seed)).await;
        book.lives(60).await;
        book.catch_up().await;
        Self::of(book)
    }

    fn of(book: Book) -> Self {
        let files = book.files();
        Self { log: files.log, reads: files.reads.file().unwrap().to_owned(), folder: book.close() }
    }

    async fn rebuilt(&self, projection: Option<&str>, dry_run: bool) -> Report {
        let (log, store) = open(&self.log, &self.reads.as_path().into()).await.unwrap();
        rebuilt(&log, &store, projection, dry_run).await
    }

    async fn rolled_back(&self, projection: Option<&str>) -> RolledBackAll {
        let (log, store) = open(&self.log, &self.reads.as_path().into()).await.unwrap();
        roll_back(&log, &store, Chosen::of(projection).unwrap(), &mut Progress::silent()).await.unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        number(&self.reads, sql)
    }

    fn spoil(&self) {
        spoil(&self.reads);
    }

    async fn is_sound(&self) -> bool {
        is_sound(self.folder.path()).await
    }
}

fn number(reads: &Path, sql: &str) -> i64 {
    Connection::open(reads).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// One customer has a point too many, and another is gone.
fn spoil(reads: &Path) {
    let reads = Connection::open(reads).unwrap();
    let first = "(SELECT min(customer) FROM points_balance_1)";
    let last = "(SELECT max(customer) FROM points_balance_1)";
    let more = format!("UPDATE points_balance_1 SET available = available + 1 WHERE customer = {first}");
    assert_eq!(reads.execute(&more, []).unwrap(), 1);
    let gone = format!("DELETE FROM points_balance_1 WHERE customer = {last}");
    assert_eq!(reads.execute(&gone, []).unwrap(), 1);
}

async fn is_sound(folder: &Path) -> bool {
    let file = |name| folder.join(name);
    let (log, keys, reads) = (file("log.db"), file("keys.db"), file("read.db"));
    let report = verified(&replay::verify::Files { log, keys: keys.into(), reads: reads.into() }).await;
    println!("{report}");
    report.verdict() == Verdict::Sound
}

async fn rebuilt(log: &Log, store: &ReadStore, projection: Option<&str>, dry_run: bool) -> Report {
    let chosen = Chosen::of(projection).unwrap();
    let report = rebuild(log, store, chosen, dry_run, &mut Progress::silent(), pending()).await.unwrap();
    assert!(format!("{report}").lines().count() > 1);
    report
}

const GENERATION: &str = "SELECT generation FROM projection_live WHERE name = 'points_balance'";
const TABLES: &str =
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE 'points_balance_%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rebuilt_equals_what_was_served_and_is_served_instead() {
    let shelf = Shelf::new(11).await;
    let report = shelf.rebuilt(None, false).await;
    assert!(report.equal() && report.swapped, "{report}");
    let equal = |comparison: &Comparison| matches!(comparison, Comparison::Equal { .. });
    assert!(report.projections.iter().all(|rebuilt| equal(&rebuilt.comparison)), "{report}");
    assert_eq!(report.projections.len(), projections::all().len());
    assert_eq!((shelf.number(GENERATION), shelf.number(TABLES)), (2, 2));
    assert!(shelf.is_sound().await);
    assert!(shelf.rebuilt(None, false).await.equal());
    assert_eq!((shelf.number(GENERATION), shelf.number(TABLES)), (3, 2), "one generation back is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_differ_are_shown_and_mended_and_come_back_by_a_rollback() {
    let shelf = Shelf::new(12).await;
    shelf.spoil();
    let only = Some("points_balance");
    let report = shelf.rebuilt(only, false).await;
    let [balance] = &report.projections[..] else { panic!("{report}") };
    let Comparison::Differs { differences, served, rebuilt: fresh } = &balance.comparison else {
        panic!("{report}")
    };
    assert_eq!((differences.rows, served.rows, fresh.rows), (2, 5, 6));
    let changes: Vec<_> = differences.first.iter().map(|difference| &difference.change).collect();
    assert!(changes.contains(&&Change::OnlyRebuilt), "{report}");
    let available = |change: &&&Change| matches!(change, Change::Columns(columns) if columns.len() == 1 && columns[0].column == "available");
    assert_eq!(changes.iter().filter(available).count(), 1, "{report}");
    assert!(!report.equal() && report.swapped && shelf.is_sound().await);

    let back = shelf.rolled_back(only).await;
    assert!(back.is_complete() && shelf.number(GENERATION) == 1 && !shelf.is_sound().await);
    assert!(!shelf.rolled_back(only).await.is_complete(), "only one generation back is kept");
    assert!(!shelf.rebuilt(only, false).await.equal() && shelf.is_sound().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_and_changes_nothing() {
    let shelf = Shelf::new(13).await;
    shelf.spoil();
    let report = shelf.rebuilt(None, true).await;
    assert!(!report.equal() && !report.swapped, "{report}");
    assert_eq!((shelf.number(GENERATION), shelf.number(TABLES)), (1, 1));
    assert_eq!(shelf.number("SELECT count(*) FROM checkpoint WHERE generation > 1"), 0);
    assert!(!shelf.is_sound().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lags_is_compared_where_it_stands_and_then_catches_up() {
    let mut book = Book::open(StdRng::seed_from_u64(14)).await;
    book.lives(40).await;
    book.catch_up().await;
    book.lives(40).await;
    let shelf = Shelf::of(book);
    let report = shelf.rebuilt(None, false).await;
    assert!(report.equal(), "{report}");
    let audit_log = report.projections.iter().find(|rebuilt| rebuilt.name == "audit_log").unwrap();
    let Comparison::Equal { digest } = audit_log.comparison else { panic!("{report}") };
    assert!(audit_log.now.rows > digest.rows, "{report}");
    assert!(shelf.is_sound().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_was_interrupted_leaves_nothing_that_matters() {
    let shelf = Shelf::new(15).await;
    let log = event_log::sqlite::open(&shelf.log).unwrap();
    let store = ReadStore::open(&shelf.reads).await.unwrap();
    let shadow = store.shadow(|_| true).await.unwrap();
    shadow.fold_to_end(&log, &mut |_| {}).await.unwrap();
    drop((shadow, store, log));
    assert_eq!((shelf.number(GENERATION), shelf.number(TABLES)), (1, 2));
    assert!(shelf.is_sound().await);
    let report = shelf.rebuilt(None, false).await;
    assert!(report.equal() && shelf.number(GENERATION) == 2, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_served_tables_go_on_from_where_a_rebuild_or_a_rollback_left_them() {
    let mut book = Book::open(StdRng::seed_from_u64(16)).await;
    book.lives(30).await;
    book.catch_up().await;
    let shelf = Shelf::of(book);
    for rolled_back in [false, true] {
        shelf.rebuilt(None, false).await;
        if rolled_back {
            assert!(shelf.rolled_back(None).await.is_complete());
        }
        let log = event_log::sqlite::open(&shelf.log).unwrap();
        drop(log.claim(0, |_| Ok(())).await.unwrap());
        let store = ReadStore::open(&shelf.reads).await.unwrap();
        let running = Projections::start(log.clone(), store).await.unwrap();
        let soon = std::time::Duration::from_secs(20);
        assert!(running.progress().wait_for(0, log.end(0), soon).await);
        drop((running, log));
        assert!(shelf.is_sound().await);
        until_free(&shelf.log).await;
    }
}

/// The projections' tasks end a moment after they were told to, and the log's lock with them.
async fn until_free(log: &Path) {
    while matches!(event_log::sqlite::open(log), Err(event_log::Error::Locked { .. })) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_history_that_is_gone_are_replaced_without_a_comparison() {
    let mut book = Book::open(StdRng::seed_from_u64(17)).await;
    book.lives(30).await;
    let backup = book.folder.path().join("backup.db");
    let connection = Connection::open(book.files().log).unwrap();
    connection.execute("VACUUM INTO ?", [backup.to_str().unwrap()]).unwrap();
    book.lives(30).await;
    book.catch_up().await;
    let shelf = Shelf::of(book);
    let shelf = Shelf { log: backup, ..shelf };
    let report = shelf.rebuilt(None, false).await;
    assert!(!report.equal() && report.swapped, "{report}");
    let elsewhere = |comparison: &Comparison| matches!(comparison, Comparison::OtherHistory { .. });
    assert!(report.projections.iter().all(|rebuilt| elsewhere(&rebuilt.comparison)), "{report}");
    assert!(shelf.rebuilt(None, false).await.equal());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_and_an_unknown_projection_are_refused() {
    let book = Book::open(StdRng::seed_from_u64(18)).await;
    let files = book.files();
    let in_use = open(&files.log, &files.reads).await.map(drop).unwrap_err();
    assert!(matches!(in_use, Error::InUse), "{in_use}");
    let unknown = Chosen::of(Some("balances")).unwrap_err();
    assert!(unknown.to_string().contains("points_balance"), "{unknown}");
}

/// A book whose read models are followed, as a server does.
struct Served {
    book: Book,
    store: ReadStore,
    running: Projections,
}

impl Served {
    async fn new(seed: u64, lives: usize) -> Self {
        let mut book = Book::open(StdRng::seed_from_u64(seed)).await;
        book.lives(lives).await;
        let store = ReadStore::open_at(&book.files().reads).await.unwrap();
        let running = Projections::start(book.log.clone(), store.clone()).await.unwrap();
        let served = Self { book, store, running };
        served.until_followed().await;
        served
    }

    /// Whatever was written is in the served tables, and the projections still run.
    async fn until_followed(&self) {
        let (log, progress) = (&self.book.log, self.running.progress());
        for partition in 0..log.partitions() {
            let soon = std::time::Duration::from_secs(20);
            assert!(progress.wait_for(partition, log.end(partition), soon).await, "{:?}", progress.stopped());
        }
        let lagging = |report: &projections::Report| report.lag_events > 0 || report.error.is_some();
        assert!(!progress.report().iter().any(lagging), "{:?}", progress.report());
    }

    async fn is_sound(&self) -> bool {
        self.until_followed().await;
        is_sound(self.book.folder.path()).await
    }
}

/// Seen to catch: a swap while the served tables go on; a follower that does not look where the new tables stand; a
/// comparison while the served tables go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_whoever_follows_the_log_rebuilds_and_rollbacks_lose_and_double_nothing() {
    let Served { mut book, store, running } = Served::new(19, 60).await;
    let (log, written) = (book.log.clone(), oneshot::channel());
    let (told, mut enough) = written;
    let writing = tokio::spawn(async move {
        while enough.try_recv().is_err() {
            book.lives(1).await;
        }
        book
    });
    for round in 0..60 {
        let only = [None, Some("points_balance"), Some("audit_log")][round % 3];
        let report = rebuilt(&log, &store, only, round % 4 == 3).await;
        assert!(report.equal(), "round {round}: {report}");
        if round % 4 == 2 {
            let chosen = Chosen::of(only).unwrap();
            let back = roll_back(&log, &store, chosen, &mut Progress::silent()).await.unwrap();
            assert!(back.is_complete(), "round {round}");
        }
    }
    told.send(()).unwrap();
    let served = Served { book: writing.await.unwrap(), store, running };
    assert!(served.is_sound().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_whoever_follows_the_log_a_spoiled_row_is_shown_and_mended() {
    let mut served = Served::new(20, 60).await;
    let files = served.book.files();
    let reads = files.reads.file().unwrap();
    spoil(reads);
    let report = rebuilt(&served.book.log, &served.store, Some("points_balance"), true).await;
    assert!(!report.equal() && !report.swapped && number(reads, TABLES) == 1, "{report}");
    assert!(!served.is_sound().await);
    let report = rebuilt(&served.book.log, &served.store, Some("points_balance"), false).await;
    let Comparison::Differs { differences, .. } = &report.projections[0].comparison else {
        panic!("{report}")
    };
    assert_eq!(differences.rows, 2);
    served.book.lives(20).await;
    assert!(served.is_sound().await && number(reads, GENERATION) == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_cancelled_leaves_what_is_served_and_nothing_else() {
    let mut served = Served::new(21, 60).await;
    let (told, reached) = tokio::sync::watch::channel(replay::progress::Reached::default());
    let begun = async move {
        // It has read something, so it is in the middle.
        let mut reached = reached;
        reached.wait_for(|reached| reached.records > 0).await.unwrap();
    };
    let chosen = Chosen::of(None).unwrap();
    let cancelled =
        rebuild(&served.book.log, &served.store, chosen, false, &mut Progress::told(told), begun).await;
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    let files = served.book.files();
    let reads = files.reads.file().unwrap();
    assert_eq!((number(reads, GENERATION), number(reads, TABLES)), (1, 1));
    assert_eq!(number(reads, "SELECT count(*) FROM checkpoint WHERE generation > 1"), 0);
    served.book.lives(10).await;
    assert!(served.is_sound().await);
}
