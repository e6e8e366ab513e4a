//! What is away for a while delays a delivery; what broke for good parks it; neither loses or repeats an effect.
use std::{sync::Arc, time::Duration};

use domain::StreamRef;
use event_schemas::{MerchantId, OrderId};
use group_commit::{Fault, StoreError, values};
use http_edge::RequestContext;
use privacy::{EVERY_MERCHANT, Kind, Reference};
use serde_json::json;
use uuid::Uuid;

use super::{Post, Stack, payloads::order};
use crate::{
    commands::Envelope,
    requests::{NotTaken, Requests},
    testing::{Bench, POISON, earn},
    webhooks::{
        Counts,
        execute::{Executor, Setback, WAITS_FOR_JOINING},
        inbox::{self, Arrival, End},
        schedule::Job,
        translate::Mentions,
    },
};

const SHOP: &str = "demo-1.myshopify.com";

impl Stack {
    /// A delivery of a shop that is not loaded yet.
    async fn early(&self) -> (MerchantId, Uuid) {
        let reference = Reference::new(Kind::ShopDomain, SHOP, Uuid::now_v7(), None);
        let merchant = MerchantId(self.bench.keys.resolve(EVERY_MERCHANT, reference).await.unwrap().id);
        self.bench.keys.ensure_merchant(merchant).await.unwrap();
        (merchant, self.kept(merchant, 1).await)
    }

    /// An order's delivery, kept and not begun.
    async fn kept(&self, merchant: MerchantId, n: u64) -> Uuid {
        let body = order(SHOP, n).of_customer(7).0.to_string();
        let arrival = Arrival {
            merchant,
            topic: "orders/create".to_owned(),
            webhook_id: format!("w-{n}"),
            body: body.as_bytes(),
            mentions: Mentions::read(body.as_bytes(), 32).unwrap(),
            context: RequestContext::from_headers(&axum::http::HeaderMap::new()),
            received_at: self.bench.clock.now(),
        };
        let inbox = &self.webhooks.side.inbox;
        let fresh = inbox.prepare(arrival).await.unwrap();
        inbox.keep(vec![fresh]).await.unwrap()[0].row
    }

    async fn attempts(&self, row: Uuid) -> u32 {
        self.webhooks.side.inbox.tried(row).await.unwrap().unwrap().attempts
    }
}

/// Catches, tried: a start that takes up the first page alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_up_all_that_is_open() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.unthrottle(merchant).await;
    for n in 1..=25 {
        stack.kept(merchant, n).await;
    }
    assert_eq!(stack.counts().await, Counts { pending: 25, dead_lettered: 0 });
    let restarted = Stack::over(stack.bench);
    restarted.balance_becomes(merchant, "7", 500).await;
}

/// Catches, tried: a number of tries after which a delivery ends whose shop is away.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_delivery_waits_for_what_is_away_however_often_and_then_has_its_effect() {
    let stack = Stack::start().await;
    let (merchant, row) = stack.early().await;
    let tried_often = "UPDATE inbox SET attempts = 1000000";
    stack.bench.work.run(move |work| work.execute(tried_often, values![])).await.unwrap();
    stack.webhooks.side.queue.opened(merchant, row);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(stack.counts().await, Counts { pending: 1, dead_lettered: 0 });
    assert_eq!(stack.bench.install(SHOP).await, merchant);
    stack.balance_becomes(merchant, "7", 20).await;
    assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 0 });
}

/// Catches, tried: a delivery that waits for ever for a shop of which the log says nothing; one that is given up while only
/// the list of shops is behind; a worker that does not say how often it has waited.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_the_log_does_not_know_is_not_waited_for_without_end() {
    let stack = Stack::start().await;
    let (merchant, row) = stack.early().await;
    let behind = Bench::start().await.shops;
    let executor = |shops| {
        let bench = &stack.bench;
        let (commander, keys, work) = (bench.commander.clone(), bench.keys.clone(), bench.work.clone());
        Executor {
            requests: Requests::new(commander.clone(), keys.clone(), work, bench.clock.clone()),
            inbox: stack.webhooks.side.inbox.clone(),
            merging: Arc::default(),
            commander,
            shops,
            keys,
        }
    };
    let delivery = stack.webhooks.side.inbox.load(row).await.unwrap().unwrap();
    let ended = executor(stack.bench.shops.clone()).execute(&delivery, WAITS_FOR_JOINING - 1).await;
    assert!(matches!(ended, Err(Setback::Away("shop-not-loaded"))), "{ended:?}");
    let job = Job { waits: WAITS_FOR_JOINING, ..Job::new(merchant, row) };
    stack.webhooks.side.queue.push_after(job, Duration::ZERO);
    assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 1 });
    assert_eq!(stack.bench.install(SHOP).await, merchant);
    let standing = stack.standing(merchant, "w-1").await;
    assert_eq!(standing, json!({ "status": "dead_lettered", "reason": "unknown-shop" }));
    let ended = executor(behind).execute(&delivery, WAITS_FOR_JOINING).await;
    assert!(matches!(ended, Err(Setback::Away("shop-not-loaded"))), "{ended:?}");
    assert_eq!(stack.webhooks.redrive(merchant, row, None).await.unwrap(), Ok(()));
    stack.balance_becomes(merchant, "7", 20).await;
}

/// Catches, tried: an end and a setback that look at the row alone, as of a worker that was slow.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_of_an_earlier_drive_says_nothing_of_a_later_one() {
    let stack = Stack::start().await;
    let (merchant, row) = stack.early().await;
    let inbox = &stack.webhooks.side.inbox;
    inbox.postpone(row, 0, 3, stack.bench.clock.now()).await.unwrap();
    assert_eq!(stack.attempts(row).await, 3);
    inbox.finish(row, 0, End::DeadLettered { reason: "x".to_owned() }).await.unwrap();
    assert_eq!(stack.counts().await, Counts { pending: 0, dead_lettered: 1 });
    assert_eq!(stack.webhooks.redrive(merchant, row, None).await.unwrap(), Ok(()));
    inbox.postpone(row, 0, 9, stack.bench.clock.now()).await.unwrap();
    assert_eq!(stack.attempts(row).await, 0);
    inbox.finish(row, 0, End::DeadLettered { reason: "x".to_owned() }).await.unwrap();
    assert_eq!(stack.counts().await, Counts { pending: 1, dead_lettered: 0 });
    stack.bench.install(SHOP).await;
    stack.balance_becomes(merchant, "7", 20).await;
}

/// Catches, tried: a store that failed for a moment counted as a mistake of the delivery, which ends it.
#[test]
fn a_store_that_is_away_is_waited_for_and_what_breaks_over_a_delivery_is_not() {
    let away = || Fault::Away("gone".to_owned());
    let waits = [away().into(), inbox::Error::from(away()).into(), NotTaken::from(away()).into()];
    for setback in waits {
        assert!(matches!(setback, Setback::Away("store-unavailable")), "{setback:?}");
    }
    for fault in [Fault::Panicked, StoreError::Missing.into()] {
        assert!(matches!(Setback::from(fault), Setback::Fault(_)));
    }
}

/// Catches, tried: whatever the store refuses being waited for, without end.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn what_a_store_will_always_refuse_is_a_fault_of_the_delivery() {
    const AGAIN: &str = "INSERT INTO inbox_body SELECT seq, body FROM inbox_body";
    let stack = Stack::start().await;
    stack.early().await;
    let refused = || async { stack.bench.work.run(|work| work.execute(AGAIN, values![])).await.unwrap_err() };
    let keys = privacy::Error::Unavailable(refused().await);
    for setback in [Setback::from(refused().await), keys.into()] {
        assert!(matches!(setback, Setback::Fault(_)), "{setback:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_broken_aggregate_parks_its_deliveries_and_the_others_go_on() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let reference = Reference::new(Kind::Order, "1", Uuid::now_v7(), None);
    let broken = OrderId(stack.bench.keys.resolve(merchant, reference).await.unwrap().id);
    let poison = stack.bench.envelope(merchant, StreamRef::order(broken), earn(1));
    assert!(stack.bench.commander.send(Envelope { key: POISON, ..poison }).await.is_err());
    stack.post(&Post::new(SHOP, "orders/create", "w-1", &order(SHOP, 1).of_customer(7).0)).await;
    stack.post(&Post::new(SHOP, "orders/create", "w-2", &order(SHOP, 2).of_customer(7).0)).await;
    stack.balance_becomes(merchant, "7", 20).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(merchant, "w-1").await["reason"], "aggregate-parked");
}

impl Stack {
    /// A delivery that ended is a dead letter, and its body is this, which nothing opens, or gone.
    async fn spoil(&self, merchant: MerchantId, webhook_id: &str, body: Option<&'static [u8]>) -> Uuid {
        const ROW: &str = "SELECT id, seq FROM inbox WHERE merchant = ?1 AND webhook_id = ?2";
        const DEAD: &str = "UPDATE inbox SET status = 'dead_lettered', reason = 'x' WHERE seq = ?1";
        let (webhook_id, merchant) = (webhook_id.to_owned(), merchant.bytes());
        let row = self.bench.work.run(move |work| {
            let (row, seq): ([u8; 16], i64) =
                work.one(ROW, values![&merchant, &*webhook_id], |row| Ok((row.at(0)?, row.at(1)?)))?;
            work.execute(DEAD, values![seq])?;
            work.execute("DELETE FROM inbox_body WHERE seq = ?1", values![seq])?;
            if let Some(body) = body {
                work.execute("INSERT INTO inbox_body VALUES(?1, ?2)", values![seq, body])?;
            }
            Ok(row)
        });
        Uuid::from_bytes(row.await.unwrap())
    }
}

/// Catches, tried: a body that does not open being asked for each second, for ever; a delivery without a body that is open
/// for ever, and one that keeps none when it is brought anew.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_body_that_nothing_opens_is_parked_until_somebody_brings_it_anew() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let body = order(SHOP, 1).of_customer(7).0;
    stack.post(&Post::new(SHOP, "orders/create", "order", &body)).await;
    let request =
        json!({ "shop_id": 7001, "shop_domain": SHOP, "customer": { "id": 8 }, "orders_to_redact": [] });
    stack.post(&Post::new(SHOP, "customers/redact", "request", &request)).await;
    assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 0 });
    let spoilt: [Option<&[u8]>; 2] = [Some(&[1, 2, 3]), None];
    for ((webhook_id, payload), spoilt) in [("order", &body), ("request", &request)].into_iter().zip(spoilt) {
        let row = stack.spoil(merchant, webhook_id, spoilt).await;
        let drive = format!("dead-letters/{row}/redrive");
        stack.call(merchant, "POST", &drive, "{}").await;
        assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 1 });
        let standing = stack.standing(merchant, webhook_id).await;
        assert_eq!(standing, json!({ "status": "dead_lettered", "reason": "body-unreadable" }));
        stack.call(merchant, "POST", &drive, &json!({ "payload": payload }).to_string()).await;
        assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 0 });
    }
}
