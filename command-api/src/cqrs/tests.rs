//! The framework's known faults, each with a test that ours does not have it.
use std::time::Duration;

use domain::{StreamRef, points_account};
use event_log::{
    Class, Log,
    faulty::{Faulty, Plan},
    memory,
};
use event_schemas::{MerchantId, Points};

use super::*;
use crate::{
    owner,
    testing::{Bench, balances, earn, reserve},
};

type Account = Hosted<points_account::State>;

struct Desk {
    bench: Bench,
    partition: Arc<Mutex<Partition>>,
    merchant: MerchantId,
    stream: StreamRef,
}

impl Desk {
    /// A partition claimed for this test alone, over `log`, with a customer of its own.
    async fn over(log: &Log) -> Self {
        let bench = Bench::start().await;
        let merchant = bench.install("demo-1.myshopify.com").await;
        let stream = StreamRef::account(bench.customer(merchant).await);
        let claimed = owner::claim(log).await;
        let partition =
            Partition::new(claimed.folded, claimed.writer, bench.keys.clone(), bench.clock.clone());
        Self { bench, partition: Arc::new(Mutex::new(partition)), merchant, stream }
    }

    async fn start() -> Self {
        Self::over(&memory::init(1, Class::Conditional)).await
    }

    fn envelope(&self, command: impl Into<Command>) -> Arc<Envelope> {
        Arc::new(self.bench.envelope(self.merchant, self.stream, command))
    }

    fn store(&self) -> ClaimedStore {
        ClaimedStore::new(self.partition.clone(), self.envelope(earn(1)))
    }

    fn name(&self) -> String {
        StreamKey::new(self.merchant, self.stream).to_string()
    }

    async fn available(&self) -> Points {
        let mut available = Points::ZERO;
        let key = StreamKey::new(self.merchant, self.stream);
        let look = |aggregate: &Aggregate| available = balances(aggregate).available;
        assert!(self.partition.lock().await.folded.see(key, look));
        available
    }
}

#[tokio::test]
async fn events_are_applied_once_where_the_snapshot_stores_apply_them_twice() {
    let desk = Desk::start().await;
    execute(&desk.partition, &desk.envelope(earn(10))).await.unwrap();
    execute(&desk.partition, &desk.envelope(earn(5))).await.unwrap();
    assert_eq!(desk.available().await, Points(15));
    let key = StreamKey::new(desk.merchant, desk.stream);
    assert_eq!(desk.partition.lock().await.folded.take(key).unwrap().1, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_under_contention() {
    let desk = Desk::start().await;
    let tasks = (0..64).map(|_| {
        let (partition, envelope) = (desk.partition.clone(), desk.envelope(earn(1)));
        tokio::spawn(async move { execute(&partition, &envelope).await.map(drop).unwrap() })
    });
    for done in futures::future::join_all(tasks).await {
        done.unwrap();
    }
    assert_eq!(desk.available().await, Points(64));
}

#[tokio::test]
async fn an_aggregate_is_held_by_one_command_at_a_time() {
    let desk = Desk::start().await;
    let (first, second) = (desk.store(), desk.store());
    let held: Loaded<points_account::State> = first.load_aggregate(&desk.name()).await.unwrap();
    let name = desk.name();
    let waiting = EventStore::<Account>::load_aggregate(&second, &name);
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
    held.give_back();
    assert!(EventStore::<Account>::load_aggregate(&second, &name).await.is_ok());
}

#[tokio::test]
async fn every_answer_has_a_position_and_rejections_have_one_too() {
    let desk = Desk::start().await;
    let earned = execute(&desk.partition, &desk.envelope(earn(10))).await.unwrap();
    let refused = execute(&desk.partition, &desk.envelope(reserve(11))).await.unwrap();
    assert!(matches!(refused.outcome, Outcome::Rejected(Rejection::InsufficientPoints { .. })));
    let (earned, refused) = (earned.hand.await.unwrap(), refused.hand.await.unwrap());
    assert!(refused.position > earned.position);
}

#[tokio::test]
async fn a_stream_read_from_the_log_is_what_was_committed() {
    let desk = Desk::start().await;
    let handed = execute(&desk.partition, &desk.envelope(earn(10))).await.unwrap();
    execute(&desk.partition, &desk.envelope(reserve(11))).await.unwrap();
    let made = handed.made.unwrap();
    handed.hand.await.unwrap();
    let loaded = EventStore::<Account>::load_events(&desk.store(), &desk.name()).await.unwrap();
    let events: Vec<_> =
        loaded.iter().map(|envelope| (envelope.sequence, envelope.payload.clone())).collect();
    let expected: Vec<_> =
        (1..).zip(made.events.iter().map(|event| Recorded::Event(event.clone()))).collect();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_read_that_fails_is_an_error_and_never_the_end() {
    let faulty = Faulty::new(&memory::init(1, Class::Conditional), Plan::default());
    let desk = Desk::over(&faulty.log()).await;
    execute(&desk.partition, &desk.envelope(earn(10))).await.unwrap().hand.await.unwrap();
    faulty.crash();
    let loaded = EventStore::<Account>::load_events(&desk.store(), &desk.name()).await;
    assert!(matches!(loaded, Err(AggregateError::DatabaseConnectionError(_))));
}

#[tokio::test]
async fn what_cannot_be_sealed_changes_nothing_and_parks_nothing() {
    let desk = Desk::start().await;
    let stranger = StreamRef::account(event_schemas::CustomerId(uuid::Uuid::now_v7()));
    let mut secret = earn(10);
    secret.reference = Some(event_schemas::Personal::Clear("820982911946154508".into()));
    let secret = Arc::new(desk.bench.envelope(desk.merchant, stranger, secret));
    assert!(matches!(execute(&desk.partition, &secret).await, Err(Failure::Refused(Unavailable::Fault(_)))));
    let plain = Arc::new(desk.bench.envelope(desk.merchant, stranger, earn(10)));
    assert_eq!(execute(&desk.partition, &plain).await.unwrap().outcome, Outcome::Accepted);
}

/// Catches: a length that is found after the events are applied, so that the account is parked.
#[tokio::test]
async fn what_no_record_holds_changes_nothing_and_parks_nothing() {
    let desk = Desk::start().await;
    execute(&desk.partition, &desk.envelope(earn(10))).await.unwrap();
    let mut long = earn(5);
    long.reference = Some(event_schemas::Personal::Clear("x".repeat(BODY_LEN_MAX)));
    let refused = execute(&desk.partition, &desk.envelope(long)).await;
    let Err(Failure::Refused(refused)) = refused else { panic!("it was recorded") };
    assert!(matches!(refused, Unavailable::RecordTooLarge { len } if len > BODY_LEN_MAX), "{refused}");
    assert_eq!((refused.code(), refused.is_transient()), ("record-too-large", false));
    assert_eq!(desk.available().await, Points(10));
    let next = execute(&desk.partition, &desk.envelope(earn(1))).await.unwrap();
    assert_eq!((next.outcome, desk.available().await), (Outcome::Accepted, Points(11)));
}

#[test]
fn a_recorded_answer_reads_back_as_the_framework_would_write_it() {
    for recorded in [
        Recorded::Rejected(Rejection::SourceConflict),
        Recorded::Event(event_schemas::catalogue::PointsAccountEvent::from(points_account_opened()).into()),
    ] {
        let text = serde_json::to_string(&recorded).unwrap();
        assert_eq!(serde_json::from_str::<Recorded>(&text).unwrap(), recorded);
    }
}

fn points_account_opened() -> event_schemas::points_account::PointsAccountOpened {
    event_schemas::points_account::PointsAccountOpened {}
}
