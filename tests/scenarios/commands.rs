//! Points earned and adjusted over the API, and the questions about them: balances, statements, times, positions.
use serde_json::{Value, json};

use crate::{
    harness::{Balance, Door, Server, Shop, shared},
    shopify::{order, person},
};

/// What the answer to a command says of one bucket.
#[track_caller]
fn points(answer: &Value, bucket: &str) -> i64 {
    answer[bucket].as_i64().unwrap_or_else(|| panic!("{bucket} in {answer}"))
}

#[tokio::test]
async fn an_earned_award_is_in_the_answer_the_balance_and_the_statement() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let answer = shop.earn(&customer, 120, "review-17").await.expect(200);
    let expected = Balance { available: 120, lifetime_earned: 120, ..Balance::default() };
    assert_eq!((points(&answer, "balance"), points(&answer, "available")), (120, 120));
    let position = answer["position"].as_str().unwrap();
    let shown = shop.balance_with(&customer, &[("min_position", position)]).await.expect(200);
    assert_eq!(serde_json::from_value::<Balance>(shown.clone()).unwrap(), expected);
    assert_eq!(shown["customer_id"], customer.as_str());
    assert!(shown["position"].is_string() && shown["as_of"].is_string(), "{shown}");

    let [entry] = <[_; 1]>::try_from(shop.statement(&customer).await).unwrap();
    assert_eq!(entry.entry_id, answer["entry_id"].as_str().unwrap());
    assert_eq!((entry.r#type.as_str(), entry.points), ("earn", 120));
    assert_eq!(entry.source["id"], "review-17");
    assert!(entry.why.contains("goodwill"), "{}", entry.why);
}

#[tokio::test]
async fn an_amount_earns_at_the_rate_of_the_settings() {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"earn": {"points_per_unit": "2"}})).await;
    let customer = shop.enrol().await;
    let earn = |amount: &str, currency: &str, source: &str| {
        json!({
            "customer_id": customer, "amount": {"amount": amount, "currency": currency},
            "reason": "till-sale", "source_id": source
        })
    };
    let path = "/v1/api/points/earn";
    let answer = shop.post(path, &earn("54.93", "USD", "a")).await.expect(200);
    assert_eq!(points(&answer, "available"), 109);
    for (body, code, pointer) in [
        (earn("54.93", "EUR", "b"), "currency-mismatch", "/amount/currency"),
        (earn("54.935", "USD", "c"), "invalid-field", "/amount/amount"),
        (earn("5e1", "USD", "d"), "invalid-field", "/amount/amount"),
        (earn("-5.00", "USD", "e"), "invalid-field", "/amount/amount"),
        (earn("0.00", "USD", "f"), "invalid-field", "/amount/amount"),
    ] {
        assert_eq!(shop.post(path, &body).await.refused_field(code), pointer, "{body}");
    }
    assert_eq!(shop.balance(&customer).await.available, 109);
}

#[tokio::test]
async fn a_source_earns_once_and_other_content_under_it_is_a_conflict() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let first = shop.earn(&customer, 50, "survey-1").await.expect(200);
    let again = shop.earn(&customer, 50, "survey-1").await.expect(200);
    assert_eq!(again["entry_id"], first["entry_id"]);
    assert_eq!(again["available"], first["available"]);
    shop.earn(&customer, 51, "survey-1").await.problem(409, "source-conflict");
    assert_eq!(shop.balance(&customer).await.available, 50);
    let other = shop.enrol().await;
    shop.earn(&other, 51, "survey-1").await.expect(200);
}

#[tokio::test]
async fn an_adjustment_moves_points_both_ways_with_its_reason() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(100).await;
    let body = json!({
        "customer_id": customer, "points": -30, "reason_code": "wrong-scan",
        "public_note": "We took back a double scan", "internal_note": "ticket 4711"
    });
    let answer = shop.post("/v1/api/points/adjust", &body).await.expect(200);
    assert_eq!((points(&answer, "points"), points(&answer, "available")), (-30, 70));
    assert_eq!(shop.balance(&customer).await.lifetime_adjusted, -30);
    shop.adjust(&customer, 5).await.expect(200);
    let statement = shop.statement(&customer).await;
    let moves: Vec<_> = statement.iter().map(|entry| (entry.r#type.as_str(), entry.points)).collect();
    assert_eq!(moves, [("adjust", 5), ("adjust", -30), ("earn", 100)]);
    assert!(statement[1].why.contains("wrong-scan"), "{}", statement[1].why);
}

#[tokio::test]
async fn adjusting_below_zero_needs_the_flag_and_leaves_debt() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(100).await;
    let refused = shop.adjust(&customer, -101).await.problem(409, "insufficient-points");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("101") && detail.contains("100"), "{detail}");
    assert_eq!(shop.balance(&customer).await.available, 100);
    let body =
        json!({"customer_id": customer, "points": -150, "reason_code": "fraud", "allow_negative": true});
    let answer = shop.post("/v1/api/points/adjust", &body).await.expect(200);
    assert_eq!((points(&answer, "available"), points(&answer, "debt")), (0, 50));
    shop.earn(&customer, 60, "later").await.expect(200);
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.debt), (10, 0));
    assert_eq!(shop.statement(&customer).await.len(), 3);
}

#[tokio::test]
async fn points_beyond_64_bits_are_refused_and_nothing_moves() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(i64::MAX - 1).await;
    shop.earn(&customer, 2, "too-much").await.problem(422, "points-overflow");
    shop.adjust(&customer, 2).await.problem(422, "points-overflow");
    assert_eq!(shop.balance(&customer).await.available, i64::MAX - 1);
}

#[tokio::test]
async fn wrong_fields_of_commands_are_named_and_never_repeated() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let (earn, adjust, redeem) = ("/v1/api/points/earn", "/v1/api/points/adjust", "/v1/api/points/redeem");
    let long = "x".repeat(65);
    for (path, field, value) in [
        (earn, "points", json!(0)),
        (earn, "points", json!(-5)),
        (earn, "points", json!(1.5)),
        (earn, "points", json!("12")),
        (earn, "points", Value::Null),
        (earn, "reason", json!("Not Kebab marker-zz")),
        (earn, "reason", json!(long)),
        (earn, "reason", Value::Null),
        (earn, "source_id", Value::Null),
        (earn, "customer_id", json!("marker-zz")),
        (earn, "customer_id", Value::Null),
        (adjust, "points", json!(0)),
        (adjust, "points", json!("marker-zz")),
        (adjust, "reason_code", json!("")),
        (redeem, "points", json!(0)),
        (redeem, "points", json!(-1)),
    ] {
        let mut body = if path == earn {
            json!({"customer_id": customer, "points": 5, "reason": "goodwill", "source_id": "s"})
        } else {
            json!({"customer_id": customer, "points": 5, "reason_code": "goodwill"})
        };
        body[field] = value;
        if path == redeem {
            drop(body.as_object_mut().unwrap().remove("reason_code"));
        }
        let answer = shop.post(path, &body).await;
        assert_eq!(answer.refused_field("invalid-field"), format!("/{field}"), "{body}");
        assert!(!answer.text.contains("marker-zz"), "{}", answer.text);
    }
    assert_eq!(shop.balance(&customer).await, Balance::default());
}

#[tokio::test]
async fn a_balance_can_be_asked_as_of_recorded_and_as_of_business_time() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(54_00, 1).paid();
    shop.delivered("orders/paid", order.body(&shop)).await;
    let customer = shop.customer_id(ada.id).await;
    let available = async |parameter: &str, time: &str| {
        let answer = shop.balance_with(&customer, &[(parameter, time)]).await.expect(200);
        answer["available"].as_i64().unwrap()
    };
    // The order was paid in January, and recorded just now.
    assert_eq!(available("as_of", "2026-02-01T00:00:00Z").await, 0);
    assert_eq!(available("as_of_occurred", "2026-02-01T00:00:00Z").await, 54);
    assert_eq!(available("as_of_occurred", "2026-01-01T00:00:00Z").await, 0);
    let recorded = shop.statement(&customer).await[0].recorded_at.clone();
    assert_eq!(available("as_of", &recorded).await, 54);
    shop.earn(&customer, 6, "later").await.expect(200);
    assert_eq!(available("as_of", &recorded).await, 54);
    assert_eq!(shop.balance(&customer).await.available, 60);
    for parameter in ["as_of", "as_of_occurred"] {
        let refused = shop.balance_with(&customer, &[(parameter, "yesterday")]).await;
        assert_eq!(refused.problem(400, "invalid-parameter")["errors"][0]["pointer"], parameter);
    }
}

#[tokio::test]
async fn a_command_may_have_happened_before_but_not_later_than_now() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let earn = |occurred_at: &str, source: &str| {
        json!({
            "customer_id": customer, "points": 5, "reason": "goodwill", "source_id": source,
            "occurred_at": occurred_at
        })
    };
    shop.post("/v1/api/points/earn", &earn("2026-01-05T10:00:00Z", "past")).await.expect(200);
    assert_eq!(shop.statement(&customer).await[0].occurred_at, "2026-01-05T10:00:00Z");
    let refused = shop.post("/v1/api/points/earn", &earn("2099-01-05T10:00:00Z", "future")).await;
    assert_eq!(refused.refused_field("time-ahead"), "/occurred_at");
    assert_eq!(shop.balance(&customer).await.available, 5);
}

#[tokio::test]
async fn a_query_waits_for_the_position_it_was_given() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let answer = shop.earn(&customer, 5, "a").await.expect(200);
    let position = answer["position"].as_str().unwrap();
    let parts: Vec<&str> = position.split('-').collect();
    let [log, partition, at, head] = parts[..] else { panic!("{position} has four parts") };
    let ask = async |position: String| shop.balance_with(&customer, &[("min_position", &position)]).await;
    ask(position.to_owned()).await.expect(200);
    let far = ask(format!("{log}-{partition}-{}-{head}", at.parse::<u64>().unwrap() + 1_000_000)).await;
    far.problem(503, "not-caught-up");
    assert!(far.header("retry-after").is_some(), "{far:?}");
    ask(format!("00000000-{partition}-{at}-{head}")).await.problem(409, "other-history");
    let refused = ask("nonsense".to_owned()).await;
    assert_eq!(refused.problem(400, "invalid-parameter")["errors"][0]["pointer"], "min_position");
}

#[tokio::test]
async fn a_statement_is_read_page_by_page_newest_first() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    for number in 1..=7 {
        shop.earn(&customer, number, &format!("source-{number}")).await.expect(200);
    }
    let (mut seen, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let mut parameters = vec![("customer_id", customer.as_str()), ("limit", "3")];
        if !cursor.is_empty() {
            parameters.push(("cursor", &cursor));
        }
        let page = shop.ask("/v1/api/points/statement", &parameters).await.expect(200);
        let items = page["items"].as_array().unwrap();
        sizes.push(items.len());
        seen.extend(items.iter().map(|item| item["points"].as_i64().unwrap()));
        // What comes in between pages does not shift them.
        shop.earn(&customer, 100, &format!("between-{}", sizes.len())).await.expect(200);
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!((seen, sizes), (vec![7, 6, 5, 4, 3, 2, 1], vec![3, 3, 1]));
    for (parameter, value) in [("limit", "0"), ("limit", "201"), ("limit", "x"), ("cursor", "nonsense")] {
        let parameters = [("customer_id", customer.as_str()), (parameter, value)];
        let refused = shop.ask("/v1/api/points/statement", &parameters).await;
        assert_eq!(refused.problem(400, "invalid-parameter")["errors"][0]["pointer"], parameter);
    }
}

#[tokio::test]
async fn a_customer_made_over_the_api_is_one_person_per_shopify_id() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let body = json!({
        "shopify_customer_id": ada.id.to_string(), "email": ada.email,
        "first_name": ada.first_name, "last_name": ada.last_name
    });
    let made = shop.post("/v1/api/users/create", &body).await.expect(201);
    let again = shop.post("/v1/api/users/create", &body).await;
    assert!(again.status == 201 || again.status == 200, "{}", again.text);
    assert_eq!(again.json()["customer_id"], made["customer_id"]);
    assert_eq!(shop.customer(ada.id).await["customer_id"], made["customer_id"]);
    shop.delivered("orders/paid", order().by(&ada).line(9_00, 1).paid().body(&shop)).await;
    assert_eq!(shop.balance(made["customer_id"].as_str().unwrap()).await.available, 9);
}

#[tokio::test]
async fn the_clock_goes_forward_only_and_keeps_its_offset_over_a_restart() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let customer = shop.enrol().await;
    let set = async |door: &Door, now: &str| door.operator_post("/admin/clock", &json!({"now": now})).await;
    set(&shop.door, "2030-05-01T00:00:00Z").await.expect(200);
    shop.earn(&customer, 5, "a").await.expect(200);
    let recorded = shop.statement(&customer).await[0].recorded_at.clone();
    assert!(recorded.starts_with("2030-05-01T00:0"), "{recorded}");
    let back = set(&shop.door, "2030-04-30T00:00:00Z").await;
    assert!((400..500).contains(&back.status), "{}", back.text);
    let refused = shop.post("/admin/clock", &json!({"now": "2031-01-01T00:00:00Z"})).await;
    refused.problem(401, "unauthenticated");

    let server = Server::start_on(&server.kill(), &[]);
    let shop = shop.at(&server);
    shop.earn(&customer, 6, "b").await.expect(200);
    let recorded = shop.statement(&customer).await[0].recorded_at.clone();
    assert!(recorded.starts_with("2030-05-01T00:"), "{recorded}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_at_once_on_one_account_are_all_answered_and_all_counted() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let asked: Vec<_> = (0..400)
        .map(|number| {
            let (shop, customer) = (shop.clone(), customer.clone());
            tokio::spawn(async move { shop.earn(&customer, 3, &format!("at-once-{}", number / 2)).await })
        })
        .collect();
    for answer in asked {
        answer.await.unwrap().expect(200);
    }
    assert_eq!(shop.balance(&customer).await.available, 600);
    assert_eq!(shop.statement(&customer).await.len(), 200);
}
