//! An order that used a code and comes to nothing gives back what the code cost, whenever it does and to whoever is left.
//!
//! Planted bugs that these tests were seen to catch: a redemption that is on its way is asked to be cancelled, and its
//! refusal stands for ever.
use domain::customer::MergeCustomers;
use event_schemas::loyalty_order::CodeUsed;

use super::{
    merges::{follow, tell, three},
    *,
};

/// An order that used the code, and is cancelled.
async fn cancelled(
    bench: &Bench,
    merchant: MerchantId,
    customer: CustomerId,
    redemption: RedemptionId,
) -> (StreamRef, ObserveOrder) {
    let (order, observe) = observation(bench, merchant, customer, 5_400, OrderStage::Cancelled).await;
    (StreamRef::order(order), ObserveOrder { codes_used: vec![CodeUsed { redemption, customer }], ..observe })
}

#[tokio::test]
async fn a_code_that_comes_back_before_its_points_are_spent_waits_until_they_are() {
    let (bench, merchant, [customer, ..]) = three().await;
    bench.earn(merchant, customer, 100).await;
    let reserve = reserve(60);
    let redemption = reserve.redemption;
    let reserved = tell(&bench, merchant, StreamRef::account(customer), reserve).await;
    let (order, observe) = cancelled(&bench, merchant, customer, redemption).await;
    let over = tell(&bench, merchant, order, observe).await;
    assert!(!follow(&bench, &over).await);
    assert!(follow(&bench, &reserved).await);
    assert_eq!(bench.balances(merchant, customer).await.available, Points(40));
    for is_new in [true, false] {
        assert_eq!(follow(&bench, &over).await, is_new);
        let balances = bench.balances(merchant, customer).await;
        assert_eq!((balances.available, balances.lifetime_redeemed), (Points(100), Points(0)));
    }
    assert_eq!(phase(&bench, merchant, customer, redemption).await, Some(Phase::Reinstated));
}

#[tokio::test]
async fn what_a_code_of_a_merged_customer_cost_comes_back_to_who_is_left() {
    let bench = Bench::start().await;
    let (merchant, first) = shop(&bench).await;
    let second = bench.customer(merchant).await;
    bench.earn(merchant, first, 100).await;
    let reserve = reserve(60);
    let redemption = reserve.redemption;
    bench.accept(merchant, StreamRef::account(first), reserve).await;
    bench.policies_idle().await;
    bench.accept(merchant, StreamRef::customer(first), MergeCustomers { into: second }).await;
    let (order, observe) = cancelled(&bench, merchant, first, redemption).await;
    bench.accept(merchant, order, observe).await;
    bench.policies_idle().await;
    while bench.policies.parked() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(bench.balances(merchant, second).await.available, Points(100));
}
