//! Every movement, page by page, each with its why.
use event_schemas::{
    CustomerId, EntryId, Event, Money, OrderId, Points, RedemptionId, RewardId,
    catalogue::PointsAccountEvent,
    payload::Payload as _,
    points_account::{Allocation, Balances, PointsAdjusted, PointsEarned, PointsReserved, RuleUsed, Source},
    reward::{Benefit, RewardUsed},
};
use projections::testing::Stream;
use uuid::Uuid;

use crate::shop::{Shop, clear, earned};

async fn buys(shop: &mut Shop, customer: CustomerId) {
    let event = PointsEarned {
        entry: EntryId(Uuid::now_v7()),
        source: Source::Order { order: OrderId(Uuid::now_v7()), version: 1 },
        repaid: Points::ZERO,
        reference: clear("450789469"),
        after: Balances { available: Points(54), lifetime_earned: Points(54), ..Balances::default() },
        ..PointsEarned::sample()
    };
    shop.append(Stream::account(customer), vec![PointsAccountEvent::from(event).into()]).await;
}

async fn is_corrected(shop: &mut Shop, customer: CustomerId) {
    let event = PointsAdjusted {
        entry: EntryId(Uuid::now_v7()),
        points: Points(-4),
        allocations: vec![Allocation { lot: EntryId(Uuid::now_v7()), points: Points(4) }],
        to_debt: Points::ZERO,
        public_note: clear("Sorry, counted twice"),
        internal_note: clear("Ticket 12"),
        after: Balances {
            available: Points(50),
            lifetime_earned: Points(54),
            lifetime_adjusted: Points(-4),
            ..Balances::default()
        },
        ..PointsAdjusted::sample()
    };
    shop.append(Stream::account(customer), vec![PointsAccountEvent::from(event).into()]).await;
}

#[tokio::test]
async fn an_entry_says_what_it_goes_back_to_and_why() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    buys(&mut shop, customer).await;
    is_corrected(&mut shop, customer).await;
    let answer = shop.get(&format!("/v1/api/points/statement?customer_id={customer}")).await;
    assert_eq!(answer.body["next"], serde_json::Value::Null);
    let [correction, purchase] = answer.body["items"].as_array().unwrap().as_slice() else {
        panic!("{}", answer.body);
    };
    assert_eq!(purchase["type"], "earn");
    assert_eq!(purchase["points"], 54);
    assert_eq!(
        (&purchase["actor"]["kind"], &purchase["pending"]),
        (&"system".into(), &serde_json::Value::Null)
    );
    assert!(purchase["record_id"].is_string(), "{purchase}");
    assert_eq!(purchase["available_after"], 54);
    assert_eq!(purchase["source"], serde_json::json!({ "kind": "order", "id": "450789469" }));
    let eligible = serde_json::json!({ "amount": "54.93", "currency": "USD" });
    assert_eq!(purchase["rule"]["eligible_amount"], eligible);
    let why = "54 points for an order (purchase): USD 54.93 eligible at 1 per USD, settings version 1.";
    assert_eq!(purchase["why"], why);
    assert_eq!(correction["type"], "adjust");
    assert_eq!(correction["points"], -4);
    assert_eq!(correction["source"], serde_json::json!({ "kind": "manual" }));
    assert_eq!(correction["public_note"], "Sorry, counted twice");
    assert_eq!(correction["internal_note"], "Ticket 12");
}

/// Catches: an answer that leaves the multiplier out.
#[tokio::test]
async fn an_entry_of_a_bonus_has_its_multiplier() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    let sample = PointsEarned::sample();
    let rule = sample.rule.clone().map(|rule| RuleUsed { multiplier: Some("2.5".parse().unwrap()), ..rule });
    let balances = Balances { available: Points(54), lifetime_earned: Points(54), ..Balances::default() };
    let reference = clear("450789469");
    let event = PointsEarned { repaid: Points::ZERO, rule, reference, after: balances, ..sample };
    shop.append(Stream::account(customer), vec![PointsAccountEvent::from(event).into()]).await;
    let body = shop.get(&format!("/v1/api/points/statement?customer_id={customer}")).await.body;
    assert_eq!(body["items"][0]["rule"]["multiplier"], "2.5", "{body}");
}

/// Catches: every reward told as a discount of "USD 0.00".
#[tokio::test]
async fn points_held_for_a_reward_that_is_no_amount_say_which() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    let mut held = Vec::new();
    for (step, benefit) in [(1, Benefit::Percentage { percent: 15 }), (2, Benefit::FreeShipping)] {
        let earned = earned(40, 40);
        let allocations = vec![Allocation { lot: earned.entry, points: Points(40) }];
        let after = Balances {
            reserved: Points(40 * step),
            lifetime_earned: Points(40 * step),
            ..Balances::default()
        };
        let before = Balances { available: Points(40), reserved: Points(40 * (step - 1)), ..after };
        let earned = PointsEarned { after: before, ..earned };
        let reserved = PointsReserved {
            redemption: RedemptionId(Uuid::now_v7()),
            allocations,
            discount: Money { minor: 0, ..PointsReserved::sample().discount },
            reward: Some(RewardUsed { reward: RewardId(Uuid::now_v7()), version: 1, benefit }),
            after,
            ..PointsReserved::sample()
        };
        let events = [PointsAccountEvent::from(earned), reserved.into()].map(Event::from);
        shop.append(Stream::account(customer), events.to_vec()).await;
        let body = shop.get(&format!("/v1/api/points/statement?customer_id={customer}")).await.body;
        held.push(body["items"][0]["why"].as_str().unwrap().to_owned());
    }
    assert_eq!(held, ["40 points held for a discount of 15 %.", "40 points held for free shipping."]);
}

#[tokio::test]
async fn pages_follow_each_other_by_cursor() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    for points in 1..=5 {
        shop.earns(customer, points, points).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/api/points/statement?customer_id={customer}&limit=2{cursor}");
        let page = shop.get(&path).await.body;
        let items = page["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()), "{page}");
        seen.extend(items.iter().map(|item| item["points"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_limit_or_cursor_that_no_page_gave_is_named() {
    let shop = Shop::open().await;
    let customer = Uuid::now_v7();
    for (query, field) in
        [("limit=0", "limit"), ("limit=201", "limit"), ("limit=-1", "limit"), ("cursor=x", "cursor")]
    {
        for path in ["statement", "redemptions"] {
            let answer = shop.get(&format!("/v1/api/points/{path}?customer_id={customer}&{query}")).await;
            assert_eq!(answer.code(), (400, "invalid-parameter"), "{path} {query}");
            assert_eq!(answer.body["errors"][0]["pointer"], field, "{path} {query}");
        }
    }
}

/// What the answers show in clear stands nowhere in the read store's files.
#[tokio::test]
async fn nothing_personal_stands_in_the_read_store() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001998877", "ada@example.com").await;
    shop.opens_account(customer).await;
    buys(&mut shop, customer).await;
    is_corrected(&mut shop, customer).await;
    let shown = shop.get(&format!("/v1/api/points/statement?customer_id={customer}")).await.body.to_string();
    assert!(shown.contains("450789469") && shown.contains("Ticket 12"));
    for file in ["read.db", "read.db-wal"] {
        let bytes = std::fs::read(shop.folder.path().join(file)).unwrap();
        for secret in ["450789469", "Ticket 12", "Sorry", "ada@example.com", "Lovelace", "7001998877"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {file}");
        }
    }
}
