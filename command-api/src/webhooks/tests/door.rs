//! What the door lets in, what it turns away, and with which words.
use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use event_log::{Class, Position, memory};
use event_schemas::MerchantId;
use privacy::{Kind, Reference};
use uuid::Uuid;

use super::{
    super::Secrets,
    Post, Stack,
    payloads::{customer, order},
};
use crate::{
    testing::{Bench, within},
    webhooks::{Counts, door::BODY_LEN_MAX},
};

const SHOP: &str = "demo-1.myshopify.com";
const NOTHING: Counts = Counts { pending: 0, dead_lettered: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trusted_or_read_is_turned_away_and_not_stored() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let good = Post::new(SHOP, "customers/create", "w-1", &customer(7, "ada@example.com", false));
    let with_body = |body: &[u8]| Post { body: body.to_vec(), ..good.clone() };
    let mut respaced = serde_json::to_vec_pretty(&customer(7, "ada@example.com", false)).unwrap();
    respaced.push(b'\n');
    let deep = [vec![b'['; 33], vec![b']'; 33]].concat();
    let other = |secret: &str| Some(Secrets::new(secret, None).sign(&good.body));
    for (post, status, code) in [
        (Post { signature: other("guessed"), ..good.clone() }, 401, "invalid-signature"),
        (Post { signature: Some("AAAA".to_owned()), ..good.clone() }, 401, "invalid-signature"),
        (Post { signature: other("shpss_test"), body: respaced, ..good.clone() }, 401, "invalid-signature"),
        (
            Post { signature: other("guessed"), shop: "nobody.myshopify.com".to_owned(), ..good.clone() },
            401,
            "invalid-signature",
        ),
        (Post { shop: "nobody.myshopify.com".to_owned(), ..good.clone() }, 404, "unknown-shop"),
        (Post { shop: "shop.example.com".to_owned(), ..good.clone() }, 404, "unknown-shop"),
        (Post { header_topic: "orders/create".to_owned(), ..good.clone() }, 400, "topic-mismatch"),
        (Post { webhook_id: String::new(), ..good.clone() }, 400, "header-invalid"),
        (with_body(b"{"), 400, "malformed-json"),
        (with_body(b""), 400, "malformed-json"),
        (with_body(b"\"\xff\""), 400, "malformed-json"),
        (with_body(b"{\"a\":\"\0\"}"), 400, "malformed-json"),
        (with_body(&deep), 400, "malformed-json"),
        (with_body(&vec![b' '; BODY_LEN_MAX + 1]), 413, "body-too-large"),
    ] {
        let (found, body) = stack.send(post.request()).await;
        assert_eq!((found.as_u16(), body["code"].as_str()), (status, Some(code)), "{body}");
        assert!(!body.to_string().contains("ada@"), "{body}");
    }
    assert_eq!(stack.counts().await, NOTHING);
    assert_eq!(stack.call(merchant, "GET", "deliveries/w-1", "").await.0, StatusCode::NOT_FOUND);
    let before = Post { signature: other("shpss_before"), shop: "Demo-1.myshopify.com".to_owned(), ..good };
    stack.post(&before).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(merchant, "w-1").await["status"], "processed");
}

/// Catches: a 404 for a shop that may have joined behind where its node stopped to read.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_no_longer_follows_the_shops_says_so_and_turns_no_new_shop_away() {
    let store = memory::Memory::init(1, Class::Conditional);
    let stack = Stack::over(Bench::over(store.log()).await);
    stack.bench.install(SHOP).await;
    assert!(stack.bench.shops.is_followed());
    // Another history than was read, and one more record in it.
    store.tamper(0, |records| drop(records.pop()));
    stack.bench.log.heard_of(0, Position::new(stack.bench.log.end(0).get() + 1));
    within("the shops are not followed any more", async {
        while stack.bench.shops.is_followed() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let new =
        Post::new("new.myshopify.com", "customers/create", "w-1", &customer(7, "ada@example.com", false));
    let (status, body) = stack.send(new.request()).await;
    assert_eq!((status.as_u16(), body["code"].as_str()), (503, Some("shop-not-loaded")), "{body}");
}

/// Catches, tried: a 404 for a shop that joined through another node.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_a_shop_that_joined_through_another_node_is_kept_until_this_one_has_read_of_it() {
    const NEW: &str = "joins.myshopify.com";
    let stack = Stack::start().await;
    let joins = Reference::new(Kind::ShopDomain, NEW, Uuid::now_v7(), None);
    let joins = MerchantId(stack.bench.keys.resolve(privacy::EVERY_MERCHANT, joins).await.unwrap().id);
    stack.bench.keys.ensure_merchant(joins).await.unwrap();
    stack.post(&Post::new(NEW, "customers/create", "w-1", &customer(7, "ada@example.com", false))).await;
    assert_eq!(stack.counts().await.pending, 1);
    assert_eq!(stack.bench.install(NEW).await, joins);
    stack.worked_off().await;
    assert_eq!(stack.standing(joins, "w-1").await["status"], "processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_missing_or_repeated_is_named() {
    let stack = Stack::start().await;
    stack.bench.install(SHOP).await;
    let good = Post::new(SHOP, "orders/create", "w-1", &order(SHOP, 1).0);
    for name in ["X-Shopify-Topic", "X-Shopify-Hmac-Sha256", "X-Shopify-Shop-Domain", "X-Shopify-Webhook-Id"]
    {
        let mut missing = good.request();
        missing.headers_mut().remove(name);
        let (status, body) = stack.send(missing).await;
        let expected = if name == "X-Shopify-Hmac-Sha256" {
            (401, "invalid-signature")
        } else {
            (400, "header-missing")
        };
        assert_eq!((status.as_u16(), body["code"].as_str().unwrap()), expected, "{name}");
        assert_eq!(body["errors"][0]["pointer"], name);

        let mut repeated = good.request();
        let value = repeated.headers()[name].clone();
        repeated.headers_mut().append(axum::http::HeaderName::try_from(name).unwrap(), value);
        let (status, body) = stack.send(repeated).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (400, Some("header-repeated")), "{name}");
        assert_eq!(body["errors"][0]["pointer"], name);
    }
    assert_eq!(stack.counts().await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_counted_while_it_is_read() {
    let stack = Stack::start().await;
    stack.bench.install(SHOP).await;
    let chunk = bytes::Bytes::from(vec![b' '; 1024 * 1024]);
    let chunks = std::iter::repeat_n(chunk, 9).map(Ok::<_, std::convert::Infallible>);
    let mut request = Post::new(SHOP, "orders/create", "w-1", &order(SHOP, 1).0).request();
    *request.body_mut() = Body::from_stream(futures::stream::iter(chunks));
    assert_eq!(stack.send(request).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}
