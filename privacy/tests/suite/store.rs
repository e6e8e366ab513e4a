//! Opening, refusing, counting.
use privacy::{Error, KeyStore, Kind, Opened, Reference, RootKey};
use uuid::Uuid;

use super::{ADA, BOB, Home, LOG, OTHER_SHOP, SHOP, address};

#[tokio::test]
async fn a_reopened_store_opens_what_was_sealed_and_remembers_its_count() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = store.sealer(SHOP, ADA).unwrap().seal(&address("email"), b"\"ada@x.io\"").unwrap();
    let (count, hash) = (store.insert_count(), store.hash(SHOP, "test", b"x").unwrap());
    drop(store);
    let store = home.open().await;
    assert_eq!(store.insert_count(), count);
    assert_eq!(store.hash(SHOP, "test", b"x").unwrap(), hash);
    let opened = store.open(&address("email"), &sealed).await.unwrap();
    assert_eq!(opened, Opened::Clear(b"\"ada@x.io\"".to_vec()));
}

#[tokio::test]
async fn another_root_key_is_refused_with_the_fingerprint_that_was_expected() {
    let home = Home::new();
    drop(home.peopled().await);
    let wrong = RootKey::from_bytes([8; 32]);
    let error = home.try_open(&wrong, LOG).await.unwrap_err();
    assert!(matches!(&error, Error::WrongRootKey { expected, found }
        if *expected == home.root.fingerprint() && *found == wrong.fingerprint()));
    assert!(error.to_string().contains(&home.root.fingerprint()));
}

#[tokio::test]
async fn another_logs_store_is_refused() {
    let home = Home::new();
    drop(home.peopled().await);
    let error = home.try_open(&home.root, [8; 16]).await.unwrap_err();
    assert!(matches!(error, Error::OtherLog));
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused() {
    let home = Home::new();
    drop(home.open().await);
    home.tamper("UPDATE meta SET format = 3");
    let error = home.try_open(&home.root, LOG).await.unwrap_err();
    assert!(matches!(error, Error::UnknownFormat { found: 3, known: 2 }));
}

#[tokio::test]
async fn a_store_behind_the_log_is_refused() {
    let home = Home::new();
    let store = home.peopled().await;
    let count = store.insert_count();
    assert!(store.ensure_at_least(count).await.is_ok());
    let error = store.ensure_at_least(count + 1).await.unwrap_err();
    assert!(matches!(error, Error::Behind { store, log } if (store, log) == (count, count + 1)));
}

#[tokio::test]
async fn every_row_that_is_written_is_counted_and_nothing_else() {
    let home = Home::new();
    let store = home.open().await;
    let mut count = store.insert_count();
    let mut grown = |store: &KeyStore| {
        let by = store.insert_count().checked_sub(count).unwrap();
        count += by;
        by
    };
    store.ensure_merchant(SHOP).await.unwrap();
    assert_eq!(grown(&store), 1);
    store.ensure_merchant(SHOP).await.unwrap();
    assert_eq!(grown(&store), 0);
    store.ensure_subject(SHOP, ADA).await.unwrap();
    store.ensure_subject(SHOP, ADA).await.unwrap();
    assert_eq!(grown(&store), 1);
    let order = || Reference::new(Kind::Order, "1001", Uuid::from_u128(1), None);
    store.resolve(SHOP, order()).await.unwrap();
    store.resolve(SHOP, order()).await.unwrap();
    assert_eq!(grown(&store), 1);
    store.ensure_subject(SHOP, BOB).await.unwrap();
    store.attach(SHOP, Kind::Order, Uuid::from_u128(1), BOB).await.unwrap();
    assert_eq!(grown(&store), 2, "the new subject's key, and the row");
    store.find(SHOP, Kind::Order, "1001").await.unwrap();
    store.reveal(SHOP, Kind::Order, Uuid::from_u128(1)).await.unwrap();
    store.sealer(SHOP, ADA).unwrap();
    assert_eq!(grown(&store), 0);
}

#[tokio::test]
async fn the_count_is_told_also_to_who_only_finds_what_another_wrote() {
    let home = Home::new();
    let store = home.open().await;
    let mut abandoned = Box::pin(store.ensure_merchant(SHOP));
    // Polled once, so that the work is on its way, and dropped before its answer.
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(abandoned.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    drop(abandoned);
    store.find(SHOP, Kind::Order, "1001").await.unwrap();
    assert_eq!(store.insert_count(), 1);
}

#[tokio::test]
async fn a_shop_without_keys_is_an_error_and_not_made_by_the_way() {
    let home = Home::new();
    let store = home.open().await;
    let unknown = |error| matches!(error, Error::UnknownMerchant { merchant } if merchant == SHOP);
    assert!(unknown(store.ensure_subject(SHOP, ADA).await.unwrap_err()));
    assert!(unknown(store.hash(SHOP, "test", b"").unwrap_err()));
    assert!(unknown(store.sealer(SHOP, ADA).unwrap_err()));
    assert!(unknown(store.find(SHOP, Kind::Order, "1").await.unwrap_err()));
    assert_eq!(store.insert_count(), 0);
}

#[tokio::test]
async fn hashes_differ_by_shop_purpose_and_content() {
    let home = Home::new();
    let store = home.peopled().await;
    let hash = store.hash(SHOP, "body", b"x").unwrap();
    assert_ne!(hash, store.hash(OTHER_SHOP, "body", b"x").unwrap());
    assert_ne!(hash, store.hash(SHOP, "key", b"x").unwrap());
    assert_ne!(hash, store.hash(SHOP, "body", b"y").unwrap());
    assert_ne!(hash, store.global_hash("body", b"x"));
    assert_eq!(hash[..16], store.digest(SHOP, "body", b"x").unwrap().0);
}
