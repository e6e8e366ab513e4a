//! The same log gives the same rows, whatever the order of partitions, the sizes of batches and the interruptions.
use projections::testing::{dump, fold_interleaved};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    shelf::{Shelf, on_every_store},
    story::busy_shop,
};

on_every_store! {
    a_rebuild_with_partitions_interleaved_at_random_gives_the_same_rows,
    a_store_that_was_closed_goes_on_where_it_stood,
    a_projection_of_another_version_is_built_anew_while_the_others_stay,
}

async fn a_rebuild_with_partitions_interleaved_at_random_gives_the_same_rows(shelf: &Shelf) {
    let story = busy_shop().await;
    let straight = shelf.open("straight").await;
    fold_interleaved(&story.log, &straight, |_| 0).await.unwrap();
    let expected = dump(&straight).await.unwrap();
    assert!(expected.len() > 100, "{} rows", expected.len());
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let other = shelf.open(&seed.to_string()).await;
        fold_interleaved(&story.log, &other, |below| random.random_range(0..below)).await.unwrap();
        assert_eq!(dump(&other).await.unwrap(), expected, "seed {seed}");
        assert_eq!(other.digests().await.unwrap(), straight.digests().await.unwrap(), "seed {seed}");
    }
}

async fn a_store_that_was_closed_goes_on_where_it_stood(shelf: &Shelf) {
    let mut story = busy_shop().await;
    fold_interleaved(&story.log, &shelf.open("read").await, |_| 0).await.unwrap();
    let customer = story.joins().await;
    story.buys(customer, 7).await;
    let resumed = shelf.open("read").await;
    fold_interleaved(&story.log, &resumed, |_| 0).await.unwrap();
    let fresh = shelf.open("fresh").await;
    fold_interleaved(&story.log, &fresh, |_| 0).await.unwrap();
    assert_eq!(dump(&resumed).await.unwrap(), dump(&fresh).await.unwrap());
}

/// Orders sums what it sees, so a second fold of the same events would show.
async fn a_projection_of_another_version_is_built_anew_while_the_others_stay(shelf: &Shelf) {
    let story = busy_shop().await;
    let store = shelf.open("read").await;
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let before = dump(&store).await.unwrap();
    drop(store);
    shelf.tamper("read", "UPDATE projection_live SET version = 0 WHERE name = 'orders'");
    let store = shelf.open("read").await;
    assert!(!dump(&store).await.unwrap().iter().any(|row| row.starts_with("orders:")));
    let mut random = StdRng::seed_from_u64(1);
    fold_interleaved(&story.log, &store, |below| random.random_range(0..below)).await.unwrap();
    assert_eq!(dump(&store).await.unwrap(), before);
    let generation = "SELECT CAST(generation AS TEXT) FROM projection_live WHERE name = 'orders'";
    assert_eq!(shelf.ask("read", generation), [[Some("2".to_owned())]]);
}
