//! Who may ask for what: no token, a wrong token, another merchant's ids.
use reqwest::Method;
use serde_json::json;

use crate::{
    harness::{Answer, Shop, shared},
    shopify::{order, person},
};

/// Every route that needs a merchant's token.
const MERCHANT_ROUTES: [(&str, &str); 12] = [
    ("GET", "/v1/api/core/settings"),
    ("PUT", "/v1/api/core/settings"),
    ("GET", "/v1/api/users/get?shopify_customer_id=1"),
    ("POST", "/v1/api/users/create"),
    ("GET", "/v1/api/points/balance?customer_id=01900000-0000-7000-8000-00000000dead"),
    ("GET", "/v1/api/points/statement?customer_id=01900000-0000-7000-8000-00000000dead"),
    ("GET", "/v1/api/orders/1"),
    ("POST", "/v1/api/points/earn"),
    ("POST", "/v1/api/points/adjust"),
    ("POST", "/v1/api/points/redeem"),
    ("POST", "/v1/api/points/redemptions/01900000-0000-7000-8000-00000000dead/cancel"),
    ("GET", "/v1/api/webhooks/deliveries/x"),
];

const OPERATOR_ROUTES: [(&str, &str); 3] =
    [("GET", "/admin/queues"), ("POST", "/admin/merchants"), ("POST", "/admin/clock")];

async fn with_token(shop: &Shop, (method, path): (&str, &str), authorization: Option<&str>) -> Answer {
    let mut request = shop.door.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
    if method != "GET" {
        request = request.json(&json!({}));
    }
    if let Some(value) = authorization {
        request = request.header("Authorization", value);
    }
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn without_the_right_token_there_is_no_answer_but_401() {
    let shop = Shop::open(shared()).await;
    let operator = shop.door.operator_token.clone();
    let last = if shop.token.ends_with('0') { '1' } else { '0' };
    let edited = format!("{}{last}", &shop.token[..shop.token.len() - 1]);
    let wrong = |other: &str| {
        [
            None,
            Some("Bearer ".to_owned()),
            Some(format!("Bearer {edited}")),
            Some(format!("Basic {}", shop.token)),
            Some(shop.token.clone()),
            Some(format!("Bearer {other}")),
        ]
    };
    let routes = MERCHANT_ROUTES.map(|route| (route, operator.as_str()));
    let operators = OPERATOR_ROUTES.map(|route| (route, shop.token.as_str()));
    for (route, other) in routes.into_iter().chain(operators) {
        for authorization in wrong(other) {
            let answer = with_token(&shop, route, authorization.as_deref()).await;
            answer.problem(401, "unauthenticated");
            assert!(!answer.text.contains(&shop.token), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn another_merchants_ids_are_not_there() {
    let (here, there) = (Shop::open(shared()).await, Shop::open(shared()).await);
    let ada = person();
    let order = order().by(&ada).line(50_00, 1).paid();
    let webhook = here.webhook("orders/paid", order.body(&here));
    here.accept(&webhook).await;
    here.door.until_idle().await;
    let customer = here.customer_id(ada.id).await;
    let redeemed = here.redeem(&customer, 10).await.expect(200);
    let redemption = redeemed["redemption_id"].as_str().unwrap();

    there.balance_with(&customer, &[]).await.problem(404, "customer-not-found");
    let parameters = [("customer_id", customer.as_str())];
    there.ask("/v1/api/points/statement", &parameters).await.problem(404, "customer-not-found");
    there.ask("/v1/api/users/get", &parameters).await.problem(404, "customer-not-found");
    let shopify_id = ada.id.to_string();
    for parameter in [("shopify_customer_id", shopify_id.as_str()), ("email", ada.email.as_str())] {
        there.ask("/v1/api/users/get", &[parameter]).await.problem(404, "customer-not-found");
    }
    there.get(&format!("/v1/api/orders/{}", order.id)).await.problem(404, "order-not-found");
    let delivery = format!("/v1/api/webhooks/deliveries/{}", webhook.id);
    assert_eq!(there.get(&delivery).await.status, 404);
    there.earn(&customer, 5, "x").await.problem(404, "customer-not-found");
    there.adjust(&customer, 5).await.problem(404, "customer-not-found");
    there.redeem(&customer, 5).await.problem(404, "customer-not-found");
    assert_eq!(there.cancel(redemption).await.status, 404);
    assert_eq!(here.balance(&customer).await.available, 40);
}
