//! Policies over real owners: each event has its effect once, whatever crashes in between, and what gets stuck shows.
mod codes;
mod erased;
mod issuers;
mod merges;
mod sagas;

use domain::{
    Aggregate, StreamRef,
    loyalty_order::{Line, ObserveOrder, Shipping},
    points_account::Phase,
    redemption::{self, Status},
};
use event_log::{Class, Kind as RecordKind, Log, memory};
use event_schemas::{
    CustomerId, MerchantId, OrderId, Points, RedemptionId, loyalty_order::OrderStage, sample,
};
use privacy::{Kind, Reference};
use uuid::Uuid;

use super::{Cause, perform::Trouble};
use crate::{
    commands::{Envelope, Unavailable},
    testing::{Bench, POISON, earn, process, reserve},
};

#[cfg(feature = "postgres")]
mod on_postgres {
    //! The same with progress and stuck steps in a Postgres.
    crate::testing::again_on_postgres! {
        super::a_qualified_order_awards_points_and_a_registration_opens_the_account,
        super::a_rejection_that_nobody_expected_is_parked_and_the_rest_goes_on,
    }
}

/// A paid order of this many cents, one point per dollar.
pub(crate) async fn order(bench: &Bench, merchant: MerchantId, customer: CustomerId, cents: i64) -> OrderId {
    observed(bench, merchant, customer, cents, OrderStage::Paid).await
}

async fn observed(
    bench: &Bench,
    merchant: MerchantId,
    customer: CustomerId,
    cents: i64,
    stage: OrderStage,
) -> OrderId {
    let (order, observe) = observation(bench, merchant, customer, cents, stage).await;
    bench.commander.send(bench.envelope(merchant, StreamRef::order(order), observe)).await.unwrap();
    order
}

async fn observation(
    bench: &Bench,
    merchant: MerchantId,
    customer: CustomerId,
    cents: i64,
    stage: OrderStage,
) -> (OrderId, ObserveOrder) {
    let reference = Reference::new(Kind::Order, "820982911946154508", Uuid::now_v7(), Some(customer));
    let order = OrderId(bench.keys.resolve(merchant, reference).await.unwrap().id);
    let line = Line {
        product_id: None,
        gift_card: false,
        tip: false,
        tags: Vec::new(),
        subtotal_minor: cents,
        tax_minor: 0,
    };
    let observe = ObserveOrder {
        updated_at: sample::time(),
        ordered_at: sample::time(),
        paid_at: None,
        fulfilled_at: None,
        stage,
        test: false,
        customer: Some(customer),
        taxes_included: false,
        lines: vec![line],
        shipping: Shipping::default(),
        total: sample::usd(cents),
        codes_used: Vec::new(),
        refunds: Vec::new(),
        rule: bench.shops.by_id(merchant).unwrap().rule.clone(),
    };
    (order, observe)
}

async fn shop(bench: &Bench) -> (MerchantId, CustomerId) {
    let merchant = bench.install("demo-1.myshopify.com").await;
    let customer = bench.customer(merchant).await;
    bench.policies_idle().await;
    (merchant, customer)
}

async fn commits(log: &Log) -> usize {
    let mut commits = 0;
    for partition in 0..log.partitions() {
        let mut reader = log.reader(partition, None).unwrap();
        let records = reader.next(10_000).await.unwrap().records;
        commits += records.iter().filter(|record| record.frame.kind == RecordKind::Commit).count();
    }
    commits
}

fn status(aggregate: &Aggregate) -> Option<Status> {
    match aggregate {
        Aggregate::Redemption(state) => redemption::State::status(state),
        _ => None,
    }
}

#[tokio::test]
async fn a_qualified_order_awards_points_and_a_registration_opens_the_account() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench).await;
    let opened = |aggregate: &Aggregate| matches!(aggregate, Aggregate::PointsAccount(a) if a.opened());
    assert!(bench.commander.read(merchant, StreamRef::account(customer), opened).await.unwrap());
    order(&bench, merchant, customer, 5_493).await;
    bench.policies_idle().await;
    assert_eq!(bench.balances(merchant, customer).await.available, Points(54));
}

#[test]
fn a_crash_that_loses_all_progress_gives_no_second_effect() {
    let (log, folder, merchant, customer, before) = process(async {
        let bench = Bench::start().await;
        let (merchant, customer) = shop(&bench).await;
        order(&bench, merchant, customer, 5_493).await;
        bench.policies_idle().await;
        let reserve = bench.envelope(merchant, StreamRef::account(customer), reserve(10));
        bench.commander.send(reserve).await.unwrap();
        bench.policies_idle().await;
        bench.work.run(|db| db.execute("DELETE FROM policy_progress", &[])).await.unwrap();
        let before = (commits(&bench.log).await, bench.balances(merchant, customer).await);
        (bench.log, bench.folder, merchant, customer, before)
    });
    process(async {
        let bench = Bench::resume(log, folder).await;
        bench.policies_idle().await;
        let balances = bench.balances(merchant, customer).await;
        assert_eq!((balances.available, balances.lifetime_redeemed), (Points(44), Points(10)));
        assert_eq!((commits(&bench.log).await, balances), before);
        assert_eq!(bench.policies.parked(), 0);
    });
}

#[test]
fn a_crash_in_the_middle_of_a_redemption_is_seen_through_by_the_next_start() {
    for steps in 0..6 {
        let (log, folder, merchant, customer, redemption) = process(async move {
            let bench = Bench::start().await;
            let (merchant, customer) = shop(&bench).await;
            bench.earn(merchant, customer, 100).await;
            let reserve = reserve(60);
            let redemption = reserve.redemption;
            let send = bench.envelope(merchant, StreamRef::account(customer), reserve);
            bench.commander.send(send).await.unwrap();
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            (bench.log, bench.folder, merchant, customer, redemption)
        });
        process(async {
            let bench = Bench::resume(log, folder).await;
            bench.policies_idle().await;
            let stream = StreamRef::redemption(redemption, customer);
            assert_eq!(
                bench.commander.read(merchant, stream, status).await.unwrap(),
                Some(Status::Completed)
            );
            let balances = bench.balances(merchant, customer).await;
            assert_eq!((balances.available, balances.reserved), (Points(40), Points(0)));
        });
    }
}

#[tokio::test]
async fn a_rejection_that_nobody_expected_is_parked_and_the_rest_goes_on() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench).await;
    let full = i64::MAX - 5;
    bench.earn(merchant, customer, full).await;
    order(&bench, merchant, customer, 5_493).await;
    let other = bench.customer(merchant).await;
    bench.policies_idle().await;
    assert_eq!(bench.policies.parked(), 1);
    assert_eq!(bench.balances(merchant, customer).await.available, Points(full));
    let opened = |aggregate: &Aggregate| matches!(aggregate, Aggregate::PointsAccount(a) if a.opened());
    assert!(bench.commander.read(merchant, StreamRef::account(other), opened).await.unwrap());
}

/// As after a loss of records. Catches: waiting for the shop (all shops of the partition wait with it).
#[tokio::test]
async fn a_step_of_a_shop_that_the_log_does_not_know_is_parked_until_it_joins_and_the_rest_goes_on() {
    let bench = Bench::over(memory::init(1, Class::Conditional)).await;
    let lost = bench.keys_of("lost.myshopify.com").await;
    let theirs = bench.customer(lost).await;
    let (merchant, customer) = shop(&bench).await;
    assert_eq!(bench.policies.parked(), 1);
    let opened = |aggregate: &Aggregate| matches!(aggregate, Aggregate::PointsAccount(a) if a.opened());
    assert!(bench.commander.read(merchant, StreamRef::account(customer), opened).await.unwrap());
    bench.install("lost.myshopify.com").await;
    bench.policies.retry_all().await.unwrap();
    assert_eq!(bench.policies.parked(), 0);
    assert!(bench.commander.read(lost, StreamRef::account(theirs), opened).await.unwrap());
}

/// Catches: waiting for what somebody must mend first, so that all policies of the partition wait with it.
#[test]
fn a_step_waits_for_what_is_away_and_is_stuck_at_what_is_broken() {
    let damaged = privacy::Error::Damaged { what: "it".to_owned() };
    for (trouble, expected) in [
        (damaged.into(), Some("key-damaged")),
        (privacy::Error::DoesNotOpen.into(), Some("key-damaged")),
        (privacy::Error::EpochGone { epoch: 1 }.into(), Some("epoch-gone")),
        (Unavailable::Stopped.into(), Some("partition-stopped")),
        (Unavailable::NotOwned.into(), None),
        (Unavailable::KeysAway.into(), None),
    ] {
        let stuck = match trouble {
            Trouble::Stuck(reason) => Some(reason),
            Trouble::Later(_) | Trouble::Erased => None,
        };
        assert_eq!(stuck.as_deref(), expected);
    }
}

#[test]
fn an_award_to_a_parked_account_is_kept_and_made_once_the_account_is_back() {
    let (log, folder, merchant, customer) = process(async {
        let bench = Bench::start().await;
        let (merchant, customer) = shop(&bench).await;
        let stream = StreamRef::account(customer);
        let poison = Envelope { key: POISON, ..bench.envelope(merchant, stream, earn(1)) };
        assert!(matches!(bench.commander.send(poison).await, Err(Unavailable::AggregateParked)));
        order(&bench, merchant, customer, 5_493).await;
        bench.policies_idle().await;
        assert_eq!(bench.policies.parked(), 1);
        (bench.log, bench.folder, merchant, customer)
    });
    process(async {
        let bench = Bench::resume(log, folder).await;
        while bench.policies.parked() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(bench.balances(merchant, customer).await.available, Points(54));
    });
}

#[test]
fn a_step_behind_a_stuck_one_of_its_stream_waits_so_that_the_newest_level_comes_last() {
    let (log, folder, merchant, customer) = process(async {
        let bench = Bench::start().await;
        let (merchant, customer) = shop(&bench).await;
        let stream = StreamRef::account(customer);
        let poison = Envelope { key: POISON, ..bench.envelope(merchant, stream, earn(1)) };
        assert!(matches!(bench.commander.send(poison).await, Err(Unavailable::AggregateParked)));
        for stage in [OrderStage::Paid, OrderStage::Cancelled] {
            observed(&bench, merchant, customer, 5_493, stage).await;
            bench.policies_idle().await;
        }
        let sql = "SELECT group_concat(reason) FROM (SELECT reason FROM parked_task ORDER BY record)";
        let reasons: String = bench.work.run(|db| db.one(sql, &[], |row| row.at(0))).await.unwrap();
        assert_eq!(reasons, "aggregate-parked,queued-behind-a-stuck-step");
        (bench.log, bench.folder, merchant, customer)
    });
    process(async {
        let bench = Bench::resume(log, folder).await;
        while bench.policies.parked() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let balances = bench.balances(merchant, customer).await;
        assert_eq!((balances.available, balances.lifetime_earned), (Points(0), Points(54)));
    });
}

#[tokio::test]
async fn followed_inline_a_redemption_completes_and_the_tail_finds_it_done() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench).await;
    bench.earn(merchant, customer, 100).await;
    let stream = StreamRef::account(customer);
    let reserve = reserve(60);
    let redemption = reserve.redemption;
    let envelope = bench.envelope(merchant, stream, reserve);
    let cause = Cause {
        merchant,
        stream,
        occurred_at: envelope.occurred_at,
        recorded_at: envelope.occurred_at,
        correlation: envelope.origin.correlation,
        trace: envelope.origin.trace,
    };
    let answered = bench.commander.send(envelope).await.unwrap();
    let followed = bench.policies.follow(cause, answered.made.unwrap(), answered.at).await;
    assert!(followed.at.position() >= answered.at.position());
    bench.policies_idle().await;
    assert_eq!(phase(&bench, merchant, customer, redemption).await, Some(Phase::Redeemed));
    let read = bench.commander.read(merchant, StreamRef::redemption(redemption, customer), status).await;
    assert_eq!(read.unwrap(), Some(Status::Completed));
}

async fn phase(
    bench: &Bench,
    merchant: MerchantId,
    customer: CustomerId,
    redemption: RedemptionId,
) -> Option<Phase> {
    let look = move |aggregate: &Aggregate| match aggregate {
        Aggregate::PointsAccount(account) => account.reservation(redemption).map(|r| r.phase),
        _ => None,
    };
    bench.commander.read(merchant, StreamRef::account(customer), look).await.unwrap()
}
