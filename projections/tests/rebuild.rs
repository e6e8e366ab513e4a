//! The same log gives the same rows, whatever the order of partitions, the sizes of batches and the interruptions.
use projections::{
    ReadStore,
    testing::{dump, fold_interleaved},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::story::busy_shop;

#[tokio::test]
async fn a_rebuild_with_partitions_interleaved_at_random_gives_the_same_rows() {
    let story = busy_shop().await;
    let folder = tempfile::tempdir().unwrap();
    let straight = ReadStore::open(&folder.path().join("straight.db")).await.unwrap();
    fold_interleaved(&story.log, &straight, |_| 0).await.unwrap();
    let expected = dump(&straight).await.unwrap();
    assert!(expected.len() > 100, "{} rows", expected.len());
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let other = ReadStore::open(&folder.path().join(format!("{seed}.db"))).await.unwrap();
        fold_interleaved(&story.log, &other, |below| random.random_range(0..below)).await.unwrap();
        assert_eq!(dump(&other).await.unwrap(), expected, "seed {seed}");
        assert_eq!(other.digests().await.unwrap(), straight.digests().await.unwrap(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_store_that_was_closed_goes_on_where_it_stood() {
    let mut story = busy_shop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    fold_interleaved(&story.log, &ReadStore::open(&path).await.unwrap(), |_| 0).await.unwrap();
    let customer = story.joins().await;
    story.buys(customer, 7).await;
    let resumed = ReadStore::open(&path).await.unwrap();
    fold_interleaved(&story.log, &resumed, |_| 0).await.unwrap();
    let fresh = ReadStore::open(&folder.path().join("fresh.db")).await.unwrap();
    fold_interleaved(&story.log, &fresh, |_| 0).await.unwrap();
    assert_eq!(dump(&resumed).await.unwrap(), dump(&fresh).await.unwrap());
}

/// Orders sums what it sees, so a second fold of the same events would show.
#[tokio::test]
async fn a_projection_of_another_version_is_built_anew_while_the_others_stay() {
    let story = busy_shop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let store = ReadStore::open(&path).await.unwrap();
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let before = dump(&store).await.unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE projection_live SET version = 0 WHERE name = 'orders'", []).unwrap();
    let store = ReadStore::open(&path).await.unwrap();
    assert!(!dump(&store).await.unwrap().iter().any(|row| row.starts_with("orders:")));
    let mut random = StdRng::seed_from_u64(1);
    fold_interleaved(&story.log, &store, |below| random.random_range(0..below)).await.unwrap();
    assert_eq!(dump(&store).await.unwrap(), before);
    let generation: u32 = connection
        .query_row("SELECT generation FROM projection_live WHERE name = 'orders'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(generation, 2);
}
