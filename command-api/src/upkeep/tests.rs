//! When upkeep is due, whatever the clock did before.
use chrono::{Datelike as _, Days};
use event_schemas::Timestamp;
use uuid::Uuid;

use super::{DAY_US, DAYS_KEPT, ROUND, Upkeep, day_keys::DESTROYED};
use crate::{marks, testing::Bench};

/// Catches: marks of the future that count, so that nothing is done until the clock has come there.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_and_is_set_back_stops_nothing() {
    let bench = Bench::start().await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let today = bench.clock.now().utc().date_naive();
    bench.keys.seal_for_day(merchant, today, Uuid::from_u128(1), b"{}").await.unwrap();
    let later = |days: i64| Timestamp::from_micros(bench.clock.now().micros() + days * DAY_US);
    let (ahead, now) = (later(100), later(9));
    let marked = bench.work.run(move |work| {
        marks::set(work, ROUND, ahead.micros())?;
        marks::set(work, DESTROYED, i64::from(ahead.utc().date_naive().num_days_from_ce()))
    });
    marked.await.unwrap();
    let before = now.utc().date_naive() - Days::new(DAYS_KEPT);
    assert_eq!(bench.keys.shops_with_days_before(before).await.unwrap(), [merchant]);
    Upkeep::new(&bench.parts()).tick(now).await.unwrap();
    assert!(bench.keys.shops_with_days_before(before).await.unwrap().is_empty());
    let round = bench.work.read(|work| marks::get(work, ROUND)).await.unwrap();
    assert_eq!(round, now.micros());
}
