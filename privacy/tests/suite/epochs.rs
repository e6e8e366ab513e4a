//! Epochs: everything is wrapped anew beside the traffic, and an epoch that is destroyed takes every copy with it.
use std::{future::Future, task::Poll};

use chrono::{Days, NaiveDate};
use event_schemas::{CustomerId, MerchantId, Sealed, Timestamp};
use privacy::{DamagedKey, Error, KeyFault, KeyStore, Kind, Opened, Reference, RootKey, Whom};
use uuid::Uuid;

use super::{ADA, BOB, Home, LOG, OTHER_SHOP, SHOP, address};

const REQUEST: Uuid = Uuid::from_u128(70);
const ROW: Uuid = Uuid::from_u128(1);

fn day(day: u64) -> Timestamp {
    let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap() + Days::new(day);
    day.and_hms_opt(0, 0, 0).unwrap().and_utc().into()
}

fn monday() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 2).unwrap()
}

async fn sealed(store: &KeyStore) -> Sealed {
    store.sealer(SHOP, ADA).unwrap().seal(&address("email"), b"ada").unwrap()
}

async fn opens(store: &KeyStore, sealed: &Sealed) -> bool {
    matches!(store.open(&address("email"), sealed).await, Ok(Opened::Clear(clear)) if clear == b"ada")
}

#[tokio::test]
async fn after_a_rotation_all_opens_as_before_and_the_old_epoch_can_go() {
    let home = Home::new();
    let store = home.peopled().await;
    let email = sealed(&store).await;
    let body = store.seal_for_day(SHOP, monday(), ROW, b"{}").await.unwrap();
    store.resolve(SHOP, Reference::new(Kind::Order, "1001", ROW, None)).await.unwrap();
    let (hash, count) = (store.hash(SHOP, "test", b"x").unwrap(), store.insert_count());
    let before = store.epochs().await.unwrap();
    assert_eq!(before[0].shreds, 0);
    let rotated = store.rotate(day(0)).await.unwrap();
    assert_eq!((rotated.epoch, rotated.rows, rotated.damaged), (before[0].number + 1, 3, 0));
    assert_eq!(store.rows_of_epoch(before[0].number).await.unwrap(), 0);
    assert_eq!(store.rows_of_epoch(rotated.epoch).await.unwrap(), 5, "two shops, two people, a day");
    assert_eq!(store.destroy_epochs(day(0), day(9)).await.unwrap(), Vec::<u32>::new(), "not closed by then");
    assert_eq!(store.destroy_epochs(day(1), day(9)).await.unwrap(), [before[0].number]);
    assert_eq!(store.destroy_epochs(day(9), day(9)).await.unwrap(), Vec::<u32>::new(), "nor the open one");
    let epochs = store.epochs().await.unwrap();
    assert_eq!((epochs[0].closed_at, epochs[0].destroyed_at), (Some(day(0)), Some(day(9))));
    assert_eq!((epochs[1].opened_at, epochs[1].closed_at, epochs[1].destroyed_at), (day(0), None, None));
    for store in [store, home.open().await] {
        assert!(opens(&store, &email).await);
        assert_eq!(store.open_for_day(SHOP, monday(), ROW, &body).await.unwrap(), b"{}");
        assert_eq!(store.reveal(SHOP, Kind::Order, ROW).await.unwrap().as_deref(), Some("1001"));
        assert_eq!(store.hash(SHOP, "test", b"x").unwrap(), hash);
        assert!(store.hash(OTHER_SHOP, "test", b"x").is_ok(), "a shop without people is carried over too");
        assert_eq!(store.insert_count(), count, "nothing is new");
        assert_eq!(store.damaged().await.unwrap(), Vec::new());
    }
}

#[tokio::test]
async fn what_is_made_while_and_after_a_rotation_hangs_under_the_open_epoch() {
    let home = Home::new();
    let store = home.peopled().await;
    let person = |n: u8| CustomerId::from_bytes([n; 16]);
    let (rotated, ()) = tokio::join!(store.rotate(day(0)), async {
        for n in 20..60 {
            store.ensure_subject(SHOP, person(n)).await.unwrap();
            let email = store.sealer(SHOP, person(n)).unwrap();
            drop(email);
        }
    });
    let first = rotated.unwrap().epoch - 1;
    store.ensure_merchant(MerchantId::from_bytes([9; 16])).await.unwrap();
    assert_eq!(store.rows_of_epoch(first).await.unwrap(), 0);
    assert_eq!(store.destroy_epochs(day(1), day(8)).await.unwrap(), [first]);
    for n in 20..60 {
        assert!(store.sealer(SHOP, person(n)).is_ok());
    }
}

/// Seen to fail with the planted bug `epoch-kept`.
#[tokio::test]
async fn a_copy_from_before_opens_nothing_once_its_epoch_is_destroyed() {
    let home = Home::new();
    let store = home.peopled().await;
    let email = sealed(&store).await;
    drop(store);
    home.back_up("before");
    let store = home.open().await;
    store.fence(SHOP, &Whom::Person(vec![ADA]), REQUEST).await.unwrap();
    let destroyed = store.destroy(SHOP, &Whom::Person(vec![ADA]), REQUEST).await.unwrap();
    store.rotate(day(0)).await.unwrap();
    assert_eq!(store.epochs().await.unwrap().iter().map(|epoch| epoch.shreds).collect::<Vec<_>>(), [1, 0]);
    drop(store);
    home.back_up("after");
    home.restore("before");
    assert!(opens(&home.open().await, &email).await, "until then it does: that is why the epoch goes");
    home.restore("after");
    let store = home.open().await;
    assert_eq!(store.destroy_epochs(day(1), day(8)).await.unwrap(), [destroyed.epoch]);
    assert!(store.sealer(SHOP, BOB).is_ok());
    drop(store);
    home.restore("before");
    let refused = home.try_open(&home.root, LOG).await.unwrap_err();
    assert!(matches!(refused, Error::EpochGone { epoch } if epoch == destroyed.epoch), "{refused}");
}

/// Polls `work` until it has waited for `steps` commits, and drops it there; whether it came to its end.
async fn cut_short<T>(work: impl Future<Output = T>, steps: usize) -> bool {
    let mut work = std::pin::pin!(work);
    let mut waits = 0;
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if waits == steps => Poll::Ready(false),
        Poll::Pending => {
            waits += 1;
            Poll::Pending
        }
    })
    .await
}

/// Tried with a rotation that removes the merchants' rows first, and with one that opens an epoch whenever it is called:
/// each leaves rows behind that do not open, or an epoch that is never empty.
#[tokio::test]
async fn a_rotation_that_is_cut_short_at_any_step_is_gone_on_with() {
    let mut was_cut = 0;
    for steps in 0..16 {
        let home = Home::new();
        let store = home.peopled().await;
        let email = sealed(&store).await;
        let body = store.seal_for_day(SHOP, monday(), ROW, b"{}").await.unwrap();
        let first = store.epochs().await.unwrap()[0].number;
        let is_done = cut_short(store.rotate(day(0)), steps).await;
        drop(store);
        let store = home.open().await;
        assert!(opens(&store, &email).await, "cut at {steps}");
        store.ensure_subject(SHOP, CustomerId::from_bytes([8; 16])).await.unwrap();
        if !is_done {
            was_cut += 1;
            // What was queued when it was cut may be done in the meantime, by the thread of the store before.
            while store.rotate(day(0)).await.unwrap().epoch == first {}
        }
        assert_eq!(store.rows_of_epoch(first).await.unwrap(), 0, "cut at {steps}");
        assert!(store.destroy_epochs(day(1), day(8)).await.unwrap().contains(&first));
        assert!(opens(&store, &email).await, "cut at {steps}");
        assert_eq!(store.open_for_day(SHOP, monday(), ROW, &body).await.unwrap(), b"{}");
        assert!(store.sealer(SHOP, BOB).is_ok());
    }
    assert!(was_cut > 6, "{was_cut}");
}

#[tokio::test]
async fn a_damaged_row_is_named_keeps_its_epoch_and_the_rest_is_served() {
    let home = Home::new();
    let store = home.peopled().await;
    let first = store.epochs().await.unwrap()[0].number;
    drop(store);
    home.tamper(&format!(
        "UPDATE subject_key SET wrapped = (SELECT wrapped FROM subject_key WHERE subject = x'{}') WHERE subject = x'{}'",
        BOB.0.simple(),
        ADA.0.simple()
    ));
    let store = home.open().await;
    let damaged = store.damaged().await.unwrap();
    assert_eq!(damaged.len(), 1);
    let DamagedKey { merchant, kind, whose, epoch, fault } = &damaged[0];
    assert_eq!((*merchant, *kind, *epoch, *fault), (SHOP, "subject", Some(first), KeyFault::DoesNotOpen));
    assert_eq!(*whose, ADA.to_string());
    let rotated = store.rotate(day(0)).await.unwrap();
    assert_eq!((rotated.rows, rotated.damaged), (1, 1));
    assert!(
        store.destroy_epochs(day(1), day(8)).await.unwrap().is_empty(),
        "what could be mended is not lost"
    );
    assert_eq!(store.rows_of_epoch(first).await.unwrap(), 2, "Ada's, and the shop's that it hangs under");
    assert!(store.sealer(SHOP, BOB).is_ok());
    store.fence(SHOP, &Whom::Person(vec![ADA]), REQUEST).await.unwrap();
    store.destroy(SHOP, &Whom::Person(vec![ADA]), REQUEST).await.unwrap();
    store.rotate(day(2)).await.unwrap();
    assert_eq!(
        store.destroy_epochs(day(3), day(8)).await.unwrap(),
        [first],
        "once it is destroyed it does not hold"
    );
}

/// Catches, tried: epochs for which nothing is due before the year is over.
#[tokio::test]
async fn epochs_that_a_clock_a_year_ahead_opened_and_closed_count_from_when_it_is_right_again() {
    let home = Home::new();
    let store = home.peopled().await;
    let (ahead, now) = (day(365), day(1));
    let first = store.epochs().await.unwrap()[0].number;
    store.rotate(ahead).await.unwrap();
    store.correct_epochs(now).await.unwrap();
    let epochs = store.epochs().await.unwrap();
    assert_eq!((epochs[0].closed_at, epochs[1].opened_at, epochs[1].closed_at), (Some(now), now, None));
    assert!(store.destroy_epochs(now, now).await.unwrap().is_empty(), "nor is it destroyed early");
    assert_eq!(store.destroy_epochs(day(9), day(9)).await.unwrap(), [first]);
    store.correct_epochs(day(9)).await.unwrap();
    assert_eq!(store.epochs().await.unwrap()[0].closed_at, Some(now), "what is over stays as it is");
}

#[tokio::test]
async fn a_rotated_root_key_opens_all_and_the_old_one_is_told_which() {
    let home = Home::new();
    let store = home.peopled().await;
    let email = sealed(&store).await;
    let (token, public) = (store.issue_token(SHOP, 1), store.public_key());
    store.rotate(day(0)).await.unwrap();
    let new = RootKey::from_bytes([8; 32]);
    store.rotate_root(&new).await.unwrap();
    let refused = home.try_open(&home.root, LOG).await.unwrap_err();
    assert!(matches!(refused, Error::WrongRootKey { expected, .. } if expected == new.fingerprint()));
    let store = home.try_open(&new, LOG).await.unwrap();
    assert!(opens(&store, &email).await);
    assert_eq!((store.issue_token(SHOP, 1), store.public_key()), (token, public));
    store.rotate(day(1)).await.unwrap();
    assert!(opens(&store, &email).await);
    assert_eq!(store.destroy_epochs(day(2), day(8)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_root_key_in_a_file_has_the_ring_beside_it_and_takes_it_along() {
    let home = Home::in_a_folder();
    let (keys, safe) = (home.folder(), tempfile::tempdir().unwrap());
    let rings = || {
        let files = std::fs::read_dir(safe.path()).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.contains(".epochs"));
        names.sort();
        names
    };
    let old = RootKey::create_file(&safe.path().join("old.key")).unwrap();
    let open = |root: RootKey| async move { KeyStore::create_or_open(&keys.join("k.db"), &root, LOG).await };
    let store = open(old.clone()).await.unwrap();
    store.ensure_merchant(SHOP).await.unwrap();
    assert_eq!(rings(), ["old.key.09090909.epochs"]);
    let new = RootKey::create_file(&safe.path().join("new.key")).unwrap();
    store.rotate_root(&new).await.unwrap();
    let left = std::fs::read_to_string(safe.path().join("old.key.09090909.epochs")).unwrap();
    assert_eq!(left.lines().filter(|line| !line.is_empty()).count(), 1, "the title alone: {left}");
    assert!(open(new.clone()).await.unwrap().hash(SHOP, "test", b"x").is_ok());
    std::fs::remove_file(safe.path().join("new.key.09090909.epochs")).unwrap();
    assert!(matches!(open(new).await, Err(Error::EpochGone { .. })), "without its ring it opens nothing");
}

/// The first format had the wrapped keys of epochs in the store itself.
#[tokio::test]
async fn a_store_of_the_first_format_gives_its_epochs_to_the_ring() {
    let home = Home::in_a_folder();
    let store = home.peopled().await;
    let email = sealed(&store).await;
    drop(store);
    let ring = home.folder().join("keys.db.09090909.epochs");
    let lines = std::fs::read_to_string(&ring).unwrap();
    let wrapped = lines.lines().nth(1).unwrap().rsplit_once(' ').unwrap().1.to_owned();
    std::fs::remove_file(&ring).unwrap();
    home.tamper(&format!("UPDATE epoch_key SET wrapped = x'{wrapped}'; UPDATE meta SET format = 1"));
    let store = home.open().await;
    assert!(opens(&store, &email).await);
    assert!(std::fs::read_to_string(&ring).unwrap().contains(&wrapped));
    let bytes = std::fs::read(home.folder().join("keys.db")).unwrap();
    let wrapped: Vec<u8> = hex::decode(wrapped).unwrap();
    assert!(!bytes.windows(16).any(|window| window == &wrapped[..16]), "and keeps none of their bytes");
    store.rotate(day(0)).await.unwrap();
    assert!(opens(&store, &email).await);
}

#[tokio::test]
async fn keys_of_days_go_by_shop_and_day() {
    let home = Home::new();
    let store = home.peopled().await;
    let (tuesday, sunday) = (monday() + Days::new(1), monday() - Days::new(1));
    let mut bodies = Vec::new();
    for (shop, day) in [(SHOP, sunday), (SHOP, monday()), (SHOP, tuesday), (OTHER_SHOP, sunday)] {
        bodies.push((shop, day, store.seal_for_day(shop, day, ROW, b"{}").await.unwrap()));
    }
    assert_eq!(store.destroy_days(SHOP, tuesday).await.unwrap(), 2);
    assert_eq!(store.destroy_days(SHOP, tuesday).await.unwrap(), 0);
    let mut opened = Vec::new();
    for (shop, day, body) in &bodies {
        opened.push(store.open_for_day(*shop, *day, ROW, body).await.is_ok());
    }
    assert_eq!(opened, [false, false, true, true]);
}
