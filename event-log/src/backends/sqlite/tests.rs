//! The suite on SQLite, and what only a file can do.

use std::{fs, time::Duration};

use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::{
    AppendError, NewKind, NewRecord, REFERENCE_ROUTE, Stopped, Writer,
    conformance::{Fixture, Tamper, conformance, within},
    error::{Diverged, Reason},
    mutation::{Mutation, plant},
};

struct File {
    folder: TempDir,
    log: Option<Log>,
}

impl File {
    fn init() -> Self {
        let folder = TempDir::new().unwrap();
        let log = init(&folder.path().join("log.db"), 4).unwrap();
        Self { folder, log: Some(log) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    /// What an editor does with a tool of its own.
    fn execute(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    fn close(&mut self) {
        self.log = None;
    }
}

impl Fixture for File {
    fn log(&self) -> Log {
        self.log.clone().unwrap()
    }

    /// A log is free once its last writer and reader ended, which may take the runtime a moment.
    async fn reopen(mut self) -> Self {
        self.close();
        for _ in 0..100 {
            match open(&self.path()) {
                Err(Error::Locked { .. }) => sleep(Duration::from_millis(10)).await,
                opened => {
                    self.log = Some(opened.unwrap());
                    return self;
                }
            }
        }
        panic!("the log stayed locked");
    }

    fn tamper(&self, tamper: Tamper) {
        let connection = Connection::open(self.path()).unwrap();
        let mut statement =
            connection.prepare("SELECT seq, rec FROM log WHERE part = 0 ORDER BY seq").unwrap();
        let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
        let edit = |index: usize, bytes: &[u8]| {
            let params = rusqlite::params![rows[index].0, bytes];
            connection.execute("UPDATE log SET rec = ?2 WHERE seq = ?1", params).unwrap();
        };
        match tamper {
            Tamper::Edit(index, bytes) => edit(index, &bytes),
            Tamper::Delete(index) => {
                connection.execute("DELETE FROM log WHERE seq = ?1", [rows[index].0]).unwrap();
            }
            Tamper::Swap(one, other) => {
                edit(one, &rows[other].1);
                edit(other, &rows[one].1);
            }
        }
    }
}

conformance!(suite, File::init());

fn record(number: u8) -> NewRecord {
    NewRecord {
        kind: NewKind::Commit,
        merchant: [1; 16],
        route: REFERENCE_ROUTE,
        stream: [2; 16],
        key_count: 0,
        body: vec![number].into(),
    }
}

async fn claim(log: &Log) -> Writer {
    log.claim(0, |_| Ok(())).await.unwrap()
}

async fn append(writer: &mut Writer, number: u8) -> Result<(), Stopped> {
    writer.append(record(number)).unwrap().await.map(drop)
}

/// The bodies of all commits, by a reader from the beginning.
async fn bodies(log: &Log) -> Result<Vec<u8>, Error> {
    let batch = log.reader(0, None)?.next(1_000).await?;
    Ok(batch.records.iter().flat_map(|record| record.body.to_vec()).collect())
}

#[test]
fn init_never_touches_what_is_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log.db");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(init(&path, 4), Err(Error::AlreadyExists { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn an_init_that_died_half_way_is_begun_anew() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("log.db.new"), "half a log").unwrap();
    let path = folder.path().join("log.db");
    assert!(matches!(open(&path), Err(Error::NotFound { .. })));
    assert_eq!(init(&path, 3).unwrap().partitions(), 3);
}

#[test]
fn opening_a_missing_log_makes_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log.db");
    assert!(matches!(open(&path), Err(Error::NotFound { .. })));
    assert!(matches!(open_read_only(&path), Err(Error::NotFound { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn files_that_are_no_log_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let (text, other) = (folder.path().join("text.db"), folder.path().join("other.db"));
    fs::write(&text, "not a database, but long enough to be asked for its header".repeat(20)).unwrap();
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE genesis (x)").unwrap();
    for path in [text, other] {
        let before = fs::read(&path).unwrap();
        assert!(matches!(open(&path), Err(Error::NotALog { .. })));
        assert!(matches!(open_read_only(&path), Err(Error::NotALog { .. })));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_log_of_another_version_is_refused() {
    let mut file = File::init();
    file.close();
    file.execute("PRAGMA user_version = 2");
    assert!(matches!(open(&file.path()), Err(Error::NotALog { .. })));
}

#[test]
fn one_log_at_a_time_may_write() {
    let mut file = File::init();
    assert!(matches!(open(&file.path()), Err(Error::Locked { .. })));
    assert!(matches!(init(&file.path(), 4), Err(Error::Locked { .. })));
    file.close();
    assert!(open(&file.path()).is_ok());
}

#[tokio::test]
async fn a_read_only_log_follows_the_writer_and_cannot_claim() {
    let file = File::init();
    let (log, watching) = (file.log(), open_read_only(&file.path()).unwrap());
    assert!(matches!(watching.claim(0, |_| Ok(())).await, Err(Error::ReadOnly)));
    let mut reader = watching.reader(0, None).unwrap();
    assert!(reader.next(10).await.unwrap().records.is_empty());
    let mut writer = claim(&log).await;
    within("news of a record", reader.changed()).await.unwrap();
    append(&mut writer, 7).await.unwrap();
    assert_eq!(bodies(&watching).await.unwrap(), [7]);
}

#[tokio::test]
async fn partitions_share_commits_and_keep_their_order() {
    let file = File::init();
    let log = file.log();
    let mut writers = Vec::new();
    for partition in 0..log.partitions() {
        writers.push(log.claim(partition, |_| Ok(())).await.unwrap());
    }
    let mut pending = Vec::new();
    for _ in 0..500 {
        for writer in &mut writers {
            pending.push(writer.append(NewRecord::barrier(0)).unwrap());
        }
    }
    for answer in pending {
        answer.await.unwrap();
    }
    for partition in 0..log.partitions() {
        let batch = log.reader(partition, None).unwrap().next(1_000).await.unwrap();
        assert_eq!(batch.records.len(), 501);
    }
}

/// Makes every COMMIT of a record fail, as a full disk or a failed sync does: a row breaks a constraint that is deferred.
const COMMITS_FAIL: &str = "
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER fail AFTER INSERT ON log BEGIN INSERT INTO child VALUES (new.seq); END;";
const COMMITS_PASS: &str = "DROP TRIGGER fail";

/// Catches [`Mutation::AcknowledgeBeforeCommit`].
#[tokio::test]
async fn a_failed_commit_is_a_doubt() {
    let file = File::init();
    let mut writer = claim(&file.log()).await;
    append(&mut writer, 1).await.unwrap();
    file.execute(COMMITS_FAIL);
    let stopped = append(&mut writer, 2).await.unwrap_err();
    assert!(matches!(stopped, Stopped::Doubt { .. }), "{stopped}");
    assert!(matches!(writer.append(record(3)), Err(AppendError::Stopped(Stopped::Doubt { .. }))));
    file.execute(COMMITS_PASS);
    append(&mut claim(&file.log()).await, 4).await.unwrap();
    assert_eq!(bodies(&file.log()).await.unwrap(), [1, 4]);
}

#[tokio::test]
async fn acknowledging_before_the_commit_is_found_out() {
    let planted = plant(&[Mutation::AcknowledgeBeforeCommit]);
    let file = File::init();
    drop(planted);
    let mut writer = claim(&file.log()).await;
    file.execute(COMMITS_FAIL);
    assert!(append(&mut writer, 2).await.is_ok(), "the planted bug was not there");
    assert_eq!(bodies(&file.log()).await.unwrap(), [0_u8; 0], "answered and lost");
}

/// The files as a kill finds them: the write-ahead log is not yet part of the database.
#[tokio::test]
async fn a_killed_process_loses_nothing_it_answered() {
    let file = File::init();
    let log = file.log();
    let mut writer = claim(&log).await;
    for number in 0..20 {
        append(&mut writer, number).await.unwrap();
    }
    let image = TempDir::new().unwrap();
    for name in ["log.db", "log.db-wal"] {
        fs::copy(file.folder.path().join(name), image.path().join(name)).unwrap();
    }
    let log = open(&image.path().join("log.db")).unwrap();
    append(&mut claim(&log).await, 20).await.unwrap();
    assert_eq!(bodies(&log).await.unwrap(), Vec::from_iter(0..=20));
}

#[tokio::test]
async fn a_head_that_is_not_of_its_records_is_found() {
    let file = File::init();
    let log = file.log();
    let mut writer = claim(&log).await;
    append(&mut writer, 1).await.unwrap();
    file.execute("UPDATE head SET height = 9 WHERE part = 0");
    let Err(Error::Diverged(Diverged { reason, .. })) = bodies(&log).await else { panic!("not found") };
    assert_eq!(reason, Reason::StoreHead);
    assert!(append(&mut writer, 2).await.is_err());
    file.execute("DELETE FROM head WHERE part = 0; UPDATE log SET part = 1");
    assert!(log.claim(0, |_| Ok(())).await.is_err(), "a claim does not begin a second history");
}

/// Deleting records and setting the head back to fit is caught by those who remember.
#[tokio::test]
async fn a_log_set_back_with_its_head_is_found_by_its_running_owner() {
    let file = File::init();
    let log = file.log();
    let mut writer = claim(&log).await;
    file.execute("CREATE TABLE saved AS SELECT * FROM head WHERE part = 0");
    append(&mut writer, 1).await.unwrap();
    let covering = writer.covering();
    file.execute(
        "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log);
         DELETE FROM head WHERE part = 0; INSERT INTO head SELECT * FROM saved",
    );
    assert!(append(&mut writer, 2).await.is_err());
    assert!(matches!(log.claim_from(0, covering, |_| Ok(())).await, Err(Error::Diverged(_))));
}

/// Pages end by their bytes before they end by their number. Seen to fail where such a page counts as the last one.
#[tokio::test]
async fn a_pass_over_large_records_takes_a_few_at_once_and_misses_none() {
    let file = File::init();
    let mut writer = claim(&file.log()).await;
    for number in 0..40 {
        let body = vec![number; 100_000].into();
        writer.append(NewRecord { body, ..record(number) }).unwrap().await.unwrap();
    }
    for log in [file.log(), open_read_only(&file.path()).unwrap()] {
        let mut sweeper = log.sweep(&[]).unwrap();
        let mut seen = Vec::new();
        loop {
            let batch = sweeper.next(1_000).await.unwrap();
            assert!(batch.records.len() < 10, "{} at once", batch.records.len());
            if batch.records.is_empty() {
                break;
            }
            seen.extend(batch.records.iter().filter_map(|record| record.body.first().copied()));
        }
        assert_eq!(seen, Vec::from_iter(0..40));
    }
}

#[tokio::test]
async fn the_view_shows_records_to_people() {
    let file = File::init();
    append(&mut claim(&file.log()).await, 0x4d).await.unwrap();
    let connection = Connection::open(file.path()).unwrap();
    let sql = "SELECT kind, hex(body), merchant, hex(height), height FROM record ORDER BY position";
    let mut statement = connection.prepare(sql).unwrap();
    let rows =
        statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(4)?))).unwrap();
    let rows: Vec<(String, String, String, String)> = rows.map(Result::unwrap).collect();
    let row = |kind: &str, body: &str, merchant: &str, height: &str| {
        (kind.to_owned(), body.to_owned(), merchant.repeat(16), height.to_owned())
    };
    assert_eq!(
        rows,
        [row("claim", "", "00", "0000000000000001"), row("commit", "4D", "01", "0000000000000002")]
    );
}
