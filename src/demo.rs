//! Demo shops, seeded as Shopify would: by signed webhooks through the real door. Running it again changes nothing.
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::webhook::{Delivery, Sender};

/// A demo shop: name of its domain, currency, time zone, and what its goods cost in major units.
struct Shop {
    name: &'static str,
    currency: &'static str,
    timezone: &'static str,
    prices: [&'static str; 3],
}

const SHOPS: [Shop; 3] = [
    Shop {
        name: "demo-coffee",
        currency: "USD",
        timezone: "America/New_York",
        prices: ["14.50", "32.00", "89.90"],
    },
    Shop {
        name: "demo-books",
        currency: "EUR",
        timezone: "Europe/Berlin",
        prices: ["9.99", "24.00", "48.50"],
    },
    Shop { name: "demo-tea", currency: "JPY", timezone: "Asia/Tokyo", prices: ["1200", "3400", "9800"] },
];

const CUSTOMERS_PER_SHOP: u64 = 40;
const ORDERS_PER_SHOP: u64 = 160;
/// Deliveries under way at once.
const CONCURRENCY: usize = 32;
const NAMES: [(&str, &str); 8] = [
    ("Ada", "Quist"),
    ("Ben", "Okafor"),
    ("Chloé", "Martin"),
    ("Dmitri", "Volkov"),
    ("Emi", "Sato"),
    ("Farah", "Nasser"),
    ("Goran", "Petrović"),
    ("Hana", "Novák"),
];

/// Whether this is the domain of a demo shop.
pub(crate) fn is_demo(domain: &str) -> bool {
    SHOPS.iter().any(|shop| domain.strip_suffix(".myshopify.com") == Some(shop.name))
}

/// What was seeded.
pub(crate) struct Seeded {
    /// Shops.
    pub(crate) shops: usize,
    /// Signed deliveries.
    pub(crate) deliveries: usize,
    /// From the first delivery until every balance was visible.
    pub(crate) took: Duration,
}

/// The shop and customer that the printed examples use.
pub(crate) const EXAMPLE_SHOP: &str = "demo-coffee.myshopify.com";
/// Shopify's id of the example's customer.
pub(crate) const EXAMPLE_CUSTOMER: u64 = 7_000_000_000_000_001;

/// Creates the shops and sends their history. `token_of` knows the token of a shop that is already there.
pub(crate) async fn seed(
    sender: &Sender,
    operator_token: &str,
    token_of: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Seeded> {
    for shop in &SHOPS {
        let token = create(sender, operator_token, shop, &token_of).await?;
        let fast = json!({"processing": {"per_second": 1_000_000, "burst": 1_000_000}});
        let answer = sender
            .client
            .put(format!("{}/v1/api/core/settings", sender.url))
            .bearer_auth(token)
            .json(&fast)
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "a demo shop's settings were refused: {}",
            answer.text().await?
        );
    }
    let started = Instant::now();
    let deliveries: Vec<Delivery> =
        (1..).zip(&SHOPS).flat_map(|(number, shop)| history(number, shop)).collect();
    let count = deliveries.len();
    stream::iter(deliveries)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, |delivery| send(sender, delivery))
        .await?;
    until_idle(&sender.client, &sender.url, operator_token).await?;
    Ok(Seeded { shops: SHOPS.len(), deliveries: count, took: started.elapsed() })
}

async fn create(
    sender: &Sender,
    operator_token: &str,
    shop: &Shop,
    token_of: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<String> {
    let domain = format!("{}.myshopify.com", shop.name);
    let answer = sender
        .client
        .post(format!("{}/admin/merchants", sender.url))
        .bearer_auth(operator_token)
        .json(&json!({"shop_domain": domain, "currency": shop.currency, "timezone": shop.timezone}))
        .send()
        .await?;
    match answer.status() {
        StatusCode::CREATED => {
            let body: Value = answer.json().await?;
            body["token"].as_str().map(str::to_owned).context("a new shop has a token")
        }
        StatusCode::CONFLICT => token_of(&domain).context("a shop that exists has a token"),
        status => bail!("a demo shop was refused with {status}: {}", answer.text().await?),
    }
}

async fn send(sender: &Sender, delivery: Delivery) -> anyhow::Result<()> {
    let (_, status, text) = sender.send(&delivery).await?;
    ensure!(status.is_success(), "a demo delivery was refused with {status}: {text}");
    Ok(())
}

/// Waits until everything accepted is worked off and visible.
async fn until_idle(client: &Client, url: &str, operator_token: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let queues: Value = client
            .get(format!("{url}/admin/queues"))
            .bearer_auth(operator_token)
            .send()
            .await?
            .json()
            .await?;
        if queues["idle"] == true {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the demo was not worked off within a minute: {queues}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A shop's customers, orders and refunds. The same at every call, so seeding twice is harmless.
fn history(shop_number: u64, shop: &Shop) -> Vec<Delivery> {
    let domain = format!("{}.myshopify.com", shop.name);
    let deliver = |topic: &str, body: &Value| Delivery {
        topic: topic.to_owned(),
        shop_domain: domain.clone(),
        body: body.to_string().into_bytes(),
    };
    let mut all = Vec::new();
    for customer in 0..CUSTOMERS_PER_SHOP {
        all.push(deliver("customers/create", &customer_json(shop_number, customer)));
    }
    for number in 0..ORDERS_PER_SHOP {
        all.push(deliver("orders/paid", &order_json(shop_number, shop, number)));
        if number % 10 == 7 {
            all.push(deliver("refunds/create", &refund_json(shop_number, shop, number)));
        }
    }
    all
}

const fn customer_id(shop_number: u64, customer: u64) -> u64 {
    7_000_000_000_000_000 + (shop_number - 1) * 1_000_000 + customer + 1
}

const fn order_id(shop_number: u64, number: u64) -> u64 {
    9_100_000_000_000_000 + shop_number * 1_000_000 + number + 1
}

fn customer_json(shop_number: u64, customer: u64) -> Value {
    let names = usize::try_from(customer).unwrap_or_default() % NAMES.len();
    let (first_name, last_name) = NAMES[names];
    json!({
        "id": customer_id(shop_number, customer),
        "email": format!("customer-{customer}@shop-{shop_number}.example"),
        "first_name": first_name,
        "last_name": last_name,
        "phone": null,
        "verified_email": true,
        "updated_at": "2026-01-05T09:00:00Z",
    })
}

fn line_json(shop: &Shop, number: u64) -> Value {
    let pick = usize::try_from(number).unwrap_or_default() % shop.prices.len();
    json!({
        "id": 5_000_000_000_u64 + number,
        "product_id": 4_000_000_000_u64 + u64::try_from(pick).unwrap_or_default(),
        "title": "Demo article",
        "price": shop.prices[pick],
        "quantity": 1,
        "gift_card": false,
        "discount_allocations": [],
        "tax_lines": [],
    })
}

fn order_json(shop_number: u64, shop: &Shop, number: u64) -> Value {
    let line = line_json(shop, number);
    let at = format!("2026-02-{:02}T{:02}:30:00Z", 1 + number % 28, number % 24);
    json!({
        "id": order_id(shop_number, number),
        "order_status_url": format!(
            "https://{}.myshopify.com/{}/orders/demo{number}/authenticate?key=demo", shop.name, 60_000_000 + shop_number
        ),
        "currency": shop.currency,
        "financial_status": "paid",
        "test": false,
        "cancelled_at": null,
        "taxes_included": false,
        "created_at": at,
        "updated_at": at,
        "processed_at": at,
        "total_price": line["price"],
        "customer": customer_json(shop_number, number * 7 % CUSTOMERS_PER_SHOP),
        "line_items": [line],
        "shipping_lines": [],
        "refunds": [],
    })
}

fn refund_json(shop_number: u64, shop: &Shop, number: u64) -> Value {
    let line = line_json(shop, number);
    json!({
        "id": 8_200_000_000_000_000_u64 + shop_number * 1_000_000 + number,
        "order_id": order_id(shop_number, number),
        "created_at": "2026-03-02T10:00:00Z",
        "processed_at": "2026-03-02T10:00:00Z",
        "refund_line_items": [{
            "id": 1,
            "line_item_id": line["id"],
            "quantity": 1,
            "subtotal": line["price"],
            "total_tax": "0",
            "line_item": line,
        }],
        "refund_shipping_lines": [],
        "order_adjustments": [],
    })
}
