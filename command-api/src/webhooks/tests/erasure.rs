//! Requests about people's data at the door, and what arrives of a person after they were erased.
use std::collections::BTreeSet;

use domain::{Aggregate, StreamRef};
use event_schemas::{
    CorrelationId, CustomerId, MerchantId, RequestId,
    privacy_request::{RedactionScope, RequestSource},
    record::{Actor, Trace},
};
use group_commit::values;
use privacy::{Kind, Reference};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Post, Stack,
    payloads::{customer, merge, order, refund},
};
use crate::{
    commands::Origin,
    exports::{Exports, Fetched},
    requests::Kept,
    webhooks::Counts,
};

const SHOP: &str = "demo-1.myshopify.com";
const OTHER: &str = "demo-2.myshopify.com";
const ADA: &str = "ada@example.com";

fn redact(shop: &str, id: Option<u64>, email: Option<&str>, orders: &[u64]) -> Value {
    json!({
        "shop_id": 7001,
        "shop_domain": shop,
        "customer": { "id": id, "email": email, "phone": null },
        "orders_to_redact": orders,
    })
}

/// A request as the log has it.
struct Asked {
    kept: Kept,
    scope: RedactionScope,
    source: RequestSource,
    subjects: BTreeSet<CustomerId>,
}

impl Stack {
    /// All requests that are kept, each with what its stream says.
    async fn requests(&self) -> Vec<Asked> {
        const ALL: &str =
            "SELECT request, merchant, route, subjects FROM privacy_request ORDER BY asked_at, request";
        let all = self.bench.work.read(|work| {
            work.all(ALL, values![], |row| {
                crate::requests::read_kept(RequestId::from_bytes(row.at(0)?), row, 1)
            })
        });
        let mut requests = Vec::new();
        for kept in all.await.unwrap() {
            let read = self.bench.commander.read(kept.merchant, kept.stream(), |request| match request {
                Aggregate::PrivacyRequest(request) => {
                    request.redaction().map(|known| known.requested.clone())
                }
                other => panic!("{other:?}"),
            });
            let Some(requested) = read.await.unwrap() else { continue };
            let (scope, source) = (requested.scope, requested.source);
            requests.push(Asked { kept, scope, source, subjects: requested.subjects.into_iter().collect() });
        }
        requests
    }

    /// The only request there is.
    async fn request(&self) -> Asked {
        let mut requests = self.requests().await;
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }

    /// What was made for the data request that came by this delivery.
    async fn data(&self, exports: &Exports, merchant: MerchantId, webhook_id: &str) -> Fetched {
        let row = "SELECT id FROM inbox WHERE webhook_id = ?1";
        let webhook_id = webhook_id.to_owned();
        let row = self.bench.work.read(move |work| work.one(row, values![&*webhook_id], |row| row.at(0)));
        let row = Uuid::from_bytes(row.await.unwrap());
        let request = RequestId(Uuid::new_v5(&row, b"privacy-request"));
        let correlation = CorrelationId(Uuid::now_v7());
        let origin = Origin { actor: Actor::System, correlation, trace: Trace::default(), causation: None };
        exports.fetch(merchant, request, 1, origin).await.unwrap()
    }

    pub(super) async fn bodies(&self) -> u64 {
        let count = "SELECT count(*) FROM inbox_body";
        self.bench.work.read(move |work| work.one(count, values![], |row| row.at(0))).await.unwrap()
    }

    /// Whether the directory knows the reference.
    async fn knows(&self, merchant: MerchantId, kind: Kind, text: &str) -> bool {
        self.bench.keys.find(merchant, kind, text).await.unwrap().is_some()
    }

    async fn all_processed_as(&self, merchant: MerchantId, reason: &str, webhook_ids: &[&str]) {
        assert_eq!(self.worked_off().await, Counts { pending: 0, dead_lettered: 0 });
        for webhook_id in webhook_ids {
            let standing = self.standing(merchant, webhook_id).await;
            assert_eq!(standing, json!({ "status": "processed", "reason": reason }), "{webhook_id}");
        }
    }

    /// Two orders of one customer, known by their address.
    async fn with_ada(&self) -> MerchantId {
        let merchant = self.bench.install(SHOP).await;
        self.unthrottle(merchant).await;
        self.post(&Post::new(SHOP, "customers/create", "ada", &customer(7, ADA, true))).await;
        self.post(&Post::new(SHOP, "orders/create", "o-1", &order(SHOP, 1).of_customer(7).0)).await;
        self.balance_becomes(merchant, "7", 20).await;
        self.worked_off().await;
        merchant
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_redaction_is_recorded_once_for_everybody_who_turned_out_to_be_the_person() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    stack.post(&Post::new(SHOP, "orders/create", "o-2", &order(SHOP, 2).of_customer(8).0)).await;
    stack.worked_off().await;
    let people: BTreeSet<_> =
        [stack.customer(merchant, "7").await.unwrap(), stack.customer(merchant, "8").await.unwrap()].into();
    stack.post(&Post::new(SHOP, "customers/merge", "m", &merge(7, 8))).await;
    stack.balance_becomes(merchant, "7", 40).await;
    stack.bench.policies_idle().await;
    // The one who is gone is named, and the one who lives on is found; twenty times.
    let again = Post::new(SHOP, "customers/redact", "r", &redact(SHOP, Some(8), None, &[2]));
    for _ in 0..20 {
        stack.post(&again).await;
    }
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
    let asked = stack.request().await;
    assert_eq!((asked.scope, asked.source), (RedactionScope::Customer, RequestSource::Shopify));
    assert_eq!(asked.subjects, people);
    assert_eq!(Some(CustomerId(asked.kept.route)), stack.customer(merchant, "7").await);
    let standing = stack.standing(merchant, "r").await;
    assert_eq!((&standing["status"], standing["position"].is_string()), (&json!("processed"), true));
}

/// What a crash between the record and the delivery's end leaves: the keys may be gone when the delivery is tried again.
/// Catches, tried: a second look for the people, who nobody leads to any more, which made a second request about nobody.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_redaction_that_is_tried_again_after_the_keys_are_gone_is_the_same_request() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    stack.post(&Post::new(SHOP, "customers/redact", "r", &redact(SHOP, Some(7), Some(ADA), &[1]))).await;
    stack.worked_off().await;
    let before = stack.request().await;
    stack.bench.erase(merchant, before.kept.request, &before.subjects).await;
    assert_eq!(stack.customer(merchant, "7").await, None);
    // Its body again, as if its end had never been written.
    let body = redact(SHOP, Some(7), Some(ADA), &[1]).to_string();
    stack.reopen(merchant, "r", &body).await;
    assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 0 });
    let after = stack.request().await;
    assert_eq!((after.kept, after.subjects), (before.kept, before.subjects));
}

/// Catches, tried: each body once for ever, so that whoever joined again was never forgotten again.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn whoever_joined_again_is_forgotten_again_by_the_same_words() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    let words = redact(SHOP, Some(7), Some(ADA), &[]);
    let asks = async |webhook_id| stack.post(&Post::new(SHOP, "customers/redact", webhook_id, &words)).await;
    asks("r").await;
    stack.worked_off().await;
    let first = stack.request().await;
    stack.bench.erase(merchant, first.kept.request, &first.subjects).await;

    assert!(stack.bench.keys.unbury(merchant, Kind::ShopifyCustomer, "7").await.unwrap());
    stack.post(&Post::new(SHOP, "customers/create", "rejoins", &customer(7, "new@example.com", true))).await;
    stack.worked_off().await;
    let anew = stack.customer(merchant, "7").await.unwrap();
    // A repetition of the first request means nobody who joined since.
    asks("r").await;
    stack.worked_off().await;
    assert_eq!(stack.request().await.subjects, first.subjects);
    asks("asked-anew").await;
    stack.worked_off().await;
    let requests = stack.requests().await;
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().any(|asked| asked.subjects == [anew].into()));
    assert_eq!(stack.standing(merchant, "asked-anew").await["status"], "processed");
}

/// Catches, tried: the refund of a guest's order left in the directory.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn an_address_alone_names_everybody_who_has_it_and_guests_become_a_person() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    stack.post(&Post::new(SHOP, "customers/create", "twin", &customer(9, "Ada@Example.com", false))).await;
    stack.post(&Post::new(SHOP, "orders/create", "g", &order(SHOP, 3).of_guest("guest@example.com").0)).await;
    stack.worked_off().await;
    stack.post(&Post::new(SHOP, "refunds/create", "f", &refund(33, 3, "5.00"))).await;
    stack.worked_off().await;
    let people: BTreeSet<_> =
        [stack.customer(merchant, "7").await.unwrap(), stack.customer(merchant, "9").await.unwrap()].into();
    stack.post(&Post::new(SHOP, "customers/redact", "r-1", &redact(SHOP, None, Some(ADA), &[]))).await;
    stack.worked_off().await;
    assert_eq!(stack.request().await.subjects, people);

    let guest = redact(SHOP, None, Some("guest@example.com"), &[]);
    stack.post(&Post::new(SHOP, "customers/redact", "r-2", &guest)).await;
    stack.worked_off().await;
    let asked = stack.requests().await.pop().unwrap();
    assert_eq!(asked.subjects.len(), 1);
    assert!(stack.knows(merchant, Kind::GuestEmail, "guest@example.com").await);
    stack.bench.erase(merchant, asked.kept.request, &asked.subjects).await;
    assert!(!stack.knows(merchant, Kind::GuestEmail, "guest@example.com").await);
    assert!(!stack.knows(merchant, Kind::Order, "3").await);
    assert!(!stack.knows(merchant, Kind::Refund, "33").await);
    // Their order does not come back, and no points with it.
    let late = order(SHOP, 3).of_guest("guest@example.com").updated(30);
    stack.post(&Post::new(SHOP, "orders/updated", "late", &late.0)).await;
    stack.all_processed_as(merchant, "subject-erased", &["late"]).await;
}

/// Catches, tried: an export without what no person owns, one that shows a guest's orders to whoever has their address on
/// an account, and one that outlives the guest.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_handed_their_orders_until_they_are_erased() {
    const GUEST: &str = "guest@example.com";
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    stack.post(&Post::new(SHOP, "orders/create", "g", &order(SHOP, 3).of_guest(GUEST).0)).await;
    stack.worked_off().await;
    let asked = [(None, Some(GUEST), vec![]), (Some(99), None, vec![3]), (Some(7), Some(GUEST), vec![])];
    for (number, (id, email, orders)) in asked.iter().enumerate() {
        let mut body = redact(SHOP, *id, *email, &[]);
        body["orders_requested"] = json!(orders);
        stack.post(&Post::new(SHOP, "customers/data_request", &format!("d-{number}"), &body)).await;
    }
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
    let exports = Exports::new(&stack.bench.parts());
    assert_eq!(exports.work_off().await.unwrap(), 3);
    for (webhook_id, found) in [("d-0", vec!["3"]), ("d-1", vec!["3"]), ("d-2", vec!["1"])] {
        let Fetched::File(data) = stack.data(&exports, merchant, webhook_id).await else {
            panic!("{webhook_id} is not there")
        };
        let data: Value = serde_json::from_slice(&data).unwrap();
        let orders = data["orders"].as_array().unwrap();
        let orders: Vec<_> = orders.iter().map(|order| order["shopify_order_id"].as_str().unwrap()).collect();
        assert_eq!((&data["held"], orders), (&json!(true), found), "{webhook_id}");
    }
    stack.post(&Post::new(SHOP, "customers/redact", "r", &redact(SHOP, None, Some(GUEST), &[3]))).await;
    stack.worked_off().await;
    let asked = stack.request().await;
    stack.bench.erase(merchant, asked.kept.request, &asked.subjects).await;
    for (webhook_id, is_left) in [("d-0", false), ("d-1", false), ("d-2", true)] {
        let fetched = stack.data(&exports, merchant, webhook_id).await;
        assert_eq!(matches!(fetched, Fetched::File(_)), is_left, "{webhook_id}: {fetched:?}");
    }
}

/// With the address left alone wherever there is a number, which was so, nobody is erased here.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_number_that_leads_to_nobody_leaves_the_address_to_whoever_has_none() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    let member = stack.bench.customer(merchant).await;
    let address = Reference::new(Kind::Email, ADA, member.0, Some(member));
    stack.bench.keys.resolve(merchant, address).await.unwrap();
    let unknown = redact(SHOP, Some(99), Some(ADA), &[]);
    stack.post(&Post::new(SHOP, "customers/redact", "r", &unknown)).await;
    stack.worked_off().await;
    assert_eq!(stack.request().await.subjects, [member].into());
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn of_whom_nothing_is_held_nothing_is_taken_in_later() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    let unknown = redact(SHOP, Some(u64::MAX), Some("nobody@example.com"), &[99]);
    stack.post(&Post::new(SHOP, "customers/redact", "r", &unknown)).await;
    stack.worked_off().await;
    let asked = stack.request().await;
    assert!(asked.subjects.is_empty());
    assert_eq!(asked.kept.route, asked.kept.request.0);
    for (webhook_id, body) in
        [("late-1", order(SHOP, 99).of_customer(5).0), ("late-2", order(SHOP, 98).of_customer(u64::MAX).0)]
    {
        stack.post(&Post::new(SHOP, "orders/create", webhook_id, &body)).await;
    }
    stack.all_processed_as(merchant, "subject-erased", &["late-1", "late-2"]).await;
    for id in ["5", &u64::MAX.to_string()] {
        assert_eq!(stack.customer(merchant, id).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_captured_request_has_no_effect_at_another_shop_and_the_true_one_still_has() {
    for topic in ["customers/redact", "shop/redact", "customers/data_request"] {
        let stack = Stack::start().await;
        let own = stack.with_ada().await;
        let other = stack.bench.install(OTHER).await;
        let body = redact(SHOP, Some(7), Some(ADA), &[1]);
        stack.post(&Post::new(OTHER, topic, "forged", &body)).await;
        stack.worked_off().await;
        assert_eq!(stack.standing(other, "forged").await["reason"], "names-another-shop", "{topic}");
        stack.post(&Post::new(SHOP, topic, "true", &body)).await;
        stack.worked_off().await;
        assert_eq!(stack.standing(own, "true").await["status"], "processed", "{topic}");
    }
}

/// What cannot be undone is not done on the word of a header, which no signature covers.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_body_that_names_no_shop_erases_nobody_until_its_number_is_bound() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let mut body = redact("{shop}.myshopify.com", Some(7), Some(ADA), &[]);
    body["shop_id"] = json!(4711);
    stack.post(&Post::new(SHOP, "shop/redact", "unnamed", &body)).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(merchant, "unnamed").await["reason"], "shop-not-named");
    assert!(stack.requests().await.is_empty());
    stack
        .post(&Post::new(SHOP, "shop/update", "bind", &super::payloads::shop(SHOP, 4711, "USD", "UTC")))
        .await;
    stack.worked_off().await;
    // The same words once more, as Shopify sends them when it is asked again; the dead letter stands in nobody's way.
    stack.post(&Post::new(SHOP, "shop/redact", "named", &body)).await;
    stack.worked_off().await;
    let asked = stack.request().await;
    assert_eq!((asked.scope, asked.kept.route), (RedactionScope::Shop, merchant.0));
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_malformed_request_waits_for_somebody_with_its_body_and_is_carried_out_edited() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    let mut body = redact(SHOP, Some(7), None, &[1]);
    body["customer"]["id"] = json!(7.5);
    stack.post(&Post::new(SHOP, "customers/redact", "r", &body)).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(merchant, "r").await["reason"], "customer-id-not-an-id");
    let (_, list) = stack.call(merchant, "GET", "dead-letters", "").await;
    let drive = format!("dead-letters/{}/redrive", list["items"][0]["id"].as_str().unwrap());
    let edited = json!({ "payload": redact(SHOP, Some(7), None, &[1]) }).to_string();
    stack.call(merchant, "POST", &drive, &edited).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
    assert_eq!(stack.request().await.subjects.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn requests_for_a_shop_that_nobody_knows_are_answered_and_others_are_not() {
    let stack = Stack::start().await;
    for topic in ["customers/redact", "customers/data_request", "shop/redact"] {
        let (status, body) =
            stack.send(Post::new(SHOP, topic, "w", &redact(SHOP, Some(7), None, &[])).request()).await;
        assert_eq!((status.as_u16(), &body["status"]), (200, &json!("accepted")), "{topic}");
        let mut forged = Post::new(SHOP, topic, "w", &redact(SHOP, Some(7), None, &[]));
        forged.signature = Some("AAAA".to_owned());
        assert_eq!(stack.send(forged.request()).await.0.as_u16(), 401, "{topic}");
    }
    let (status, body) = stack.send(Post::new(SHOP, "orders/create", "w", &order(SHOP, 1).0).request()).await;
    assert_eq!((status.as_u16(), body["code"].as_str()), (404, Some("unknown-shop")));
}

/// Catches, tried: the header's domain and the list of shops deciding alone, and a look-up without the number of the shop.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_request_is_kept_for_a_shop_that_only_the_key_store_knows_by_domain_or_number() {
    const NEW_NAME: &str = "demo-renamed.myshopify.com";
    let stack = Stack::start().await;
    let own = stack.with_ada().await;
    let bind = super::payloads::shop(SHOP, 7001, "USD", "UTC");
    stack.post(&Post::new(SHOP, "shop/update", "bind", &bind)).await;
    stack.worked_off().await;
    // The signed body names a shop that is known.
    stack.post(&Post::new(NEW_NAME, "customers/redact", "r", &redact(SHOP, Some(7), None, &[]))).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(own, "r").await["status"], "processed");
    assert_eq!(stack.request().await.subjects.len(), 1);
    // The shop has another domain by now, which nobody told: somebody has to look, and is told.
    stack
        .post(&Post::new(NEW_NAME, "customers/redact", "renamed", &redact(NEW_NAME, Some(7), None, &[])))
        .await;
    stack.worked_off().await;
    assert_eq!(stack.standing(own, "renamed").await["reason"], "names-another-shop");
    // One that joined through another node, which is not in this one's list yet: it waits for the list.
    let joins = Reference::new(Kind::ShopDomain, "joins.myshopify.com", Uuid::now_v7(), None);
    let joins = stack.bench.keys.resolve(privacy::EVERY_MERCHANT, joins).await.unwrap();
    stack.bench.keys.ensure_merchant(MerchantId(joins.id)).await.unwrap();
    let early = json!({ "shop_domain": "joins.myshopify.com", "customer": { "id": 7 } });
    let asks = async |webhook_id: &str| {
        stack.post(&Post::new("joins.myshopify.com", "customers/redact", webhook_id, &early)).await;
    };
    // While it is open, the same words are the same request, also later under the webhook id that they came under.
    asks("early").await;
    asks("early-again").await;
    assert_eq!(stack.counts().await.pending, 1);
    assert_eq!(stack.bench.install("joins.myshopify.com").await.0, joins.id);
    stack.worked_off().await;
    asks("early-again").await;
    stack.worked_off().await;
    for (webhook_id, status) in [("early", "processed"), ("early-again", "duplicate")] {
        assert_eq!(stack.standing(MerchantId(joins.id), webhook_id).await["status"], status);
    }
    assert_eq!(stack.requests().await.len(), 2);
}

/// Catches, tried: a merge that makes the other one known, a refund that opens an order anew, an award to the erased.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn what_arrives_of_an_erased_person_ends_regularly_and_brings_nobody_back() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    // A dead letter of hers, which is driven again after the erasure; and one that is not.
    let broken = order(SHOP, 5).of_customer(7).with("total_price", json!("2e1")).0;
    stack.post(&Post::new(SHOP, "orders/create", "dead", &broken)).await;
    stack.worked_off().await;
    let (_, list) = stack.call(merchant, "GET", "dead-letters", "").await;
    let drive = format!("dead-letters/{}/redrive", list["items"][0]["id"].as_str().unwrap());
    stack.post(&Post::new(SHOP, "customers/redact", "r", &redact(SHOP, Some(7), Some(ADA), &[1]))).await;
    stack.worked_off().await;
    let asked = stack.request().await;
    let ada = stack.customer(merchant, "7").await.unwrap();
    let before = stack.bench.balances(merchant, ada).await;
    stack.bench.destroy(merchant, asked.kept.request, &asked.subjects).await;
    stack.call(merchant, "POST", &drive, "{}").await;

    let late = [
        ("orders/create", "late-order", order(SHOP, 2).of_customer(7).0),
        ("orders/updated", "late-update", order(SHOP, 1).of_customer(7).updated(30).0),
        ("orders/updated", "late-guest", order(SHOP, 1).of_guest("new@example.com").updated(31).0),
        ("refunds/create", "late-refund", refund(5, 1, "5.00")),
        ("customers/update", "late-customer", customer(7, "new@example.com", true)),
        ("customers/delete", "late-delete", json!({ "id": 7 })),
        ("customers/merge", "late-merge", merge(70, 7)),
        ("customers/merge", "late-merge-2", merge(7, 70)),
        ("orders/delete", "late-gone", json!({ "id": 1 })),
    ];
    for (topic, webhook_id, body) in &late {
        stack.post(&Post::new(SHOP, topic, webhook_id, body)).await;
    }
    let mut webhook_ids: Vec<_> = late.iter().map(|(_, webhook_id, _)| *webhook_id).collect();
    webhook_ids.push("dead");
    stack.all_processed_as(merchant, "subject-erased", &webhook_ids).await;
    // The very bodies of before are known, and change nothing.
    stack.post(&Post::new(SHOP, "orders/create", "again", &order(SHOP, 1).of_customer(7).0)).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(merchant, "again").await["status"], "duplicate");
    for id in ["7", "70"] {
        assert_eq!(stack.customer(merchant, id).await, None, "{id}");
    }
    assert!(!stack.knows(merchant, Kind::Email, "new@example.com").await);
    stack.bench.policies_idle().await;
    assert_eq!(stack.bench.balances(merchant, ada).await, before);
    // None of it kept a body.
    let rows = stack.bench.purge(merchant, asked.kept.request, &asked.subjects).await;
    assert_eq!((rows.dead_letters, rows.open), (0, 0));
    assert_eq!(stack.bodies().await, 0);
}

/// Catches, tried: a purge that takes what another customer with the same address sent, and one that takes a request that
/// is still to be worked off.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_purge_takes_what_is_the_persons_also_dead_letters_and_leaves_the_rest() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    let of_twin = order(SHOP, 4).of_customer(8).with("contact_email", json!(ADA));
    stack.post(&Post::new(SHOP, "orders/create", "twin", &of_twin.0)).await;
    let broken = order(SHOP, 5).of_guest(ADA).with("total_price", json!("2e1")).0;
    stack.post(&Post::new(SHOP, "orders/create", "dead", &broken)).await;
    stack.post(&Post::new(SHOP, "refunds/create", "refund", &refund(5, 1, "5.00"))).await;
    stack.worked_off().await;
    stack.post(&Post::new(SHOP, "customers/redact", "r", &redact(SHOP, Some(7), Some(ADA), &[1]))).await;
    stack.worked_off().await;
    let asked = stack.request().await;
    // Two that are still to be worked off: one more request, which is left alone, and an order.
    stack.throttle(merchant, 1, 1).await;
    let filler =
        (0..3).map(|n| Post::new(SHOP, "products/delete", &format!("p-{n}"), &json!({ "id": 50 + n })));
    for post in filler {
        stack.post(&post).await;
    }
    stack.post(&Post::new(SHOP, "customers/redact", "r-2", &redact(SHOP, Some(7), None, &[1, 6]))).await;
    stack.post(&Post::new(SHOP, "orders/create", "open", &order(SHOP, 6).of_customer(7).0)).await;
    let bodies = stack.bodies().await;
    let purged = stack.bench.purge(merchant, asked.kept.request, &asked.subjects).await;
    // The customer, the order, the refund, the dead letter and the open one.
    assert_eq!((purged.deliveries, purged.dead_letters, purged.open), (5, 1, 1));
    assert_eq!(stack.bodies().await, bodies - 5);
    assert_eq!(
        stack.standing(merchant, "dead").await,
        json!({"status": "processed", "reason": "subject-erased"})
    );
    assert_eq!(stack.standing(merchant, "r-2").await["status"], "accepted");
    let again = stack.bench.purge(merchant, asked.kept.request, &asked.subjects).await;
    assert_eq!(again.deliveries, 0);
    stack.unthrottle(merchant).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
    assert_eq!(stack.standing(merchant, "r-2").await["status"], "processed");
    assert_eq!(stack.bodies().await, bodies - 6);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_purge_of_a_shop_leaves_no_body_of_it_and_every_one_of_another() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    let other = stack.bench.install(OTHER).await;
    stack.post(&Post::new(OTHER, "orders/create", "other", &order(OTHER, 1).of_customer(7).0)).await;
    stack.post(&Post::new(SHOP, "products/delete", "p", &json!({ "id": 5 }))).await;
    stack.worked_off().await;
    let finder = crate::webhooks::purge::Finder::new(stack.bench.work.clone(), stack.bench.keys.clone());
    let rows = finder.find(merchant, RequestId(Uuid::nil()), &privacy::Whom::Shop).await.unwrap();
    let purged = stack.bench.work.run(move |work| crate::webhooks::purge::purge(work, &rows)).await.unwrap();
    assert_eq!(purged.deliveries, 3);
    assert_eq!(stack.bodies().await, 1);
    assert_eq!(stack.standing(other, "other").await["status"], "processed");
    let whole = StreamRef::merchant(other);
    assert_eq!(whole.id, other.0);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn deliveries_of_an_erased_shop_are_answered_and_kept_nowhere() {
    let stack = Stack::start().await;
    let merchant = stack.with_ada().await;
    stack.throttle(merchant, 1, 1).await;
    for n in 0..4 {
        let body = order(SHOP, 10 + n).of_customer(7).0;
        stack.post(&Post::new(SHOP, "orders/create", &format!("open-{n}"), &body)).await;
    }
    let request = RequestId(Uuid::now_v7());
    stack.bench.keys.fence(merchant, &privacy::Whom::Shop, request.0).await.unwrap();
    stack.bench.keys.destroy(merchant, &privacy::Whom::Shop, request.0).await.unwrap();
    let bodies = stack.bodies().await;
    for topic in ["orders/create", "shop/redact"] {
        stack
            .post(&Post::new(SHOP, topic, &format!("late-{topic}"), &redact(SHOP, Some(7), None, &[8])))
            .await;
    }
    assert!(stack.bodies().await <= bodies);
    stack.unthrottle(merchant).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
}
