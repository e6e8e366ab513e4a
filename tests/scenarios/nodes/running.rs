//! Nodes at work, to which one thing happens after the other; and the comparison after each.
use rand::Rng as _;

use serde_json::Value;

use uuid::Uuid;

use super::{
    journal::Asked,
    load::{ADJUST, EARN, Load, Miscounted, PEOPLE},
    *,
};

/// A pause that outlasts the session.
pub(super) const PAUSED_FOR: Duration = Duration::from_secs(8);
/// The longest that the partitions of a node may be nobody's once it says nothing: its session, and what a busy
/// machine needs to share anew and to claim.
const TAKEN_OVER_WITHIN: Duration = SESSION.saturating_add(Duration::from_secs(20));

/// Nodes with a world, and a journal of all that was answered in it.
pub(super) struct Running<'a> {
    pub(super) nodes: &'a Nodes,
    /// What every node is told beside.
    more: Vec<(&'a str, &'a str)>,
    pub(super) servers: Vec<Server>,
    pub(super) world: World,
    pub(super) journal: Journal,
    seed: Seed,
    /// How many people of the world somebody slept over.
    slept: usize,
}

/// What nobody answered while it could not be kept, by the key that it was asked with.
pub(super) struct Unanswered(Vec<(String, Value)>);

impl<'a> Running<'a> {
    /// Starts all nodes.
    pub(super) async fn begin(nodes: &'a Nodes, more: &[(&'a str, &'a str)]) -> Self {
        let servers = nodes.start_all(more);
        until_shared(nodes, &servers.iter().collect::<Vec<_>>()).await;
        let world = World::begin(&servers).await;
        let (journal, more) = (Journal::default(), more.to_vec());
        Self { nodes, more, servers, world, journal, seed: Seed::new(), slept: 0 }
    }

    /// The same nodes with people of whom nothing is known yet.
    #[cfg(feature = "planted-bugs")]
    pub(super) async fn anew(self) -> Self {
        until_shared(self.nodes, &self.servers.iter().collect::<Vec<_>>()).await;
        let world = World::begin(&self.servers).await;
        Self { world, journal: Journal::default(), slept: 0, ..self }
    }

    /// All nodes end, and start in another environment.
    pub(super) async fn started_again(&mut self, more: &[(&'a str, &'a str)]) {
        for server in self.ended().await {
            drop(server);
        }
        self.more = more.to_vec();
        for node in 0..self.nodes.count() {
            self.servers.push(restarted(self.nodes, node, more).await);
        }
        self.servers.iter().enumerate().for_each(|(node, server)| self.world.moved(node, server));
    }

    /// Ends all nodes in order, and gives their folders.
    async fn ended(&mut self) -> Vec<crate::harness::Folder> {
        let mut folders = Vec::new();
        for server in self.servers.drain(..) {
            let (status, folder) = server.end_by("TERM");
            assert!(status.success(), "{status}");
            folders.push(folder);
        }
        folders
    }

    pub(super) fn load(&mut self) -> Load {
        self.world.load(&mut self.seed)
    }

    /// Lets every client have its last answer; how often they were told to wait.
    pub(super) async fn end(&mut self, load: Load) -> u64 {
        let journal = load.end().await;
        let waited = journal.waited;
        self.journal.add(journal);
        waited
    }

    /// Once the nodes agree again, what nobody answered is asked once more.
    async fn all_answered(&mut self) {
        until_shared(self.nodes, &self.servers.iter().collect::<Vec<_>>()).await;
        self.world.ask_again(&mut self.journal).await;
    }

    /// Everything that must be true once the nodes agree again; gives what is not.
    pub(super) async fn wrong(&mut self) -> Vec<String> {
        self.all_answered().await;
        self.world.check(self.nodes, &self.journal).await
    }

    /// The same, of which all must be.
    pub(super) async fn holds_after(&mut self, what: &str) {
        let wrong = self.wrong().await;
        assert!(wrong.is_empty(), "after {what}: {wrong:#?}");
        println!("it holds after {what}");
    }

    /// Balances that are not what was answered. Nothing that was answered is asked again, so what is lost stays lost.
    /// What was not answered must not pass for a planted bug.
    #[cfg(feature = "planted-bugs")]
    pub(super) async fn miscounted(&mut self) -> Vec<Miscounted> {
        self.all_answered().await;
        let violations = self.journal.violations();
        assert!(violations.is_empty(), "{violations:#?}");
        self.world.miscounted(&self.journal).await
    }

    /// How many records every reader of the log skips because they came too late.
    fn late_records(&self) -> u64 {
        self.nodes.job(&["verify"]).1["counted"]["stale"].as_u64().unwrap()
    }

    /// An owner sleeps, and when it wakes it writes before it reads of its loss: it is deaf as long as this file is
    /// there. Every reader skips what it writes.
    pub(super) async fn wake_too_late(&mut self, deaf: &Path) {
        let told = self.woken(Some(deaf)).await;
        assert!(told.iter().all(|status| matches!(status, 200 | 503)), "when it woke it answered {told:?}");
    }

    /// An owner is stopped, another node takes over and changes the account, and the first one wakes with requests
    /// that it would refuse by what it knew. Gives what it answered.
    pub(super) async fn sleep_and_wake(&mut self) -> Vec<u16> {
        self.woken(None).await
    }

    async fn woken(&mut self, deaf: Option<&Path>) -> Vec<u16> {
        let person = self.slept;
        assert!(person < PEOPLE, "nobody is left whom no owner slept over");
        self.slept += 1;
        let customer = self.world.customer(person).to_owned();
        let (owner, partition) = self.owner_of(person, &customer).await;
        let (sleeper, other) = (&self.servers[owner], &self.servers[(owner + 1) % self.servers.len()]);
        signal(sleeper.id(), "STOP");
        let began = Instant::now();
        until_within(TAKEN_OVER_WITHIN, "another node owns the partition", async || {
            let others = self.servers.iter().filter(|server| server.id() != sleeper.id());
            for server in others {
                if owned(server).await.contains(&partition) {
                    return true;
                }
            }
            false
        })
        .await;
        println!("taken over after {:?}", began.elapsed());
        // More than the account had ever before.
        let key = Uuid::now_v7().to_string();
        let earn = json!({
            "customer_id": customer, "points": 1_000_000, "reason": "goodwill", "source_id": "meanwhile"
        });
        until("the new owner answers", async || {
            self.world.at(other).post_keyed(EARN, &key, &earn).await.status == 200
        })
        .await;
        self.journal.granted(person, 1_000_000, key);
        tokio::time::sleep(PAUSED_FOR.saturating_sub(began.elapsed())).await;
        // These are in its sockets when it wakes. An adjustment is decided by the account at once, one way or the
        // other.
        let take = json!({"customer_id": customer, "points": -50_000, "reason_code": "correction"});
        let asked: Vec<_> = (0..ASKED)
            .map(|_| {
                let (shop, key, body) = (self.world.at(sleeper), Uuid::now_v7().to_string(), take.clone());
                let asked = Asked { path: ADJUST, key, body, owner: person, points: -50_000 };
                tokio::spawn(async move { (shop.post_keyed(ADJUST, &asked.key, &asked.body).await, asked) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let late_before = deaf.map(|file| {
            std::fs::write(file, "").unwrap();
            self.late_records()
        });
        signal(sleeper.id(), "CONT");
        if let Some((file, before)) = deaf.zip(late_before) {
            until("what it wrote is in the log, too late", async || self.late_records() > before).await;
            std::fs::remove_file(file).unwrap();
        }
        let mut told = Vec::new();
        for asked in asked {
            let (answer, asked) = asked.await.unwrap();
            told.push(answer.status);
            // Whether it is done nobody knows, so it is asked again.
            let answer = (answer.status != 503).then_some((answer.status, answer.text));
            self.journal.file(asked, answer);
        }
        println!("it answered {told:?}");
        told
    }

    /// Which node owns the account of this customer, and in which partition it is. It has a point more then.
    async fn owner_of(&mut self, person: usize, customer: &str) -> (usize, u64) {
        let key = Uuid::now_v7().to_string();
        let body = json!({"customer_id": customer, "points": 1, "reason": "goodwill", "source_id": "where"});
        let earned = self.world.insist_by(&key, EARN, &body).await;
        self.journal.granted(person, 1, key);
        let partition = earned["position"].as_str().unwrap().split('-').nth(1).unwrap().parse().unwrap();
        let mut owner = None;
        until("a node owns the account", async || {
            for (node, server) in self.servers.iter().enumerate() {
                if owned(server).await.contains(&partition) {
                    owner = Some(node);
                }
            }
            owner.is_some()
        })
        .await;
        (owner.unwrap(), partition)
    }

    /// Nodes are killed at any instant under load, and started again.
    pub(super) async fn kill(&mut self, times: u32) {
        // Whoever is killed owns something.
        until_shared(self.nodes, &self.servers.iter().collect::<Vec<_>>()).await;
        let load = self.load();
        for _ in 0..times {
            tokio::time::sleep(Duration::from_millis(self.seed.rng.random_range(300..1500))).await;
            let node = self.seed.rng.random_range(0..self.servers.len());
            self.servers.remove(node).kill();
            self.back(node).await;
        }
        assert!(self.end(load).await > 0, "nobody noticed");
    }

    /// Starts a node again and tells the clients where it is.
    async fn back(&mut self, node: usize) {
        let again = restarted(self.nodes, node, &self.more).await;
        self.world.moved(node, &again);
        self.servers.insert(node, again);
    }

    /// The last node comes and goes under load, each time with a share of the partitions.
    pub(super) async fn share_anew(&mut self, times: u32) {
        let load = self.load();
        for _ in 0..times {
            let (status, _) = self.servers.pop().unwrap().end_by("TERM");
            assert!(status.success(), "{status}");
            until_shared(self.nodes, &self.servers.iter().collect::<Vec<_>>()).await;
            self.back(self.servers.len()).await;
            until_shared(self.nodes, &self.servers.iter().collect::<Vec<_>>()).await;
        }
        self.end(load).await;
    }

    /// All nodes are told to own everything, for a while, with concurrent redemptions; with these bugs. Then there is
    /// peace, in this environment.
    #[cfg(feature = "planted-bugs")]
    pub(super) async fn fight(&mut self, fight: Duration, bugs: &'a str, peace: &[(&'a str, &'a str)]) {
        self.started_again(&[("LOYALNEST_PLANTED_BUG", bugs)]).await;
        let (load, answered) = (self.load(), self.journal.answered());
        tokio::time::sleep(fight).await;
        let waited = self.end(load).await;
        assert!(self.journal.answered() > answered && waited > 0, "they did not fight");
        self.started_again(peace).await;
    }

    /// Every partition's records count still.
    pub(super) async fn goes_on(&mut self) {
        for person in 0..PEOPLE {
            let (customer, key) = (self.world.customer(person), Uuid::now_v7().to_string());
            let earn = json!({"customer_id": customer, "points": 3, "reason": "goodwill", "source_id": key});
            self.world.insist_by(&key, EARN, &earn).await;
            self.journal.granted(person, 3, key);
        }
    }

    /// At every node who writes is told "not now", and who reads is answered.
    pub(super) async fn only_reads_go_on(&self) -> Unanswered {
        let began = Instant::now();
        let asked = self.servers.iter().enumerate().map(|(person, server)| {
            let (shop, customer) = (self.world.at(server), self.world.customer(person).to_owned());
            tokio::spawn(async move {
                let key = Uuid::now_v7().to_string();
                let earn =
                    json!({"customer_id": customer, "points": 7, "reason": "goodwill", "source_id": key});
                let refused = shop.post_keyed(EARN, &key, &earn).await;
                assert!(is_not_now(&refused), "{refused:?}");
                shop.balance_with(&customer, &[]).await.expect(200);
                (key, earn)
            })
        });
        let mut unanswered = Vec::new();
        for asked in asked.collect::<Vec<_>>() {
            unanswered.push(asked.await.unwrap());
        }
        println!("every node said so within {:?}", began.elapsed());
        Unanswered(unanswered)
    }

    /// Read models of before take the place of those that are served: from a dump, made beside the nodes under load.
    pub(super) async fn set_read_models_back(&mut self) {
        let (url, file) =
            (self.nodes.stores(), format!("--file={}", self.nodes.spare().join("read.sql").display()));
        let load = self.load();
        program_of_postgres("pg_dump", &["--schema=loyalnest_read", "--clean", "--if-exists", &file, url]);
        self.end(load).await;
        // Of everybody something is missing in the dump.
        self.goes_on().await;
        self.ended().await;
        program_of_postgres("psql", &["--quiet", "--set=ON_ERROR_STOP=1", &file, url]);
        self.started_again(&self.more.clone()).await;
    }

    /// A row of the read models says something else than the log, as `verify` finds; then it does not any more.
    pub(super) fn a_spoiled_balance_is_found(&self) {
        for (more, verdict) in [("+ 1", "faulty"), ("- 1", "sound")] {
            let spoil = format!(
                "UPDATE loyalnest_read.points_balance_1 SET available = available {more}
                WHERE available = (SELECT max(available) FROM loyalnest_read.points_balance_1)"
            );
            let told = ["--quiet", "--set=ON_ERROR_STOP=1", "--command", &spoil, self.nodes.stores()];
            program_of_postgres("psql", &told);
            assert_eq!(self.nodes.job(&["verify"]).1["verdict"], verdict, "available {more}");
        }
    }

    /// Whether the read models hold what the log gives.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn is_a_fold_of_the_log(&self) -> bool {
        self.nodes.job(&["rebuild", "--dry-run"]).1["equal"] == true
    }

    /// Waits until a node says that something it needs is away.
    #[cfg(feature = "planted-bugs")]
    pub(super) async fn until_unhealthy(&self) {
        let door = Door::of(&self.servers[0]);
        until("a node is unhealthy", async || door.get("/healthz").await.status != 200).await;
    }

    /// What was not answered is asked again, and done once.
    pub(super) async fn answered(&mut self, Unanswered(asked): Unanswered) {
        for (person, (key, earn)) in asked.iter().enumerate() {
            for _ in 0..2 {
                self.world.insist_by(key, EARN, earn).await;
            }
            self.journal.granted(person, 7, key);
        }
    }
}

/// Starts a node whose name is free again once the session of the one before is over. What else keeps it from
/// starting is no reason to wait.
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

/// Whether it says nothing but to come again.
pub(super) fn is_not_now(answer: &Answer) -> bool {
    answer.status == 503 && answer.header("retry-after").is_some()
}

/// Requests that wait for an owner that wakes.
const ASKED: usize = 8;
