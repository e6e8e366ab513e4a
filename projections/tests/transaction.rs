//! Rows and checkpoint are one transaction.
use projections::{
    ReadStore,
    testing::{dump, fold_interleaved},
};

use crate::story::busy_shop;

/// A trigger breaks the transaction at its last statement, where a crash would hurt most.
#[tokio::test]
async fn rows_without_their_checkpoint_are_not_kept() {
    let story = busy_shop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let store = ReadStore::open(&path).await.unwrap();
    let intruder = rusqlite::Connection::open(&path).unwrap();
    intruder
        .execute_batch(
            "CREATE TRIGGER crash BEFORE INSERT ON checkpoint WHEN NEW.projection = 'redemption_list'
             BEGIN SELECT RAISE(ABORT, 'crash'); END",
        )
        .unwrap();
    fold_interleaved(&story.log, &store, |_| 0).await.map(drop).unwrap_err();
    assert_eq!(dump(&store).await.unwrap(), Vec::<String>::new());
    intruder.execute_batch("DROP TRIGGER crash").unwrap();
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let fresh = ReadStore::open(&folder.path().join("fresh.db")).await.unwrap();
    fold_interleaved(&story.log, &fresh, |_| 0).await.unwrap();
    assert_eq!(dump(&store).await.unwrap(), dump(&fresh).await.unwrap());
}

#[tokio::test]
async fn a_checkpoint_that_somebody_else_moved_is_noticed() {
    let mut story = busy_shop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let store = ReadStore::open(&path).await.unwrap();
    let mut steps = 0;
    story.joins().await;
    let intruder = rusqlite::Connection::open(&path).unwrap();
    let moved = fold_interleaved(&story.log, &store, |_| {
        steps += 1;
        if steps == 8 {
            intruder.execute("UPDATE checkpoint SET checkpoint = x'00'", []).unwrap();
        }
        0
    });
    let error = moved.await.map(drop).unwrap_err();
    assert!(error.to_string().contains("another program moved the checkpoint"), "{error}");
}
