//! What time does: certificates become final and old copies die with their epoch; and clocks that jump lose nothing.
use std::{fs, path::PathBuf};

use rusqlite::Connection;

use super::{
    jobs::{said, told},
    witness::copied,
    *,
};
use crate::harness::{Folder, Hold};

/// Why a key store is refused whose epoch is gone.
const DESTROYED: &str = "it was destroyed, so that nothing opens this copy";

/// The epochs' keys, beside a root key that is kept elsewhere.
pub(super) fn ring_of(folder: &Folder) -> PathBuf {
    let files = fs::read_dir(folder.root()).unwrap().map(|entry| entry.unwrap().path());
    let mut rings = files.filter(|path| path.extension().is_some_and(|extension| extension == "epochs"));
    rings.next().expect("a ring beside the root key")
}

/// Waits until nothing hangs under an epoch that is closed.
pub(super) async fn until_rotated(folder: &Folder, from: u32) {
    let keys = Connection::open(folder.data().join("keys.db")).unwrap();
    let rotated = "SELECT epoch > ?1 AND NOT EXISTS (SELECT 1 FROM merchant_key k WHERE k.epoch < meta.epoch) FROM meta";
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    while keys.query_row(rotated, [from], |row| row.get(0)) != Ok(true) {
        assert!(Instant::now() < deadline, "the epoch was not closed");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// The epoch that is open.
pub(super) fn epoch_of(folder: &Folder) -> u32 {
    let keys = Connection::open(folder.data().join("keys.db")).unwrap();
    keys.query_row("SELECT epoch FROM meta", [], |row| row.get(0)).unwrap()
}

/// Somebody was erased a day and a week ago; in `before` is a copy from when they were not.
struct Ended {
    folder: Folder,
    environment: [(&'static str, String); 2],
    server: Server,
    shop: Shop,
    gone: Member,
    stays: Member,
    request: String,
    /// The first certificate.
    live: Value,
    ring_before: String,
}

impl Ended {
    async fn with(bug: &str) -> Self {
        let folder = Folder::new();
        let root_key = folder.root().join("root.key").display().to_string();
        let environment = [("LOYALNEST_ROOT_KEY", root_key), ("LOYALNEST_PLANTED_BUG", bug.to_owned())];
        let given = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let server = Server::start_on(&folder, &given);
        let shop = Shop::open(&server).await;
        let (gone, stays) = (Member::join(&shop, "Gone").await, Member::join(&shop, "Stays").await);
        let ring_before = fs::read_to_string(ring_of(&folder)).unwrap();
        assert!(server.end_by("TERM").0.success());
        copied(&folder.data(), &folder.root().join("before"));
        let epoch = epoch_of(&folder);
        let server = Server::start_on(&folder, &given);
        let shop = shop.at(&server);
        let request = asked(&shop, &json!({"customer_id": gone.customer})).await;
        let live = certified(&shop, &request).await["certificate"].clone();
        let mut ahead = Ahead::default();
        clock(&shop.door, &ahead.on_by(25)).send().await.unwrap();
        until_rotated(&folder, epoch).await;
        clock(&shop.door, &ahead.on_by(8 * 24)).send().await.unwrap();
        finalized(&shop, &request).await;
        Self { folder, environment, server, shop, gone, stays, request, live, ring_before }
    }

    /// What becomes of a start with the key store from before, and everything else as it is.
    fn old_keys(self) -> Result<Server, String> {
        let Self { folder, environment, server, .. } = self;
        assert!(server.end_by("TERM").0.success());
        fs::copy(folder.root().join("before/keys.db"), folder.data().join("keys.db")).unwrap();
        let given = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        Server::try_start_with(&folder, &given)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_becomes_final_with_its_epoch_and_old_copies_of_the_key_store_open_nothing() {
    let ended = Ended::with("").await;
    let Ended { folder, server, shop, gone, stays, request, live, .. } = &ended;
    assert_eq!(live["level"], "live", "{live}");
    let at = ["--shop", shop.domain.as_str(), "--data", "data"];
    let (code, text) = said(folder, &[&["status"][..], &at].concat());
    assert!(code == Some(0) && text.contains("finalized") && text.contains("(final)"), "{text}");
    let (code, told) = told(folder, &[&["status", request][..], &at].concat());
    assert_eq!((code, &told["requests"][0]["certificate"]["level"]), (Some(0), &json!("final")), "{told}");
    let stated = statement(server, shop, request).await;
    assert_eq!((&stated["level"], &stated["live"]), (&json!("final"), &live["id"]), "{stated}");

    gone.comes_late(shop).await;
    assert_eq!(gone.remembered(shop, "Gone").await, [""; 0]);
    assert_eq!(shop.customer(stays.person.id).await["email"], stays.person.email.as_str());
    // The key of the epoch is in no byte of any file.
    let old = ended.ring_before.lines().nth(1).unwrap().split(' ').nth(2).unwrap();
    let old = Markers::new(&[Marker::text("the key of the epoch that ended", old)]);
    assert_eq!(old.found(ended.ring_before.as_bytes()).len(), 1, "the scan would not find it");
    let control = Marker::text("the title of the ring", "loyalnest epochs");
    let files: Vec<_> = fs::read_dir(folder.root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    old.stand_nowhere_in(&[files, crate::harness::files(&folder.data())].concat(), &control);
    let refused = ended.old_keys().err().expect("it served keys from before whose epoch is destroyed");
    assert!(refused.contains(DESTROYED), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_is_kept_is_caught() {
    let refused = Ended::with("epoch-kept").await.old_keys().err();
    // Keys of the living that were made since may be missing; what is there opens.
    assert!(refused.is_none_or(|said| !said.contains(DESTROYED)), "the planted bug was not there");
}

/// What the metric says of requests of this age.
async fn open_of_age(shop: &Shop, age: &str) -> Option<String> {
    let metrics = shop.door.get("/metrics").await.text;
    let line = format!("privacy_requests_open{{age=\"{age}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line).map(str::to_owned))
}

async fn until_open(shop: &Shop, age: &str, count: &str) {
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    while open_of_age(shop, age).await.as_deref() != Some(count) {
        assert!(Instant::now() < deadline, "{age}: {:?}", open_of_age(shop, age).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_a_year_ahead_and_back_during_an_erasure_loses_nothing() {
    let folder = Folder::new();
    let hold = Hold::at(&folder, "destroy:before");
    let setting = hold.setting();
    let server = Server::start_on(&folder, &[("LOYALNEST_HOLD", &setting)]);
    let shop = Shop::open(&server).await;
    let (gone, stays) = (Member::join(&shop, "Gone").await, Member::join(&shop, "Stays").await);
    let id = asked(&shop, &json!({"customer_id": gone.customer})).await;
    hold.reached().await;
    until_open(&shop, "day-0", "1").await;
    clock(&shop.door, &Ahead::default().on_by(366 * 24)).send().await.unwrap();
    until_open(&shop, "overdue", "1").await;
    until_open(&shop, "day-0", "0").await;
    assert!(server.last_printed().contains("ALARM: the redaction"), "{}", server.last_printed());

    // Nothing was written since, so that nothing keeps the clock from going back.
    let folder = server.kill();
    let work = Connection::open(folder.data().join("work.db")).unwrap();
    assert_eq!(work.execute("DELETE FROM clock", []).unwrap(), 1);
    drop(work);
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    certified(&shop, &id).await;
    let times = statement(&server, &shop, &id).await["times"].clone();
    let times = ["requested", "fenced", "destroyed", "purged", "verified", "issued"]
        .map(|time| times[time].as_str().unwrap_or_else(|| panic!("{time}: {times}")).to_owned());
    assert!(times.is_sorted(), "{times:?}");
    until_open(&shop, "overdue", "0").await;
    assert_eq!(gone.remembered(&shop, "Gone").await, [""; 0]);
    assert_eq!(shop.customer(stays.person.id).await["email"], stays.person.email.as_str());
    assert_eq!(shop.balance(&stays.customer).await.available, stays.points);
}
