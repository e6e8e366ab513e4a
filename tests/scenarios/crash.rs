//! `kill -9` at any instant under load: every 200 has its effect once, every answered command keeps its answer.
//!
//! Each cycle loads a server, kills it, starts another one on the same folder, sends again what was not answered, and
//! compares everything with a journal of the answers that this test kept.
use std::time::{Duration, SystemTime};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    harness::{Answer, Folder, Seed, Server, Shop, Webhook, interrupted_start},
    shopify::{Person, order, person},
};

const CYCLES: usize = 30;
/// Clients that send at once.
const CLIENTS: usize = 6;
const EARN: &str = "/v1/api/points/earn";
const REDEEM: &str = "/v1/api/points/redeem";
const CREATE: &str = "/v1/api/users/create";

/// A paid order that was sent.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) sent_at: SystemTime,
    /// When the answer was there.
    pub(super) answered: Option<SystemTime>,
    webhook: Webhook,
    order: u64,
    buyer: usize,
    points: i64,
}

/// A command that was sent, and its first answer.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) sent_at: SystemTime,
    /// When the answer was there.
    pub(super) answered: Option<SystemTime>,
    path: &'static str,
    key: String,
    body: Value,
    /// Whose points it moves, and how many if it is accepted.
    moves: Option<(usize, i64)>,
    pub(super) answer: Option<(u16, String)>,
}

/// What one client did until the server was gone.
#[derive(Clone, Default)]
pub(super) struct Journal {
    pub(super) placed: Vec<Placed>,
    pub(super) sent: Vec<Sent>,
}

/// A shop through all crashes, and what its people must own.
#[derive(Clone)]
pub(super) struct Campaign {
    shop: Shop,
    people: Vec<(Person, String)>,
    owned: Vec<i64>,
    pub(super) journal: Journal,
    pub(super) violations: Vec<String>,
    /// Answers were given before they had a position, so theirs is made up. That alone is no loss.
    positions_are_made_up: bool,
}

/// A problem names the request that was answered, so that of a repeat differs in it.
fn comparable(answer: &str, positions_are_made_up: bool) -> String {
    match serde_json::from_str::<serde_json::Map<String, Value>>(answer) {
        Ok(mut answer) => {
            answer.remove("request_id");
            if positions_are_made_up {
                answer.remove("position");
            }
            Value::from(answer).to_string()
        }
        Err(_) => answer.to_owned(),
    }
}

impl Campaign {
    pub(super) async fn begin(server: &Server) -> Self {
        let shop = Shop::open(server).await.unthrottled().await;
        let mut people = Vec::new();
        for _ in 0..5 {
            let ada = person();
            let body = json!({"shopify_customer_id": ada.id.to_string(), "email": ada.email});
            let made = shop.post(CREATE, &body).await.expect(201);
            let id = made["customer_id"].as_str().unwrap().to_owned();
            shop.earn(&id, 500, "opening").await.expect(200);
            people.push((ada, id));
        }
        let owned = vec![500; people.len()];
        Self {
            shop,
            people,
            owned,
            journal: Journal::default(),
            violations: Vec::new(),
            positions_are_made_up: false,
        }
    }

    fn expect(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(violation());
        }
    }

    /// Clients that send as fast as they can until the server is gone.
    pub(super) fn load(&self, server: &Server, seed: &mut Seed) -> Vec<JoinHandle<Journal>> {
        let client = |_| {
            let (shop, people) = (self.shop.at(server), self.people.clone());
            let rng = StdRng::seed_from_u64(seed.rng.random());
            tokio::spawn(async move { client(shop, people, rng).await })
        };
        (0..CLIENTS).map(client).collect()
    }

    async fn load_and_kill(&self, server: Server, seed: &mut Seed) -> (Folder, Journal) {
        let clients = self.load(&server, seed);
        // The instant is the point of the test, not a wait for something.
        tokio::time::sleep(Duration::from_millis(seed.rng.random_range(20..450))).await;
        let folder = if seed.one_in(4) {
            // An orderly end may lose as little as a sudden one.
            let (status, folder) = server.end_by("TERM");
            assert!(status.success(), "asked to end under load it ended with {status}");
            folder
        } else {
            server.kill()
        };
        (folder, Journal::of(clients).await)
    }

    /// Compares the restarted server with what was answered, after sending again what was not.
    pub(super) async fn verify(&mut self, server: &Server, journal: Journal, seed: &mut Seed) {
        self.shop = self.shop.at(server);
        let first_placed = self.journal.placed.len();
        self.journal.placed.extend(journal.placed);
        for index in first_placed..self.journal.placed.len() {
            self.deliver_again(index).await;
        }
        let first_sent = self.journal.sent.len();
        self.journal.sent.extend(journal.sent);
        let older = (0..first_sent.min(5)).map(|_| seed.rng.random_range(0..first_sent)).collect::<Vec<_>>();
        for index in older.into_iter().chain(first_sent..self.journal.sent.len()) {
            self.command_again(index).await;
        }
        self.shop.door.until_idle().await;
        for index in first_placed..self.journal.placed.len() {
            self.check_order(index).await;
        }
        for index in 0..self.people.len() {
            let net = self.shop.balance(&self.people[index].1).await.net();
            let owned = self.owned[index];
            self.expect(net == owned, || format!("customer {index} has {net} points, {owned} were answered"));
        }
    }

    async fn deliver_again(&mut self, index: usize) {
        let placed = &self.journal.placed[index];
        self.owned[placed.buyer] += placed.points;
        if placed.answered.is_some() {
            return;
        }
        let again = placed.webhook.send(&self.shop.door).await;
        self.expect(again.status == 200, || {
            format!("a repeated delivery got {}: {}", again.status, again.text)
        });
    }

    async fn command_again(&mut self, index: usize) {
        let Sent { path, key, body, .. } = &self.journal.sent[index];
        let again = self.shop.post_keyed(path, key, body).await;
        let (sent, made_up) = (&mut self.journal.sent[index], self.positions_are_made_up);
        let is_first_answer = sent.answer.is_none();
        let told = (again.status, comparable(&again.text, made_up));
        let first = sent.answer.get_or_insert_with(|| told.clone());
        let first = (first.0, comparable(&first.1, made_up));
        let (path, moves) = (sent.path, sent.moves.filter(|_| is_first_answer && again.status == 200));
        if let Some((owner, points)) = moves {
            self.owned[owner] += points;
        }
        self.expect(first == told, || {
            format!("{path} was answered {first:?}, and then {} {}", again.status, again.text)
        });
        let settled = matches!(again.status, 200 | 201 | 409);
        self.expect(settled, || format!("{path} is answered {} {}", again.status, again.text));
        if path == REDEEM && again.status == 200 {
            let answer = again.json();
            let whole = answer["status"] == "completed" && answer["code"].is_string();
            self.expect(whole, || format!("a redemption ends as {answer}"));
        }
    }

    async fn check_order(&mut self, index: usize) {
        let Placed { webhook, order, points, .. } = &self.journal.placed[index];
        let (order, points) = (*order, *points);
        let outcome = self.shop.get(&format!("/v1/api/webhooks/deliveries/{}", webhook.id)).await;
        let seen = self.shop.get(&format!("/v1/api/orders/{order}")).await;
        let processed = outcome.status == 200 && outcome.json()["status"] == "processed";
        self.expect(processed, || format!("the delivery of order {order} is {}", outcome.text));
        let counted = seen.status == 200 && seen.json()["points_granted"] == points;
        self.expect(counted, || format!("order {order} is {}", seen.text));
    }

    /// Orders that need not be looked at again, and their points.
    pub(super) fn note_placed(&mut self, journal: &Journal) {
        journal.placed.iter().for_each(|placed| self.owned[placed.buyer] += placed.points);
    }

    /// A server that answers, and whose answers this campaign counts.
    pub(super) fn note(&mut self, journal: &Journal) {
        for sent in &journal.sent {
            if let (Some((200, _)), Some((owner, points))) = (&sent.answer, sent.moves) {
                self.owned[owner] += points;
            }
        }
    }
}

/// One client: random requests, one after the other, until there is no answer any more.
async fn client(shop: Shop, people: Vec<(Person, String)>, mut rng: StdRng) -> Journal {
    let mut journal = Journal::default();
    loop {
        let buyer = rng.random_range(0..people.len());
        let (ada, customer) = &people[buyer];
        let points = rng.random_range(1..90);
        let gone = match rng.random_range(0..10) {
            0..4 => {
                let order = order().by(ada).line(points * 1_00, 1).paid();
                let webhook = shop.webhook("orders/paid", order.body(&shop));
                let sent_at = SystemTime::now();
                let answer = webhook.try_send(&shop.door).await.filter(|answer| answer.status == 200);
                let answered = answer.map(|_| SystemTime::now());
                let order = order.id;
                journal.placed.push(Placed { sent_at, answered, webhook, order, buyer, points });
                answered.is_none()
            }
            4..7 => {
                let body = json!({
                    "customer_id": customer, "points": points, "reason": "goodwill",
                    "source_id": Uuid::now_v7().to_string()
                });
                journal.send(&shop, EARN, body, Some((buyer, points))).await
            }
            7..9 => {
                let body = json!({"customer_id": customer, "points": points});
                journal.send(&shop, REDEEM, body, Some((buyer, -points))).await
            }
            _ => {
                let body = json!({"email": format!("{}@example.com", Uuid::now_v7())});
                journal.send(&shop, CREATE, body, None).await
            }
        };
        if gone {
            return journal;
        }
    }
}

impl Journal {
    /// What all clients did.
    pub(super) async fn of(clients: Vec<JoinHandle<Self>>) -> Self {
        let mut journal = Self::default();
        for client in clients {
            let Self { placed, sent } = client.await.unwrap();
            journal.placed.extend(placed);
            journal.sent.extend(sent);
        }
        journal
    }

    /// Whether the server is gone.
    async fn send(
        &mut self,
        shop: &Shop,
        path: &'static str,
        body: Value,
        moves: Option<(usize, i64)>,
    ) -> bool {
        let (key, sent_at) = (Uuid::now_v7().to_string(), SystemTime::now());
        let request = shop.request(reqwest::Method::POST, path).header("Idempotency-Key", &key).json(&body);
        let answer = match request.send().await {
            Ok(response) => Answer::read(response).await.ok(),
            Err(_) => None,
        };
        // A 503 says nothing about the outcome; the key finds it.
        let answer = answer.filter(|answer| answer.status < 500).map(|answer| (answer.status, answer.text));
        let answered = answer.as_ref().map(|_| SystemTime::now());
        let gone = answer.is_none();
        self.sent.push(Sent { sent_at, answered, path, key, body, moves, answer });
        gone
    }
}

/// Cycles of load, kill, restart and comparison, until something is wrong or all are done; gives what is wrong.
pub(super) async fn campaign(
    folder: &Folder,
    seed: &mut Seed,
    cycles: usize,
    while_loaded: &[(&str, &str)],
) -> Vec<String> {
    let mut server = Server::start_on(folder, &[]);
    let mut campaign = Campaign::begin(&server).await;
    campaign.positions_are_made_up = !while_loaded.is_empty();
    for _ in 0..cycles {
        if !while_loaded.is_empty() {
            server = Server::start_on(&server.kill(), while_loaded);
        }
        let (folder, journal) = campaign.load_and_kill(server, seed).await;
        if seed.one_in(5) {
            interrupted_start(&folder, &["--no-demo"], Duration::from_millis(seed.rng.random_range(1..300)));
        }
        server = Server::start_on(&folder, &[]);
        campaign.note(&journal);
        campaign.verify(&server, journal, seed).await;
        if !campaign.violations.is_empty() {
            break;
        }
    }
    for (_, customer) in campaign.people.clone() {
        if campaign.violations.is_empty() {
            campaign.shop.statement(&customer).await;
        }
    }
    let Journal { placed, sent } = &campaign.journal;
    println!("{} deliveries and {} commands over up to {cycles} crashes", placed.len(), sent.len());
    campaign.violations
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_instant_nothing_answered_is_lost_or_doubled() {
    let given = std::env::var("LOYALNEST_CRASH_CYCLES").ok();
    let cycles = given.map_or(CYCLES, |text| text.parse().expect("LOYALNEST_CRASH_CYCLES is a number"));
    let mut seed = Seed::new();
    let violations = campaign(&Folder::new(), &mut seed, cycles, &[]).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

/// The same comparison must catch a server that answers before it commits, or it proves nothing.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_before_it_commits_is_caught() {
    let bug = "ack-before-commit";
    // A debug build takes long to look through hundreds of megabytes.
    let look = ["--quiet", "--text", "--fixed-strings", bug, crate::harness::EXECUTABLE];
    let planted = std::process::Command::new("grep").args(look).status().unwrap();
    assert!(planted.success(), "the executable was built anew without the feature planted-bugs");
    let mut seed = Seed::new();
    let violations = campaign(&Folder::new(), &mut seed, 10, &[("LOYALNEST_PLANTED_BUG", bug)]).await;
    assert!(!violations.is_empty(), "the planted bug went unnoticed");
}
