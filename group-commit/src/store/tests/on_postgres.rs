//! What only a store can do that other processes have open too.
use std::sync::mpsc;

use postgres_store::{Address, Schema, testing::TestDatabase};

use super::*;

const SCHEMA: Schema = Schema {
    name: "shelf",
    steps: &["CREATE TABLE t(n BIGINT PRIMARY KEY, words TEXT, bytes BYTEA);
            CREATE TABLE numbered(n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, words TEXT)"],
};

pub(super) async fn open(address: &Address) -> Store {
    Store::open_schema(address, SCHEMA).await.unwrap()
}

/// One handle as each of two processes has it.
async fn two(database: &TestDatabase) -> [Store; 2] {
    let address = database.address();
    let (one, two) = tokio::join!(open(&address), open(&address));
    [one, two]
}

/// Catches: transactions that begin without the lock.
#[tokio::test]
async fn of_two_processes_one_writes_after_the_other() {
    let database = TestDatabase::create();
    let stores = two(&database).await;
    let next = |session: &dyn Session| {
        let last: i64 = session.one("SELECT coalesce(max(n), 0) FROM t", values![], |row| row.at(0))?;
        insert(last + 1)(session)
    };
    let calls = stores.iter().cycle().take(100).map(|store| store.run(next));
    futures::future::join_all(calls).await.into_iter().for_each(|done| done.unwrap());
    let last = "SELECT max(n) FROM t";
    assert_eq!(stores[0].read(move |s| s.one(last, values![], |row| row.at::<i64>(0))).await.unwrap(), 100);
}

/// Catches: reads that take the lock.
#[tokio::test]
async fn who_only_reads_waits_for_nobody_and_sees_what_is_committed() {
    let database = TestDatabase::create();
    let [writer, reader] = two(&database).await;
    let (begun, is_begun) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let writing = tokio::spawn(async move {
        let work = move |session: &dyn Session| {
            insert(1)(session)?;
            begun.send(()).unwrap();
            may_go_on.recv().map_err(StoreError::of_cell)
        };
        writer.run(work).await
    });
    is_begun.await.unwrap();
    assert_eq!(count(&reader).await, 0);
    go_on.send(()).unwrap();
    writing.await.unwrap().unwrap();
    assert_eq!(count(&reader).await, 1);
}

/// Catches: a commit that believes the server's answer (`COMMIT` alone), and a call that is released without a look.
#[tokio::test]
async fn a_call_that_goes_on_behind_a_failed_statement_keeps_nothing_and_is_told() {
    let database = TestDatabase::create();
    let [store, _] = two(&database).await;
    let careless = store.run(|session| {
        insert(1)(session)?;
        drop(insert(1)(session));
        Ok(())
    });
    let (careless, kept) = tokio::join!(careless, store.run(insert(2)));
    assert!(careless.is_err() && kept.is_ok());
    assert_eq!(count(&store).await, 1);
}

const OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'loyalnest stores'";

/// Catches: a begin that trusts its connection.
#[tokio::test]
async fn a_lost_connection_is_told_to_whoever_shared_it_and_replaced() {
    let database = TestDatabase::create();
    let [store, _] = two(&database).await;
    store.run(insert(1)).await.unwrap();
    database.execute(OTHERS).unwrap();
    // Lost between two groups it is nobody's concern.
    store.run(insert(2)).await.unwrap();
    let url = database.url();
    let lost = store.run(move |session| {
        insert(3)(session)?;
        let other = std::thread::spawn(move || {
            let address: Address = url.parse().unwrap();
            Client::connect(&address, "test").unwrap().simple(OTHERS).unwrap();
        });
        other.join().unwrap();
        Ok(())
    });
    assert!(matches!(lost.await, Err(Fault::Store(_) | Fault::Commit(_))));
    store.run(insert(4)).await.unwrap();
    assert_eq!(count(&store).await, 3);
}

/// Catches: a connection without `idle_in_transaction_session_timeout`.
#[tokio::test]
async fn a_process_that_stops_while_it_writes_does_not_hold_up_the_others() {
    let database = TestDatabase::create();
    let [paused, other] = two(&database).await;
    let (begun, is_begun) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let pausing = tokio::spawn(async move {
        let work = move |session: &dyn Session| {
            insert(1)(session)?;
            begun.send(()).unwrap();
            may_go_on.recv().map_err(StoreError::of_cell)
        };
        paused.run(work).await
    });
    is_begun.await.unwrap();
    other.run(insert(1)).await.unwrap();
    go_on.send(()).unwrap();
    assert!(pausing.await.unwrap().is_err());
    assert_eq!(count(&other).await, 1);
}

#[tokio::test]
async fn a_server_that_is_away_is_named_and_nothing_is_done() {
    let database = TestDatabase::create();
    let [store, _] = two(&database).await;
    let name = database.url();
    let name = name.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let server = TestDatabase::create();
    let locked = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
    server.execute(&locked).unwrap();
    server.execute(&OTHERS.replace("current_database()", &format!("'{name}'"))).unwrap();
    let away = store.run(insert(1)).await.unwrap_err();
    assert!(matches!(&away, Fault::Away(reason) if reason.contains("postgres://")), "{away}");
    assert!(!store.is_open());
    server.execute(&locked.replace("false", "true")).unwrap();
    // Nobody but whoever looks asks it again.
    while !store.is_open() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    store.run(insert(1)).await.unwrap();
}
