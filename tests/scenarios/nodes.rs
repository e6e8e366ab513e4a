//! Several nodes over one log: whatever happens to one of them, every request has one answer, and it holds.
//!
//! The planted bugs at the end are found by the same comparison.
mod faults;
mod journal;
#[cfg(feature = "kafka")]
mod kafka;
mod ledger;
mod load;
mod loss;
#[cfg(feature = "planted-bugs")]
mod marked;
mod running;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use self::{
    journal::Journal,
    load::{World, opened, set},
    running::{PAUSED_FOR, Running, restarted},
};
use crate::harness::{
    Answer, Door, Hold, Nodes, OwnServer, SESSION, Seed, Server, Shop, partitions, program_of_postgres,
    signal,
};

/// How many times the short form a campaign lasts, by this variable.
const SIZE: &str = "LOYALNEST_NODES_SIZE";
/// The longest that nodes may take to agree on something.
const AGREE_WITHIN: Duration = Duration::from_secs(45);

fn size() -> u32 {
    std::env::var(SIZE).map_or(1, |text| text.parse().unwrap_or_else(|_| panic!("{SIZE} is a number")))
}

/// Waits until this holds.
async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    until_within(AGREE_WITHIN, what, holds).await;
}

/// Waits until this holds, no longer than so.
async fn until_within(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The partitions that this node serves.
async fn owned(server: &Server) -> Vec<u64> {
    let all = partitions(&Door::of(server)).await;
    let here = all.iter().filter(|partition| partition["here"] == true);
    here.map(|partition| partition["partition"].as_u64().unwrap()).collect()
}

/// Waits until each partition is served by one of these nodes, and each of them serves some.
async fn until_shared(nodes: &Nodes, servers: &[&Server]) {
    until("every node owns its share", async || {
        let mut all = Vec::new();
        for server in servers {
            let own = owned(server).await;
            if own.is_empty() {
                return false;
            }
            all.extend(own);
        }
        all.sort_unstable();
        all.into_iter().eq(nodes.partitions())
    })
    .await;
}

/// What waits for a server, beside the tasks that go on.
async fn on_a_thread(mut server: OwnServer, wait: impl FnOnce(&mut OwnServer) + Send + 'static) -> OwnServer {
    let waiting = tokio::task::spawn_blocking(move || {
        wait(&mut server);
        server
    });
    waiting.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_answer_as_one() {
    let nodes = Nodes::on_postgres(3);
    let servers = nodes.start_all(&[]);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let listed = Door::of(&servers[2]).operator_get("/admin/nodes").await.expect(200);
    let names: Vec<&str> =
        listed["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["node-0", "node-1", "node-2"]);

    let world = World::begin(&servers).await;
    let load = world.load(&mut Seed::new());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let journal = load.end().await;
    assert!(journal.answered() > 10);
    let wrong = world.check(&nodes, &journal).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Catches: a node that serves a door whose role it does not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_can_be_a_process_of_its_own() {
    let nodes = Nodes::on_postgres(3);
    let writing = nodes.start(0, &[("LOYALNEST_ROLES", "commands,policies")]);
    let folding = nodes.start(1, &[("LOYALNEST_ROLES", "projector,webhooks")]);
    let reading = nodes.start(2, &[("LOYALNEST_ROLES", "queries")]);
    let shop = Shop::open(&writing).await;
    let (at_folding, at_reading) = (shop.at(&folding), shop.at(&reading));
    let customer = shop.enrol().await;
    let earned = shop.earn(&customer, 70, "first").await.expect(200);
    // The answer names its position, and another process shows it.
    let position = earned["position"].as_str().unwrap();
    until("the position is shown", async || {
        let seen = at_reading.balance_with(&customer, &[("min_position", position)]).await;
        assert!(seen.status == 503 || seen.expect(200)["available"] == 70, "{}", seen.text);
        seen.status == 200
    })
    .await;

    for refused in [
        at_reading.earn(&customer, 1, "second").await,
        shop.balance_with(&customer, &[]).await,
        at_folding.earn(&customer, 1, "second").await,
    ] {
        refused.problem(421, "other-node");
    }
    let ada = crate::shopify::person();
    let order = crate::shopify::order().by(&ada).line(5_00, 1).paid();
    let body = order.body(&at_folding);
    let delivery = at_folding.webhook("orders/paid", body);
    at_folding.accept(&delivery).await;
    until("the order is counted", async || {
        let order = at_reading.get(&format!("/v1/api/orders/{}", order.id)).await;
        order.status == 200 && order.json()["points_granted"] == 5
    })
    .await;
    for server in [&writing, &folding, &reading] {
        Door::of(server).get("/readyz").await.expect(200);
    }
}

/// Catches: a re-drive that only the node hears of which it is asked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_of_one_node_is_driven_again_through_another() {
    let nodes = Nodes::on_postgres(2);
    let servers = nodes.start_all(&[]);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let shop = opened(&servers).await;
    let ada = crate::shopify::person();
    let good = crate::shopify::order().by(&ada).line(50_00, 1).paid().json(&shop);
    for (at, other) in [(&servers[0], &servers[1]), (&servers[1], &servers[0])] {
        let (at, other) = (shop.at(at), shop.at(other));
        let mut bad = good.clone();
        bad["line_items"][0]["quantity"] = json!("two");
        bad["note"] = json!(at.door.url);
        let outcome = at.delivered("orders/paid", crate::shopify::bytes(&bad)).await;
        assert_eq!(outcome.status, "dead_lettered");
        let listed = other.get("/v1/api/webhooks/dead-letters").await.expect(200);
        let id = listed["items"][0]["id"].as_str().unwrap();
        let redrive = format!("/v1/api/webhooks/dead-letters/{id}/redrive");
        let mut mended = good.clone();
        mended["note"] = json!(other.door.url);
        let again = other.post(&redrive, &json!({"payload": mended})).await;
        assert!((200..300).contains(&again.status), "{}", again.text);
        until("no dead letter is left", async || {
            at.get("/v1/api/webhooks/dead-letters").await.expect(200)["items"] == json!([])
        })
        .await;
    }
    for server in &servers {
        Door::of(server).until_idle().await;
        assert_eq!(shop.at(server).balance_of(ada.id).await.available, 50, "however often it is driven");
    }
}

/// Every node folds its share into both tables, and serves the new one from the swap on. Catches: a node that goes on
/// folding into the table that was served when it started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_are_built_anew_while_several_nodes_fold_into_them() {
    let nodes = Nodes::on_postgres(2);
    let servers = nodes.start_all(&[]);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let world = World::begin(&servers).await;
    let load = world.load(&mut Seed::new());
    for arguments in [&["rebuild"][..], &["rebuild", "--rollback"]] {
        let (code, report) = nodes.job_beside(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {report:#}");
    }
    let journal = load.end().await;
    let wrong = world.check(&nodes, &journal).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Catches: settings that are merged and written without a look at the version that they were made of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_changed_through_two_nodes_at_once_do_not_undo_each_other() {
    let nodes = Nodes::on_postgres(2);
    let servers = nodes.start_all(&[]);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let shop = opened(&servers).await;
    let other = shop.at(&servers[1]);
    for round in 1..=10 {
        let (redeem, expiry) =
            (json!({"redeem": {"min_points": round}}), json!({"expiry": {"months": round}}));
        tokio::join!(set(&shop, &redeem), set(&other, &expiry));
        let now = set(&shop, &json!({})).await;
        assert_eq!((&now["redeem"]["min_points"], &now["expiry"]["months"]), (&json!(round), &json!(round)));
    }
}

/// Catches: a name that two nodes may have (the second one taking the lease over).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_node_is_refused_with_what_to_change() {
    let nodes = Nodes::on_postgres(2);
    let _first = nodes.start(0, &[]);
    for (more, wanted) in [
        (&[("LOYALNEST_NODE", "node-0")][..], "a node named node-0 is alive"),
        (&[("LOYALNEST_NODE", "no de")], "the setting node must be"),
        (&[("LOYALNEST_ROLES", "commands,quries")], "commands, policies, webhooks, projector, queries"),
        (&[("LOYALNEST_LOG", "sqlite")], "several nodes need a log that all of them reach"),
        (&[("LOYALNEST_STORES", "sqlite")], "several nodes share keys and inbox in a Postgres"),
        (&[("LOYALNEST_READ", "sqlite")], "several nodes share the read models in a Postgres"),
        (&[("LOYALNEST_HOST", "0.0.0.0")], "the setting advertise"),
        (&[("LOYALNEST_ADVERTISE", "10.0.0.7")], "the setting advertise must be a base URL"),
        (&[("LOYALNEST_ROOT_KEY", "other.key")], "root key"),
    ] {
        let refused = nodes.try_start(1, more).err().unwrap_or_else(|| panic!("started with {more:?}"));
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
}

/// Catches: a start that hears no signal until it is over; a node that ends without a word to the others, whose name is
/// taken until its session is over.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_end_while_it_starts_ends_and_leaves_its_name() {
    // The session is longer than anybody here waits.
    let nodes = Nodes::on_postgres(1);
    for (place, told) in [("start:opened", "TERM"), ("start:joined", "INT"), ("start:listens", "TERM")] {
        let hold = nodes.hold(place);
        let begun = nodes.begin(0, &[("LOYALNEST_SESSION_MS", "60000"), ("LOYALNEST_HOLD", &hold.setting())]);
        hold.reached().await;
        let status = tokio::task::spawn_blocking(|| begun.end_by(told)).await.unwrap();
        assert_eq!(status.code(), Some(0), "{place}");
        hold.release();
    }
    let server = nodes.start(0, &[]);
    Shop::open(&server).await.enrol_with(1).await;
}

/// Row 16 of the contract: a node a day ahead would end points for good, and one behind would keep them. It is not
/// even given a share, so the others go on with everything. That it claims nothing either once it runs, and goes on
/// by itself when the clock is right, is shown where nodes share a process (`command-api/src/nodes/tests.rs`).
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_a_day_off_is_refused_and_the_others_go_on() {
    let nodes = Nodes::on_postgres(2);
    let first = nodes.start(0, &[]);
    let shop = Shop::open(&first).await;
    let customer = shop.enrol_with(10).await;
    for wrong in ["clock-ahead", "clock-behind"] {
        let refused = nodes.try_start(1, &[("LOYALNEST_PLANTED_BUG", wrong)]).err();
        let refused = refused.unwrap_or_else(|| panic!("started with {wrong}"));
        for said in ["clock of this machine", "Postgres of the stores", "clock_tolerance_s"] {
            assert!(refused.contains(said), "{said}: {refused}");
        }
        assert!(
            owned(&first).await.into_iter().eq(nodes.partitions()),
            "the others lost partitions to {wrong}"
        );
        shop.redeem(&customer, 1).await.expect(200);
    }
    let day_off = [("LOYALNEST_PLANTED_BUG", "clock-ahead"), ("LOYALNEST_CLOCK_TOLERANCE_S", "86400")];
    nodes.try_start(1, &day_off).expect("so much is allowed");
}

/// Partitions go from node to node while everybody asks, each time because the node that owns them is asked to end.
/// How little is read to take one over is shown where nodes share a process (`command-api/src/nodes/tests.rs`). How
/// long it takes is printed, and judged by nobody here.
///
/// Catches: a node that ends without a word to the others, who then wait until its session is over (no `leave`). In
/// the end who stood by and left a record out is seen to answer anew.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_asked_to_end_hands_over_without_a_wrong_answer() {
    let nodes = Nodes::on_postgres(2);
    // Longer than anybody here waits.
    let told = [("LOYALNEST_SESSION_MS", "60000"), ("LOYALNEST_PLANTED_BUG", "left-unfolded")];
    let mut servers = nodes.start_all(&told);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let world = World::begin(&servers).await;
    let load = world.load(&mut Seed::new());
    let mut took = Vec::new();
    for _ in 0..size() {
        for node in 0..nodes.count() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let ending = servers.remove(node);
            let asked = Instant::now();
            signal(ending.id(), "TERM");
            let other = &servers[0];
            until("the other node owns everything", async || {
                owned(other).await.into_iter().eq(nodes.partitions())
            })
            .await;
            took.push(asked.elapsed());
            let (status, _) = ending.end();
            assert!(status.success(), "{status}");
            let again = restarted(&nodes, node, &told).await;
            world.moved(node, &again);
            servers.insert(node, again);
        }
    }
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    took.sort_unstable();
    let (half, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{} hand-overs, half of them within {half:?}, the longest {longest:?}", took.len());
    let journal = load.end().await;
    let wrong = world.check(&nodes, &journal).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    marked::a_record_left_out_is_noticed(&world, &nodes, &mut servers).await;
}
