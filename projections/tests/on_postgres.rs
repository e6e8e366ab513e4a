//! What only a Postgres has to promise: the same rows as a file, roles, nodes that start at once, lost connections.
use event_log::Log;
use privacy::MerchantScope;
use projections::{
    ReadAddress, ReadStore, points_balance,
    testing::{TestDatabase, dump, fold_interleaved},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    shelf::{SCHEMA, Shelf},
    story::busy_shop,
};

fn address(database: &TestDatabase) -> ReadAddress {
    database.url().parse().unwrap()
}

async fn folded(log: &Log, database: &TestDatabase) -> ReadStore {
    let store = ReadStore::open_at(&address(database)).await.unwrap();
    fold_interleaved(log, &store, |_| 0).await.unwrap();
    store
}

/// One straight, the other with partitions interleaved at random.
#[tokio::test]
async fn a_file_and_a_database_come_to_the_same_digests() {
    let story = busy_shop().await;
    let (files, databases) = (Shelf::of_files(), Shelf::of_databases());
    let (file, database) = (files.open("read").await, databases.open("read").await);
    let mut random = StdRng::seed_from_u64(5);
    fold_interleaved(&story.log, &file, |_| 0).await.unwrap();
    fold_interleaved(&story.log, &database, |below| random.random_range(0..below)).await.unwrap();
    assert_eq!(dump(&database).await.unwrap(), dump(&file).await.unwrap());
    assert_eq!(database.digests().await.unwrap(), file.digests().await.unwrap());
}

/// Asked with the reader's role past the store: the merchant named, another one, and none.
#[tokio::test]
async fn a_reader_sees_one_merchant_at_a_time_and_writes_nothing() {
    let (story, database) = (busy_shop().await, TestDatabase::create());
    let store = folded(&story.log, &database).await;
    let merchant: String = story.merchant.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let reader = format!("{SCHEMA}; SET ROLE loyalnest_reader");
    let named = |merchant: &str| format!("{reader}; SET loyalnest.merchant = '{merchant}'");
    let (own, other) = (named(&merchant), named(&"00".repeat(16)));
    let tables = database.texts(
        SCHEMA,
        "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'loyalnest_read' AND rowsecurity",
    );
    assert_eq!(tables.len(), projections::all().len());
    let known = dump(&store).await.unwrap();
    for table in tables.iter().flatten().flatten() {
        let count = format!("SELECT CAST(count(*) AS TEXT) FROM {table}");
        let seen =
            |before: &str| database.texts(before, &count)[0][0].as_deref().unwrap().parse::<usize>().unwrap();
        let name = table.strip_suffix("_1").unwrap();
        let rows = known.iter().filter(|row| row.starts_with(&format!("{name}:"))).count();
        assert!(rows > 0, "{table}");
        assert_eq!((seen(&own), seen(&other), seen(&reader)), (rows, 0, 0), "{table}");
        for statement in
            [format!("DELETE FROM {table}"), format!("INSERT INTO {table} SELECT * FROM {table}")]
        {
            let refused = database.execute(&format!("{own}; {statement}")).unwrap_err();
            assert!(refused.contains("permission denied"), "{statement}: {refused}");
        }
    }
    for table in ["checkpoint", "parked"] {
        let refused = database.execute(&format!("{own}; SELECT * FROM {table}")).unwrap_err();
        assert!(refused.contains("permission denied"), "{table}: {refused}");
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_make_one_schema() {
    let (story, database) = (busy_shop().await, TestDatabase::create());
    let nodes = (0..6).map(|_| {
        let address = address(&database);
        tokio::spawn(async move { ReadStore::open_at(&address).await.unwrap() })
    });
    for node in nodes.collect::<Vec<_>>() {
        node.await.unwrap();
    }
    folded(&story.log, &database).await;
    let again = folded(&story.log, &database).await;
    assert!(again.digests().await.unwrap().iter().all(|(_, digest)| digest.rows > 0));
}

/// A login that may make no roles is told what it lacks; one that was granted two of them is enough from then on.
#[tokio::test]
async fn the_roles_of_a_projector_and_a_reader_are_enough_once_the_schema_is_there() {
    let (story, database) = (busy_shop().await, TestDatabase::create());
    let login = format!("limited_{}", uuid::Uuid::now_v7().simple());
    database.execute(&format!("CREATE ROLE {login} LOGIN")).unwrap();
    let limited: ReadAddress = database.url_as(Some(&login)).parse().unwrap();
    let refused = ReadStore::open_at(&limited).await.map(drop).unwrap_err();
    let said = std::error::Error::source(&refused).unwrap().to_string();
    assert!(said.contains("the user may not do this"), "{said}");
    folded(&story.log, &database).await;
    database.execute(&format!("GRANT loyalnest_projector, loyalnest_reader TO {login}")).unwrap();
    let store = ReadStore::open_at(&limited).await.unwrap();
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let (scope, customer) = (MerchantScope::for_tests(story.merchant), story.customers().next().unwrap());
    assert!(points_balance::find(&store, scope, customer).await.unwrap().is_some());
    drop(store);
    database.execute(&format!("DROP ROLE {login}")).unwrap();
}

/// As when the server was started again.
#[tokio::test]
async fn connections_that_the_server_ended_are_made_anew() {
    let mut story = busy_shop().await;
    let database = TestDatabase::create();
    let store = folded(&story.log, &database).await;
    let (scope, customer) = (MerchantScope::for_tests(story.merchant), story.joins().await);
    assert!(points_balance::find(&store, scope, customer).await.unwrap().is_none());
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute(end).unwrap();
    assert!(points_balance::find(&store, scope, customer).await.unwrap().is_none());
    database.execute(end).unwrap();
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let fresh = TestDatabase::create();
    assert_eq!(dump(&store).await.unwrap(), dump(&folded(&story.log, &fresh).await).await.unwrap());
}
