//! The suite on a real Postgres, and what only a server can do.

mod cluster;
mod refusals;
mod restart;
mod view;

use std::{thread, time::Duration};

use bytes::Bytes;

use postgres_store::testing::TestDatabase;
use sqlx::{Connection as _, Executor as _};

use super::*;
use crate::{
    NewKind, NewRecord, Position, REFERENCE_ROUTE, Stopped, Writer,
    conformance::{Fixture, Tamper, conformance, within},
    error::{Diverged, Reason},
    mutation::{Mutation, plant},
};

/// A log in a database of its own.
struct Database {
    log: Option<Log>,
    database: TestDatabase,
}

impl Database {
    async fn init() -> Self {
        let database = TestDatabase::create();
        let log = init(&database.address(), 4, None).await.unwrap();
        Self { log: Some(log), database }
    }

    /// What an editor does with a tool of its own.
    fn execute(&self, sql: &str) {
        execute(&self.database.address(), sql);
    }
}

/// On a thread of its own, because the suite edits a log from within a runtime.
fn execute(address: &Address, sql: &str) {
    let (address, sql) = (address.clone(), sql.to_owned());
    let edit = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = address.connect("editor").await.unwrap();
            connection.execute(sqlx::raw_sql(&sql)).await.unwrap();
            connection.close().await.unwrap();
        });
    });
    edit.join().unwrap();
}

impl Fixture for Database {
    fn log(&self) -> Log {
        self.log.clone().unwrap()
    }

    async fn reopen(mut self) -> Self {
        self.log = None;
        self.log = Some(open(&self.database.address(), None).await.unwrap());
        self
    }

    fn tamper(&self, tamper: Tamper) {
        let position = |index: usize| {
            format!(
                "(SELECT position FROM loyalnest_log.log WHERE part = 0 ORDER BY position OFFSET {index} LIMIT 1)"
            )
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.execute(&match tamper {
            Tamper::Edit(index, bytes) => format!(
                r"UPDATE loyalnest_log.log SET frame = '\x{}', body = '\x{}' WHERE part = 0 AND position = {}",
                hex(&bytes[..FRAME_LEN]),
                hex(&bytes[FRAME_LEN..]),
                position(index)
            ),
            Tamper::Delete(index) => {
                format!("DELETE FROM loyalnest_log.log WHERE part = 0 AND position = {}", position(index))
            }
            Tamper::Swap(one, other) => format!(
                "UPDATE loyalnest_log.log SET frame = other.frame, body = other.body FROM loyalnest_log.log AS other
                 WHERE log.part = 0 AND other.part = 0 AND log.position <> other.position
                 AND log.position IN ({one}, {other}) AND other.position IN ({one}, {other})",
                one = position(one),
                other = position(other)
            ),
        });
    }
}

conformance!(suite, Database::init().await);

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
    let batch = log.reader(0, None)?.next(2_000).await?;
    Ok(batch.records.iter().flat_map(|record| record.body.to_vec()).collect())
}

#[tokio::test]
async fn init_never_touches_what_is_there() {
    let database = Database::init().await;
    append(&mut claim(&database.log()).await, 1).await.unwrap();
    let again = init(&database.database.address(), 4, None).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    assert_eq!(bodies(&database.log()).await.unwrap(), [1]);
}

#[tokio::test]
async fn of_two_nodes_that_make_a_log_at_once_one_does() {
    let database = TestDatabase::create();
    let address = database.address();
    let (one, other) = tokio::join!(init(&address, 4, None), init(&address, 4, None));
    let made: Vec<Log> = [one, other].into_iter().filter_map(Result::ok).collect();
    assert_eq!(made.len(), 1);
    let (one, other) = tokio::join!(open(&address, None), open(&address, None));
    assert_eq!((one.unwrap().id(), other.unwrap().id()), (made[0].id(), made[0].id()));
}

#[tokio::test]
async fn opening_a_missing_log_makes_nothing() {
    let database = TestDatabase::create();
    let address = database.address();
    assert!(matches!(open(&address, None).await, Err(Error::NotFound { .. })));
    assert!(matches!(open_read_only(&address).await, Err(Error::NotFound { .. })));
    let mut connection = address.connect("tests").await.unwrap();
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'loyalnest%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(schemas).fetch_one(&mut connection).await.unwrap(), 0);
}

#[tokio::test]
async fn an_init_that_died_half_way_is_begun_anew() {
    let database = Database::init().await;
    database.execute("TRUNCATE loyalnest_log.genesis, loyalnest_log.head");
    let address = database.database.address();
    assert!(matches!(open(&address, None).await, Err(Error::NotFound { .. })));
    assert_eq!(init(&address, 3, None).await.unwrap().partitions(), 3);
}

#[tokio::test]
async fn a_read_only_log_follows_the_writer_and_cannot_claim() {
    let database = Database::init().await;
    let watching = open_read_only(&database.database.address()).await.unwrap();
    assert!(matches!(watching.claim(0, |_| Ok(())).await, Err(Error::ReadOnly)));
    let mut reader = watching.reader(0, None).unwrap();
    assert!(reader.next(10).await.unwrap().records.is_empty());
    let mut writer = claim(&database.log()).await;
    within("news of a record", reader.changed()).await.unwrap();
    append(&mut writer, 7).await.unwrap();
    assert_eq!(bodies(&watching).await.unwrap(), [7]);
}

#[tokio::test]
async fn partitions_share_statements_and_keep_their_order() {
    let database = Database::init().await;
    let log = database.log();
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

/// Processes of their own that take both partitions from each other. With the conditions on term, height and hash taken
/// out of the statement this was seen to fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_fight_leave_no_hole_and_lose_no_answer() {
    const ROUNDS: usize = 12;
    let database = Database::init().await;
    let fight = |partition: u16, name: u8| {
        let address = database.database.address();
        tokio::spawn(async move {
            let log = open(&address, None).await.unwrap();
            let mut route = [1; 16];
            while log.partition_of([name; 16], route) != partition {
                route[0] += 1;
            }
            let mut answered = Vec::new();
            for round in 0..ROUNDS {
                let mut writer = log.claim(partition, |_| Ok(())).await.unwrap();
                let sent = (0..20).map_while(|number| {
                    let body = vec![name, round as u8, number];
                    let record =
                        NewRecord { merchant: [name; 16], route, body: body.clone().into(), ..record(0) };
                    Some((writer.append(record).ok()?, body))
                });
                for (pending, body) in sent.collect::<Vec<_>>() {
                    match pending.await {
                        Ok(appended) => answered.push((appended.position, body)),
                        Err(Stopped::Fenced { .. }) => {}
                        Err(stopped) => panic!("{stopped}"),
                    }
                }
            }
            (partition, answered)
        })
    };
    let fights: Vec<_> = (0..2).flat_map(|partition| (1..=3).map(move |name| (partition, name))).collect();
    let fights: Vec<_> = fights.into_iter().map(|(partition, name)| fight(partition, name)).collect();
    let mut answered = Vec::new();
    for fight in fights {
        let (partition, own) = fight.await.unwrap();
        answered.extend(own.into_iter().map(|(position, body)| (partition, position, body)));
    }
    assert!(answered.len() > 20, "nobody got anywhere");
    let log = database.log();
    for partition in 0..2 {
        let records = log.reader(partition, None).unwrap().next(2_000).await.unwrap().records;
        let positions: Vec<u64> = records.iter().map(|record| record.position.get()).collect();
        assert_eq!(positions, Vec::from_iter(1..=records.len() as u64), "a hole");
        for (_, position, body) in answered.iter().filter(|(of, ..)| *of == partition) {
            assert_eq!(records[position.get() as usize - 1].body, *body, "an answer without its record");
        }
    }
}

/// Makes every statement that stores a record fail when it commits, as a full disk does.
const COMMITS_FAIL: &str = "
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$no space$$; END';
    CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON loyalnest_log.log DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION fail();";
const COMMITS_PASS: &str = "DROP TRIGGER fail ON loyalnest_log.log";

/// Catches [`Mutation::AcknowledgeBeforeCommit`].
#[tokio::test]
async fn a_failed_commit_is_a_doubt() {
    let database = Database::init().await;
    let mut writer = claim(&database.log()).await;
    append(&mut writer, 1).await.unwrap();
    database.execute(COMMITS_FAIL);
    let stopped = append(&mut writer, 2).await.unwrap_err();
    assert!(matches!(stopped, Stopped::Doubt { .. }), "{stopped}");
    database.execute(COMMITS_PASS);
    append(&mut claim(&database.log()).await, 4).await.unwrap();
    assert_eq!(bodies(&database.log()).await.unwrap(), [1, 4]);
}

#[tokio::test]
async fn acknowledging_before_the_commit_is_found_out() {
    let planted = plant(&[Mutation::AcknowledgeBeforeCommit]);
    let database = Database::init().await;
    drop(planted);
    let mut writer = claim(&database.log()).await;
    database.execute(COMMITS_FAIL);
    assert!(append(&mut writer, 2).await.is_ok(), "the planted bug was not there");
    assert_eq!(bodies(&database.log()).await.unwrap(), [0_u8; 0], "answered and lost");
}

#[tokio::test]
async fn a_head_that_is_not_of_its_records_is_found() {
    let database = Database::init().await;
    let log = database.log();
    let mut writer = claim(&log).await;
    append(&mut writer, 1).await.unwrap();
    database.execute("UPDATE loyalnest_log.head SET height = 9 WHERE part = 0");
    let Err(Error::Diverged(Diverged { reason, .. })) = bodies(&log).await else { panic!("not found") };
    assert_eq!(reason, Reason::StoreHead);
    assert!(append(&mut writer, 2).await.is_err());
    database.execute("DELETE FROM loyalnest_log.head WHERE part = 0; UPDATE loyalnest_log.log SET part = 1");
    assert!(log.claim(0, |_| Ok(())).await.is_err(), "a claim does not begin a second history");
}

/// Deleting records and setting the head back to fit is caught by those who remember.
#[tokio::test]
async fn a_log_set_back_with_its_head_is_found_by_its_running_owner() {
    let database = Database::init().await;
    let log = database.log();
    let mut writer = claim(&log).await;
    database.execute("CREATE TABLE saved AS SELECT * FROM loyalnest_log.head WHERE part = 0");
    append(&mut writer, 1).await.unwrap();
    let covering = writer.covering();
    database.execute(
        "DELETE FROM loyalnest_log.log WHERE part = 0 AND position = 2;
         DELETE FROM loyalnest_log.head WHERE part = 0; INSERT INTO loyalnest_log.head SELECT * FROM saved",
    );
    assert!(append(&mut writer, 2).await.is_err());
    assert!(matches!(log.claim_from(0, covering, |_| Ok(())).await, Err(Error::Diverged(_))));
}

/// Catches: a page that ends by its number alone, and one that ended by its bytes and counts as the last one.
#[tokio::test]
async fn a_page_of_large_records_has_a_few_of_them_and_none_is_missed() {
    let database = Database::init().await;
    let log = database.log();
    let mut writer = claim(&log).await;
    let numbers = Vec::from_iter(0..7);
    for number in &numbers {
        let body = vec![*number; crate::BODY_LEN_MAX / 2].into();
        writer.append(NewRecord { body, ..record(0) }).unwrap().await.unwrap();
    }
    let (mut reader, mut sweeper) = (log.reader(0, None).unwrap(), log.sweep(&[]).unwrap());
    let (mut read, mut swept) = (Vec::new(), Vec::new());
    loop {
        let batches = [reader.next(1_000).await.unwrap().records, sweeper.next(1_000).await.unwrap().records];
        assert!(batches.iter().all(|batch| batch.len() <= 5), "{} at once", batches[0].len());
        if batches.iter().all(Vec::is_empty) {
            break;
        }
        for (seen, batch) in [&mut read, &mut swept].into_iter().zip(batches) {
            seen.extend(batch.iter().filter_map(|record| record.body.first().copied()));
        }
    }
    assert_eq!((&read, &swept), (&numbers, &numbers));
}

/// The statement compares the record's hash by itself; a longer record, and one without a body, are hashed the same.
#[tokio::test]
async fn records_of_any_length_extend_the_log() {
    let database = Database::init().await;
    let log = database.log();
    let mut writer = claim(&log).await;
    for length in [0, 1, 5_000, 300_000, 0] {
        let record = NewRecord { body: vec![7; length].into(), ..record(0) };
        writer.append(record).unwrap().await.unwrap();
    }
    let records = log.reader(0, None).unwrap().next(10).await.unwrap().records;
    let lengths: Vec<usize> = records.iter().map(|record| record.body.len()).collect();
    assert_eq!(lengths, [0, 0, 1, 5_000, 300_000, 0]);
    assert_eq!(log.end(0), Position::new(6));
}
