//! What a customer exchanged points for.
use event_schemas::{
    CustomerId, Event, RedemptionId,
    catalogue::{CustomerEvent, RedemptionEvent},
    customer::CustomersMerged,
    payload::Payload as _,
    redemption::{DiscountCodeIssued, RedemptionCompleted, RedemptionFailed, RedemptionRequested},
};
use projections::testing::Stream;
use uuid::Uuid;

use crate::shop::{Shop, clear};

async fn requests(shop: &mut Shop, customer: CustomerId) -> Stream {
    let stream = Stream::redemption(RedemptionId(Uuid::now_v7()), customer);
    let requested = RedemptionRequested { customer, ..RedemptionRequested::sample() };
    shop.append(stream, vec![RedemptionEvent::from(requested).into()]).await;
    stream
}

#[tokio::test]
async fn redemptions_are_listed_newest_first_with_their_codes() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let first = requests(&mut shop, customer).await;
    let issued = DiscountCodeIssued { code: clear("LN-4711"), ..DiscountCodeIssued::sample() };
    let done = [RedemptionEvent::from(issued), RedemptionCompleted {}.into()].map(Event::from);
    shop.append(first, done.to_vec()).await;
    let second = requests(&mut shop, customer).await;
    shop.append(second, vec![RedemptionEvent::from(RedemptionFailed::sample()).into()]).await;
    let third = requests(&mut shop, customer).await;

    let path = format!("/v1/api/points/redemptions?customer_id={customer}");
    let body = shop.get(&path).await.body;
    let items = body["items"].as_array().unwrap();
    let listed: Vec<_> = items.iter().map(|item| item["redemption_id"].as_str().unwrap()).collect();
    assert_eq!(listed, [third, second, first].map(|stream| stream.id.to_string()));
    let states: Vec<_> = items.iter().map(|item| item["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "failed", "completed"]);
    assert_eq!(items[2]["code"], "LN-4711");
    assert_eq!(items[2]["discount"], serde_json::json!({ "amount": "0.40", "currency": "USD" }));
    assert!(items[0].get("code").is_none() && items[1]["reason"] == "code-not-issued");

    let page = shop.get(&format!("{path}&limit=2")).await.body;
    let next = page["next"].as_str().unwrap();
    let rest = shop.get(&format!("{path}&limit=2&cursor={next}")).await.body;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["items"][0]["redemption_id"], first.id.to_string());
    assert_eq!(rest["next"], serde_json::Value::Null);
}

/// Catches: only the survivor's own being asked for.
#[tokio::test]
async fn a_survivor_has_the_redemptions_of_whoever_was_merged_into_it() {
    let mut shop = Shop::open().await;
    let former = shop.registers("7001", "ada@example.com").await;
    let survivor = shop.registers("7002", "lovelace@example.com").await;
    let stranger = shop.registers("7003", "grace@example.com").await;
    let old = requests(&mut shop, former).await;
    requests(&mut shop, stranger).await;
    let new = requests(&mut shop, survivor).await;
    let merged = CustomerEvent::from(CustomersMerged { into: survivor });
    let merged = shop.append(Stream::customer(former), vec![merged.into()]).await;
    let path = format!("/v1/api/points/redemptions?customer_id={survivor}&limit=1&min_position={merged}");
    let first = shop.get(&path).await.body;
    assert_eq!(first["items"][0]["redemption_id"], new.id.to_string(), "{first}");
    let next = first["next"].as_str().unwrap();
    let rest = shop.get(&format!("{path}&cursor={next}")).await.body;
    assert_eq!(rest["items"][0]["redemption_id"], old.id.to_string(), "{rest}");
    assert_eq!(rest["next"], serde_json::Value::Null);
}
