//! Parts of an installation come from older backups, in any combination: whoever was erased stays so, or nothing starts.
use std::{fs, path::PathBuf};

use rand::Rng as _;

use super::{witness::copied, *};
use crate::harness::{Folder, Seed};

/// The files that are restored apart from each other.
const PARTS: [&str; 5] = ["log.db", "keys.db", "work.db", "read.db", "snap.db"];
/// Copies there are: nobody, one and two are erased; the last one is now.
const COPIES: usize = 3;

fn restores() -> usize {
    let given = std::env::var("LOYALNEST_RESTORES").ok();
    given.map_or(30, |text| text.parse().expect("LOYALNEST_RESTORES is a number"))
}

/// An installation with copies of its data from several moments. Root key and witness lie beside the data folder.
struct World {
    folder: Folder,
    environment: [(&'static str, String); 1],
    shop: Shop,
    erased: [(&'static str, Member); 2],
    stays: Member,
    /// What the witness says of the whole log.
    witness: Vec<u8>,
}

impl World {
    async fn make() -> Self {
        let folder = Folder::new();
        let root_key = folder.root().join("root.key").display().to_string();
        let environment = [("LOYALNEST_ROOT_KEY", root_key)];
        let given = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let server = Server::start_on(&folder, &given);
        let shop = Shop::open(&server).await;
        let erased =
            [("First", Member::join(&shop, "First").await), ("Second", Member::join(&shop, "Second").await)];
        let stays = Member::join(&shop, "Stays").await;
        let mut world = Self { folder, environment, shop, erased, stays, witness: Vec::new() };
        world.keep(server, 0).await;
        for (copy, (_, member)) in (1..).zip(&world.erased) {
            let server = Server::start_on(&world.folder, &world.given());
            super::erased(&world.shop.at(&server), &member.customer).await;
            world.keep(server, copy).await;
        }
        world.witness = fs::read(world.witness_file()).unwrap();
        world
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
        copied(&self.folder.data(), &self.copy(number));
    }

    /// Has each part in the data folder from the copy of this number. The witness knows all of the log.
    fn restore(&self, from: &[usize; PARTS.len()]) {
        copied(&self.copy(COPIES - 1), &self.folder.data());
        fs::write(self.witness_file(), &self.witness).unwrap();
        for (part, number) in PARTS.iter().zip(from) {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                let name = format!("{part}{suffix}");
                let (old, new) = (self.copy(*number).join(&name), self.folder.data().join(&name));
                drop(fs::remove_file(&new));
                if old.exists() {
                    fs::copy(old, new).unwrap();
                }
            }
        }
    }

    /// Whoever was erased is not there, whoever was not is.
    async fn wrong(&self, server: &Server) -> Vec<String> {
        let shop = self.shop.at(server);
        shop.door.until_idle().await;
        let mut wrong = Vec::new();
        for (tag, member) in &self.erased {
            member.comes_late(&shop).await;
            wrong.extend(member.remembered(&shop, tag).await);
        }
        let stays = shop.customer(self.stays.person.id).await;
        if stays["email"] != self.stays.person.email.as_str() {
            wrong.push(format!("who was not erased is gone: {stays}"));
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_combination_of_old_and_new_parts_brings_anybody_back() {
    let (mut seed, world, now) = (Seed::new(), World::make().await, COPIES - 1);
    let (mut started, mut refused) = (0, 0);
    for round in 0..restores() {
        // The first ones are those that somebody will do; the log is old in one of five.
        let mut from = match round {
            0 => [now, 0, now, now, now],
            1 => [now, now, 0, now, now],
            2 => [now, now, now, 0, 0],
            3 => [now, 0, 0, 0, 0],
            4 => [0; PARTS.len()],
            _ => std::array::from_fn(|_| seed.rng.random_range(0..COPIES)),
        };
        if round > 4 && !seed.one_in(5) {
            from[0] = now;
        }
        world.restore(&from);
        match Server::try_start_with(&world.folder, &world.given()) {
            Ok(server) => {
                assert_eq!(from[0], now, "it started on an old log: {from:?}");
                let wrong = world.wrong(&server).await;
                assert!(wrong.is_empty(), "{from:?}: {wrong:#?}");
                drop(server.kill());
                started += 1;
            }
            Err(said) => {
                assert!(from[0] < now, "{from:?}: {said}");
                assert!(said.contains("was set back") && said.contains("declare-loss"), "{from:?}: {said}");
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
    let (world, now) = (World::make().await, COPIES - 1);
    world.restore(&[now, 0, now, now, now]);
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
