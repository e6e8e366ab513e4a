//! Erasing a person or a shop in the key store: what opens, what is refused and what stays.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use event_schemas::{CustomerId, FieldAddress, Sealed};
use privacy::{Destroyed, Error, KeyFault, KeyStore, Kind, Opened, Proof, Reference, Whom};
use uuid::Uuid;

use super::{ADA, BOB, Home, OTHER_SHOP, SHOP, address};

const ORDER: Uuid = Uuid::from_u128(1);
const REQUEST: Uuid = Uuid::from_u128(70);
const AGAIN: Uuid = Uuid::from_u128(71);

fn ada() -> Whom {
    Whom::Person(vec![ADA])
}

/// Ada's sealed field; she has an order and an e-mail address.
async fn furnish(store: &KeyStore) -> Sealed {
    let sealed = store.sealer(SHOP, ADA).unwrap().seal(&address("email"), b"ada").unwrap();
    let order = Reference::new(Kind::Order, "1001", ORDER, Some(ADA));
    let email = Reference::new(Kind::Email, "ada@x.io", ADA.0, Some(ADA));
    store.resolve_many(SHOP, vec![order, email]).await.unwrap();
    sealed
}

/// The same after `sql` was done to the store.
async fn after(home: &Home, sql: &str) -> (KeyStore, Sealed) {
    let store = home.peopled().await;
    let sealed = furnish(&store).await;
    drop(store);
    home.tamper(sql);
    (home.open().await, sealed)
}

fn of_ada() -> String {
    format!("WHERE subject = x'{}'", ADA.0.simple())
}

async fn shown(store: &KeyStore, sealed: &Sealed) -> Opened {
    store.open(&address("email"), sealed).await.unwrap()
}

fn shredded(certificate: Option<&str>) -> Opened {
    Opened::Shredded { certificate: certificate.map(str::to_owned) }
}

fn redacted(error: &Error) -> bool {
    matches!(error, Error::Redacted { merchant: SHOP, subject: ADA })
}

/// Seen to fail with the planted bug `cache-not-evicted`.
#[tokio::test]
async fn a_fence_stops_opening_and_sealing_at_once_while_the_key_is_still_there() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = furnish(&store).await;
    let sealer = store.sealer(SHOP, ADA).unwrap();
    assert_eq!(shown(&store, &sealed).await, Opened::Clear(b"ada".to_vec()), "and the key is remembered");
    let fenced = store.fence(SHOP, &ada(), REQUEST).await.unwrap();
    assert!(store.fence_is_known(fenced.number).await.unwrap());
    for store in [store.clone(), home.open().await] {
        assert_eq!(shown(&store, &sealed).await, shredded(None));
        assert!(redacted(&store.sealer(SHOP, ADA).unwrap_err()));
        assert!(redacted(&store.ensure_subject(SHOP, ADA).await.unwrap_err()));
        let late = Reference::new(Kind::Order, "1002", Uuid::from_u128(2), Some(ADA));
        assert!(redacted(&store.resolve(SHOP, late).await.unwrap_err()));
        assert_eq!(store.reveal(SHOP, Kind::Order, ORDER).await.unwrap(), None);
        assert!(store.sealer(SHOP, BOB).is_ok(), "others are served");
        assert!(store.is_erased(SHOP, Some(ADA)).await.unwrap());
        assert!(!store.is_erased(SHOP, Some(BOB)).await.unwrap());
    }
    assert!(redacted(&sealer.seal(&address("email"), b"late").unwrap_err()), "who had the key before it");
    let tried = store.prove_shredded(&[(&address("email"), &sealed)]).await.unwrap();
    assert_eq!(*tried[0].as_ref().unwrap(), Proof::Opens, "a fence alone proves nothing");
}

/// Seen to fail with the planted bug `destroy-without-fence`.
#[tokio::test]
async fn nothing_is_destroyed_before_its_fence() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = furnish(&store).await;
    for whom in [ada(), Whom::Shop] {
        let refused = store.destroy(SHOP, &whom, REQUEST).await;
        assert!(matches!(refused, Err(Error::NotFenced { merchant: SHOP })));
        let refused = store.certify(SHOP, &whom, "c-1").await;
        assert!(matches!(refused, Err(Error::NotFenced { merchant: SHOP })));
    }
    assert_eq!(shown(&store, &sealed).await, Opened::Clear(b"ada".to_vec()));
}

#[tokio::test]
async fn a_destroyed_person_is_counted_once_and_shows_the_certificate() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = furnish(&store).await;
    store.fence(SHOP, &ada(), REQUEST).await.unwrap();
    assert_eq!(store.references_of(SHOP, &ada()).await.unwrap().len(), 2);
    let count = store.insert_count();
    let done = store.destroy(SHOP, &ada(), REQUEST).await.unwrap();
    assert_eq!((done.keys, done.directory_rows, done.tombstones), (1, 2, 1));
    assert_eq!(store.insert_count(), count + 2, "the key and the tombstone; a log may rely on them");
    assert_eq!(store.destroy(SHOP, &ada(), REQUEST).await.unwrap(), done, "a repeat tells the same");
    store.fence(SHOP, &ada(), AGAIN).await.unwrap();
    let again = store.destroy(SHOP, &ada(), AGAIN).await.unwrap();
    assert_eq!(
        again,
        Destroyed { epoch: done.epoch, ..Destroyed::default() },
        "another request finds nothing"
    );
    assert_eq!(store.references_of(SHOP, &ada()).await.unwrap(), []);
    assert_eq!(shown(&store, &sealed).await, shredded(None));
    let tried = store.prove_shredded(&[(&address("email"), &sealed)]).await.unwrap();
    assert_eq!(*tried[0].as_ref().unwrap(), Proof::Destroyed);
    for id in ["c-1", "c-1/final"] {
        store.certify(SHOP, &ada(), id).await.unwrap();
        assert_eq!(shown(&store, &sealed).await, shredded(Some(id)));
    }
    drop(store);
    assert_eq!(shown(&home.open().await, &sealed).await, shredded(Some("c-1/final")));
}

#[tokio::test]
async fn who_is_erased_does_not_come_back_by_an_order_and_their_email_may_be_somebodys() {
    let home = Home::new();
    let store = home.peopled().await;
    furnish(&store).await;
    store.fence(SHOP, &ada(), REQUEST).await.unwrap();
    store.destroy(SHOP, &ada(), REQUEST).await.unwrap();
    let late = Reference::new(Kind::Order, "1001", Uuid::from_u128(2), None);
    assert!(matches!(store.resolve(SHOP, late).await, Err(Error::Erased { kind: Kind::Order })));
    assert_eq!(store.find(SHOP, Kind::Order, "1001").await.unwrap(), None);
    let email = Reference::new(Kind::Email, "ada@x.io", BOB.0, Some(BOB));
    assert!(store.resolve(SHOP, email).await.unwrap().fresh);
    store.ensure_subject(SHOP, CustomerId::from_bytes([8; 16])).await.unwrap();
}

#[tokio::test]
async fn an_erased_shop_is_erased_for_every_person_in_it_and_its_neighbour_is_served() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = furnish(&store).await;
    let domain = || Reference::new(Kind::ShopDomain, "demo-1.myshopify.com", SHOP.0, None);
    store.resolve(SHOP, domain()).await.unwrap();
    store.ensure_subject(OTHER_SHOP, ADA).await.unwrap();
    let hash = store.hash(SHOP, "test", b"x").unwrap();
    store.fence(SHOP, &Whom::Shop, REQUEST).await.unwrap();
    assert_eq!(shown(&store, &sealed).await, shredded(None));
    assert_eq!(store.hash(SHOP, "test", b"x").unwrap(), hash, "until its key is destroyed");
    let done = store.destroy(SHOP, &Whom::Shop, REQUEST).await.unwrap();
    assert_eq!((done.keys, done.directory_rows, done.tombstones), (3, 3, 0), "the shop's, Ada's, Bob's");
    assert_eq!(store.destroy(SHOP, &Whom::Shop, REQUEST).await.unwrap(), done);
    store.certify(SHOP, &Whom::Shop, "c-2").await.unwrap();
    store.look_for_damage().await.unwrap();
    assert_eq!(store.known_damage(), [], "what is erased is no damage");
    let newcomer = CustomerId::from_bytes([6; 16]);
    for store in [store, home.open().await] {
        assert_eq!(shown(&store, &sealed).await, shredded(Some("c-2")));
        let tried = store.prove_shredded(&[(&address("email"), &sealed)]).await.unwrap();
        assert_eq!(*tried[0].as_ref().unwrap(), Proof::Destroyed);
        assert!(matches!(store.sealer(SHOP, ADA), Err(Error::Redacted { .. })));
        assert!(matches!(store.ensure_subject(SHOP, newcomer).await, Err(Error::Redacted { .. })));
        let order = Reference::new(Kind::Order, "1002", Uuid::from_u128(2), None);
        assert!(matches!(store.resolve(SHOP, order).await, Err(Error::ShopErased { merchant: SHOP })));
        let day = chrono::NaiveDate::MIN;
        let body = store.seal_for_day(SHOP, day, REQUEST, b"{}").await;
        assert!(matches!(body, Err(Error::ShopErased { merchant: SHOP })), "{body:?}");
        assert_eq!(store.find(SHOP, Kind::ShopDomain, "demo-1.myshopify.com").await.unwrap(), None);
        assert_ne!(
            store.hash(SHOP, "test", b"x").unwrap(),
            hash,
            "a fresh key, for what still has to be said"
        );
        assert!(store.sealer(OTHER_SHOP, ADA).is_ok());
    }
}

/// Tried with a key minted wherever there is none: the alarm ends and the name stays closed.
#[tokio::test]
async fn a_key_that_is_missing_without_a_fence_is_an_error_and_never_a_blank() {
    let home = Home::new();
    let (store, sealed) = after(&home, &format!("DELETE FROM subject_key {}", of_ada())).await;
    assert!(matches!(store.open(&address("email"), &sealed).await, Err(Error::KeyMissing { .. })));
    let bobs = FieldAddress { subject: BOB, ..address("email") };
    assert!(matches!(store.open(&bobs, &sealed).await, Err(Error::DoesNotOpen)));
    let tried = store.prove_shredded(&[(&address("email"), &sealed)]).await.unwrap();
    assert_eq!(*tried[0].as_ref().unwrap(), Proof::NoKey);
    // Until it is there again, each look says so.
    for _ in 0..2 {
        let missing = store.known_damage().into_iter().filter(|key| key.whose == ADA.to_string());
        assert_eq!(missing.map(|key| key.fault).collect::<Vec<_>>(), [KeyFault::Missing]);
        store.look_for_damage().await.unwrap();
    }
    // Nothing that she does next makes another.
    let again = Reference::new(Kind::ShopifyCustomer, "7", ADA.0, Some(ADA));
    let order = Reference::new(Kind::Order, "1002", Uuid::from_u128(2), Some(ADA));
    for reference in [again, order] {
        assert!(matches!(store.resolve(SHOP, reference).await, Err(Error::KeyMissing { .. })));
    }
    let guest = Reference::new(Kind::Order, "1003", AGAIN, None);
    store.resolve(SHOP, guest).await.unwrap();
    assert!(matches!(store.attach(SHOP, Kind::Order, AGAIN, ADA).await, Err(Error::KeyMissing { .. })));
    assert!(matches!(store.ensure_subject(SHOP, ADA).await, Err(Error::KeyMissing { .. })));
    store.look_for_damage().await.unwrap();
    assert!(store.known_damage().iter().any(|key| key.whose == ADA.to_string()));
    // But she can be erased, with all that is hers.
    let taken = store.attach_for_request(SHOP, Kind::Order, AGAIN, ADA).await.unwrap();
    assert_eq!(taken.unwrap().subject, Some(ADA));
    store.fence(SHOP, &ada(), REQUEST).await.unwrap();
    let done = store.destroy(SHOP, &ada(), REQUEST).await.unwrap();
    assert_eq!((done.keys, done.directory_rows), (0, 3));
    store.look_for_damage().await.unwrap();
    assert!(store.known_damage().iter().all(|key| key.whose != ADA.to_string()));
}

#[tokio::test]
async fn a_wrapped_key_that_was_changed_is_damage_and_the_rest_is_served() {
    let home = Home::new();
    let damage = format!("UPDATE subject_key SET wrapped = zeroblob(length(wrapped)) {}", of_ada());
    let (store, sealed) = after(&home, &damage).await;
    assert_eq!(store.known_damage(), []);
    let refused = store.open(&address("email"), &sealed).await.unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }) && refused.to_string().contains(&ADA.to_string()));
    assert!(store.sealer(SHOP, BOB).is_ok());
    let known = store.known_damage();
    assert_eq!(
        known.iter().map(|key| (key.kind, &*key.whose)).collect::<Vec<_>>(),
        [("subject", &*ADA.to_string())]
    );
    store.look_for_damage().await.unwrap();
    assert_eq!(store.known_damage(), known, "a look finds the same, without anybody in its way");
}

/// Tried with a sealer that asks nobody before it seals: it goes on behind the fence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sealed_or_opened_behind_a_fence_however_the_two_race() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = furnish(&store).await;
    let is_fenced = Arc::new(AtomicBool::new(false));
    let racing = (0..4).map(|_| {
        let (store, sealed, is_fenced) = (store.clone(), sealed.clone(), Arc::clone(&is_fenced));
        let sealer = store.sealer(SHOP, ADA).unwrap();
        tokio::spawn(async move {
            loop {
                let behind = is_fenced.load(Ordering::SeqCst);
                let is_sealed = sealer.seal(&address("email"), b"late").is_ok();
                let again = store.sealer(SHOP, ADA).is_ok();
                let is_open = matches!(shown(&store, &sealed).await, Opened::Clear(_));
                assert!(!(behind && (is_sealed || again || is_open)), "{is_sealed} {again} {is_open}");
                if behind {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let racing: Vec<_> = racing.collect();
    let fenced = store.fence(SHOP, &ada(), REQUEST).await.unwrap();
    assert!(store.fence_is_known(fenced.number).await.unwrap());
    is_fenced.store(true, Ordering::SeqCst);
    for one in racing {
        one.await.unwrap();
    }
}

/// Seen to fail with the planted bug `key-minted-again`.
#[tokio::test]
async fn a_key_minted_beside_a_fence_is_destroyed_or_never_made() {
    let home = Home::new();
    let store = home.peopled().await;
    for n in 30..50 {
        let (person, request) = (CustomerId::from_bytes([n; 16]), Uuid::from_u128(n.into()));
        let whom = Whom::Person(vec![person]);
        let (minted, fenced, doubled) = tokio::join!(
            store.ensure_subject(SHOP, person),
            store.fence(SHOP, &whom, request),
            store.fence(SHOP, &whom, AGAIN),
        );
        assert!(matches!(minted, Ok(()) | Err(Error::Redacted { .. })));
        assert!(doubled.unwrap().number >= fenced.unwrap().number.min(1));
        assert!(matches!(store.ensure_subject(SHOP, person).await, Err(Error::Redacted { .. })));
        let done = store.destroy(SHOP, &whom, request).await.unwrap();
        assert_eq!(done.keys, u64::from(minted.is_ok()));
    }
    let stranger = Whom::Person(vec![CustomerId::from_bytes([60; 16])]);
    let count = store.insert_count();
    store.fence(SHOP, &stranger, REQUEST).await.unwrap();
    store.fence(SHOP, &stranger, Uuid::from_u128(99)).await.unwrap();
    assert_eq!(store.insert_count(), count + 1, "two fences are one");
    let minted = store.ensure_subject(SHOP, CustomerId::from_bytes([60; 16])).await;
    assert!(matches!(minted, Err(Error::Redacted { .. })));
}

/// Seen to fail with the planted bug `unbound-merchant`.
#[tokio::test]
async fn keys_that_are_moved_to_another_shop_open_nothing_there() {
    let home = Home::new();
    let (here, there) = (SHOP.0.simple(), OTHER_SHOP.0.simple());
    let moved = format!(
        "DELETE FROM merchant_key WHERE merchant = x'{there}';
         UPDATE merchant_key SET merchant = x'{there}' WHERE merchant = x'{here}';
         UPDATE subject_key SET merchant = x'{there}'"
    );
    let (store, sealed) = after(&home, &moved).await;
    let elsewhere = FieldAddress { merchant: OTHER_SHOP, ..address("email") };
    assert!(matches!(store.open(&elsewhere, &sealed).await, Err(Error::Damaged { .. })));
}

/// Tried with a rotation that wraps whatever opens, with a look that takes for sound whatever opens, and with one that looks
/// at people's keys alone.
#[tokio::test]
async fn a_destroyed_key_that_was_put_back_is_an_alarm_and_the_next_rotation_destroys_it_again() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = furnish(&store).await;
    store.ensure_subject(OTHER_SHOP, BOB).await.unwrap();
    let bobs = FieldAddress { merchant: OTHER_SHOP, subject: BOB, ..address("email") };
    let sealed_there = store.sealer(OTHER_SHOP, BOB).unwrap().seal(&bobs, b"bob").unwrap();
    let day = chrono::NaiveDate::default();
    store.seal_for_day(OTHER_SHOP, day, REQUEST, b"{}").await.unwrap();
    for table in ["subject_key", "merchant_key", "day_key"] {
        home.tamper(&format!("CREATE TABLE copied_{table} AS SELECT * FROM {table}"));
    }
    for (shop, whom, request) in [(SHOP, ada(), REQUEST), (OTHER_SHOP, Whom::Shop, AGAIN)] {
        store.fence(shop, &whom, request).await.unwrap();
        store.destroy(shop, &whom, request).await.unwrap();
        store.certify(shop, &whom, "c-1").await.unwrap();
    }
    let hash = store.hash(OTHER_SHOP, "test", b"x").unwrap();
    home.tamper(
        "UPDATE subject_key SET wrapped = (SELECT c.wrapped FROM copied_subject_key c WHERE c.n = subject_key.n);
         UPDATE merchant_key SET wrapped = (SELECT c.wrapped FROM copied_merchant_key c WHERE c.n = merchant_key.n),
             own_key = (SELECT c.own_key FROM copied_merchant_key c WHERE c.n = merchant_key.n);
         INSERT INTO day_key (merchant, day, epoch, wrapped)
             SELECT merchant, day, epoch, wrapped FROM copied_day_key",
    );
    let proofs = async || {
        let tried = store.prove_shredded(&[(&address("email"), &sealed), (&bobs, &sealed_there)]).await;
        tried.unwrap().into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(proofs().await, [Proof::Opens, Proof::Opens]);
    assert_ne!(home.open().await.hash(OTHER_SHOP, "test", b"x").unwrap(), hash);
    store.look_for_damage().await.unwrap();
    let known = store.known_damage().into_iter().map(|key| (key.merchant, key.kind, key.whose, key.fault));
    let again = |shop, kind, whose: &dyn ToString| (shop, kind, whose.to_string(), KeyFault::ThereAgain);
    let all = [
        again(SHOP, "subject", &ADA),
        again(OTHER_SHOP, "day", &day),
        again(OTHER_SHOP, "merchant", &OTHER_SHOP),
        again(OTHER_SHOP, "subject", &BOB),
    ];
    assert_eq!(known.collect::<Vec<_>>(), all);
    store.rotate(event_schemas::Timestamp::EPOCH).await.unwrap();
    assert_eq!(proofs().await, [Proof::Destroyed, Proof::Destroyed]);
    assert_eq!(home.open().await.hash(OTHER_SHOP, "test", b"x").unwrap(), hash);
    assert!(store.sealer(SHOP, BOB).is_ok());
    store.look_for_damage().await.unwrap();
    assert_eq!(store.known_damage(), []);
}

#[tokio::test]
async fn a_request_that_holds_nobody_is_done_at_once() {
    let home = Home::new();
    let store = home.peopled().await;
    let (nobody, count) = (Whom::Person(Vec::new()), store.insert_count());
    store.fence(SHOP, &nobody, REQUEST).await.unwrap();
    let done = store.destroy(SHOP, &nobody, REQUEST).await.unwrap();
    assert_eq!(done, Destroyed { epoch: done.epoch, ..Destroyed::default() });
    store.certify(SHOP, &nobody, "c-3").await.unwrap();
    assert_eq!(store.insert_count(), count);
}
