//! Slots of several workers over one inbox.
use event_schemas::Timestamp;
use postgres_store::testing::TestDatabase;

use super::*;

async fn slots(database: &TestDatabase) -> Slots {
    let slots = Slots::new(crate::work::open_at(&database.address()).await.unwrap());
    // Ends only where a test ends it, however slow the machine is.
    Slots { lease: Duration::from_secs(600), ..slots }
}

fn mine(slots: &Slots) -> BTreeSet<i64> {
    slots.state().mine.clone()
}

/// A delivery of a shop in this slot.
fn open(slot: u8) -> Open {
    let mut shop = [7; 16];
    shop[15] = slot;
    let merchant = MerchantId::from_bytes(shop);
    Open { seq: 1, merchant, row: Uuid::from_u128(slot.into()), due: Timestamp::from_micros(0) }
}

fn job(open: &Open) -> Job {
    Job::new(open.merchant, open.row)
}

/// Kills the worker as its machine would: nothing is heard of it any more.
fn die(database: &TestDatabase, slots: &Slots) {
    let sql = format!(
        "UPDATE loyalnest_work.inbox_worker SET alive_until = 0 WHERE worker = '\\x{}'",
        slots.worker.simple()
    );
    database.execute(&sql).unwrap();
}

/// Catches: a worker that takes more than its share, and one that takes what another has.
#[tokio::test]
async fn live_workers_share_all_slots_and_no_two_have_the_same() {
    let database = TestDatabase::create();
    let (a, b) = (slots(&database).await, slots(&database).await);
    assert!(a.renew().await.unwrap());
    assert_eq!(mine(&a).len(), 64);
    // The newcomer finds nothing free until the other one has given its share back.
    assert!(!b.renew().await.unwrap());
    for _ in 0..2 {
        a.renew().await.unwrap();
        b.renew().await.unwrap();
    }
    assert_eq!((mine(&a).len(), mine(&b).len()), (32, 32));
    assert!(mine(&a).is_disjoint(&mine(&b)));
}

/// Catches: a slot that is given away with a row in hand.
#[tokio::test]
async fn a_slot_is_given_away_only_when_none_of_its_rows_is_in_hand() {
    let database = TestDatabase::create();
    let (a, b) = (slots(&database).await, slots(&database).await);
    a.renew().await.unwrap();
    let last = open(63);
    assert!(a.offer(&last) && a.begin(job(&last)));
    b.renew().await.unwrap();
    for _ in 0..3 {
        a.renew().await.unwrap();
        b.renew().await.unwrap();
        assert!(mine(&a).contains(&63) && !mine(&b).contains(&63) && !b.offer(&last));
    }
    assert!(!a.begin(job(&open(62))), "no row of a slot that leaves is begun");
    assert!(!a.end(job(&last), false));
    a.renew().await.unwrap();
    b.renew().await.unwrap();
    assert!(b.offer(&last) && b.begin(job(&last)));
}

/// Catches: leases that never end, and a worker that goes on with what it lost.
#[tokio::test]
async fn a_dead_workers_rows_are_taken_when_its_lease_ends() {
    let database = TestDatabase::create();
    let (a, b) = (slots(&database).await, slots(&database).await);
    a.renew().await.unwrap();
    let row = open(5);
    assert!(a.offer(&row));
    b.renew().await.unwrap();
    assert!(mine(&b).is_empty() && !b.offer(&row));
    die(&database, &a);
    assert!(b.renew().await.unwrap());
    assert!(b.offer(&row) && b.begin(job(&row)));
    // What it took for its own is gone when it comes back.
    a.renew().await.unwrap();
    assert!(!a.begin(job(&row)) && mine(&a).is_disjoint(&mine(&b)));
}

/// Catches: a worker that ends without a word, or with a row in hand.
#[tokio::test]
async fn who_ends_in_order_is_not_waited_for() {
    let database = TestDatabase::create();
    let (a, b) = (slots(&database).await, slots(&database).await);
    a.renew().await.unwrap();
    let (one, two) = (open(1), open(2));
    assert!(a.offer(&one) && a.begin(job(&one)) && a.offer(&two));
    let mut leaving = Box::pin(a.leave());
    assert!(futures::poll!(&mut leaving).is_pending() && !a.begin(job(&two)));
    b.renew().await.unwrap();
    assert!(mine(&b).is_empty());
    a.end(job(&one), false);
    leaving.await.unwrap();
    assert!(!a.renew().await.unwrap());
    assert!(b.renew().await.unwrap() && mine(&b).len() == 64);
}

/// Catches: a paused worker that wakes up and begins before it has asked (no look at the time of the last renewal).
#[tokio::test]
async fn who_slept_longer_than_its_lease_begins_nothing() {
    let database = TestDatabase::create();
    let a = slots(&database).await;
    a.renew().await.unwrap();
    let (one, two) = (open(1), open(2));
    assert!(a.offer(&one) && a.offer(&two) && a.begin(job(&one)));
    let a = Slots { lease: Duration::ZERO, ..a };
    assert!(!a.begin(job(&two)));
}

/// Catches: a row that is queued twice because two looks found it, or begun twice.
#[tokio::test]
async fn a_row_is_queued_once_and_begun_once_until_it_is_out_of_hand() {
    let database = TestDatabase::create();
    let a = slots(&database).await;
    a.renew().await.unwrap();
    let row = open(9);
    assert!(a.offer(&row) && !a.offer(&row));
    assert!(a.begin(job(&row)) && !a.begin(job(&row)) && !a.offer(&row));
    assert!(a.end(job(&row), true) && !a.offer(&row) && a.begin(job(&row)));
    assert!(!a.end(job(&row), false) && a.offer(&row));
}
