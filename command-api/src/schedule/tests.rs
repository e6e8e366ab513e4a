//! Jobs over real owners: what falls due is done once, at its time, also after a time in which nothing ran.
use chrono::{Months, TimeDelta};
use domain::{
    StreamRef,
    merchant::UpdateProgramSettings,
    points_account::{self, AdjustPoints, EarnPoints, ExpiryRule},
};
use event_log::Kind;
use event_schemas::{
    Code, CustomerId, EntryId, MerchantId, Points, Timestamp,
    merchant::{Expiry, ExpiryMode, ProgramSettings},
    points_account::Release,
    sample,
};
use futures::StreamExt as _;

use crate::{
    policies::expiry,
    testing::{Bench, earn, process},
};

const DAY: TimeDelta = TimeDelta::days(1);

/// A shop in UTC whose points live for a month, or until a month after the last activity.
async fn shop(bench: &Bench, mode: ExpiryMode) -> (MerchantId, CustomerId) {
    let merchant = bench.install("demo-1.myshopify.com").await;
    let settings = ProgramSettings { expiry: Expiry { mode, months: 1 }, ..ProgramSettings::default() };
    let update = UpdateProgramSettings { settings, based_on: None };
    let answered = bench.accept(merchant, StreamRef::merchant(merchant), update).await;
    bench.shops.wait_until(answered.at).await.unwrap();
    let customer = bench.customer(merchant).await;
    bench.policies_idle().await;
    (merchant, customer)
}

fn rule(bench: &Bench, merchant: MerchantId) -> ExpiryRule {
    expiry(&bench.shops.by_id(merchant).unwrap())
}

async fn earn_now(bench: &Bench, merchant: MerchantId, customer: CustomerId, release: Option<Release>) {
    let now = bench.clock.now();
    let earn = EarnPoints { at: now, expiry: rule(bench, merchant), release, ..earn(100) };
    bench.accept(merchant, StreamRef::account(customer), earn).await;
}

fn later(time: Timestamp, by: TimeDelta) -> Timestamp {
    time.utc().checked_add_signed(by).unwrap().into()
}

/// 00:00 of the day after a month from now.
fn end_of_a_month(now: Timestamp) -> Timestamp {
    let date = now.utc().checked_add_months(Months::new(1)).unwrap() + DAY;
    date.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc().into()
}

/// How many records the account's stream has, refusals too.
async fn records(bench: &Bench, customer: CustomerId) -> usize {
    let mut count = 0;
    for partition in 0..bench.log.partitions() {
        let mut reader = bench.log.reader(partition, None).unwrap();
        let of_stream = |frame: &event_log::Frame| {
            frame.stream == customer.bytes() && matches!(frame.kind, Kind::Commit | Kind::Outcome)
        };
        loop {
            let records = reader.next(10_000).await.unwrap().records;
            if records.is_empty() {
                break;
            }
            count += records.iter().filter(|record| of_stream(&record.frame)).count();
        }
    }
    count
}

/// The second release is what a key without the time would lose.
#[tokio::test]
async fn pending_points_are_released_when_the_clock_comes_to_their_time() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench, ExpiryMode::None).await;
    let at = later(bench.clock.now(), DAY);
    let buckets = async || {
        let balances = bench.balances(merchant, customer).await;
        (balances.available.0, balances.pending.0)
    };
    earn_now(&bench, merchant, customer, Some(Release::At(at))).await;
    earn_now(&bench, merchant, customer, Some(Release::At(later(at, DAY)))).await;
    bench.advance_to(later(at, TimeDelta::minutes(-1))).await;
    assert_eq!(buckets().await, (0, 200));
    bench.advance_to(at).await;
    assert_eq!(buckets().await, (100, 100));
    bench.advance_to(later(at, DAY)).await;
    assert_eq!(buckets().await, (200, 0));
}

#[tokio::test]
async fn points_expire_at_the_shops_own_one_o_clock_and_not_before() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench, ExpiryMode::PerLot).await;
    earn_now(&bench, merchant, customer, None).await;
    let midnight = end_of_a_month(bench.clock.now());
    bench.advance_to(later(midnight, TimeDelta::minutes(59))).await;
    assert_eq!(bench.balances(merchant, customer).await.lifetime_expired, Points(0));
    bench.advance_to(later(midnight, TimeDelta::minutes(60))).await;
    let after = bench.balances(merchant, customer).await;
    assert_eq!((after.available, after.lifetime_expired), (Points(0), Points(100)));
}

#[tokio::test]
async fn points_of_a_customer_who_stays_away_expire() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench, ExpiryMode::Inactivity).await;
    let now = bench.clock.now();
    earn_now(&bench, merchant, customer, None).await;
    bench.advance_to(later(now, TimeDelta::days(20))).await;
    earn_now(&bench, merchant, customer, None).await;
    bench.advance_to(later(now, TimeDelta::days(40))).await;
    assert_eq!(bench.balances(merchant, customer).await.available, Points(200));
    bench.advance_to(later(now, TimeDelta::days(60))).await;
    assert_eq!(bench.balances(merchant, customer).await.lifetime_expired, Points(200));
}

#[test]
fn what_fell_due_while_nothing_ran_is_done_once() {
    let (log, folder, merchant, customer) = process(async {
        let bench = Bench::start().await;
        let (merchant, customer) = shop(&bench, ExpiryMode::PerLot).await;
        earn_now(&bench, merchant, customer, None).await;
        bench.schedule_idle().await;
        (bench.log, bench.folder, merchant, customer)
    });
    let (log, folder, done) = process(async {
        let bench = Bench::resume(log, folder).await;
        bench.advance_to(later(bench.clock.now(), TimeDelta::days(100))).await;
        let balances = bench.balances(merchant, customer).await;
        assert_eq!((balances.available, balances.lifetime_expired), (Points(0), Points(100)));
        let done = records(&bench, customer).await;
        (bench.log, bench.folder, done)
    });
    process(async {
        let bench = Bench::resume(log, folder).await;
        bench.schedule_idle().await;
        bench.advance_to(later(bench.clock.now(), TimeDelta::days(100))).await;
        assert_eq!(records(&bench, customer).await, done);
        bench.work.run(|db| db.execute("DELETE FROM daily_run", &[])).await.unwrap();
    });
}

#[tokio::test]
async fn accounts_with_nothing_to_do_are_not_asked() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench, ExpiryMode::PerLot).await;
    let idle = bench.customer(merchant).await;
    bench.policies_idle().await;
    earn_now(&bench, merchant, customer, None).await;
    let before = records(&bench, idle).await;
    bench.advance_to(later(bench.clock.now(), TimeDelta::days(100))).await;
    assert_eq!(bench.balances(merchant, customer).await.lifetime_expired, Points(100));
    assert_eq!(records(&bench, idle).await, before);
}

/// Catches: every pass asking again, one more record each time.
#[tokio::test]
async fn who_refuses_a_release_is_asked_once_a_day() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench, ExpiryMode::None).await;
    let at = later(bench.clock.now(), DAY);
    let waits = EarnPoints { release: Some(Release::At(at)), ..earn(i64::MAX) };
    bench.accept(merchant, StreamRef::account(customer), waits).await;
    // Beside these the pending ones are more than an account holds.
    let goodwill = AdjustPoints {
        entry: EntryId(uuid::Uuid::now_v7()),
        points: Points(100),
        reason: Code::fixed("goodwill"),
        public_note: None,
        internal_note: None,
        allow_negative: false,
        at: bench.clock.now(),
        expiry: ExpiryRule::none(),
        content: sample::DIGEST,
    };
    bench.accept(merchant, StreamRef::account(customer), goodwill).await;
    let before = records(&bench, customer).await;
    for minutes in [0, 1, 2, 24 * 60 - 1] {
        bench.advance_to(later(at, TimeDelta::minutes(minutes))).await;
    }
    assert_eq!(records(&bench, customer).await, before + 1);
    assert_eq!(bench.balances(merchant, customer).await.available, Points(100));
    bench.advance_to(later(at, TimeDelta::minutes(24 * 60 + 1))).await;
    assert_eq!(records(&bench, customer).await, before + 2);
}

/// Catches: an account of more lots than a record says that is asked once, and has the rest for another day.
#[tokio::test]
async fn an_account_of_more_lots_than_a_record_says_is_asked_until_nothing_is_due() {
    let bench = Bench::start().await;
    let (merchant, customer) = shop(&bench, ExpiryMode::PerLot).await;
    let lots = points_account::LOTS_MAX + 10;
    let award = |_| earn_now(&bench, merchant, customer, None);
    futures::stream::iter(0..lots).map(award).buffer_unordered(64).for_each(|()| async {}).await;
    let before = records(&bench, customer).await;
    bench.advance_to(later(bench.clock.now(), TimeDelta::days(100))).await;
    let after = bench.balances(merchant, customer).await;
    assert_eq!((after.available, after.lifetime_expired), (Points(0), Points(100 * lots as i64)));
    assert_eq!(records(&bench, customer).await, before + 2);
}

#[tokio::test]
async fn progress_names_each_job_and_the_time_it_came_to() {
    let bench = Bench::start().await;
    let to = later(bench.clock.now(), DAY);
    bench.advance_to(to).await;
    let progress = bench.schedule.progress();
    let names: Vec<_> = progress.iter().map(|job| job.name).collect();
    assert_eq!(names, ["release", "expiry", "inactivity", "warning"]);
    assert!(progress.iter().all(|job| job.through.is_some_and(|through| through >= to) && job.left == 0));
}
