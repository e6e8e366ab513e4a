//! Read models that are built anew beside the served ones.
use projections::{Change, ReadStore};
use rand::{SeedableRng as _, rngs::StdRng};
use replay::{
    progress::Progress,
    rebuild::{Comparison, Error, Job, Report, rebuild, roll_back},
    verify::Verdict,
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{book::Book, verify::verified};

/// A data folder that nobody has open, with its read models at the end of the log.
struct Shelf {
    folder: TempDir,
    job: Job,
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
        let job = Job { log: files.log, reads: files.reads, projection: None };
        Self { folder: book.close(), job }
    }

    fn only(&self, name: &str) -> Job {
        Job { projection: Some(name.to_owned()), ..self.job.clone() }
    }

    fn reads(&self) -> Connection {
        Connection::open(&self.job.reads).unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        self.reads().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// One customer has a point too many, and another is gone.
    fn spoil(&self) {
        let reads = self.reads();
        let first = "(SELECT min(customer) FROM points_balance_1)";
        let last = "(SELECT max(customer) FROM points_balance_1)";
        let more = format!("UPDATE points_balance_1 SET available = available + 1 WHERE customer = {first}");
        assert_eq!(reads.execute(&more, []).unwrap(), 1);
        let gone = format!("DELETE FROM points_balance_1 WHERE customer = {last}");
        assert_eq!(reads.execute(&gone, []).unwrap(), 1);
    }

    async fn is_sound(&self) -> bool {
        let file = |name| self.folder.path().join(name);
        let (log, keys, reads) = (file("log.db"), file("keys.db"), file("read.db"));
        let report = verified(&replay::verify::Files { log, keys, reads }).await;
        report.verdict() == Verdict::Sound
    }
}

async fn rebuilt(job: &Job, dry_run: bool) -> Report {
    let report = rebuild(job, dry_run, &mut Progress::silent()).await.unwrap();
    assert!(format!("{report}").lines().count() > 1);
    report
}

const GENERATION: &str = "SELECT generation FROM projection_live WHERE name = 'points_balance'";
const TABLES: &str =
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE 'points_balance_%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rebuilt_equals_what_was_served_and_is_served_instead() {
    let shelf = Shelf::new(11).await;
    let report = rebuilt(&shelf.job, false).await;
    assert!(report.equal() && report.swapped, "{report}");
    let equal = |comparison: &Comparison| matches!(comparison, Comparison::Equal { .. });
    assert!(report.projections.iter().all(|rebuilt| equal(&rebuilt.comparison)), "{report}");
    assert_eq!(report.projections.len(), projections::all().len());
    assert_eq!((shelf.number(GENERATION), shelf.number(TABLES)), (2, 2));
    assert!(shelf.is_sound().await);
    assert!(rebuilt(&shelf.job, false).await.equal());
    assert_eq!((shelf.number(GENERATION), shelf.number(TABLES)), (3, 2), "one generation back is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_differ_are_shown_and_mended_and_come_back_by_a_rollback() {
    let shelf = Shelf::new(12).await;
    shelf.spoil();
    let job = shelf.only("points_balance");
    let report = rebuilt(&job, false).await;
    let [balance] = &report.projections[..] else { panic!("{report}") };
    let Comparison::Differs { differences, served, rebuilt: fresh } = &balance.comparison else {
        panic!("{report}")
    };
    assert_eq!((differences.rows, served.rows, fresh.rows), (2, 3, 4));
    let changes: Vec<_> = differences.first.iter().map(|difference| &difference.change).collect();
    assert!(changes.contains(&&Change::OnlyRebuilt), "{report}");
    let available = |change: &&&Change| matches!(change, Change::Columns(columns) if columns.len() == 1 && columns[0].column == "available");
    assert_eq!(changes.iter().filter(available).count(), 1, "{report}");
    assert!(!report.equal() && report.swapped && shelf.is_sound().await);

    let back = roll_back(&job).await.unwrap();
    assert!(back.is_complete() && shelf.number(GENERATION) == 1 && !shelf.is_sound().await);
    assert!(!roll_back(&job).await.unwrap().is_complete(), "only one generation back is kept");
    assert!(!rebuilt(&job, false).await.equal() && shelf.is_sound().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_and_changes_nothing() {
    let shelf = Shelf::new(13).await;
    shelf.spoil();
    let report = rebuilt(&shelf.job, true).await;
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
    let report = rebuilt(&shelf.job, false).await;
    assert!(report.equal(), "{report}");
    let audit_log = report.projections.iter().find(|rebuilt| rebuilt.name == "audit_log").unwrap();
    let Comparison::Equal { digest } = audit_log.comparison else { panic!("{report}") };
    assert!(audit_log.now.rows > digest.rows, "{report}");
    assert!(shelf.is_sound().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_was_interrupted_leaves_nothing_that_matters() {
    let shelf = Shelf::new(15).await;
    let log = event_log::sqlite::open(&shelf.job.log).unwrap();
    let store = ReadStore::open(&shelf.job.reads).await.unwrap();
    let shadow = store.shadow(|_| true).await.unwrap();
    shadow.fold_to_end(&log, &mut |_| {}).await.unwrap();
    drop((shadow, store, log));
    assert_eq!((shelf.number(GENERATION), shelf.number(TABLES)), (1, 2));
    assert!(shelf.is_sound().await);
    let report = rebuilt(&shelf.job, false).await;
    assert!(report.equal() && shelf.number(GENERATION) == 2, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_served_tables_go_on_from_where_a_rebuild_or_a_rollback_left_them() {
    let mut book = Book::open(StdRng::seed_from_u64(16)).await;
    book.lives(30).await;
    book.catch_up().await;
    let shelf = Shelf::of(book);
    for rolled_back in [false, true] {
        rebuilt(&shelf.job, false).await;
        if rolled_back {
            assert!(roll_back(&shelf.job).await.unwrap().is_complete());
        }
        let log = event_log::sqlite::open(&shelf.job.log).unwrap();
        drop(log.claim(0, |_| Ok(())).await.unwrap());
        let store = ReadStore::open(&shelf.job.reads).await.unwrap();
        let running = projections::Projections::start(log.clone(), store).await.unwrap();
        let soon = std::time::Duration::from_secs(20);
        assert!(running.progress().wait_for(0, log.end(0), soon).await);
        drop((running, log));
        assert!(shelf.is_sound().await);
        until_free(&shelf.job).await;
    }
}

/// The projections' tasks end a moment after they were told to, and the log's lock with them.
async fn until_free(job: &Job) {
    while matches!(event_log::sqlite::open(&job.log), Err(event_log::Error::Locked { .. })) {
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
    let job = Job { log: backup, ..shelf.job.clone() };
    let report = rebuilt(&job, false).await;
    assert!(!report.equal() && report.swapped, "{report}");
    let elsewhere = |comparison: &Comparison| matches!(comparison, Comparison::OtherHistory { .. });
    assert!(report.projections.iter().all(|rebuilt| elsewhere(&rebuilt.comparison)), "{report}");
    assert!(rebuilt(&job, false).await.equal());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_and_an_unknown_projection_are_refused() {
    let book = Book::open(StdRng::seed_from_u64(18)).await;
    let files = book.files();
    let job = Job { log: files.log, reads: files.reads, projection: None };
    let in_use = rebuild(&job, false, &mut Progress::silent()).await.unwrap_err();
    assert!(matches!(in_use, Error::InUse), "{in_use}");
    let job = Job { projection: Some("balances".to_owned()), ..job };
    let unknown = rebuild(&job, false, &mut Progress::silent()).await.unwrap_err();
    assert!(unknown.to_string().contains("points_balance"), "{unknown}");
}
