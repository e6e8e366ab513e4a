//! Rows and checkpoint are one transaction.
use projections::testing::{dump, fold_interleaved};

use crate::{
    shelf::{Shelf, on_every_store},
    story::busy_shop,
};

on_every_store! {
    rows_without_their_checkpoint_are_not_kept,
    a_checkpoint_that_somebody_else_moved_is_noticed,
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
