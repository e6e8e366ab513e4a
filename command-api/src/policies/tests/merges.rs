//! What an ended account turned away finds what that account left, however late the estate arrives.
//!
//! Planted bug that these tests were seen to catch: a step that goes on from a merged account at once.
use domain::{
    Command,
    customer::MergeCustomers,
    points_account::{ESTATE_PART_MAX, MergeAccount},
    redemption::{CancelRedemption, CodeUse},
};
use event_log::PositionToken;
use event_schemas::{Code, EntryId};

use super::*;
use crate::commands::Made;

/// A record and what it says, to be followed when the test wants it.
pub(super) type Told = (Cause, Made, PositionToken);

/// A shop with three customers whose policies stand still.
pub(super) async fn three() -> (Bench, MerchantId, [CustomerId; 3]) {
    let bench = Bench::with_still_policies().await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let mut customers = [CustomerId(Uuid::nil()); 3];
    for customer in &mut customers {
        *customer = bench.customer(merchant).await;
    }
    (bench, merchant, customers)
}

pub(super) async fn tell(
    bench: &Bench,
    merchant: MerchantId,
    stream: StreamRef,
    command: impl Into<Command>,
) -> Told {
    let envelope = bench.envelope(merchant, stream, command);
    let cause = Cause {
        merchant,
        stream,
        occurred_at: envelope.occurred_at,
        recorded_at: envelope.occurred_at,
        correlation: envelope.origin.correlation,
        trace: envelope.origin.trace,
    };
    let answered = bench.commander.send(envelope).await.unwrap();
    (cause, answered.made.unwrap(), answered.at)
}

/// Whether everything was seen through.
pub(super) async fn follow(bench: &Bench, (cause, made, at): &Told) -> bool {
    bench.policies.follow(*cause, made.clone(), *at).await.complete
}

async fn merge(bench: &Bench, merchant: MerchantId, customer: CustomerId, into: CustomerId) -> Told {
    let merge = MergeAccount { customer, into, entry: EntryId(Uuid::now_v7()), part_max: ESTATE_PART_MAX };
    tell(bench, merchant, StreamRef::account(customer), merge).await
}

async fn order_worth(bench: &Bench, merchant: MerchantId, customer: CustomerId, cents: i64) -> Told {
    let (order, observe) = observation(bench, merchant, customer, cents, OrderStage::Paid).await;
    tell(bench, merchant, StreamRef::order(order), observe).await
}

async fn earned(bench: &Bench, merchant: MerchantId, customers: [CustomerId; 3]) -> [i64; 3] {
    let mut available = [0; 3];
    for (points, customer) in available.iter_mut().zip(customers) {
        *points = bench.balances(merchant, customer).await.available.0;
    }
    available
}

#[tokio::test]
async fn an_order_that_grew_during_a_merge_is_awarded_once() {
    let (bench, merchant, customers) = three().await;
    let [first, second, _] = customers;
    assert!(follow(&bench, &order_worth(&bench, merchant, first, 5_400).await).await);
    let estate = merge(&bench, merchant, first, second).await;
    let grown = order_worth(&bench, merchant, first, 10_000).await;
    assert!(!follow(&bench, &grown).await);
    assert_eq!(earned(&bench, merchant, customers).await, [0, 0, 0]);
    assert!(follow(&bench, &estate).await);
    assert_eq!(earned(&bench, merchant, customers).await, [0, 54, 0]);
    follow(&bench, &grown).await;
    assert_eq!(earned(&bench, merchant, customers).await, [0, 100, 0]);
}

#[tokio::test]
async fn along_a_chain_of_merges_an_order_waits_for_all_that_its_account_left() {
    for reached_the_second in [false, true] {
        let (bench, merchant, customers) = three().await;
        let [first, second, third] = customers;
        assert!(follow(&bench, &order_worth(&bench, merchant, first, 5_400).await).await);
        let of_first = merge(&bench, merchant, first, second).await;
        if reached_the_second {
            assert!(follow(&bench, &of_first).await);
        }
        let of_second = merge(&bench, merchant, second, third).await;
        let grown = order_worth(&bench, merchant, first, 10_000).await;
        assert!(!follow(&bench, &grown).await);
        assert!(follow(&bench, &of_second).await);
        if !reached_the_second {
            assert_eq!(earned(&bench, merchant, customers).await, [0, 0, 0]);
            assert!(!follow(&bench, &grown).await);
            assert!(follow(&bench, &of_first).await);
        }
        follow(&bench, &grown).await;
        assert_eq!(earned(&bench, merchant, customers).await, [0, 0, 100]);
    }
}

#[tokio::test]
async fn a_redemption_that_is_cancelled_during_a_merge_gives_its_points_back() {
    let (bench, merchant, customers) = three().await;
    let [first, second, _] = customers;
    bench.earn(merchant, first, 100).await;
    let reserve = reserve(60);
    let redemption = StreamRef::redemption(reserve.redemption, first);
    assert!(follow(&bench, &tell(&bench, merchant, StreamRef::account(first), reserve).await).await);
    let estate = merge(&bench, merchant, first, second).await;
    let cancel = CancelRedemption { reason: Code::fixed("requested"), code: CodeUse::Unused };
    let cancelled = tell(&bench, merchant, redemption, cancel).await;
    assert!(!follow(&bench, &cancelled).await);
    assert!(follow(&bench, &estate).await);
    follow(&bench, &cancelled).await;
    assert_eq!(earned(&bench, merchant, customers).await, [0, 100, 0]);
}

/// Nobody says here what is followed when: a step that had to wait goes on as soon as the estate is there.
#[tokio::test]
async fn orders_that_change_while_their_customers_are_merged_end_as_if_they_had_not() {
    let bench = Bench::start().await;
    let (merchant, first) = shop(&bench).await;
    let mut last = first;
    order(&bench, merchant, first, 5_400).await;
    for cents in [10_000, 3_000, 7_000, 8_000] {
        let next = bench.customer(merchant).await;
        bench.accept(merchant, StreamRef::customer(last), MergeCustomers { into: next }).await;
        order(&bench, merchant, first, cents).await;
        last = next;
    }
    bench.policies_idle().await;
    while bench.policies.parked() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(bench.balances(merchant, last).await.available, Points(80));
}
