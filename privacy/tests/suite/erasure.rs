//! Nothing erases yet; but whatever an erasure will leave in the file is obeyed already.
use event_schemas::{FieldAddress, Sealed};
use privacy::{Error, KeyStore, Kind, Opened, Reference};
use uuid::Uuid;

use super::{ADA, BOB, Home, SHOP, address};

const ORDER: Uuid = Uuid::from_u128(1);

/// A store in which Ada has a sealed field and an order, after `sql` was done to it.
async fn after(home: &Home, sql: &str) -> (KeyStore, Sealed) {
    let store = home.peopled().await;
    let sealed = store.sealer(SHOP, ADA).unwrap().seal(&address("email"), b"ada").unwrap();
    store.resolve(SHOP, Reference::new(Kind::Order, "1001", ORDER, Some(ADA))).await.unwrap();
    drop(store);
    home.tamper(sql);
    (home.open().await, sealed)
}

fn of_ada() -> String {
    format!("WHERE subject = x'{}'", ADA.0.simple())
}

fn fence_ada(certificate: &str) -> String {
    format!(
        "INSERT INTO fence (merchant, subject, fenced_at, certificate) SELECT merchant, subject, 1, {certificate} FROM subject_key {};",
        of_ada()
    )
}

#[tokio::test]
async fn a_fence_stops_opening_and_sealing_even_while_the_key_is_there() {
    let home = Home::new();
    let (store, sealed) = after(&home, &fence_ada("NULL")).await;
    let opened = store.open(&address("email"), &sealed).await.unwrap();
    assert_eq!(opened, Opened::Shredded { certificate: None });
    let redacted = |error| matches!(error, Error::Redacted { merchant: SHOP, subject: ADA });
    assert!(redacted(store.sealer(SHOP, ADA).unwrap_err()));
    assert!(redacted(store.ensure_subject(SHOP, ADA).await.unwrap_err()));
    let late = Reference::new(Kind::Order, "1002", Uuid::from_u128(2), Some(ADA));
    assert!(redacted(store.resolve(SHOP, late).await.unwrap_err()));
    assert_eq!(store.reveal(SHOP, Kind::Order, ORDER).await.unwrap(), None);
    assert!(store.sealer(SHOP, BOB).is_ok(), "others are served");
}

#[tokio::test]
async fn a_destroyed_key_shows_its_certificate() {
    let home = Home::new();
    let overwrite = format!("UPDATE subject_key SET wrapped = zeroblob(length(wrapped)) {}", of_ada());
    let destroy = format!("{} {overwrite}", fence_ada("'c-1'"));
    let (store, sealed) = after(&home, &destroy).await;
    let opened = store.open(&address("email"), &sealed).await.unwrap();
    assert_eq!(opened, Opened::Shredded { certificate: Some("c-1".to_owned()) });
}

#[tokio::test]
async fn an_erased_shop_is_erased_for_every_person_in_it() {
    let home = Home::new();
    let destroy = "INSERT INTO fence (merchant, subject, fenced_at, certificate) SELECT merchant, zeroblob(16), 1, 'c-2' FROM merchant_key;
        UPDATE merchant_key SET wrapped = zeroblob(length(wrapped));";
    let (store, sealed) = after(&home, destroy).await;
    let opened = store.open(&address("email"), &sealed).await.unwrap();
    assert_eq!(opened, Opened::Shredded { certificate: Some("c-2".to_owned()) });
    assert!(matches!(store.sealer(SHOP, ADA), Err(Error::Redacted { .. })));
    let newcomer = event_schemas::CustomerId::from_bytes([6; 16]);
    assert!(matches!(store.ensure_subject(SHOP, newcomer).await, Err(Error::Redacted { .. })));
}

#[tokio::test]
async fn a_key_that_is_missing_without_a_fence_is_an_error_and_never_a_blank() {
    let home = Home::new();
    let (store, sealed) = after(&home, &format!("DELETE FROM subject_key {}", of_ada())).await;
    assert!(matches!(store.open(&address("email"), &sealed).await, Err(Error::KeyMissing { .. })));
    let bobs = FieldAddress { subject: BOB, ..address("email") };
    assert!(matches!(store.open(&bobs, &sealed).await, Err(Error::DoesNotOpen)));
}

#[tokio::test]
async fn a_wrapped_key_that_was_changed_is_damage_and_the_rest_is_served() {
    let home = Home::new();
    let damage = format!("UPDATE subject_key SET wrapped = zeroblob(length(wrapped)) {}", of_ada());
    let (store, sealed) = after(&home, &damage).await;
    assert!(matches!(store.open(&address("email"), &sealed).await, Err(Error::Damaged { .. })));
    assert!(store.sealer(SHOP, BOB).is_ok());
}

#[tokio::test]
async fn a_tombstone_keeps_a_reference_from_getting_an_id_again() {
    let home = Home::new();
    let erase = "INSERT INTO tombstone (merchant, kind, ref_hash) SELECT merchant, kind, ref_hash FROM directory; DELETE FROM directory;";
    let (store, _) = after(&home, erase).await;
    let late = Reference::new(Kind::Order, "1001", Uuid::from_u128(2), None);
    assert!(matches!(store.resolve(SHOP, late).await, Err(Error::Erased { kind: Kind::Order })));
    assert_eq!(store.find(SHOP, Kind::Order, "1001").await.unwrap(), None);
}
