//! From request to certificate: killed at every step, repeated, asked for in every way, and with every bug that must show.
use super::*;
use crate::{harness::Folder, scenarios::verify::verified};

/// Where the planted abort can be: before or behind what a step does, and its record.
const POINTS: [&str; 18] = [
    "fence:before",
    "fence:after",
    "fenced:before",
    "fenced:after",
    "destroy:before",
    "destroy:after",
    "destroyed:before",
    "destroyed:after",
    "mark:before",
    "mark:after",
    "purged:before",
    "purged:after",
    "verify:before",
    "verify:after",
    "verified:before",
    "verified:after",
    "completed:before",
    "completed:after",
];

/// How many people are erased, each with a kill.
fn erasures() -> usize {
    let given = std::env::var("LOYALNEST_ERASURES").ok();
    given.map_or(20, |text| text.parse().expect("LOYALNEST_ERASURES is a number"))
}

/// Every request of the shop, page by page.
async fn all_requests(shop: &Shop) -> Vec<Value> {
    let (mut all, mut path) = (Vec::new(), "/v1/api/privacy/requests?limit=200".to_owned());
    loop {
        let page = shop.get(&path).await.expect(200);
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return all };
        path = format!("/v1/api/privacy/requests?limit=200&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_every_erasure_is_certified_and_nobody_is_readable() {
    let folder = Folder::new();
    let mut server = Server::start_on(&folder, &[]);
    let mut shop = Shop::open(&server).await.unthrottled().await;
    let mut gone = Vec::new();
    for number in 0..erasures() {
        let (tag, point) = (format!("Gone{number}x"), POINTS[number % POINTS.len()]);
        let member = Member::join(&shop, &tag).await;
        assert!(server.end_by("TERM").0.success());
        server = Server::start_on(&folder, &[("LOYALNEST_ABORT", point)]);
        // It may be dead before it answers.
        let body = json!({"customer_id": member.customer});
        let ask = shop.at(&server).request(reqwest::Method::POST, REDACT).json(&body);
        drop(ask.send().await);
        let (ended, _) = server.end();
        assert!(!ended.success(), "{point}: it ended by itself");
        server = Server::start_on(&folder, &[]);
        shop = shop.at(&server);
        let id = asked(&shop, &body).await;
        certified(&shop, &id).await;
        gone.push((tag, member));
    }
    shop.door.until_idle().await;
    let mut wrong = Vec::new();
    for request in all_requests(&shop).await {
        if !request["certificate"].is_object() {
            wrong.push(format!("not certified: {request}"));
        }
    }
    for (tag, member) in &gone {
        wrong.extend(member.remembered(&shop, tag).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(server.end_by("TERM").0.success());
    let (code, report) = verified(&folder);
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("sound")), "{report:#}");
    let rebuilt = run(&folder, &["rebuild", "--dry-run", "--json", "--data", "data"], &[]);
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_for_twice_or_by_e_mail_or_is_not_known_is_certified_and_another_shops_people_are_safe()
{
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[]);
    let (shop, other) = (Shop::open(&server).await, Shop::open(&server).await);
    let (twice, mailed) = (Member::join(&shop, "Twice").await, Member::join(&shop, "Mailed").await);
    let stays = Member::join(&shop, "Stays").await;
    // The same person is known in another shop, which asked for nothing.
    let (email, name) = (twice.person.email.as_str(), twice.person.first_name.as_str());
    let theirs = json!({"email": email, "first_name": name});
    other.post("/v1/api/users/create", &theirs).await.expect(201);

    let body = json!({"shopify_customer_id": twice.person.id.to_string()});
    let (one, two) = tokio::join!(asked(&shop, &body), asked(&shop, &body));
    let mail = asked(&shop, &json!({"email": mailed.person.email})).await;
    let unknown = asked(&shop, &json!({"email": "nobody-zq7@private.example"})).await;
    for id in [&one, &two, &mail, &unknown] {
        certified(&shop, id).await;
        let said = statement(&server, &shop, id).await;
        assert_eq!((&said["level"], &said["merchant"]), (&json!("live"), &json!(shop.merchant_id)), "{said}");
    }
    let nothing = statement(&server, &shop, &unknown).await;
    assert_eq!((&nothing["subjects"], &nothing["destroyed"]["keys"]), (&json!([]), &json!(0)), "{nothing}");
    for (tag, member) in [("Twice", &twice), ("Mailed", &mailed)] {
        member.comes_late(&shop).await;
        let wrong = member.remembered(&shop, tag).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    let there = async || other.ask("/v1/api/users/get", &[("email", email)]).await.expect(200);
    assert_eq!(there().await["first_name"], name);
    // Another shop cannot see, and not ask for, what is this one's.
    other.get(&format!("/v1/api/privacy/requests/{one}")).await.problem(404, "request-not-found");
    let foreign = other.post(REDACT, &json!({"customer_id": stays.customer})).await;
    assert!(matches!(foreign.status, 200..=202 | 404), "{}", foreign.text);
    assert_eq!(there().await["first_name"], name);
    assert_eq!(shop.customer(stays.person.id).await["email"], stays.person.email.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_is_erased_by_shopifys_topic_with_everybody_in_it_and_its_neighbour_is_not() {
    let server = Server::start();
    let (shop, other) = (Shop::open(&server).await, Shop::open(&server).await);
    let mut gone = Vec::new();
    for tag in ["ShopA", "ShopB"] {
        gone.push((tag, Member::join(&shop, tag).await));
    }
    let stays = Member::join(&other, "Stays").await;
    let body = json!({"shop_id": shop.number, "shop_domain": shop.domain});
    shop.deliver("shop/redact", body.to_string()).await;
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    let request = loop {
        let all = shop.get("/v1/api/privacy/requests").await.expect(200);
        let items = all["items"].as_array().unwrap();
        if let Some(done) =
            items.iter().find(|item| item["scope"] == "shop" && item["certificate"].is_object())
        {
            break done.clone();
        }
        assert!(Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    };
    let said = statement(&server, &shop, request["request_id"].as_str().unwrap()).await;
    assert_eq!(said["scope"], "shop", "{said}");
    for (tag, member) in &gone {
        let named = Markers::new(&member.markers(tag));
        for (path, text) in member.answers(&shop).await {
            let text = text.replace(&member.order.id.to_string(), "");
            assert_eq!(named.found(text.as_bytes()), [""; 0], "{path}: {text}");
        }
    }
    assert_eq!(other.customer(stays.person.id).await["email"], stays.person.email.as_str());
    let earned = other.earn(&stays.customer, 1, "after").await;
    assert_eq!(earned.status, 200, "{}", earned.text);
}
