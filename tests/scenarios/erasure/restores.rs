//! Parts of an installation come from older backups, in any combination: whoever was erased stays so, or nothing starts.
use std::{fs, path::PathBuf};

use rand::Rng as _;

use super::{
    kills::{OF_A_PERSON, killed_at},
    time::{epoch_of, ring_of, until_rotated},
    witness::copied,
    *,
};
use crate::{
    harness::{Folder, Seed},
    shopify::person,
};

/// The files that are restored apart from each other.
const PARTS: [&str; 6] = ["log.db", "keys.db", "work.db", "read.db", "snap.db", RING];
/// Among the copies; it lies beside the root key.
const RING: &str = "ring";

/// The moments that there are copies of.
mod copy {
    /// Nobody is erased.
    pub(super) const NOBODY: usize = 0;
    /// Somebody is.
    pub(super) const ONE: usize = 1;
    /// The erasure of a second person was killed at some step.
    pub(super) const UNDER_WAY: usize = 2;
    /// Both are erased, and the epoch of their keys is closed.
    pub(super) const ROTATED: usize = 3;
    /// It is destroyed, and both certificates are final.
    pub(super) const NOW: usize = 4;
}

/// A number from the environment.
fn given(name: &str, otherwise: usize) -> usize {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// An installation with copies of its data from several moments. Root key and witness lie beside the data folder.
struct World {
    folder: Folder,
    environment: [(&'static str, String); 1],
    shop: Shop,
    erased: [(&'static str, Member); 2],
    stays: Person,
    clock: Ahead,
    /// What the witness says of the whole log.
    witness: Vec<u8>,
}

impl World {
    async fn make(seed: &mut Seed) -> Self {
        let folder = Folder::new();
        let root_key = folder.root().join("root.key").display().to_string();
        let environment = [("LOYALNEST_ROOT_KEY", root_key)];
        let given = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let server = Server::start_on(&folder, &given);
        let shop = Shop::open(&server).await;
        let erased =
            [("First", Member::join(&shop, "First").await), ("Second", Member::join(&shop, "Second").await)];
        let stays = person();
        shop.delivered("customers/create", stays.body()).await;
        let witness = Vec::new();
        let mut world = Self { folder, environment, shop, erased, stays, clock: Ahead::default(), witness };
        world.keep(server, copy::NOBODY).await;
        world.erase(seed).await;
        world
    }

    /// One after the other, with a kill; then a day and a week go by.
    async fn erase(&mut self, seed: &mut Seed) {
        let [first, second] =
            self.erased.each_ref().map(|(_, member)| json!({"customer_id": member.customer}));
        let server = self.start();
        asked_and_certified(&self.shop.at(&server), &first).await;
        self.keep(server, copy::ONE).await;
        let place = OF_A_PERSON[seed.rng.random_range(0..OF_A_PERSON.len())];
        let (shop, body) = (self.shop.clone(), second.clone());
        killed_at(&self.folder, &self.given(), place, async |door| {
            let shop = Shop { door, ..shop };
            drop(shop.request(reqwest::Method::POST, REDACT).json(&body).send().await);
        })
        .await;
        self.copy_to(copy::UNDER_WAY);
        let epoch = epoch_of(&self.folder);
        let server = self.start();
        let requests = [first, second].map(|body| {
            let shop = self.shop.at(&server);
            async move { asked_and_certified(&shop, &body).await }
        });
        let requests = futures::future::join_all(requests).await;
        clock(&Door::of(&server), &self.clock.on_by(25)).send().await.unwrap();
        until_rotated(&self.folder, epoch).await;
        self.keep(server, copy::ROTATED).await;
        let server = self.start();
        clock(&Door::of(&server), &self.clock.on_by(8 * 24)).send().await.unwrap();
        for request in requests {
            finalized(&self.shop.at(&server), &request).await;
        }
        self.keep(server, copy::NOW).await;
        self.witness = fs::read(self.witness_file()).unwrap();
    }

    fn start(&self) -> Server {
        Server::start_on(&self.folder, &self.given())
    }

    fn witness_file(&self) -> PathBuf {
        self.folder.root().join("root.key.witness")
    }

    fn given(&self) -> [(&'static str, &str); 1] {
        self.environment.each_ref().map(|(name, value)| (*name, value.as_str()))
    }

    fn copy(&self, number: usize) -> PathBuf {
        self.folder.root().join(format!("copy-{number}"))
    }

    async fn keep(&self, server: Server, number: usize) {
        self.shop.at(&server).door.until_idle().await;
        assert!(server.end_by("TERM").0.success());
        self.copy_to(number);
    }

    fn copy_to(&self, number: usize) {
        copied(&self.folder.data(), &self.copy(number));
        fs::copy(ring_of(&self.folder), self.copy(number).join(RING)).unwrap();
    }

    /// Has each part from the copy of this number. The witness knows all of the log.
    fn restore(&self, from: &[usize; PARTS.len()]) {
        copied(&self.copy(copy::NOW), &self.folder.data());
        fs::remove_file(self.folder.data().join(RING)).unwrap();
        fs::write(self.witness_file(), &self.witness).unwrap();
        for (part, number) in PARTS.iter().zip(from) {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                let name = format!("{part}{suffix}");
                let old = self.copy(*number).join(&name);
                let new = if *part == RING { ring_of(&self.folder) } else { self.folder.data().join(&name) };
                if *part != RING {
                    drop(fs::remove_file(&new));
                }
                if old.exists() {
                    fs::copy(old, new).unwrap();
                }
            }
        }
    }

    /// Whoever was erased is not there, whoever was not is; and an old ring does not bring an epoch back.
    async fn wrong(&self, server: &Server) -> Vec<String> {
        let shop = self.shop.at(server);
        shop.door.until_idle().await;
        let mut wrong = Vec::new();
        for (tag, member) in &self.erased {
            member.comes_late(&shop).await;
            wrong.extend(member.remembered(&shop, tag).await);
        }
        let stays = shop.customer(self.stays.id).await;
        if stays["email"] != self.stays.email.as_str() {
            wrong.push(format!("who was not erased is gone: {stays}"));
        }
        wrong
    }
}

/// The request's id.
async fn asked_and_certified(shop: &Shop, person: &Value) -> String {
    let id = asked(shop, person).await;
    certified(shop, &id).await;
    id
}

/// Whether the ring of one copy has the key of the epoch that the key store of another hangs under.
const fn fit(keys: usize, ring: usize) -> bool {
    if keys < copy::ROTATED { ring < copy::NOW } else { ring >= copy::ROTATED }
}

/// What somebody will do first, log, keys, inbox, tables, snapshots and ring.
const LIKELY: [[usize; PARTS.len()]; 10] = {
    use copy::{NOBODY, NOW, ONE, ROTATED, UNDER_WAY};
    [
        [NOW, NOBODY, NOW, NOW, NOW, NOW],
        [NOW, NOBODY, NOW, NOW, NOW, NOBODY],
        [NOW, ONE, NOW, NOW, NOW, ROTATED],
        [NOW, UNDER_WAY, UNDER_WAY, NOW, NOW, UNDER_WAY],
        [NOW, NOW, NOBODY, NOW, NOW, NOW],
        [NOW, NOW, NOW, NOBODY, NOBODY, NOW],
        [NOW, NOW, NOW, NOW, NOW, ROTATED],
        [NOW, NOW, NOW, NOW, NOW, NOBODY],
        [NOW, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY],
        [NOBODY; PARTS.len()],
    ]
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_combination_of_old_and_new_parts_brings_anybody_back() {
    let mut seed = Seed::new();
    let world = World::make(&mut seed).await;
    let (mut started, mut refused) = (0, 0);
    for round in 0..given("LOYALNEST_RESTORES", 30) {
        let mut from = match LIKELY.get(round) {
            Some(likely) => *likely,
            None => std::array::from_fn(|_| seed.rng.random_range(0..=copy::NOW)),
        };
        // The log is old in one of five.
        if round >= LIKELY.len() && !seed.one_in(5) {
            from[0] = copy::NOW;
        }
        // What failed late is repeated soon.
        if round < given("LOYALNEST_RESTORES_FROM", 0) {
            continue;
        }
        println!("round {round}: {from:?}");
        let (is_old, fits) = (from[0] < copy::NOW, fit(from[1], from[PARTS.len() - 1]));
        world.restore(&from);
        match Server::try_start_with(&world.folder, &world.given()) {
            Ok(server) => {
                assert!(!is_old && fits, "it started: {from:?}");
                let wrong = world.wrong(&server).await;
                assert!(wrong.is_empty(), "{from:?}: {wrong:#?}");
                drop(server.kill());
                started += 1;
            }
            Err(said) => {
                assert!(is_old || !fits, "{from:?}: {said}");
                let set_back = said.contains("was set back") && said.contains("declare-loss");
                let gone = said.contains("is not in the ring");
                assert!(is_old && set_back || !fits && gone, "{from:?}: {said}");
                refused += 1;
            }
        }
    }
    println!("{started} restores were served, {refused} were refused");
    assert!(started > 0 && refused > 0);
}

/// The planted bug leaves a restored key store as it is: the log's own count of keys still keeps it from being served.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_key_store_is_not_served_where_erasures_are_not_done_again() {
    let (world, now) = (World::make(&mut Seed::new()).await, copy::NOW);
    world.restore(&[now, copy::NOBODY, now, now, now, copy::NOBODY]);
    let [given] = world.given();
    let environment = [given, ("LOYALNEST_PLANTED_BUG", "erasures-not-redone")];
    let said = Server::try_start_with(&world.folder, &environment).err().expect("it served an old key store");
    assert!(said.contains("behind the log"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_store_that_lacks_the_keys_of_the_living_is_refused() {
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[]);
    let shop = Shop::open(&server).await;
    let gone = Member::join(&shop, "Gone").await;
    assert!(server.end_by("TERM").0.success());
    copied(&folder.data(), &folder.root().join("before"));
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    erased(&shop, &gone.customer).await;
    Member::join(&shop, "New").await;
    assert!(server.end_by("TERM").0.success());
    fs::copy(folder.root().join("before/keys.db"), folder.data().join("keys.db")).unwrap();
    let said =
        Server::try_start_with(&folder, &[]).err().expect("it served without keys that records rely on");
    assert!(said.contains("behind the log") && said.contains("restore a newer copy"), "{said}");
}

/// What several nodes share, in parts that are restored apart from each other. The first is the log.
#[cfg(feature = "postgres")]
const SHARED: [&[&str]; 4] = [
    &["--schema=loyalnest_log"],
    &["--schema=loyalnest_keys", "--schema=loyalnest_epochs"],
    &["--schema=loyalnest_work"],
    &["--schema=loyalnest_read"],
];

/// Dumps of a shared database from several moments.
#[cfg(feature = "postgres")]
struct Dumps<'a>(&'a crate::harness::Nodes);

#[cfg(feature = "postgres")]
impl Dumps<'_> {
    fn file(&self, part: usize, moment: &str) -> String {
        format!("--file={}", self.0.spare().join(format!("{moment}-{part}.sql")).display())
    }

    fn keep(&self, part: usize, moment: &str) {
        let given = [self.file(part, moment), "--clean".to_owned(), "--if-exists".to_owned()];
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        crate::harness::program_of_postgres("pg_dump", &[SHARED[part], &given, &[self.0.stores()]].concat());
    }

    fn restore(&self, part: usize, moment: &str) {
        let given = ["--quiet", "--set=ON_ERROR_STOP=1", &self.file(part, moment), self.0.stores()];
        crate::harness::program_of_postgres("psql", &given);
    }
}

/// Each node writes what it saw of the log beside the one root key; all else is in one database. Of each part there is a
/// dump from before anybody was erased, and from when one of two was.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_old_dumps_of_what_several_nodes_share_bring_anybody_back_at_any_of_them() {
    use crate::harness::Nodes;
    let mut seed = Seed::new();
    let nodes = Nodes::on_postgres(2);
    let dumps = Dumps(&nodes);
    let mut servers = nodes.start_all(&[]);
    let shop = Shop::open(&servers[0]).await;
    let gone =
        [("First", Member::join(&shop, "First").await), ("Second", Member::join(&shop, "Second").await)];
    let stays = person();
    shop.delivered("customers/create", stays.body()).await;
    for ((_, member), moment) in gone.iter().zip(["nobody", "one"]) {
        (0..SHARED.len()).for_each(|part| dumps.keep(part, moment));
        erased(&shop, &member.customer).await;
    }
    for round in 0..given("LOYALNEST_RESTORES_OF_NODES", 1) {
        for server in servers {
            assert!(server.end_by("TERM").0.success());
        }
        // Nothing stands for a part that stays as it is. The log is old in one of five, the first time keys are surely.
        let mut from = SHARED.map(|_| [None, Some("nobody"), Some("one")][seed.rng.random_range(0..3)]);
        from[0] = from[0].filter(|_| seed.one_in(3));
        from[1] = from[1].or((round == 0).then_some("nobody"));
        println!("round {round}: {from:?}");
        dumps.keep(0, "newest");
        for (part, moment) in from.iter().enumerate() {
            moment.iter().for_each(|moment| dumps.restore(part, moment));
        }
        if from[0].is_some() {
            for node in 0..nodes.count() {
                let said = nodes.try_start(node, &[]).err().expect("it serves a log that was set back");
                assert!(said.contains("was set back") && said.contains("declare-loss"), "{said}");
            }
            dumps.restore(0, "newest");
        }
        if from[1] == Some("nobody") {
            let fences = nodes.database().texts("", "SELECT count(*)::text FROM loyalnest_keys.fence");
            assert_eq!(fences, [[Some("0".to_owned())]], "the dump is from before");
        }
        servers = nodes.start_all(&[]);
        for (tag, member) in &gone {
            member.comes_late(&shop.at(&servers[round % 2])).await;
            for server in &servers {
                let shop = shop.at(server);
                shop.door.until_idle().await;
                assert_eq!(member.remembered(&shop, tag).await, [""; 0], "round {round}: {from:?}");
                assert_eq!(shop.customer(stays.id).await["email"], stays.email.as_str());
            }
        }
    }
}
