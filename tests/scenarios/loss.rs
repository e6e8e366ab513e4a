//! The log lost records that others remember: everybody stops and says so, and `declare-loss` is the way out.
use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use postgres_store::testing::TestDatabase;
use serde_json::{Value, json};

use super::verify::verified;
use crate::{
    harness::{Folder, OwnServer, Server, Shop, run},
    shopify::{order, person},
};

const SIGNED: [&str; 7] = ["--by", "Ada Example", "--by", "Ben Example", "--why", "the disk lied", "--yes"];

/// What it says, with its exit code.
fn declared(folder: &Folder, more: &[&str]) -> (Option<i32>, Value) {
    declared_with(folder, more, &[])
}

fn declared_with(folder: &Folder, more: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, Value) {
    let arguments = [&["declare-loss", "--json", "--data", "data"], more].concat();
    let output = run(folder, &arguments, environment);
    let said = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), report)
}

/// Everybody whose memory goes beyond the log, by what they are.
fn who_remembers(report: &Value) -> Vec<String> {
    let lost = report["lost"].as_array().unwrap();
    let memories = lost.iter().flat_map(|lost| lost["remembered"].as_array().unwrap());
    let mut whose: Vec<String> =
        memories.map(|memory| memory["whose"].as_str().unwrap().to_owned()).collect();
    whose.sort();
    whose.dedup();
    whose
}

/// An installation whose log lost a redemption and an order.
struct Lost {
    folder: Folder,
    shop: Shop,
    customer: String,
    /// Who ordered.
    ada: u64,
    /// What was redeemed.
    redeem: Value,
}

/// Keeps a copy of the log, goes on, and has the copy in its place.
async fn lost(folder: &Folder, keep: impl FnOnce(), lose: impl FnOnce()) -> Lost {
    let server = Server::start_on(folder, &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    let ada = person();
    shop.delivered("customers/create", ada.body()).await;
    shop.door.until_idle().await;
    assert!(server.end_by("TERM").0.success());
    keep();

    let server = Server::start_on(folder, &[]);
    let shop = shop.at(&server);
    let redeem = json!({"customer_id": customer, "points": 300});
    shop.post_keyed("/v1/api/points/redeem", "lost", &redeem).await.expect(200);
    shop.delivered("orders/paid", order().by(&ada).line(50_00, 1).paid().body(&shop)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 50);
    let (code, said) = declared(folder, &[]);
    assert_eq!(code, Some(2), "a server works in the folder: {said}");
    assert!(said["error"].as_str().unwrap().contains("open"), "{said}");
    shop.door.until_idle().await;
    assert!(server.end_by("TERM").0.success());
    lose();
    Lost { folder: folder.clone(), shop, customer, ada: ada.id, redeem }
}

impl Lost {
    /// Nobody goes on, it is said what is lost, and looking or asking alone changes nothing.
    fn is_told(&self) {
        let refused = Server::try_start_on(&self.folder).err().expect("it went on with what is left");
        assert!(refused.contains("diverged") && refused.contains("loyalnest declare-loss"), "{refused}");
        let (code, looked) = declared(&self.folder, &[]);
        assert_eq!((code, &looked["declared"]), (Some(1), &Value::Bool(false)), "{looked:#}");
        // Policies write their progress now and then.
        for whose in ["read-model", "snapshots"] {
            assert!(who_remembers(&looked).iter().any(|found| found == whose), "{looked:#}");
        }
        for alone in [&["--yes"][..], &["--by", "Ada", "--by", "Ada", "--why", "x", "--yes"]] {
            let (code, said) = declared(&self.folder, alone);
            assert_eq!(code, Some(2), "{said}");
            assert!(said["error"].as_str().unwrap().contains("two people"), "{said}");
        }
        assert_eq!(declared(&self.folder, &[]).1, looked, "something was changed");
    }

    /// Declares the loss and gives what does not go on as it must.
    async fn declared(&self, environment: &[(&str, &str)]) -> Vec<String> {
        let mut wrong = Vec::new();
        let (code, done) = declared_with(&self.folder, &SIGNED, environment);
        if (code, &done["declared"]) != (Some(0), &Value::Bool(true)) {
            wrong.push(format!("it says {code:?} {done:#}"));
        }
        let (code, again) = declared(&self.folder, &[]);
        if (code, &again["lost"]) != (Some(0), &json!([])) {
            wrong.push(format!("somebody still remembers: {again:#}"));
        }
        let server = match Server::try_start_on(&self.folder) {
            Ok(server) if wrong.is_empty() => server,
            started => {
                wrong.extend(started.err());
                return wrong;
            }
        };
        let shop = self.shop.at(&server);
        shop.door.until_idle().await;
        let mut expect = |what: &str, is: i64, wanted: i64| {
            if is != wanted {
                wrong.push(format!("{what}: {is}, not {wanted}"));
            }
        };
        expect("what is lost is lost", shop.balance(&self.customer).await.available, 1000);
        expect("a delivery that is kept is worked off again", shop.balance_of(self.ada).await.available, 50);
        for _ in 0..2 {
            shop.post_keyed("/v1/api/points/redeem", "lost", &self.redeem).await.expect(200);
            expect("asked again, it is done again, once", shop.balance(&self.customer).await.available, 700);
        }
        shop.door.until_idle().await;
        assert!(server.end_by("TERM").0.success());
        let (code, report) = verified(&self.folder);
        if (code, &report["verdict"]) != (Some(0), &Value::from("sound")) {
            wrong.push(format!("{report:#}"));
        }
        let notes = report["notes"].to_string();
        if !["Ada Example and Ben Example", "the disk lied"].iter().all(|said| notes.contains(said)) {
            wrong.push(format!("verify does not say who declared a loss: {notes}"));
        }
        wrong
    }
}

async fn lost_and_declared(folder: &Folder, keep: impl FnOnce(), lose: impl FnOnce()) {
    let lost = lost(folder, keep, lose).await;
    lost.is_told();
    let wrong = lost.declared(&[]).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Copies the files of a SQLite database.
fn copied(from: &Path, to: &Path) {
    let with = |path: &Path, suffix| PathBuf::from(format!("{}{suffix}", path.display()));
    for suffix in ["", "-wal", "-shm"] {
        drop(fs::remove_file(with(to, suffix)));
        if with(from, suffix).exists() {
            fs::copy(with(from, suffix), with(to, suffix)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_from_an_older_backup() {
    let folder = Folder::new();
    let (log, copy) = (folder.data().join("log.db"), folder.root().join("copy.db"));
    lost_and_declared(&folder, || copied(&log, &copy), || copied(&copy, &log)).await;
}

/// Each step that is left out is found.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declaration_that_leaves_something_out_is_caught() {
    let folder = Folder::new();
    let (log, copy) = (folder.data().join("log.db"), folder.root().join("copy.db"));
    let lost = lost(&folder, || copied(&log, &copy), || copied(&copy, &log)).await;
    let spare = folder.root().join("spare");
    let replaced = |from: &Path, to: &Path| {
        drop(fs::remove_dir_all(to));
        fs::create_dir(to).unwrap();
        for file in fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    replaced(&folder.data(), &spare);
    for left_out in
        ["unrecorded", "keeps-read-models", "keeps-snapshots", "keeps-deliveries", "keeps-witness"]
    {
        replaced(&spare, &folder.data());
        let bug = format!("declare-loss-{left_out}");
        let wrong = lost.declared(&[("LOYALNEST_PLANTED_BUG", &bug)]).await;
        assert!(!wrong.is_empty(), "{bug} went unnoticed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_from_an_older_backup() {
    let database = TestDatabase::create();
    let keep = "CREATE SCHEMA kept; CREATE TABLE kept.log AS TABLE loyalnest_log.log;
        CREATE TABLE kept.head AS TABLE loyalnest_log.head";
    let lose = "DELETE FROM loyalnest_log.log; INSERT INTO loyalnest_log.log SELECT * FROM kept.log;
        DELETE FROM loyalnest_log.head; INSERT INTO loyalnest_log.head SELECT * FROM kept.head";
    let run = |statements: &str| database.execute(statements).unwrap();
    lost_and_declared(&Folder::with_log(&database.url()), || run(keep), || run(lose)).await;
}

/// Row 6 of the contract's last table the other way round: what was restored is older than the log. With checkpoints kept
/// apart from their rows (`checkpoint-apart`) the same balance is seen twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_from_an_older_backup_catch_up() {
    let folder = Folder::new();
    let (read, copy) = (folder.data().join("read.db"), folder.root().join("copy.db"));
    let server = Server::start_on(&folder, &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    shop.door.until_idle().await;
    assert!(server.end_by("TERM").0.success());
    copied(&read, &copy);

    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    shop.redeem(&customer, 300).await.expect(200);
    shop.door.until_idle().await;
    assert!(server.end_by("TERM").0.success());
    copied(&copy, &read);
    assert_eq!(declared(&folder, &[]).0, Some(0), "nothing is lost");

    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    shop.door.until_idle().await;
    assert_eq!(shop.balance(&customer).await.available, 700);
    assert_eq!(shop.statement(&customer).await.len(), 2);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    let (code, report) = verified(&folder);
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("sound")), "{report:#}");
}

/// Row 3: it would give the same order a new id, and points a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_store_from_an_older_backup_is_refused() {
    let folder = Folder::new();
    let (keys, copy) = (folder.data().join("keys.db"), folder.root().join("copy.db"));
    let server = Server::start_on(&folder, &[]);
    let shop = Shop::open(&server).await;
    assert!(server.end_by("TERM").0.success());
    copied(&keys, &copy);
    let server = Server::start_on(&folder, &[]);
    shop.at(&server).enrol_with(1000).await;
    assert!(server.end_by("TERM").0.success());
    copied(&copy, &keys);
    let refused = Server::try_start_on(&folder).err().expect("it served with keys of before");
    assert!(refused.contains("key store"), "{refused}");
}

/// The segments of the log's topic, on a broker that has one of each.
fn segments(broker: &OwnServer) -> Vec<PathBuf> {
    let topics =
        fs::read_dir(broker.folder.join("broker-1/data")).unwrap().map(|entry| entry.unwrap().path());
    let ours = topics.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("loyalnest-"));
    ours.map(|path| path.join("00000000000000000000.log")).collect()
}

/// A broker confirms what the system has not written to the disk yet. After a power cut it comes back without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_whose_only_broker_lost_its_last_records_in_a_power_cut() {
    let broker = RefCell::new(OwnServer::kafka(1));
    let folder = Folder::with_log(&broker.borrow().url);
    let lengths = RefCell::new(Vec::new());
    let keep = || {
        let length = |path: PathBuf| (path.metadata().unwrap().len(), path);
        lengths.borrow_mut().extend(segments(&broker.borrow()).into_iter().map(length));
    };
    let lose = || {
        broker.borrow().signal(1, "KILL");
        for (length, path) in lengths.borrow().iter() {
            fs::File::options().write(true).open(path).unwrap().set_len(*length).unwrap();
        }
        broker.borrow_mut().restart(1);
    };
    lost_and_declared(&folder, keep, lose).await;
}
