//! What is set off for somebody who is erased meanwhile ends as it should: nothing is awarded, nothing is stuck, and
//! whoever lives gets theirs back.
//!
//! What they are to catch: a fence or a refusal that parks the step; a redemption without its
//! code that keeps its points.
use domain::{
    points_account::{ExpiryRule, RedactAccount, TransferPointsOut},
    pos_device::{Standing, SyncPosBatch},
};
use event_schemas::{Code, DeviceId, EntryId, RequestId, TransferId, pos_device::PosEntryKind};
use privacy::Whom;

use super::{
    merges::{follow, tell, three},
    sagas::entry,
    *,
};

const REQUEST: RequestId = sample::REQUEST;

async fn fence(bench: &Bench, merchant: MerchantId, customer: CustomerId) {
    bench.keys.fence(merchant, &Whom::Person(vec![customer]), REQUEST.0).await.unwrap();
}

async fn redact(bench: &Bench, merchant: MerchantId, customer: CustomerId) {
    bench.accept(merchant, StreamRef::account(customer), RedactAccount { request: REQUEST }).await;
}

/// Before the word of it is in the stream, and after.
#[tokio::test]
async fn an_order_of_an_erased_person_settles_nothing_and_nothing_is_stuck() {
    for is_told in [false, true] {
        let (bench, merchant, [customer, ..]) = three().await;
        let (order, observe) = observation(&bench, merchant, customer, 5_400, OrderStage::Paid).await;
        let told = tell(&bench, merchant, StreamRef::order(order), observe).await;
        if is_told {
            redact(&bench, merchant, customer).await;
        } else {
            fence(&bench, merchant, customer).await;
        }
        assert!(follow(&bench, &told).await, "told: {is_told}");
        assert_eq!(bench.balances(merchant, customer).await.lifetime_earned, Points(0));
    }
}

#[tokio::test]
async fn points_sent_to_an_erased_person_come_back() {
    let (bench, merchant, [sender, gone, _]) = three().await;
    bench.earn(merchant, sender, 100).await;
    let id = Uuid::now_v7();
    let out = TransferPointsOut {
        transfer: TransferId(id),
        from: sender,
        to: gone,
        points: Points(30),
        reason: Code::fixed("gift"),
        note: None,
        entry: EntryId(id),
        at: sample::time(),
        expiry: ExpiryRule::none(),
    };
    let sent = tell(&bench, merchant, StreamRef::account(sender), out).await;
    redact(&bench, merchant, gone).await;
    assert!(follow(&bench, &sent).await);
    let balances = bench.balances(merchant, sender).await;
    assert_eq!((balances.available, balances.in_transit), (Points(100), Points(0)));
}

#[tokio::test]
async fn a_till_is_told_that_the_customer_was_erased() {
    let (bench, merchant, [gone, ..]) = three().await;
    redact(&bench, merchant, gone).await;
    let till = StreamRef::pos_device(DeviceId(Uuid::now_v7()));
    let entry = entry(1, gone, PosEntryKind::Earn, 5);
    let received = tell(&bench, merchant, till, SyncPosBatch { entries: vec![entry.clone()] }).await;
    assert!(follow(&bench, &received).await);
    let standing = move |aggregate: &Aggregate| match aggregate {
        Aggregate::PosDevice(till) => Some(till.standing(&entry)),
        _ => None,
    };
    let rejected = Standing::Rejected(Code::fixed("account-redacted"));
    assert_eq!(bench.commander.read(merchant, till, standing).await.unwrap(), Some(rejected));
}

/// Nothing can be sealed for the person any more, so there is no code for them.
#[tokio::test]
async fn a_redemption_of_an_erased_person_fails_and_its_points_go_back() {
    let (bench, merchant, [customer, ..]) = three().await;
    bench.earn(merchant, customer, 100).await;
    let reserve = reserve(60);
    let stream = StreamRef::redemption(reserve.redemption, customer);
    let reserved = tell(&bench, merchant, StreamRef::account(customer), reserve).await;
    fence(&bench, merchant, customer).await;
    assert!(follow(&bench, &reserved).await);
    assert_eq!(bench.commander.read(merchant, stream, status).await.unwrap(), Some(Status::Failed));
    let balances = bench.balances(merchant, customer).await;
    assert_eq!((balances.available, balances.reserved), (Points(100), Points(0)));
}
