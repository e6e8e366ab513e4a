//! Redemptions at a shop that makes the codes itself: never two codes, never one without a reservation, and an end.
//!
//! Planted bugs that these tests were seen to catch: asking the issuer again for a redemption whose code is recorded;
//! releasing points without making the code void; a reservation that never ends (the test does not end either).
use chrono::TimeDelta;
use domain::redemption::{CancelRedemption, CodeUse};
use event_log::{Class, memory};
use event_schemas::{Code, Timestamp};

use super::*;
use crate::{
    issuer::shopify::fake::{Fault, Shared, shop as fake_shop},
    policies::Place,
    testing::within,
};

/// A bench whose shop makes its codes, with a customer of 100 points.
async fn bench(faults: &[Fault]) -> (Bench, Shared, MerchantId, CustomerId) {
    let (fake, shopify) = fake_shop(faults).await;
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::resume_with(memory::init(2, Class::Conditional), folder, Some(shopify)).await;
    let (merchant, customer) = shop(&bench).await;
    bench.earn(merchant, customer, 100).await;
    (bench, fake, merchant, customer)
}

async fn redeem(bench: &Bench, merchant: MerchantId, customer: CustomerId) -> RedemptionId {
    let reserve = reserve(60);
    let redemption = reserve.redemption;
    bench.accept(merchant, StreamRef::account(customer), reserve).await;
    redemption
}

/// Waits until the redemption has come this far.
async fn until(
    bench: &Bench,
    merchant: MerchantId,
    customer: CustomerId,
    redemption: RedemptionId,
    wanted: Phase,
) {
    within("the redemption comes this far", async {
        while phase(bench, merchant, customer, redemption).await != Some(wanted) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn later(bench: &Bench, by: TimeDelta) {
    let time: Timestamp = bench.clock.now().utc().checked_add_signed(by).unwrap().into();
    bench.clock.advance_to(time).await.unwrap();
}

fn codes(fake: &Shared) -> Vec<(bool, String)> {
    let all = fake.lock().unwrap();
    all.discounts.iter().map(|discount| (discount.active, discount.title.clone())).collect()
}

fn title(redemption: RedemptionId) -> String {
    format!("LoyalNest redemption {redemption}")
}

/// Of the discount that keeps a late create from making the code good.
fn never_good(redemption: RedemptionId) -> String {
    format!("{}, void", title(redemption))
}

#[tokio::test]
async fn the_shop_makes_the_code_and_the_points_are_spent() {
    let (bench, fake, merchant, customer) = bench(&[]).await;
    let redemption = redeem(&bench, merchant, customer).await;
    until(&bench, merchant, customer, redemption, Phase::Redeemed).await;
    assert_eq!(codes(&fake), [(true, title(redemption))]);
}

#[tokio::test]
async fn while_the_shop_is_away_points_are_held_and_others_go_on_and_then_there_is_one_code() {
    let away = [Fault::Unavailable; 8];
    let (bench, fake, merchant, customer) = bench(&away).await;
    let redemption = redeem(&bench, merchant, customer).await;
    bench.policies_idle().await;
    let other = bench.customer(merchant).await;
    bench.policies_idle().await;
    let opened = |aggregate: &Aggregate| matches!(aggregate, Aggregate::PointsAccount(a) if a.opened());
    assert!(bench.commander.read(merchant, StreamRef::account(other), opened).await.unwrap());
    // The first try fails and so does the second, which is the first as a parked step; a moved clock asks again.
    while fake.lock().unwrap().requests < 8 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let balances = bench.balances(merchant, customer).await;
    assert_eq!((balances.available, balances.reserved), (Points(40), Points(60)));
    assert_eq!(
        bench.policies.parked_steps(&Place::default(), 9).await.unwrap()[0].reason,
        "issuer-unavailable"
    );
    later(&bench, TimeDelta::seconds(1)).await;
    until(&bench, merchant, customer, redemption, Phase::Redeemed).await;
    assert_eq!(codes(&fake), [(true, title(redemption))]);
}

#[tokio::test]
async fn a_shop_that_does_what_it_is_asked_and_says_nothing_still_gives_one_code() {
    let (bench, fake, merchant, customer) = bench(&[Fault::SilentAfter, Fault::BadGatewayAfter]).await;
    let redemption = redeem(&bench, merchant, customer).await;
    until(&bench, merchant, customer, redemption, Phase::Redeemed).await;
    assert_eq!(codes(&fake), [(true, title(redemption))]);
}

#[tokio::test]
async fn a_refused_code_gives_the_points_back() {
    let (bench, fake, merchant, customer) = bench(&[Fault::User("VALUE_OUTSIDE_RANGE")]).await;
    let redemption = redeem(&bench, merchant, customer).await;
    until(&bench, merchant, customer, redemption, Phase::Released).await;
    assert_eq!(codes(&fake), [(false, never_good(redemption))]);
    assert_eq!(bench.balances(merchant, customer).await.available, Points(100));
}

#[tokio::test]
async fn a_reservation_that_takes_too_long_is_given_up_and_its_code_is_void() {
    // The code is made at once, but nobody says so; and then the shop is away.
    let mut faults = vec![Fault::BadGatewayAfter];
    faults.extend([Fault::Unavailable; 7]);
    let (bench, fake, merchant, customer) = bench(&faults).await;
    let redemption = redeem(&bench, merchant, customer).await;
    while fake.lock().unwrap().requests < 8 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(codes(&fake), [(true, title(redemption))]);
    later(&bench, TimeDelta::minutes(15)).await;
    until(&bench, merchant, customer, redemption, Phase::Released).await;
    assert_eq!(codes(&fake), [(false, title(redemption))]);
    assert_eq!(bench.balances(merchant, customer).await.available, Points(100));
}

#[test]
fn a_run_from_the_beginning_brings_no_void_code_back() {
    let faults = [];
    let (log, folder, merchant, customer, redemption) = process(async move {
        let (bench, fake, merchant, customer) = bench(&faults).await;
        let redemption = redeem(&bench, merchant, customer).await;
        until(&bench, merchant, customer, redemption, Phase::Redeemed).await;
        bench.policies_idle().await;
        let cancel = CancelRedemption { reason: Code::fixed("requested"), code: CodeUse::Unused };
        bench.accept(merchant, StreamRef::redemption(redemption, customer), cancel).await;
        until(&bench, merchant, customer, redemption, Phase::Reinstated).await;
        assert_eq!(codes(&fake), [(false, title(redemption))]);
        bench.policies_idle().await;
        bench.work.run(|db| db.execute("DELETE FROM policy_progress", &[])).await.unwrap();
        (bench.log, bench.folder, merchant, customer, redemption)
    });
    process(async {
        // The merchant has deleted the discount meanwhile, so nothing but the log remembers it.
        let (fake, shopify) = fake_shop(&[]).await;
        let bench = Bench::resume_with(log, folder, Some(shopify)).await;
        bench.policies_idle().await;
        assert_eq!(codes(&fake), [(false, never_good(redemption))]);
        assert_eq!(bench.balances(merchant, customer).await.available, Points(100));
    });
}
