//! The topics around orders, customers, products and the shop's plan: what each body comes to, and how one fails.
use domain::product::SyncProduct;
use event_schemas::{Code, ProductTag, Title, loyalty_order::TransactionKind};
use serde_json::json;

use super::{
    super::{Mentions, NamedShop, Plan, Transaction, Translated},
    *,
};
use privacy::Kind;

const EDIT: &str = include_str!("../golden/order_edit.json");
const TRANSACTION: &str = include_str!("../golden/transaction.json");
const MERGE: &str = include_str!("../golden/merge.json");
const PRODUCT: &str = include_str!("../golden/product.json");
const SUBSCRIPTION: &str = include_str!("../golden/subscription.json");
/// The whole body of what was deleted.
const DELETED: &str = r#"{"id":8200000000000000005}"#;

fn unnamed(plan: Plan) -> Translated {
    Translated { named: NamedShop::default(), plan }
}

fn nothing(reason: &'static str) -> Translated {
    unnamed(Plan::Nothing { reason })
}

#[test]
fn an_order_edit_changes_nothing_by_itself_and_says_what_does() {
    assert_eq!(read("orders/edited", EDIT), nothing("order-state-follows"));
    let whose = Mentions::read(EDIT.as_bytes(), 32).unwrap().references("orders/edited");
    assert_eq!(whose, [(Kind::Order, private("6200000000000000001"))]);
}

#[test]
fn a_deleted_thing_is_told_by_its_id_alone() {
    let order = private("8200000000000000005");
    assert_eq!(read("orders/delete", DELETED), unnamed(Plan::OrderDeleted { order: order.clone() }));
    assert_eq!(read("customers/delete", DELETED), unnamed(Plan::CustomerDeleted { customer: order }));
    let product = product("8200000000000000005").unwrap();
    assert_eq!(read("products/delete", DELETED), unnamed(Plan::ProductDeleted { product }));
}

#[test]
fn a_payment_is_told_by_its_transaction() {
    let transaction = |kind| Transaction {
        reference: private("5500000000000000001"),
        kind,
        amount: Money { minor: 7011, currency: usd() },
        at: time("2026-03-01T10:06:00Z"),
    };
    let order = private("6200000000000000001");
    for (kind, known) in [
        ("capture", TransactionKind::Payment),
        ("sale", TransactionKind::Payment),
        ("void", TransactionKind::Void),
    ] {
        let body = changed(TRANSACTION, "/kind", json!(kind));
        let plan = Plan::Transaction { order: order.clone(), transaction: transaction(known) };
        assert_eq!(read("order_transactions/create", &body), unnamed(plan), "{kind}");
    }
}

#[test]
fn a_transaction_that_moved_no_money_to_the_shop_has_no_effect() {
    for (pointer, value, reason) in [
        ("/kind", json!("authorization"), "transaction-without-effect"),
        // A refund is told by refunds/create: its money must not count twice.
        ("/kind", json!("refund"), "transaction-without-effect"),
        ("/kind", json!("change"), "transaction-without-effect"),
        ("/status", json!("pending"), "transaction-without-effect"),
        ("/status", json!("failure"), "transaction-without-effect"),
        ("/test", json!(true), "transaction-without-effect"),
        ("/currency", json!("EUR"), "order-state-follows"),
    ] {
        let body = changed(TRANSACTION, pointer, value.clone());
        assert_eq!(read("order_transactions/create", &body), nothing(reason), "{pointer} = {value}");
    }
}

#[test]
fn only_a_completed_merge_merges() {
    let (kept, gone) = (private("7100000000000000003"), private("7100000000000000004"));
    let merged = unnamed(Plan::CustomersMerged { kept: kept.clone(), gone: gone.clone() });
    for (status, expected) in [
        ("completed", merged.clone()),
        ("COMPLETED", merged),
        ("failed", nothing("merge-not-completed")),
        ("in_progress", nothing("merge-not-completed")),
        ("requested", nothing("merge-not-completed")),
    ] {
        assert_eq!(read("customers/merge", &changed(MERGE, "/status", json!(status))), expected, "{status}");
    }
    let whose = Mentions::read(MERGE.as_bytes(), 32).unwrap().references("customers/merge");
    assert_eq!(whose, [(Kind::ShopifyCustomer, kept), (Kind::ShopifyCustomer, gone)]);
}

#[test]
fn a_customers_account_is_switched_by_the_topic() {
    for (topic, enabled) in [("customers/enable", true), ("customers/disable", false)] {
        let updated_at = time("2026-03-01T09:00:00Z");
        let plan = Plan::CustomerState { person: ada(), updated_at, enabled };
        assert_eq!(read(topic, CUSTOMER), unnamed(plan), "{topic}");
    }
}

#[test]
fn a_product_has_its_tags_as_text_or_as_a_list() {
    let sync = |tags: &[&str]| {
        unnamed(Plan::Product(SyncProduct {
            product: product("8200000000000000005").unwrap(),
            title: Title::try_new("Aviator sunglasses").unwrap(),
            tags: tags.iter().map(|tag| ProductTag::try_new(*tag).unwrap()).collect(),
            updated_at: time("2026-02-01T13:00:00Z"),
        }))
    };
    for topic in ["products/create", "products/update"] {
        assert_eq!(read(topic, PRODUCT), sync(&["Sale", "summer"]), "{topic}");
    }
    for (tags, expected) in
        [(json!(["Sale", " new "]), &["Sale", "new"][..]), (json!(""), &[]), (Value::Null, &[])]
    {
        assert_eq!(read("products/update", &changed(PRODUCT, "/tags", tags)), sync(expected));
    }
}

#[test]
fn a_subscription_names_its_shop_by_a_global_id() {
    let plan = Plan::Subscription {
        name: Title::try_new("Growth").unwrap(),
        status: Code::fixed("active"),
        updated_at: time("2026-02-01T00:00:00Z"),
    };
    let named = NamedShop { domain: None, id: Some("7001".to_owned()) };
    assert_eq!(read("app_subscriptions/update", SUBSCRIPTION), Translated { named, plan });
}

#[test]
fn a_paid_order_says_when_it_was_placed_and_a_fulfilled_one_when_its_last_part_went() {
    let order = order_with("/financial_status", json!("paid"));
    assert_eq!(order.paid_at, Some(order.ordered_at));
    assert_eq!(order.ordered_at, time("2026-03-01T09:00:00Z"));
    assert_eq!(order_with("/financial_status", json!("pending")).paid_at, None);

    let fulfilled = |status: &str, fulfilments: Value| {
        let mut body: Value = serde_json::from_str(ORDER).unwrap();
        body["processed_at"] = json!("2026-02-28T00:00:00Z");
        (body["fulfillment_status"], body["fulfillments"]) = (json!(status), fulfilments);
        match read("orders/fulfilled", &body.to_string()).plan {
            Plan::Order(order) => (order.ordered_at, order.fulfilled_at),
            other => panic!("{other:?}"),
        }
    };
    let parts = json!([
        { "status": "success", "created_at": "2026-03-03T00:00:00Z" },
        { "status": "success", "created_at": "2026-03-04T00:00:00Z" },
        { "status": "cancelled", "created_at": "2026-03-05T00:00:00Z" },
    ]);
    let placed = time("2026-02-28T00:00:00Z");
    assert_eq!(fulfilled("fulfilled", parts.clone()), (placed, Some(time("2026-03-04T00:00:00Z"))));
    assert_eq!(fulfilled("fulfilled", json!([])), (placed, Some(time("2026-03-02T10:30:00Z"))));
    assert_eq!(fulfilled("partial", parts), (placed, None));
}

#[test]
fn tips_are_lines_also_when_only_their_sum_is_told() {
    let tips = |told: &str| -> Vec<i64> {
        let lines = order_with("/total_tip_received", json!(told)).lines;
        lines.iter().filter(|line| line.tip).map(|line| line.subtotal_minor).collect()
    };
    assert_eq!(tips("3.00"), [300]);
    assert_eq!(tips("5.00"), [300, 200]);
    assert_eq!(tips("0.00"), [300]);
}

#[test]
fn a_refund_is_store_credit_if_all_of_it_went_there() {
    let is_credit =
        |transactions: Value| match read("refunds/create", &changed(REFUND, "/transactions", transactions))
            .plan
        {
            Plan::Refund { refund, .. } => refund.store_credit,
            other => panic!("{other:?}"),
        };
    let paid =
        |gateway: &str, status: &str| json!({ "kind": "refund", "gateway": gateway, "status": status });
    for gateway in ["shopify_store_credit", "store-credit", "Store Credit"] {
        assert!(is_credit(json!([paid(gateway, "success")])), "{gateway}");
        assert!(is_credit(json!([paid(gateway, "success"), paid("bogus", "failure")])), "{gateway}");
        assert!(!is_credit(json!([paid(gateway, "success"), paid("bogus", "success")])), "{gateway}");
    }
    assert!(!is_credit(json!([])));
}

#[test]
fn what_these_topics_cannot_use_is_told_by_its_field() {
    for (topic, golden, pointer, value, reason) in [
        ("orders/edited", EDIT, "/order_edit", json!(null), "order-edit-missing"),
        ("orders/edited", EDIT, "/order_edit/order_id", json!(6.2e18), "order-edit-order-id-not-an-id"),
        ("orders/delete", DELETED, "/id", json!(null), "id-missing"),
        ("customers/delete", DELETED, "/id", json!("x"), "id-not-an-id"),
        ("products/delete", DELETED, "/id", json!(8.2e18), "id-not-an-id"),
        ("order_transactions/create", TRANSACTION, "/order_id", json!(null), "order-id-missing"),
        ("order_transactions/create", TRANSACTION, "/id", json!(5.5e18), "id-not-an-id"),
        ("order_transactions/create", TRANSACTION, "/kind", json!(null), "kind-missing"),
        ("order_transactions/create", TRANSACTION, "/amount", json!("-1.00"), "amount-negative"),
        ("order_transactions/create", TRANSACTION, "/amount", json!("1.001"), "amount-too-precise"),
        ("order_transactions/create", TRANSACTION, "/processed_at", json!("now"), "processed-at-not-a-time"),
        (
            "customers/merge",
            MERGE,
            "/admin_graphql_api_customer_kept_id",
            json!("gid://shopify/Order/1"),
            "admin-graphql-api-customer-kept-id-of-another-kind",
        ),
        (
            "customers/merge",
            MERGE,
            "/admin_graphql_api_customer_deleted_id",
            json!("gid://shopify/Customer/x"),
            "admin-graphql-api-customer-deleted-id-not-an-id",
        ),
        ("customers/merge", MERGE, "/status", json!(null), "status-missing"),
        ("customers/disable", CUSTOMER, "/updated_at", json!(null), "updated-at-missing"),
        ("products/update", PRODUCT, "/updated_at", json!(null), "updated-at-missing"),
        ("products/update", PRODUCT, "/title", json!(""), "title-missing"),
        ("products/update", PRODUCT, "/tags", json!([1]), "tags-not-text"),
        (
            "app_subscriptions/update",
            SUBSCRIPTION,
            "/app_subscription/status",
            json!("???"),
            "app-subscription-status-unknown",
        ),
        (
            "app_subscriptions/update",
            SUBSCRIPTION,
            "/app_subscription/admin_graphql_api_shop_id",
            json!(null),
            "app-subscription-admin-graphql-api-shop-id-missing",
        ),
        ("orders/updated", ORDER, "/total_tip_received", json!("x"), "total-tip-received-not-an-amount"),
    ] {
        assert_eq!(reason_of(topic, golden, pointer, &value), reason, "{topic} {pointer}");
    }
}

#[test]
fn nothing_personal_shows_in_these_plans() {
    for (topic, body) in [
        ("order_transactions/create", TRANSACTION),
        ("orders/delete", DELETED),
        ("customers/merge", MERGE),
        ("customers/disable", CUSTOMER),
    ] {
        let shown = format!("{:?}", read(topic, body));
        for personal in ["550000", "620000", "710000", "820000", "Ada", "ada@"] {
            assert!(!shown.contains(personal), "{topic} shows {personal}: {shown}");
        }
    }
}
