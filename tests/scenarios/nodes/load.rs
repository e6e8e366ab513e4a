//! Clients that ask any node until they have an answer; and what must be true of the answers.
//!
//! A client sends the same request with the same key to one node after the other. It is told "not now" (503) at
//! worst.
use std::{
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use uuid::Uuid;

use super::{
    journal::{Asked, Done, Journal, Placed},
    ledger::{self, Told},
    until,
};
use crate::{
    harness::{Answer, Nodes, PATIENCE, Seed, Server, Shop},
    shopify::{Person, order, person},
};

/// Clients that send at once.
const CLIENTS: usize = 6;
pub(super) const PEOPLE: usize = 8;
const OPENING: i64 = 500;
/// How long a node may take before a client asks another one.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How long a client insists. Brokers that start on a busy machine take a minute each.
const INSISTS_FOR: Duration = PATIENCE;
/// Of how many answers it is looked whether they are given again. The balances are of all.
const SAMPLES: usize = 60;
pub(super) const EARN: &str = "/v1/api/points/earn";
pub(super) const ADJUST: &str = "/v1/api/points/adjust";
const REDEEM: &str = "/v1/api/points/redeem";

/// The nodes that clients know; whoever restarts one tells them.
pub(super) type Doors = Arc<RwLock<Vec<Shop>>>;

/// A balance, at a node, that is not the sum of what was answered.
#[derive(Debug)]
pub(super) struct Miscounted {
    pub(super) person: usize,
    node: usize,
    pub(super) points: i64,
    pub(super) answered: i64,
    /// Under which keys the log has something else; said of each person once.
    explained: Vec<String>,
}

impl Miscounted {
    fn lines(self) -> Vec<String> {
        let Self { person, node, points, answered, explained } = self;
        let first =
            format!("person {person} has {points} points at node {node}, and {answered} by the answers");
        [vec![first], explained].concat()
    }
}

/// A shop with people at an installation of several nodes.
pub(super) struct World {
    shop: Shop,
    people: Arc<Vec<(Person, String)>>,
    /// By which key each of them got the first points.
    openings: Vec<String>,
    pub(super) doors: Doors,
}

/// Clients at work.
pub(super) struct Load {
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<Journal>>,
}

impl Load {
    /// Lets every client have its last answer.
    pub(super) async fn end(self) -> Journal {
        self.stop.send_replace(true);
        let mut journal = Journal::default();
        for client in self.clients {
            journal.add(client.await.unwrap());
        }
        println!(
            "{} commands and {} deliveries, {} times not at once",
            journal.done.len(),
            journal.placed.len(),
            journal.waited
        );
        journal
    }
}

impl World {
    pub(super) async fn begin(servers: &[Server]) -> Self {
        let shop = opened(servers).await;
        let doors: Doors = Arc::new(RwLock::new(servers.iter().map(|server| shop.at(server)).collect()));
        let mut world = Self { shop, people: Arc::default(), openings: Vec::new(), doors };
        let mut people = Vec::new();
        for _ in 0..PEOPLE {
            let ada = person();
            let body = json!({"shopify_customer_id": ada.id.to_string(), "email": ada.email});
            let made = world.insist("/v1/api/users/create", &body).await;
            let id = made["customer_id"].as_str().unwrap().to_owned();
            let (key, opening) = (
                Uuid::now_v7().to_string(),
                json!({"customer_id": id, "points": OPENING, "reason": "goodwill", "source_id": "opening"}),
            );
            world.insist_by(&key, EARN, &opening).await;
            world.openings.push(key);
            people.push((ada, id));
        }
        world.people = Arc::new(people);
        world
    }

    /// The shop at this node from now on.
    pub(super) fn at(&self, server: &Server) -> Shop {
        self.shop.at(server)
    }

    /// Tells the clients that a node is elsewhere.
    pub(super) fn moved(&self, node: usize, server: &Server) {
        self.doors.write().unwrap()[node] = self.shop.at(server);
    }

    pub(super) fn customer(&self, number: usize) -> &str {
        &self.people[number].1
    }

    /// Asks any node until there is an answer, which must be that it is done.
    pub(super) async fn insist(&self, path: &'static str, body: &Value) -> Value {
        self.insist_by(&Uuid::now_v7().to_string(), path, body).await
    }

    /// The same under a key that was asked by before.
    pub(super) async fn insist_by(&self, key: &str, path: &'static str, body: &Value) -> Value {
        let (mut rng, mut journal) = (StdRng::seed_from_u64(0), Journal::default());
        let answer = ask(&self.doors, &mut rng, &mut journal, |shop| shop.keyed(path, key, body)).await;
        let (status, text) = answer.expect("an answer");
        assert!(matches!(status, 200 | 201), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(super) fn load(&self, seed: &mut Seed) -> Load {
        let (stop, stopped) = watch::channel(false);
        let client = |_| {
            let (doors, people, stopped) = (self.doors.clone(), self.people.clone(), stopped.clone());
            let rng = StdRng::seed_from_u64(seed.rng.random());
            tokio::spawn(client(doors, people, rng, stopped))
        };
        Load { stop, clients: (0..CLIENTS).map(client).collect() }
    }

    /// Everything that must be true once all is answered and all nodes run; gives what is not.
    pub(super) async fn check(&self, nodes: &Nodes, journal: &Journal) -> Vec<String> {
        let mut wrong = journal.violations();
        let doors = self.at_rest().await;
        self.check_answers(journal, &mut wrong).await;
        wrong.extend(self.unredeemed(&doors[0]).await);
        wrong.extend(self.miscounted(journal).await.into_iter().flat_map(Miscounted::lines));
        for placed in journal.placed.iter().step_by(journal.placed.len() / SAMPLES + 1) {
            let seen = doors[0].get(&format!("/v1/api/orders/{}", placed.order)).await;
            if seen.status != 200 || seen.json()["points_granted"] != placed.points {
                wrong.push(format!("order {} is {}", placed.order, seen.text));
            }
        }
        if !wrong.is_empty() {
            // What comes next may end this for good.
            eprintln!("{}", wrong.join("\n"));
        }
        for (person, (_, customer)) in self.people.iter().enumerate() {
            // Adds up, and never falls below nothing.
            let (shop, customer) = (doors[0].clone(), customer.clone());
            let adds_up = tokio::spawn(async move { drop(shop.statement(&customer).await) });
            if let Err(panic) = adds_up.await {
                wrong.push(format!("the statement of person {person} does not add up: {panic}"));
            }
        }
        for (job, expected) in [(&["verify"][..], "verdict"), (&["rebuild", "--dry-run"], "equal")] {
            let (code, report) = nodes.job(job);
            let holds = report[expected] == "sound" || report[expected] == true;
            if code != Some(0) || !holds {
                wrong.push(format!("{job:?} says {code:?} {report:#}"));
            }
        }
        wrong
    }

    /// Waits until all that is reserved for a redemption is spent; tells what is not.
    async fn unredeemed(&self, shop: &Shop) -> Option<String> {
        let deadline = Instant::now() + INSISTS_FOR;
        loop {
            let mut open = Vec::new();
            // Of all nodes: they share the list.
            let parked = shop.door.operator_get("/admin/policies/parked").await.expect(200);
            if parked["items"] != json!([]) {
                open.push(parked["items"].to_string());
            }
            for (person, (_, customer)) in self.people.iter().enumerate() {
                let reserved = shop.balance(customer).await.reserved;
                if reserved != 0 {
                    open.push(format!("{reserved} points of person {person} are reserved"));
                }
            }
            if open.is_empty() {
                return None;
            }
            if Instant::now() >= deadline {
                return Some(format!("a redemption is not through within {INSISTS_FOR:?}: {open:?}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Balances, at any node, that are not the sum of what was answered. What is reserved is spent: the redemption that
    /// it is for has its answer.
    pub(super) async fn miscounted(&self, journal: &Journal) -> Vec<Miscounted> {
        let doors = self.at_rest().await;
        let mut wrong = Vec::new();
        for (person, (_, customer)) in self.people.iter().enumerate() {
            let opening = Told {
                key: &self.openings[person],
                what: "the opening",
                points: OPENING,
                answer: Some((200, "")),
            };
            let told = [vec![opening], journal.told(person)].concat();
            let answered: i64 = told.iter().map(Told::moved).sum();
            for (node, shop) in doors.iter().enumerate() {
                let balance = shop.balance(customer).await;
                let points = balance.net() - balance.reserved;
                if points != answered {
                    let said = wrong.last().is_some_and(|wrong: &Miscounted| wrong.person == person);
                    let explained = match said {
                        true => Vec::new(),
                        false => ledger::explained(shop, customer, &told, &journal.violations()).await,
                    };
                    wrong.push(Miscounted { person, node, points, answered, explained });
                }
            }
        }
        wrong
    }

    /// All nodes, once they are ready and have worked everything off. What one does last may be work for another, so all
    /// of them must have been found idle, one after the other.
    async fn at_rest(&self) -> Vec<Shop> {
        let doors = self.doors.read().unwrap().clone();
        let deadline = Instant::now() + INSISTS_FOR;
        loop {
            let mut waited = false;
            for shop in &doors {
                let ready = shop.door.get("/readyz").await.status == 200;
                if !ready || shop.door.queues().await["idle"] != true {
                    waited = true;
                    until("a node is ready", async || shop.door.get("/readyz").await.status == 200).await;
                    shop.door.until_idle().await;
                }
            }
            if !waited {
                return doors;
            }
            assert!(Instant::now() < deadline, "not within {INSISTS_FOR:?}: all nodes are idle");
        }
    }

    /// Asks once more what nobody answered.
    pub(super) async fn ask_again(&self, journal: &mut Journal) {
        let mut rng = StdRng::seed_from_u64(2);
        let (unanswered, undelivered) = journal.take_unanswered();
        for asked in unanswered {
            let told = ask(&self.doors, &mut rng, journal, |shop| asked.request(shop)).await;
            journal.file(asked, told);
        }
        for placed in undelivered {
            let told = ask(&self.doors, &mut rng, journal, |shop| placed.webhook.request(&shop.door)).await;
            journal.file_delivery(placed, told);
        }
    }

    /// Every answer is given again, by whichever node.
    async fn check_answers(&self, journal: &Journal, wrong: &mut Vec<String>) {
        let mut rng = StdRng::seed_from_u64(1);
        for done in journal.done.iter().step_by(journal.done.len() / SAMPLES + 1) {
            let Done { asked, answer: first } = done;
            let mut again = Journal::default();
            let told = ask(&self.doors, &mut rng, &mut again, |shop| asked.request(shop)).await;
            if told.as_ref() != Some(first) {
                wrong.push(format!("{} {} was answered {first:?}, and then {told:?}", asked.path, asked.key));
            }
        }
        for placed in journal.placed.iter().step_by(journal.placed.len() / SAMPLES + 1) {
            let mut again = Journal::default();
            let told =
                ask(&self.doors, &mut rng, &mut again, |shop| placed.webhook.request(&shop.door)).await;
            if told.as_ref().is_none_or(|(status, _)| *status != 200) {
                wrong.push(format!("a repeated delivery got {told:?}"));
            }
        }
    }
}

/// A shop that all of these nodes know, whose deliveries only the machine limits.
pub(super) async fn opened(servers: &[Server]) -> Shop {
    let shop = insisted(|| async { Shop::ask_in(&servers[0], "USD").await.ok() }).await;
    for server in servers {
        let fast = json!({"processing": {"per_second": 1_000_000, "burst": 1_000_000}});
        set(&shop.at(server), &fast).await;
    }
    shop
}

/// Changes settings of a shop, however often partitions change hands meanwhile.
pub(super) async fn set(shop: &Shop, patch: &Value) -> Value {
    let asked = || async {
        let answer = shop.put("/v1/api/core/settings", patch).await;
        (answer.status != 503).then(|| answer.expect(200))
    };
    insisted(asked).await
}

/// Asks until there is something else than "not now".
async fn insisted<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let deadline = Instant::now() + INSISTS_FOR;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "no answer within {INSISTS_FOR:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends the same request to one node after the other until one answers; nothing if none does in time.
async fn ask(
    doors: &Doors,
    rng: &mut StdRng,
    journal: &mut Journal,
    request: impl Fn(&Shop) -> RequestBuilder,
) -> Option<(u16, String)> {
    let deadline = Instant::now() + INSISTS_FOR;
    while Instant::now() < deadline {
        let request = {
            let doors = doors.read().unwrap();
            request(&doors[rng.random_range(0..doors.len())])
        };
        let answer = match request.timeout(ANSWER_WITHIN).send().await {
            Ok(response) => Answer::read(response).await.ok(),
            Err(_) => None,
        };
        match answer {
            Some(answer) if answer.status < 500 => return Some((answer.status, answer.text)),
            Some(answer) if answer.status != 503 || answer.header("retry-after").is_none() => {
                journal.wrong.push(format!("a node answered {} {}", answer.status, answer.text));
            }
            _ => {}
        }
        journal.waited += 1;
        tokio::time::sleep(Duration::from_millis(rng.random_range(5..60))).await;
    }
    None
}

/// One client: random requests, each until it is answered.
async fn client(
    doors: Doors,
    people: Arc<Vec<(Person, String)>>,
    mut rng: StdRng,
    stopped: watch::Receiver<bool>,
) -> Journal {
    let mut journal = Journal::default();
    while !*stopped.borrow() {
        let owner = rng.random_range(0..people.len());
        let (ada, customer) = &people[owner];
        let points = rng.random_range(1..90);
        if rng.random_range(0..10) < 3 {
            let order = order().by(ada).line(points * 1_00, 1).paid();
            let webhook = {
                let doors = doors.read().unwrap();
                doors[0].webhook("orders/paid", order.body(&doors[0]))
            };
            let key = webhook.id.clone();
            let webhook = webhook.with("x-request-id", &key);
            let told = ask(&doors, &mut rng, &mut journal, |shop| webhook.request(&shop.door)).await;
            journal.file_delivery(Placed { webhook, order: order.id, owner, points }, told);
            continue;
        }
        let key = Uuid::now_v7().to_string();
        let (path, body, points) = match rng.random_range(0..5) {
            0..2 => {
                let body = json!({"customer_id": customer, "points": points, "reason": "goodwill", "source_id": key});
                (EARN, body, points)
            }
            2..4 => (REDEEM, json!({"customer_id": customer, "points": points}), -points),
            _ => {
                let points = points - 45;
                let body = json!({
                    "customer_id": customer, "points": if points == 0 { 1 } else { points },
                    "reason_code": "correction"
                });
                let points = body["points"].as_i64().unwrap();
                (ADJUST, body, points)
            }
        };
        let asked = Asked { path, key, body, owner, points };
        let told = ask(&doors, &mut rng, &mut journal, |shop| asked.request(shop)).await;
        journal.file(asked, told);
    }
    journal
}
