//! Erasures while something else goes on: a rebuild, a merge, a node that sleeps, read models that nobody fills.
use super::*;
use crate::{harness::Job, shopify::merge};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_erased_during_a_rebuild_is_in_neither_table_afterwards() {
    let server = Server::start();
    let shop = Shop::open(&server).await.unthrottled().await;
    let (gone, stays) = (Member::join(&shop, "Gone").await, Member::join(&shop, "Stays").await);
    let id = asked(&shop, &json!({"customer_id": gone.customer})).await;
    let rebuild = Job::start(&server.folder, &["rebuild", "--json", "--data", "data"], &[]);
    certified(&shop, &id).await;
    let rebuilt = rebuild.end();
    assert!(matches!(rebuilt.status.code(), Some(0 | 1)), "{rebuilt:?}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_merged_while_they_are_erased_is_erased_too() {
    let server = Server::start();
    let shop = Shop::open(&server).await.unthrottled().await;
    let (kept, merged) = (Member::join(&shop, "Kept").await, Member::join(&shop, "Merged").await);
    let merging = shop.webhook("customers/merge", merge(&kept.person, &merged.person, "completed"));
    let body = json!({"customer_id": kept.customer});
    let (id, ()) = tokio::join!(asked(&shop, &body), shop.accept(&merging));
    certified(&shop, &id).await;
    shop.door.until_idle().await;
    // Whoever turns out to be them gets an erasure of their own.
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    loop {
        let all = shop.get("/v1/api/privacy/requests").await.expect(200);
        let mut items = all["items"].as_array().unwrap().iter();
        if items.all(|item| item["certificate"].is_object()) {
            break;
        }
        assert!(Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let kept_is_told = Markers::new(&kept.markers("Kept"));
    for (path, text) in kept.answers(&shop).await {
        let text = text.replace(&kept.order.id.to_string(), "");
        assert_eq!(kept_is_told.found(text.as_bytes()), [""; 0], "{path}: {text}");
    }
    // The merge came first and they are one person, or it came too late and changed nothing.
    let theirs = shop.ask("/v1/api/users/get", &[("customer_id", &merged.customer)]).await.expect(200);
    let named = Markers::new(&merged.markers("Merged")).found(theirs.to_string().as_bytes()).len();
    assert!(theirs["status"] == "redacted" && named == 0 || theirs["status"] == "active", "{theirs}");
}

#[cfg(feature = "postgres")]
mod among_nodes {
    use super::*;
    use crate::harness::{Nodes, signal};

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

    /// Somebody is erased, alone or with their shop, while nobody fills the read models.
    struct Unfilled {
        nodes: Nodes,
        _writer: Server,
        shop: Shop,
        gone: Member,
    }

    impl Unfilled {
        async fn begin(body: fn(&Shop, &Member) -> (&'static str, Value), more: &[(&str, &str)]) -> Self {
            let nodes = Nodes::on_postgres(2);
            let writer = nodes.start(0, &[&[WITHOUT_PROJECTOR], more].concat());
            let projector = nodes.start(1, &[PROJECTOR]);
            let shop = Shop::open(&writer).await;
            let gone = Member::join(&shop, "Gone").await;
            shop.customer(gone.person.id).await;
            drop(projector.kill());
            let (topic, body) = body(&shop, &gone);
            shop.deliver(topic, body.to_string()).await;
            let unfilled = Self { nodes, _writer: writer, shop, gone };
            unfilled.until_destroyed().await;
            unfilled
        }

        /// Waits until the store has neither the person's key nor the shop's that wraps it.
        async fn until_destroyed(&self) {
            let key = "SELECT count(*)::text FROM loyalnest_keys.subject_key k
                JOIN loyalnest_keys.fence f ON f.merchant = k.merchant
                WHERE position(decode(repeat('00', 16), 'hex') IN k.wrapped) > 0 OR f.subject = decode(repeat('00', 16), 'hex')";
            let until = Instant::now() + CERTIFIED_WITHIN;
            while self.nodes.database().texts("", key) == [[Some("0".to_owned())]] {
                assert!(Instant::now() < until, "no key was destroyed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }

        /// What the tables, in which they still stand, give away of them.
        async fn told(&self) -> Vec<String> {
            let named = Markers::new(&self.gone.markers("Gone"));
            let user = ("customer_id", self.gone.customer.as_str());
            let answer = self.shop.ask("/v1/api/users/get", &[user]).await;
            named.found(answer.text.as_bytes()).into_iter().map(str::to_owned).collect()
        }
    }

    fn person_alone(shop: &Shop, gone: &Member) -> (&'static str, Value) {
        let customer = json!({"id": gone.person.id, "email": gone.person.email, "phone": gone.person.phone});
        let body = json!({
            "shop_id": shop.number, "shop_domain": shop.domain, "customer": customer,
            "orders_to_redact": [gone.order.id],
        });
        ("customers/redact", body)
    }

    fn whole_shop(shop: &Shop, _: &Member) -> (&'static str, Value) {
        ("shop/redact", json!({"shop_id": shop.number, "shop_domain": shop.domain}))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_nobody_fills_the_read_models_a_shop_is_unreadable_at_once_and_certified_later() {
        let unfilled = Unfilled::begin(whole_shop, &[]).await;
        assert_eq!(unfilled.told().await, [""; 0]);
        let until = Instant::now() + CERTIFIED_WITHIN;
        // Its name is free again when its session is over.
        let _projector = loop {
            match unfilled.nodes.try_start(1, &[PROJECTOR]) {
                Ok(projector) => break projector,
                Err(said) => assert!(said.contains("is alive") && Instant::now() < until, "{said}"),
            }
        };
        loop {
            let all = unfilled.shop.get("/v1/api/privacy/requests").await;
            if all.status == 200 && all.json()["items"][0]["certificate"].is_object() {
                break;
            }
            assert!(Instant::now() < until, "{}", all.text);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_nobody_fills_the_read_models_a_person_is_unreadable_too() {
        assert_eq!(Unfilled::begin(person_alone, &[]).await.told().await, [""; 0]);
    }

    /// The planted bug forgets nothing of what it remembers of a key when it is fenced.
    #[cfg(feature = "planted-bugs")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cache_that_outlives_the_fence_is_caught() {
        let bug = ("LOYALNEST_PLANTED_BUG", "cache-not-evicted");
        let told = Unfilled::begin(person_alone, &[bug]).await.told().await;
        assert!(!told.is_empty(), "the planted bug was not there");
    }
}
