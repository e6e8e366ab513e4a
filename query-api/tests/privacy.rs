//! Requests about people's data, and how every read speaks of who was erased.
//!
//! What they are to catch: a field that is left out where it should say that it is redacted; a
//! missing key that is shown as an erasure.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use event_schemas::{
    CustomerId, Event, OrderId, Points, RedemptionId, RequestId, Timestamp,
    catalogue::{CustomerEvent, LoyaltyOrderEvent, PointsAccountEvent, PrivacyRequestEvent, RedemptionEvent},
    customer::{CustomerRedacted, CustomerRegistered},
    loyalty_order::{OrderObserved, OrderQualified},
    payload::Payload as _,
    points_account::{Balances, PointsAccountRedacted, PointsAdjusted, PointsEarned, Source},
    privacy_request::{
        DataExportPrepared, DataRequestReceived, RedactionCompleted, RedactionFailed, RedactionFenced,
        RedactionRequested,
    },
    redemption::{DiscountCodeIssued, RedemptionRequested},
    sample::CERTIFICATE,
};
use privacy::Whom;
use projections::testing::Stream;
use query_api::{Ages, Deadlines};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Shop, clear, earned};

/// Everything personal that a customer can have.
async fn busy(shop: &mut Shop, shopify_id: &str) -> CustomerId {
    let customer = shop.registers(shopify_id, "ada@example.com").await;
    shop.opens_account(customer).await;
    shop.earns(customer, 10, 10).await;
    let account = Stream::account(customer);
    let adjusted = PointsAdjusted {
        public_note: clear("thank you, Ada"),
        internal_note: clear("angry"),
        after: Balances { available: Points(10), ..Balances::default() },
        ..PointsAdjusted::sample()
    };
    shop.append(account, vec![PointsAccountEvent::from(adjusted).into()]).await;
    let order = OrderId(Uuid::now_v7());
    let seen = OrderObserved { customer: Some(customer), ..OrderObserved::sample() };
    let mut verdict = OrderQualified::sample();
    verdict.assessment.customer = Some(customer);
    let events = [LoyaltyOrderEvent::from(seen), verdict.into()];
    shop.history.append(shop.merchant, Stream::order(order), events.map(Into::into).to_vec()).await;
    let source = Source::Order { order, version: 1 };
    let award = PointsEarned { source, reference: clear("450789469"), ..earned(20, 30) };
    shop.append(account, vec![PointsAccountEvent::from(award).into()]).await;
    let redemption = Stream::redemption(RedemptionId(Uuid::now_v7()), customer);
    let requested = RedemptionRequested { customer, ..RedemptionRequested::sample() };
    let issued = DiscountCodeIssued { code: clear("LOYAL-1"), ..DiscountCodeIssued::sample() };
    let events = [RedemptionEvent::from(requested), issued.into()];
    shop.append(redemption, events.map(Into::into).to_vec()).await;
    customer
}

async fn asks(shop: &mut Shop, customer: CustomerId, event: impl Into<PrivacyRequestEvent>) -> Stream {
    let stream = Stream::privacy_request(RequestId(Uuid::now_v7()), customer.0);
    tells(shop, stream, event).await;
    stream
}

/// Nothing in such an event is sealed, so nobody needs a key for it.
async fn tells(shop: &mut Shop, stream: Stream, event: impl Into<PrivacyRequestEvent>) {
    shop.history.append(shop.merchant, stream, vec![event.into().into()]).await;
}

/// As the process of an erasure does: keys first, then the word of it in the streams.
async fn erase(shop: &mut Shop, customer: CustomerId) -> RequestId {
    let requested = RedactionRequested { subjects: vec![customer], ..RedactionRequested::sample() };
    let stream = asks(shop, customer, requested).await;
    let (request, whom) = (RequestId(stream.id), Whom::Person(vec![customer]));
    shop.keys.fence(shop.merchant, &whom, request.0).await.unwrap();
    shop.keys.destroy(shop.merchant, &whom, request.0).await.unwrap();
    shop.keys.certify(shop.merchant, &whom, &CERTIFICATE.to_string()).await.unwrap();
    let redacted = CustomerEvent::from(CustomerRedacted { request });
    shop.history.append(shop.merchant, Stream::customer(customer), vec![redacted.into()]).await;
    let redacted = PointsAccountEvent::from(PointsAccountRedacted { request });
    shop.history.append(shop.merchant, Stream::account(customer), vec![redacted.into()]).await;
    tells(shop, stream, RedactionCompleted::sample()).await;
    request
}

fn redacted() -> Value {
    json!({ "redacted": true, "certificate": CERTIFICATE.to_string() })
}

#[tokio::test]
async fn every_read_says_of_an_erased_person_that_their_fields_are_redacted() {
    let mut shop = Shop::open().await;
    let customer = busy(&mut shop, "7001").await;
    erase(&mut shop, customer).await;

    let user = shop.get(&format!("/v1/api/users/get?customer_id={customer}")).await.body;
    let expected =
        json!({ "customer_id": customer.to_string(), "status": "redacted", "redaction": redacted() });
    assert_eq!(user, expected);
    for query in ["shopify_customer_id=7001", "email=ada%40example.com"] {
        let answer = shop.get(&format!("/v1/api/users/get?{query}")).await;
        assert_eq!(answer.code(), (404, "customer-not-found"), "{query}");
    }

    let statement = shop.get(&format!("/v1/api/points/statement?customer_id={customer}")).await.body;
    let items = statement["items"].as_array().unwrap();
    let of = |kind: &str| items.iter().find(|item| item["type"] == kind).unwrap();
    assert_eq!(of("earn")["source"], json!({ "kind": "order", "id": redacted() }));
    let adjusted = of("adjust");
    assert_eq!((&adjusted["public_note"], &adjusted["internal_note"]), (&redacted(), &redacted()));
    assert_eq!(of("earn")["points"], 20);

    let redemptions = shop.get(&format!("/v1/api/points/redemptions?customer_id={customer}")).await.body;
    assert_eq!(redemptions["items"][0]["code"], redacted());
    let orders = shop.get(&format!("/v1/api/orders?customer_id={customer}")).await.body;
    assert_eq!(orders["items"][0]["shopify_order_id"], redacted());
    let balance = shop.get(&format!("/v1/api/points/balance?customer_id={customer}")).await;
    assert_eq!((balance.status.as_u16(), &balance.body["available"]), (200, &json!(30)));
}

/// Somebody of whom nothing was known but that Shopify deleted them.
#[tokio::test]
async fn whoever_had_no_details_is_shown_as_redacted_too() {
    let mut shop = Shop::open().await;
    let customer = CustomerId(Uuid::now_v7());
    shop.keys.ensure_subject(shop.merchant, customer).await.unwrap();
    erase(&mut shop, customer).await;
    let user = shop.get(&format!("/v1/api/users/get?customer_id={customer}")).await.body;
    assert_eq!((&user["status"], &user["redaction"]), (&json!("redacted"), &redacted()));
}

/// A key that is gone without a fence is a fault, never a blank and never an erasure.
#[tokio::test]
async fn a_missing_key_is_an_error_on_every_read_that_needs_it() {
    let mut shop = Shop::open().await;
    let customer = CustomerId(Uuid::now_v7());
    let (account, order) = (Stream::account(customer), OrderId(Uuid::now_v7()));
    let redemption = Stream::redemption(RedemptionId(Uuid::now_v7()), customer);
    let mut verdict = OrderQualified::sample();
    verdict.assessment.customer = Some(customer);
    let earned = PointsEarned { source: Source::Order { order, version: 1 }, ..PointsEarned::sample() };
    let requested = RedemptionRequested { customer, ..RedemptionRequested::sample() };
    // Sealed under a key that no store has.
    let events: [(Stream, Event); 5] = [
        (Stream::customer(customer), CustomerEvent::from(CustomerRegistered::sample()).into()),
        (account, PointsAccountEvent::from(earned).into()),
        (Stream::order(order), LoyaltyOrderEvent::from(verdict).into()),
        (redemption, RedemptionEvent::from(requested).into()),
        (redemption, RedemptionEvent::from(DiscountCodeIssued::sample()).into()),
    ];
    for (stream, event) in events {
        shop.history.append(shop.merchant, stream, vec![event]).await;
    }
    for path in [
        format!("/v1/api/users/get?customer_id={customer}"),
        format!("/v1/api/points/statement?customer_id={customer}"),
        format!("/v1/api/points/redemptions?customer_id={customer}"),
        format!("/v1/api/orders?customer_id={customer}"),
    ] {
        let answer = shop.get(&path).await;
        assert_eq!(answer.status, 500, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn requests_are_listed_with_how_far_they_are_and_only_to_their_shop() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let erased = erase(&mut shop, customer).await;
    let open = asks(&mut shop, customer, RedactionRequested::sample()).await;
    tells(&mut shop, open, RedactionFenced::sample()).await;
    tells(&mut shop, open, RedactionFailed::sample()).await;
    let export = asks(&mut shop, customer, DataRequestReceived::sample()).await;
    tells(&mut shop, export, DataExportPrepared::sample()).await;

    let list = shop.get("/v1/api/privacy/requests").await.body;
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    let ids = |list: Value| {
        let ids = list["items"].as_array().unwrap().iter().map(|item| item["request_id"].clone());
        ids.collect::<Vec<_>>()
    };
    let fenced = shop.get("/v1/api/privacy/requests?status=fenced").await.body;
    assert_eq!(ids(fenced), [json!(open.id.to_string())]);
    let exports = shop.get("/v1/api/privacy/requests?kind=data-request").await.body;
    assert_eq!(ids(exports), [json!(export.id.to_string())]);
    let first = shop.get("/v1/api/privacy/requests?limit=2").await.body;
    let second =
        shop.get(&format!("/v1/api/privacy/requests?cursor={}", first["next"].as_str().unwrap())).await;
    let mut paged = [ids(first), ids(second.body)].concat();
    let mut all = ids(list);
    paged.sort_by_key(ToString::to_string);
    all.sort_by_key(ToString::to_string);
    assert_eq!(paged, all);

    let one = shop.get(&format!("/v1/api/privacy/requests/{}", open.id)).await.body;
    let steps: Vec<_> = one["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(steps, ["requested", "fenced"]);
    assert_eq!(
        (&one["failure"]["step"], &one["failure"]["reason"]),
        (&json!("purge"), &json!("projection-behind"))
    );
    let certificate = shop.get(&format!("/v1/api/privacy/requests/{}/certificate", open.id)).await;
    assert_eq!(certificate.code(), (404, "certificate-not-found"));

    let done = shop.get(&format!("/v1/api/privacy/requests/{erased}")).await.body;
    assert_eq!(done["certificate"], json!({ "id": CERTIFICATE.to_string(), "level": "live" }));
    assert_eq!((&done["subjects"], &done["status"]), (&json!(1), &json!("completed")));
    let certificate = shop.get(&format!("/v1/api/privacy/requests/{erased}/certificate")).await;
    assert_eq!((certificate.status.as_u16(), &certificate.body["statement"]), (200, &json!("{}")));

    let stranger = event_schemas::MerchantId(Uuid::now_v7());
    shop.keys.ensure_merchant(stranger).await.unwrap();
    let token = shop.keys.issue_token(stranger, 1);
    for path in [format!("/v1/api/privacy/requests/{erased}"), "/v1/api/privacy/requests/none".to_owned()] {
        assert_eq!(shop.get_as(&token, &path).await.code(), (404, "request-not-found"), "{path}");
    }
    for query in ["status=lost", "kind=other", "limit=0", "limit=201", "cursor=5"] {
        let answer = shop.get(&format!("/v1/api/privacy/requests?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
}

/// Catches: an alarm that comes at every look, or not at all when looks were missed.
#[tokio::test]
async fn a_request_that_is_not_done_is_told_after_7_21_and_27_days_and_when_it_is_overdue() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let (requested_at, day) = (Timestamp::from_micros(0), 86_400_000_000);
    let due_at = Timestamp::from_micros(30 * day);
    let asked = RedactionRequested { requested_at, due_at, ..RedactionRequested::sample() };
    let open = asks(&mut shop, customer, asked).await;
    erase(&mut shop, customer).await;
    shop.get("/v1/api/privacy/requests").await;
    let now = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now);
    let store = projections::ReadStore::open(&shop.folder.path().join("read.db")).await.unwrap();
    let deadlines =
        Deadlines::new(store, Arc::new(move || Timestamp::from_micros(clock.load(Ordering::Relaxed))));
    let mut told = Vec::new();
    for days in [0, 6, 7, 8, 22, 26, 29, 30, 31] {
        now.store(days * day, Ordering::Relaxed);
        let news = deadlines.look().await.unwrap();
        assert!(news.iter().all(|(request, _)| request.0 == open.id));
        told.extend(news.into_iter().map(|(_, days)| days));
    }
    assert_eq!(told, [7, 22, 29, 30]);
    assert_eq!(deadlines.ages(), Some(Ages { overdue: 1, ..Ages::default() }));
}
