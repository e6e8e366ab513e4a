//! Rows and checkpoint are one transaction.
use projections::testing::{dump, fold_at_once, fold_interleaved};

use crate::{
    shelf::{Shelf, on_every_store},
    story::busy_shop,
};

on_every_store! {
    rows_without_their_checkpoint_are_not_kept,
    a_checkpoint_that_somebody_else_moved_is_noticed,
    partitions_that_are_folded_at_once_come_to_the_same_rows,
    a_partition_that_cannot_be_folded_does_not_hold_up_those_it_waits_with,
}

/// A trigger breaks the transaction at its last statement, where a crash would hurt most.
async fn rows_without_their_checkpoint_are_not_kept(shelf: &Shelf) {
    let story = busy_shop().await;
    let store = shelf.open("read").await;
    shelf.break_checkpoints("read", "redemption_list");
    fold_interleaved(&story.log, &store, |_| 0).await.map(drop).unwrap_err();
    assert_eq!(dump(&store).await.unwrap(), Vec::<String>::new());
    shelf.mend_checkpoints("read");
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let fresh = shelf.open("fresh").await;
    fold_interleaved(&story.log, &fresh, |_| 0).await.unwrap();
    assert_eq!(dump(&store).await.unwrap(), dump(&fresh).await.unwrap());
}

async fn a_checkpoint_that_somebody_else_moved_is_noticed(shelf: &Shelf) {
    let mut story = busy_shop().await;
    let store = shelf.open("read").await;
    let mut steps = 0;
    story.joins().await;
    let moved = fold_interleaved(&story.log, &store, |_| {
        steps += 1;
        if steps == 8 {
            shelf.tamper("read", "DELETE FROM checkpoint");
        }
        0
    });
    let error = moved.await.map(drop).unwrap_err();
    assert!(error.to_string().contains("another program moved the checkpoint"), "{error}");
}

/// With the others of a transaction answered and only the own batch folded this was seen to fail.
async fn partitions_that_are_folded_at_once_come_to_the_same_rows(shelf: &Shelf) {
    let story = busy_shop().await;
    let (together, in_turn) = (shelf.open("together").await, shelf.open("in_turn").await);
    let failed = fold_at_once(&story.log, &together, |_| ()).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    fold_interleaved(&story.log, &in_turn, |_| 0).await.unwrap();
    assert_eq!(dump(&together).await.unwrap(), dump(&in_turn).await.unwrap());
}

/// With the failure of a transaction told to everybody in it this was seen to fail.
async fn a_partition_that_cannot_be_folded_does_not_hold_up_those_it_waits_with(shelf: &Shelf) {
    let story = busy_shop().await;
    let store = shelf.open("read").await;
    let busiest = (0..story.log.partitions()).max_by_key(|number| story.log.end(*number)).unwrap();
    let failed = fold_at_once(&story.log, &store, |round| {
        if round == 1 {
            shelf.tamper("read", &format!("DELETE FROM checkpoint WHERE part = {busiest}"));
        }
    });
    let failed = failed.await.unwrap();
    assert_eq!(failed.keys().collect::<Vec<_>>(), [&busiest], "{failed:?}");
    assert!(failed[&busiest].to_string().contains("another program moved the checkpoint"));
}
