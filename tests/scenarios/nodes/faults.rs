//! What may happen to a node that owns partitions, each with the bug that the comparison must find.
use rand::Rng as _;

use super::*;

/// A pause that outlasts the session.
const PAUSED_FOR: Duration = Duration::from_secs(8);

/// Which node owns the account of this customer of the world, and in which partition it is. It has a point more then.
async fn owner_of(world: &World, servers: &[Server], customer: &str) -> (usize, u64) {
    let body = json!({"customer_id": customer, "points": 1, "reason": "goodwill", "source_id": "where"});
    let earned = world.insist("/v1/api/points/earn", &body).await;
    let partition = earned["position"].as_str().unwrap().split('-').nth(1).unwrap().parse().unwrap();
    let mut owner = None;
    until("a node owns the account", async || {
        for (node, server) in servers.iter().enumerate() {
            if owned(server).await.contains(&partition) {
                owner = Some(node);
            }
        }
        owner.is_some()
    })
    .await;
    (owner.unwrap(), partition)
}

/// What was seen of an owner that slept.
pub(super) struct Woken {
    servers: Vec<Server>,
    world: World,
    journal: Journal,
    /// What it answered when it woke.
    told: Vec<u16>,
}

/// An owner is stopped, another node takes over and changes the account, and the first one wakes with a request that it
/// would refuse by what it knew.
pub(super) async fn asked_when_it_wakes(nodes: &Nodes, more: &[(&str, &str)]) -> Woken {
    let servers = nodes.start_all(more);
    until_shared(nodes, &servers.iter().collect::<Vec<_>>()).await;
    let world = World::begin(&servers).await;
    let customer = world.customer(0).to_owned();
    let load = world.load(&mut Seed::new());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut journal = load.end().await;
    let (owner, partition) = owner_of(&world, &servers, &customer).await;
    let sleeper = &servers[owner];
    let others: Vec<&Server> = servers.iter().filter(|server| server.id() != sleeper.id()).collect();

    signal(sleeper.id(), "STOP");
    let began = Instant::now();
    until("another node owns the partition", async || {
        let mut taken = Vec::new();
        for server in &others {
            taken.extend(owned(server).await);
        }
        taken.contains(&partition)
    })
    .await;
    println!("taken over after {:?}", began.elapsed());
    // More than the account had ever before.
    let earn = json!({
        "customer_id": customer, "points": 1_000_000, "reason": "goodwill", "source_id": "meanwhile"
    });
    until("the new owner answers", async || {
        world.at(others[0]).post("/v1/api/points/earn", &earn).await.status == 200
    })
    .await;
    tokio::time::sleep(PAUSED_FOR.saturating_sub(began.elapsed())).await;
    // These are in its sockets when it wakes. An adjustment is decided by the account at once, one way or the other.
    let take = json!({"customer_id": customer, "points": -100_000, "reason_code": "correction"});
    let asked = (0..4).map(|_| {
        let (shop, take) = (world.at(sleeper), take.clone());
        tokio::spawn(async move { shop.post("/v1/api/points/adjust", &take).await })
    });
    let asked: Vec<_> = asked.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    signal(sleeper.id(), "CONT");
    let mut told = Vec::new();
    for asked in asked {
        told.push(asked.await.unwrap().status);
    }
    let taken = i64::try_from(told.iter().filter(|status| **status == 200).count()).unwrap() * 100_000;
    journal.granted(0, 1 + 1_000_000 - taken);
    Woken { servers, world, journal, told }
}

impl Woken {
    /// Everything that must be true once the nodes agree again; gives what is not.
    pub(super) async fn check(self, nodes: &Nodes) -> Vec<String> {
        until_shared(nodes, &self.servers.iter().collect::<Vec<_>>()).await;
        let mut wrong = self.world.check(nodes, &self.journal).await;
        if !self.told.iter().all(|status| matches!(status, 200 | 503)) {
            wrong.push(format!("when it woke it answered {:?}", self.told));
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_slept_past_its_session_answers_nothing_from_old_state() {
    let nodes = Nodes::on_postgres(3);
    let wrong = asked_when_it_wakes(&nodes, &[]).await.check(&nodes).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Nodes are killed at any instant under load, and started again.
pub(super) async fn killed(nodes: &Nodes, times: u32, more: &[(&str, &str)]) -> (Journal, Vec<String>) {
    let mut seed = Seed::new();
    let mut servers = nodes.start_all(more);
    until_shared(nodes, &servers.iter().collect::<Vec<_>>()).await;
    let world = World::begin(&servers).await;
    let load = world.load(&mut seed);
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(seed.rng.random_range(300..1500))).await;
        let node = seed.rng.random_range(0..servers.len());
        servers.remove(node).kill();
        let again = restarted(nodes, node, more).await;
        world.moved(node, &again);
        servers.insert(node, again);
    }
    let journal = load.end().await;
    until_shared(nodes, &servers.iter().collect::<Vec<_>>()).await;
    let wrong = world.check(nodes, &journal).await;
    (journal, wrong)
}

/// Starts a node whose name is free again once the session of the one before is over. What else keeps it from starting is
/// no reason to wait.
pub(super) async fn restarted(nodes: &Nodes, node: usize, more: &[(&str, &str)]) -> Server {
    let deadline = Instant::now() + AGREE_WITHIN;
    loop {
        match nodes.try_start(node, more) {
            Ok(server) => return server,
            Err(refused) => assert!(refused.contains("is alive") && Instant::now() < deadline, "{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_between_append_and_answer_lose_and_double_nothing() {
    let nodes = Nodes::on_postgres(3);
    let (journal, wrong) = killed(&nodes, 3 * size(), &[]).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(journal.waited > 0, "nobody noticed");
}

/// Load while something happens to a server that all nodes need; then the comparison.
pub(super) async fn outlasted(nodes: &Nodes, times: u32, mut happens: impl FnMut()) {
    let servers = nodes.start_all(&[]);
    until_shared(nodes, &servers.iter().collect::<Vec<_>>()).await;
    let world = World::begin(&servers).await;
    let load = world.load(&mut Seed::new());
    for _ in 0..times {
        tokio::time::sleep(Duration::from_secs(3)).await;
        happens();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let journal = load.end().await;
    assert!(journal.waited > 0, "nobody noticed");
    until_shared(nodes, &servers.iter().collect::<Vec<_>>()).await;
    let wrong = world.check(nodes, &journal).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// All that nodes need stands still for longer than their sessions and goes on: they have lost everything by then, and take
/// it up again by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_stands_still_under_all_nodes_costs_no_answer() {
    let postgres = OwnServer::postgres();
    let nodes = Nodes::at(2, &postgres.url);
    outlasted(&nodes, size(), || {
        let standing = postgres.stand_still();
        std::thread::sleep(PAUSED_FOR);
        drop(standing);
    })
    .await;
}

/// The log, the leases, keys, inbox and read models are all in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_restarted_under_all_nodes_costs_no_answer() {
    let mut postgres = OwnServer::postgres();
    let nodes = Nodes::at(2, &postgres.url);
    outlasted(&nodes, 2 * size(), || {
        postgres.signal(1, "INT");
        std::thread::sleep(Duration::from_secs(1));
        postgres.restart(1);
    })
    .await;
}

/// Two nodes are both told to own everything, for a while, with concurrent redemptions.
#[cfg(feature = "planted-bugs")]
async fn fought_over(nodes: &Nodes, fight: Duration) -> (Journal, Vec<String>) {
    let everything = [("LOYALNEST_PLANTED_BUG", "assigned-everything")];
    // In peace there come to be people, and in peace it can be seen what came of it.
    let servers = nodes.start_all(&[]);
    let world = World::begin(&servers).await;
    let servers = started_again(nodes, servers, &world, &everything);
    let load = world.load(&mut Seed::new());
    tokio::time::sleep(fight).await;
    let journal = load.end().await;
    let _servers = started_again(nodes, servers, &world, &[]);
    let wrong = world.check(nodes, &journal).await;
    (journal, wrong)
}

/// All nodes end, and start in another environment.
#[cfg(feature = "planted-bugs")]
fn started_again(nodes: &Nodes, servers: Vec<Server>, world: &World, more: &[(&str, &str)]) -> Vec<Server> {
    for server in servers {
        let (status, _) = server.end_by("TERM");
        assert!(status.success(), "{status}");
    }
    let servers = nodes.start_all(more);
    servers.iter().enumerate().for_each(|(node, server)| world.moved(node, server));
    servers
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_fight_for_every_partition_keep_every_promise() {
    let nodes = Nodes::on_postgres(2);
    let (journal, wrong) = fought_over(&nodes, Duration::from_secs(8) * size()).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(journal.answered() > 0 && journal.waited > 0, "they did not fight");
}

/// A forwarder that makes a new command of what it is handed doubles it.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_sent_on_twice_is_caught() {
    let nodes = Nodes::on_postgres(2);
    let bug = [("LOYALNEST_PLANTED_BUG", "forwarded-twice")];
    let servers = nodes.start_all(&bug);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let world = World::begin(&servers).await;
    let load = world.load(&mut Seed::new());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let journal = load.end().await;
    let wrong = world.check(&nodes, &journal).await;
    assert!(!wrong.is_empty(), "the planted bug went unnoticed");
}

/// An owner that refuses by what it knew before it was revoked tells somebody with points that there are none.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_serves_after_its_revocation_is_caught() {
    let bug = [("LOYALNEST_PLANTED_BUG", "serves-revoked")];
    let mut told: Vec<Vec<u16>> = Vec::new();
    // On a busy machine it may hear of its loss before it is asked.
    while told.len() < 3 && !told.iter().flatten().any(|status| *status == 409) {
        told.push(asked_when_it_wakes(&Nodes::on_postgres(3), &bug).await.told);
    }
    assert!(told.iter().flatten().any(|status| *status == 409), "the planted bug went unnoticed: {told:?}");
}

/// What was answered before it was admitted is lost with its node.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_its_record_is_caught() {
    let nodes = Nodes::on_postgres(3);
    let (_, wrong) = killed(&nodes, 3, &[("LOYALNEST_PLANTED_BUG", "ack-before-commit")]).await;
    assert!(!wrong.is_empty(), "the planted bug went unnoticed");
}
