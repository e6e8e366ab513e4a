//! Addresses and migrations against a real server.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
use futures::future::join_all;
use postgres_store::{Address, Error, Schema, testing::TestDatabase};
use sqlx::PgConnection;

const SCHEMA: Schema = Schema {
    name: "shelf",
    steps: &[
        "CREATE TABLE book (id INTEGER PRIMARY KEY);",
        "INSERT INTO book VALUES (1); INSERT INTO book VALUES (2);",
    ],
};

const BROKEN: &[&str] = &[SCHEMA.steps[0], "INSERT INTO book VALUES (7); INSERT INTO nowhere VALUES (1);"];

async fn books(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM shelf.book").fetch_one(connection).await.unwrap()
}

#[test]
fn no_address_shows_its_password() {
    let address: Address = "postgres://anna:hunter2@db.example:5433/shop?sslmode=require".parse().unwrap();
    let shown = format!("{address} {address:?}");
    assert!(shown.contains("postgres://anna@db.example:5433/shop") && !shown.contains("hunter2"), "{shown}");
    for wrong in [
        "postgres://anna:hunter2@db:x/shop",
        "mysql://anna:hunter2@db/shop",
        "postgres://anna:hunter2@db",
        "postgres://anna:hunter2@db/shop?sslmod=require",
        "postgres://anna:hunter2@db/shop?sslmode=hunter2",
        "postgres://anna:?hunter2@db/shop",
        "postgres://anna:h?sslmode=require&hunter2@db/shop",
    ] {
        let error = wrong.parse::<Address>().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("expected an address such as"), "{shown}");
        assert!(!shown.contains("hunter2@"), "{shown}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_said_so_that_it_can_be_changed() {
    let nobody: Address = "postgres://anna:hunter2@127.0.0.1:1/shop".parse().unwrap();
    let error = nobody.connect("tests").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let database = TestDatabase::create();
    let elsewhere = database.url().replace("/test_", "/no_");
    let error = elsewhere.parse::<Address>().unwrap().connect("tests").await.unwrap_err();
    assert!(matches!(error, Error::NoDatabase { .. }), "{error}");
    let stranger = database.url_as(Some("nobody_at_all:hunter2"));
    let error = stranger.parse::<Address>().unwrap().connect("tests").await.unwrap_err();
    assert!(matches!(error, Error::Login { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

/// Tried: without the advisory lock, two of the nodes met in `CREATE SCHEMA` and one of them failed.
#[tokio::test]
async fn nodes_that_migrate_at_once_do_each_step_once() {
    let database = TestDatabase::create();
    let address = database.address();
    let nodes = (0..8).map(|_| async {
        let mut connection = address.connect("tests").await.unwrap();
        SCHEMA.migrate(&address, &mut connection).await.unwrap();
        SCHEMA.migrate(&address, &mut connection).await.unwrap();
    });
    join_all(nodes).await;
    assert_eq!(books(&mut address.connect("tests").await.unwrap()).await, 2);
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_schema_as_it_was() {
    let database = TestDatabase::create();
    let address = database.address();
    let mut connection = address.connect("tests").await.unwrap();
    let first = Schema { steps: &SCHEMA.steps[..1], ..SCHEMA };
    first.migrate(&address, &mut connection).await.unwrap();
    let broken = Schema { steps: BROKEN, ..SCHEMA };
    broken.migrate(&address, &mut connection).await.unwrap_err();
    assert_eq!(books(&mut connection).await, 0);
    SCHEMA.migrate(&address, &mut connection).await.unwrap();
    assert_eq!(books(&mut connection).await, 2);
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused() {
    let database = TestDatabase::create();
    let address = database.address();
    let mut connection = address.connect("tests").await.unwrap();
    SCHEMA.migrate(&address, &mut connection).await.unwrap();
    let older = Schema { steps: &SCHEMA.steps[..1], ..SCHEMA };
    let refused = older.migrate(&address, &mut connection).await.unwrap_err();
    assert!(matches!(refused, Error::NewerSchema { found: 2, known: 1, .. }), "{refused}");
}
