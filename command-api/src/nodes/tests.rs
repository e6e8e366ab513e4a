//! Several nodes over one log, each behind a real port, while partitions go from one to another.
mod erasures;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{Command, DueKind, Rejection, StreamRef};
use event_log::{Class, Log, memory};
use event_schemas::{
    CommandKey, CustomerId, MerchantId, Personal, Points, Timestamp, personal::SealError,
    points_account::Balances,
};
use http_edge::Problem;
use privacy::{KeyStore, RootKey};
use rand::Rng as _;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use uuid::Uuid;

use super::{
    Nodes, OwnedBy, Owners,
    wire::{Message as _, Told},
};
use crate::{
    clock::Clock,
    commands::{Answered, Commander, Envelope, Outcome, Unavailable},
    owner::{DueQuery, StartError, start, start_among},
    testing::{Bench, ROOT, balances, earn, envelope, process, reserve, within},
    work,
};

const PARTITIONS: u16 = 4;

/// What all nodes have heard, at once.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<HashMap<u16, OwnedBy>>>);

struct HeardBy {
    heard: Heard,
    url: String,
}

impl Owners for HeardBy {
    fn owner(&self, partition: u16) -> Option<OwnedBy> {
        self.heard.0.lock().unwrap().get(&partition).filter(|owner| owner.url != self.url).cloned()
    }

    fn announce(&self, partition: u16, term: u64) {
        let mut heard = self.heard.0.lock().unwrap();
        let newer = OwnedBy { url: self.url.clone(), term };
        let known = heard.entry(partition).or_insert_with(|| newer.clone());
        if known.term < term {
            *known = newer;
        }
    }
}

struct Node {
    commander: Commander,
    proposed: watch::Sender<BTreeSet<u16>>,
}

impl Node {
    async fn start(world: &World, heard: &Heard, owns: impl IntoIterator<Item = u16>) -> Self {
        Self::start_as(world, heard, owns, false).await
    }

    async fn standing_by(world: &World, heard: &Heard) -> Self {
        Self::start_as(world, heard, [], true).await
    }

    async fn start_as(
        world: &World,
        heard: &Heard,
        owns: impl IntoIterator<Item = u16>,
        stands_by: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (proposed, proposes) = watch::channel(owns.into_iter().collect());
        let owners = Arc::new(HeardBy { heard: heard.clone(), url });
        let nodes = Nodes { proposed: proposes, owners, stands_by };
        let World { log, keys, clock, .. } = world;
        let commander = start_among(log, keys, clock, None, Some(nodes)).await.unwrap();
        let router = super::router(commander.clone(), keys).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { commander, proposed }
    }
}

/// A shop with customers, and nodes that share its partitions.
struct World {
    log: Log,
    keys: KeyStore,
    clock: Clock,
    nodes: Vec<Node>,
    merchant: MerchantId,
    customers: Vec<CustomerId>,
    _folder: TempDir,
}

impl World {
    async fn of(nodes: u16, customers: usize) -> Self {
        let log: Log = memory::init(PARTITIONS, Class::Open);
        let before = log.clone();
        // In a process that is gone before the nodes come, or its owners would fight with theirs.
        let begun = move || process(prepare(before, customers));
        let (folder, merchant, customers) = tokio::task::spawn_blocking(begun).await.unwrap();
        let work = work::open(&folder.path().join("work.db")).unwrap();
        let clock = Clock::open(&work, true).await.unwrap();
        let (file, root) = (folder.path().join("keys.db"), RootKey::from_bytes(ROOT));
        let keys = KeyStore::create_or_open(&file, &root, *log.id().as_bytes()).await.unwrap();
        let mut world = Self { log, keys, clock, nodes: Vec::new(), merchant, customers, _folder: folder };
        let heard = Heard::default();
        for number in 0..nodes {
            let owns = (0..PARTITIONS).filter(|partition| partition % nodes == number);
            let node = Node::start(&world, &heard, owns).await;
            world.nodes.push(node);
        }
        world
    }

    fn partition_of(&self, customer: CustomerId) -> u16 {
        self.log.partition_of(self.merchant.bytes(), customer.bytes())
    }

    fn envelope(&self, customer: CustomerId, command: impl Into<Command>) -> Envelope {
        envelope(self.clock.now(), self.merchant, StreamRef::account(customer), command)
    }
}

async fn prepare(log: Log, customers: usize) -> (TempDir, MerchantId, Vec<CustomerId>) {
    let bench = Bench::over(log).await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let mut registered = Vec::new();
    for _ in 0..customers {
        registered.push(bench.customer(merchant).await);
    }
    bench.policies_idle().await;
    (bench.folder, merchant, registered)
}

/// Asks as a client does: the same envelope again, through any node, until there is an answer.
async fn insist(ways: &[Commander], envelope: &Envelope) -> Answered {
    let asks = async {
        loop {
            let way = &ways[rand::rng().random_range(0..ways.len())];
            match way.send(envelope.clone()).await {
                Ok(answered) => return answered,
                Err(why) => assert!(why.is_transient(), "{why}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within("an answer", asks).await
}

async fn seen(ways: &[Commander], merchant: MerchantId, customer: CustomerId) -> Balances {
    let asks = async {
        loop {
            let way = &ways[rand::rng().random_range(0..ways.len())];
            match way.read(merchant, StreamRef::account(customer), balances).await {
                Ok(balances) => return balances,
                Err(why) => assert!(why.is_transient(), "{why}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within("the balances", asks).await
}

fn ways(world: &World) -> Vec<Commander> {
    world.nodes.iter().map(|node| node.commander.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_ask_is_answered_by_the_owner_through_any_node() {
    // So many that some are of the other node.
    let world = World::of(2, 32).await;
    let ways = ways(&world);
    let (merchant, first) = (world.merchant, &world.nodes[0].commander);
    for &customer in &world.customers {
        let stream = StreamRef::account(customer);
        let envelope = world.envelope(customer, earn(10));
        let earned = insist(&ways, &envelope).await;
        let (again, balance) = first.ask(envelope.clone(), balances).await.unwrap();
        assert_eq!((&again.at, again.replayed, &again.outcome), (&earned.at, true, &earned.outcome));
        assert_eq!(balance.available, Points(10));
        assert_eq!(earned.made.is_some(), !earned.replayed);

        let (known, _) = first.recall(merchant, stream, envelope.key, balances).await.unwrap().unwrap();
        assert_eq!(known.at, earned.at);
        let unknown = CommandKey(Uuid::now_v7());
        assert!(first.recall(merchant, stream, unknown, balances).await.unwrap().is_none());

        let dear = world.envelope(customer, reserve(11));
        let refused = first.send(dear).await.unwrap().outcome;
        let short = Rejection::InsufficientPoints { needed: Points(11), available: Points(10) };
        assert_eq!(refused, Outcome::Rejected(short));

        let (at, read) = first.read_at(merchant, stream, balances).await.unwrap();
        assert_eq!((at.partition(), read.available), (world.partition_of(customer), Points(10)));
        assert_eq!(first.glance(merchant, stream, balances).await.unwrap().available, Points(10));
    }
    let later = Timestamp::from_micros(world.clock.now().micros() + 1_000_000);
    let query = DueQuery { kind: DueKind::Activity, up_to: later, merchant: None, after: None, limit: 100 };
    let mut due = 0;
    for partition in 0..PARTITIONS {
        let [here, there] = [0, 1].map(|node: usize| world.nodes[node].commander.due(partition, query));
        let (here, there) = (here.await.unwrap(), there.await.unwrap());
        assert_eq!(here, there);
        due += here.len();
    }
    assert_eq!(due, world.customers.len());
    let elsewhere = world.customers.iter().filter(|customer| world.partition_of(**customer) % 2 == 1);
    assert!(elsewhere.count() > 0, "no ask had to be forwarded");
}

/// Catches: a fault of the key store that travels as a mere text (500 `internal-error`, and retries as of our own fault).
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_keys_is_the_same_through_any_node() {
    let world = World::of(2, 1).await;
    let mut partitions = BTreeSet::new();
    while partitions.len() < usize::from(PARTITIONS) {
        let stranger = CustomerId(Uuid::now_v7());
        if !partitions.insert(world.partition_of(stranger)) {
            continue;
        }
        let mut secret = earn(1);
        secret.reference = Some(Personal::Clear("820982911946154508".into()));
        let secret = world.envelope(stranger, secret);
        for way in ways(&world) {
            let refused = within("an answer", async {
                loop {
                    match way.send(secret.clone()).await {
                        Err(why) if why.is_transient() => tokio::time::sleep(Duration::from_millis(2)).await,
                        answer => break answer.unwrap_err(),
                    }
                }
            });
            let refused = refused.await;
            assert_eq!(Problem::from(refused).code(), "key-missing");
        }
    }
    let (merchant, subject) = (world.merchant, world.customers[0]);
    for error in [
        privacy::Error::Redacted { merchant, subject },
        privacy::Error::ShopErased { merchant },
        privacy::Error::KeyMissing { merchant, what: subject.to_string() },
        privacy::Error::Damaged { what: subject.to_string() },
        privacy::Error::DoesNotOpen,
    ] {
        let here = Unavailable::fault(SealError { field: "email", source: error.into() });
        let told = Told::decode(&Told::refused(&here).encode().unwrap()).unwrap();
        let there = Unavailable::from(told.answer.err().unwrap());
        // With the key's name in it.
        let said = |why| format!("{:?}", Problem::from(why));
        assert_eq!(said(there), said(here));
    }
}

/// Believes that one other node owns everything, and counts how often it was asked.
struct Belief {
    url: String,
    asked: AtomicU64,
}

impl Owners for Belief {
    fn owner(&self, _: u16) -> Option<OwnedBy> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Some(OwnedBy { url: self.url.clone(), term: 1 })
    }
    fn announce(&self, _: u16, _: u64) {}
}

/// Catches: a node that sends an ask on a second time (`here` with the way to other nodes).
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_is_sent_on_once_even_if_two_nodes_believe_in_each_other() {
    let world = World::of(0, 1).await;
    let listeners =
        [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let urls = [url(&listeners[1]), url(&listeners[0])];
    let (_propose, proposed) = watch::channel(BTreeSet::new());
    let mut nodes = Vec::new();
    for (listener, url) in listeners.into_iter().zip(urls) {
        let belief = Arc::new(Belief { url, asked: AtomicU64::new(0) });
        let proposed = Nodes { proposed: proposed.clone(), owners: belief.clone(), stands_by: false };
        let World { log, keys, clock, .. } = &world;
        let commander = start_among(log, keys, clock, None, Some(proposed)).await.unwrap();
        let router = super::router(commander.clone(), keys).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        nodes.push((commander, belief));
    }
    let refused = nodes[0].0.send(world.envelope(world.customers[0], earn(2))).await.unwrap_err();
    assert!(matches!(refused, Unavailable::NotOwned), "{refused}");
    assert_eq!([0, 1].map(|node: usize| nodes[node].1.asked.load(Ordering::Relaxed)), [1, 0]);
}

/// Catches: a stand-by that is thrown away when its partition is proposed (every record is read again).
#[tokio::test(flavor = "multi_thread")]
async fn who_stood_by_reads_little_to_take_over() {
    const EARNED: u64 = 200;
    let mut world = World::of(0, 1).await;
    let (heard, customer) = (Heard::default(), world.customers[0]);
    let partition = world.partition_of(customer);
    let first = Node::start(&world, &heard, [partition]).await;
    let second = Node::standing_by(&world, &heard).await;
    for _ in 0..EARNED {
        insist(std::slice::from_ref(&first.commander), &world.envelope(customer, earn(1))).await;
    }
    let end = world.log.end(partition);
    while second.commander.followed(partition) < end {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    first.proposed.send_replace(BTreeSet::new());
    second.proposed.send_replace(BTreeSet::from([partition]));
    world.nodes = vec![second];
    let ways = ways(&world);
    assert_eq!(seen(&ways, world.merchant, customer).await.available, Points(EARNED.try_into().unwrap()));
    assert!(ways[0].records_read_of(partition) < EARNED / 10, "{}", ways[0].records_read_of(partition));
}

/// Row 16 of the contract. Catches: an owner that claims by any clock.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_wrong_clock_claims_nothing_until_it_is_right() {
    let mut world = World::of(0, 1).await;
    let work = work::open(&world._folder.path().join("work.db")).unwrap();
    world.clock = Clock::open(&work, false).await.unwrap().within(Duration::from_secs(60));
    world.clock.wrong_us.store(-86_400_000_000, Ordering::Release);
    let alone = start(&world.log, &world.keys, &world.clock).await.map(drop);
    assert!(matches!(alone, Err(StartError::Clock(_))), "{alone:?}");

    let customer = world.customers[0];
    let (partition, envelope) = (world.partition_of(customer), world.envelope(customer, earn(7)));
    let end = world.log.end(partition);
    let node = Node::start(&world, &Heard::default(), [partition]).await;
    while node.commander.waiting_for_clock() != [partition] {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = node.commander.send(envelope.clone()).await.unwrap_err();
    assert!(refused.is_transient() && world.log.end(partition) == end, "{refused}");
    world.clock.wrong_us.store(0, Ordering::Release);
    insist(std::slice::from_ref(&node.commander), &envelope).await;
    assert_eq!(node.commander.waiting_for_clock(), [0_u16; 0]);
}

/// Catches: a command that loses its key on the way (its repeat makes a record of its own, at another position).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_done_twice_while_partitions_go_from_node_to_node() {
    const CLIENTS: usize = 12;
    const EARNED: i64 = 25;
    let world = World::of(3, CLIENTS).await;
    let ways = ways(&world);
    let mut clients = JoinSet::new();
    for &customer in &world.customers {
        let (ways, merchant) = (ways.clone(), world.merchant);
        let envelopes: Vec<Envelope> = (0..EARNED).map(|_| world.envelope(customer, earn(1))).collect();
        clients.spawn(async move {
            for envelope in envelopes {
                let (first, again) = (insist(&ways, &envelope).await, insist(&ways, &envelope).await);
                assert_eq!((first.at, again.replayed), (again.at, true));
            }
            (customer, seen(&ways, merchant, customer).await)
        });
    }
    let mut ended = Vec::new();
    while ended.len() < CLIENTS {
        let moved: Vec<usize> =
            (0..PARTITIONS).map(|_| rand::rng().random_range(0..world.nodes.len())).collect();
        for (number, node) in world.nodes.iter().enumerate() {
            // Now and then two nodes believe in the same partition, and now and then none does.
            let owns = (0..PARTITIONS).filter(|partition| {
                let chance = rand::rng().random_range(0..10);
                chance == 0 || chance > 1 && moved[usize::from(*partition)] == number
            });
            node.proposed.send_replace(owns.collect());
        }
        tokio::select! {
            Some(end) = clients.join_next() => ended.push(end.unwrap()),
            () = tokio::time::sleep(Duration::from_millis(15)) => {}
        }
    }
    for (customer, balance) in ended {
        assert_eq!(balance.available, Points(EARNED), "{customer}");
    }
}
