//! Erasures while something else surely goes on: a rebuild, merges, writes, first sights, a node that sleeps, read models
//! that nobody fills.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use super::*;
use crate::{
    harness::{Folder, Hold, Job, Outcome, signal},
    shopify::merge,
};

/// A server that waits at this place, once.
fn start_held(folder: &Folder, place: &'static str) -> (Server, Hold) {
    let hold = Hold::at(folder, place);
    let setting = hold.setting();
    (Server::start_on(folder, &[("LOYALNEST_HOLD", &setting)]), hold)
}

/// What became of a delivery, while an erasure is held and the server never idle.
async fn ended(shop: &Shop, webhook_id: &str) -> Outcome {
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    loop {
        let outcome = shop.outcome(webhook_id).await;
        if matches!(outcome.status.as_str(), "processed" | "dead_lettered") {
            return outcome;
        }
        assert!(Instant::now() < deadline, "{outcome:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until every request of the shop has its certificate; they are so many.
async fn all_certified(shop: &Shop, count: usize) {
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    loop {
        let all = shop.get("/v1/api/privacy/requests").await.expect(200);
        let items = all["items"].as_array().unwrap();
        if items.len() >= count && items.iter().all(|item| item["certificate"].is_object()) {
            assert_eq!(items.len(), count, "{all}");
            return;
        }
        assert!(Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// What answers tell of somebody.
async fn told(shop: &Shop, member: &Member, tag: &str) -> Vec<String> {
    let named = Markers::new(&member.markers(tag));
    let mut told = Vec::new();
    for (path, text) in member.answers(shop).await {
        let text = text.replace(&member.order.id.to_string(), "");
        told.extend(named.found(text.as_bytes()).into_iter().map(|found| format!("{path}: {found}: {text}")));
    }
    told
}

/// The new tables are filled when the erasure begins, and served when it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_erased_during_a_rebuild_is_in_neither_table_afterwards() {
    let folder = Folder::new();
    let (server, hold) = start_held(&folder, "rebuilt");
    let shop = Shop::open(&server).await.unthrottled().await;
    let (gone, stays) = (Member::join(&shop, "Gone").await, Member::join(&shop, "Stays").await);
    let rebuild = Job::start(&server.folder, &["rebuild", "--json", "--data", "data"], &[]);
    hold.reached().await;
    let id = asked(&shop, &json!({"customer_id": gone.customer})).await;
    certified(&shop, &id).await;
    hold.release();
    let rebuilt = rebuild.end();
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
    shop.door.until_idle().await;
    for generation in ["the rebuilt tables", "those before"] {
        let wrong = gone.remembered(&shop, "Gone").await;
        assert!(wrong.is_empty(), "{generation}: {wrong:#?}");
        assert_eq!(shop.customer(stays.person.id).await["email"], stays.person.email.as_str());
        if generation == "the rebuilt tables" {
            let back = run(&server.folder, &["rebuild", "--rollback", "--json", "--data", "data"], &[]);
            assert_eq!(back.status.code(), Some(0), "{back:?}");
            shop.door.until_idle().await;
        }
    }
}

/// Somebody turns out to be the same person while an erasure stands where it is held, before its fence or behind. It then
/// dies before and behind the request for them.
async fn merged_while_held_at(place: &'static str) {
    let folder = Folder::new();
    let (server, hold) = start_held(&folder, place);
    let shop = Shop::open(&server).await.unthrottled().await;
    let (kept, merged) = (Member::join(&shop, "Kept").await, Member::join(&shop, "Merged").await);
    asked(&shop, &json!({"customer_id": kept.customer})).await;
    hold.reached().await;
    let merging = shop.deliver("customers/merge", merge(&kept.person, &merged.person, "completed")).await;
    assert_eq!(ended(&shop, &merging).await.reason, None);
    drop(server.kill());
    for place in ["follow:before", "follow:after"] {
        kills::killed_at(&folder, &[], place, async |_| {}).await;
    }
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    all_certified(&shop, 2).await;
    for (member, tag) in [(&kept, "Kept"), (&merged, "Merged")] {
        assert_eq!(told(&shop, member, tag).await, [""; 0]);
        let user = shop.ask("/v1/api/users/get", &[("customer_id", &member.customer)]).await.expect(200);
        assert_eq!(user["status"], "redacted", "{user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_merged_while_they_are_erased_is_erased_too() {
    for place in ["fence:before", "fenced:after"] {
        merged_while_held_at(place).await;
    }
}

/// Writes notes about somebody until that is refused; how many points they got.
async fn written_about(shop: Shop, customer: String, writer: u32, points: Arc<AtomicI64>) {
    for number in 0.. {
        let note = format!("Racing{writer}x{number}Zq7");
        let body =
            json!({"customer_id": customer, "points": 1, "reason_code": "goodwill", "public_note": note});
        let answer = shop.post("/v1/api/points/adjust", &body).await;
        if answer.status != 200 {
            answer.problem(409, "account-redacted");
            return;
        }
        points.fetch_add(1, Ordering::SeqCst);
    }
}

/// Keys are in use when the fence is raised, for certain: writers have written while it was about to be, and are refused
/// behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_while_the_fence_is_raised_is_readable_to_nobody() {
    let folder = Folder::new();
    let (server, hold) = start_held(&folder, "fence:before");
    let shop = Shop::open(&server).await.unthrottled().await;
    let mut gone = Member::join(&shop, "Gone").await;
    let id = asked(&shop, &json!({"customer_id": gone.customer})).await;
    hold.reached().await;
    let points = Arc::new(AtomicI64::new(0));
    let writers = (0..4).map(|writer| {
        tokio::spawn(written_about(shop.clone(), gone.customer.clone(), writer, Arc::clone(&points)))
    });
    let writers: Vec<_> = writers.collect();
    while points.load(Ordering::SeqCst) < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    hold.release();
    for writer in writers {
        writer.await.unwrap();
    }
    certified(&shop, &id).await;
    gone.points += points.load(Ordering::SeqCst);
    println!("{} notes were sealed meanwhile", gone.points);
    assert_eq!(gone.remembered(&shop, "Gone").await, [""; 0]);
    let statement = shop.ask("/v1/api/points/statement", &[("customer_id", &gone.customer)]).await;
    assert!(statement.status == 200 && !statement.text.contains("Racing"), "{}", statement.text);
    let verified = run(&folder, &["verify", "--json", "--data", "data"], &[]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
}

/// Shopify has somebody forgotten whom nobody here knows, and who becomes known just when it was found out that there is
/// nobody. With the tombstone left only afterwards they were seen to stay, under a certificate that nothing is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_seen_for_the_first_time_while_they_are_erased_is_not_there_afterwards() {
    let folder = Folder::new();
    let (server, hold) = start_held(&folder, "named:after");
    let shop = Shop::open(&server).await.unthrottled().await;
    let unknown: Vec<_> = (0..8).map(|number| recognisable(&format!("Unknown{number}x"))).collect();
    let redact = |person: &Person| {
        let customer = json!({"id": person.id, "email": person.email, "phone": person.phone});
        let body = json!({"shop_domain": shop.domain, "customer": customer, "orders_to_redact": []});
        shop.webhook("customers/redact", body.to_string())
    };
    shop.accept(&redact(&unknown[0])).await;
    hold.reached().await;
    let bought = |person: &Person| order().by(person).line(9_00, 1).paid().body(&shop);
    let join = json!({"shopify_customer_id": unknown[0].id.to_string(), "email": unknown[0].email});
    let joined = shop.post("/v1/api/users/create", &join).await;
    assert_eq!(joined.status, 409, "{}", joined.text);
    hold.release();
    // The others at once: the one or the other comes first.
    for person in &unknown[1..] {
        let (redact, create) = (redact(person), shop.webhook("customers/create", person.body()));
        tokio::join!(shop.accept(&create), shop.accept(&redact));
    }
    shop.door.until_idle().await;
    all_certified(&shop, unknown.len()).await;
    for person in &unknown {
        shop.deliver("orders/paid", bought(person)).await;
    }
    shop.door.until_idle().await;
    let all = shop.get("/v1/api/orders").await;
    for (number, person) in unknown.iter().enumerate() {
        let id = person.id.to_string();
        for by in [("email", person.email.as_str()), ("shopify_customer_id", &id)] {
            shop.ask("/v1/api/users/get", &[by]).await.problem(404, "customer-not-found");
        }
        let named = Markers::new(&markers_of("them", person));
        assert_eq!(named.found(all.text.as_bytes()), [""; 0], "{number}: {}", all.text);
    }
}

#[cfg(feature = "postgres")]
mod among_nodes {
    use super::*;
    use crate::harness::Nodes;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_node_that_slept_through_an_erasure_wakes_up_blind() {
        let nodes = Nodes::on_postgres(2);
        let servers = nodes.start_all(&[]);
        let shop = Shop::open(&servers[0]).await;
        let gone = Member::join(&shop, "Gone").await;
        let sleeper = shop.at(&servers[1]);
        sleeper.door.until_idle().await;
        assert_eq!(
            sleeper.customer(gone.person.id).await["email"],
            gone.person.email.as_str(),
            "it has the key"
        );
        signal(servers[1].id(), "STOP");
        let began = Instant::now();
        let body = json!({"customer_id": gone.customer});
        // Its partitions are the other's once its session is over.
        let id = loop {
            let answer = shop.post(REDACT, &body).await;
            if matches!(answer.status, 200..=202) {
                break answer.json()["request_id"].as_str().unwrap().to_owned();
            }
            assert_eq!(answer.status, 503, "{}", answer.text);
            assert!(began.elapsed() < CERTIFIED_WITHIN, "{}", answer.text);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        certified(&shop, &id).await;
        println!("certified {:?} after it was asked for, with a node asleep", began.elapsed());
        // What it is asked when it wakes is in its sockets already.
        let questions: Vec<_> = (0..4)
            .map(|_| {
                let (sleeper, customer) = (sleeper.clone(), gone.customer.clone());
                tokio::spawn(
                    async move { sleeper.ask("/v1/api/users/get", &[("customer_id", &customer)]).await },
                )
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        signal(servers[1].id(), "CONT");
        let named = Markers::new(&gone.markers("Gone"));
        for question in questions {
            let answer = question.await.unwrap();
            assert_eq!(named.found(answer.text.as_bytes()), [""; 0], "{}", answer.text);
        }
        let wrong = gone.remembered(&shop, "Gone").await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    const WITHOUT_PROJECTOR: (&str, &str) = ("LOYALNEST_ROLES", "commands,policies,webhooks,queries");
    const PROJECTOR: (&str, &str) = ("LOYALNEST_ROLES", "projector");

    /// Waits until the shop is fenced, and the keys that wrapped those of its people are others.
    async fn until_destroyed(nodes: &Nodes) {
        let destroyed = "SELECT count(*)::text FROM loyalnest_keys.subject_key k
            JOIN loyalnest_keys.fence f ON f.merchant = k.merchant AND f.subject = decode(repeat('00', 16), 'hex')
            WHERE position(decode(repeat('00', 16), 'hex') IN k.wrapped) > 0";
        let until = Instant::now() + CERTIFIED_WITHIN;
        while nodes.database().texts("", destroyed) == [[Some("0".to_owned())]] {
            assert!(Instant::now() < until, "no key was destroyed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_nobody_fills_the_read_models_a_shop_is_unreadable_at_once_and_certified_later() {
        let nodes = Nodes::on_postgres(2);
        let writer = nodes.start(0, &[WITHOUT_PROJECTOR]);
        let projector = nodes.start(1, &[PROJECTOR]);
        let shop = Shop::open(&writer).await;
        let gone = Member::join(&shop, "Gone").await;
        shop.customer(gone.person.id).await;
        drop(projector.kill());
        let redact = json!({"shop_id": shop.number, "shop_domain": shop.domain});
        shop.deliver("shop/redact", redact.to_string()).await;
        until_destroyed(&nodes).await;
        let user = shop.ask("/v1/api/users/get", &[("customer_id", &gone.customer)]).await;
        assert_eq!(Markers::new(&gone.markers("Gone")).found(user.text.as_bytes()), [""; 0], "{}", user.text);
        let until = Instant::now() + CERTIFIED_WITHIN;
        // Its name is free again when its session is over.
        let _projector = loop {
            match nodes.try_start(1, &[PROJECTOR]) {
                Ok(projector) => break projector,
                Err(said) => assert!(said.contains("is alive") && Instant::now() < until, "{said}"),
            }
        };
        loop {
            let all = shop.get("/v1/api/privacy/requests").await;
            if all.status == 200 && all.json()["items"][0]["certificate"].is_object() {
                break;
            }
            assert!(Instant::now() < until, "{}", all.text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
