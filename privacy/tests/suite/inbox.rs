//! Bodies in the inbox, sealed under the key of their day.
use chrono::NaiveDate;
use privacy::Error;
use uuid::Uuid;

use super::{Home, OTHER_SHOP, SHOP};

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
}

const ROW: Uuid = Uuid::from_u128(1);

#[tokio::test]
async fn a_body_opens_after_a_restart_for_its_own_row_day_and_shop_only() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealed = store.seal_for_day(SHOP, day(1), ROW, b"{}").await.unwrap();
    store.seal_for_day(SHOP, day(2), ROW, b"{}").await.unwrap();
    store.seal_for_day(OTHER_SHOP, day(1), ROW, b"{}").await.unwrap();
    drop(store);
    let store = home.open().await;
    assert_eq!(store.open_for_day(SHOP, day(1), ROW, &sealed).await.unwrap(), b"{}");
    let elsewhere = [(SHOP, day(1), Uuid::from_u128(2)), (SHOP, day(2), ROW), (OTHER_SHOP, day(1), ROW)];
    for (shop, day, row) in elsewhere {
        let opened = store.open_for_day(shop, day, row, &sealed).await;
        assert!(matches!(opened, Err(Error::DoesNotOpen)), "{shop} {day} {row}");
    }
}

#[tokio::test]
async fn a_day_has_one_key_that_is_counted_and_gone_when_its_row_is() {
    let home = Home::new();
    let store = home.peopled().await;
    let count = store.insert_count();
    let sealed = store.seal_for_day(SHOP, day(1), ROW, b"{}").await.unwrap();
    store.seal_for_day(SHOP, day(1), ROW, b"{}").await.unwrap();
    assert_eq!(store.insert_count(), count + 1);
    drop(store);
    home.tamper("DELETE FROM day_key");
    let opened = home.open().await.open_for_day(SHOP, day(1), ROW, &sealed).await;
    assert!(matches!(opened, Err(Error::KeyMissing { .. })));
}
