//! Reference data is what the log says, wherever a start begins to read.
use std::cell::Cell;

use domain::{
    Command, StreamRef,
    merchant::{InstallMerchant, UninstallMerchant},
    product::SyncProduct,
    reward::{DefineReward, RetireReward},
};
use event_log::{
    Class, Log,
    memory::{self, Memory},
};
use event_schemas::{
    Currency, CustomerId, MerchantId, ProductId, RewardId, ShopDomain, TimeZone, payload::Payload as _,
    product::ProductSynced, reward::RewardDefined,
};
use privacy::{KeyStore, RootKey};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Error, Kept, Shops};
use crate::{
    clock::Clock,
    owner::{self, Snapshots},
    testing::{ROOT, earn, envelope, process},
    work,
};

/// What outlives a process.
struct Disk {
    log: Log,
    folder: TempDir,
    /// How often the snapshots were replaced; always under another name.
    replaced: Cell<usize>,
}

/// What a start found, and how many records it read for it.
#[derive(Debug, PartialEq, Eq)]
struct Started {
    records_read: u64,
    shops: String,
}

impl Disk {
    fn new(log: Log) -> Self {
        Self { log, folder: tempfile::tempdir().unwrap(), replaced: Cell::new(0) }
    }

    fn memory() -> Self {
        Self::new(memory::init(1, Class::Conditional))
    }

    fn snapshots(&self) -> std::path::PathBuf {
        self.folder.path().join(format!("snap-{}.db", self.replaced.get()))
    }

    /// Commands of one process; how many records they are with its claim.
    fn send(&self, commands: impl IntoIterator<Item = (StreamRef, Command)>) -> u64 {
        process(async {
            let keys = self.folder.path().join("keys.db");
            let (root, id) = (RootKey::from_bytes(ROOT), *self.log.id().as_bytes());
            let keys = KeyStore::create_or_open(&keys, &root, id).await.unwrap();
            let work = work::open(&self.folder.path().join("work.db")).unwrap();
            let clock = Clock::open(&work, true).await.unwrap();
            let commander = owner::start(&self.log, &keys, &clock).await.unwrap();
            let mut records = 1;
            for (stream, command) in commands {
                let merchant = if stream.id.as_u128() % 2 == 0 { merchant(2) } else { merchant(1) };
                let sent = envelope(clock.now(), merchant, stream, command);
                commander.send(sent).await.unwrap();
                records += 1;
            }
            records
        })
    }

    fn try_start(&self, forgets_rows: bool) -> Result<Started, Error> {
        process(async {
            let snapshots = Snapshots::open(&self.snapshots(), self.log.id()).await.unwrap();
            let mut kept = Kept::new(&snapshots);
            kept.forgets_rows = forgets_rows;
            Shops::start_over(&self.log, Some(kept)).await.map(|shops| Started::of(&shops))
        })
    }

    fn start(&self) -> Started {
        self.try_start(false).unwrap()
    }

    fn by_the_log(&self) -> Started {
        process(async { Started::of(&Shops::start(&self.log, None).await.unwrap()) })
    }

    fn spoil(&self, sql: &str) {
        let file = rusqlite::Connection::open(self.snapshots()).unwrap();
        file.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        assert!(file.execute(sql, ()).unwrap() > 0, "{sql}");
    }
}

impl Started {
    fn of(shops: &Shops) -> Self {
        let both = [merchant(1), merchant(2)];
        let products = both.map(|merchant| (1..4).map(move |n| (merchant, product(n))));
        let products: Vec<_> =
            products.into_iter().flatten().map(|(merchant, id)| shops.product(merchant, &id)).collect();
        let rewards: Vec<_> =
            both.iter().flat_map(|merchant| [5, 6].map(|n| shops.reward(*merchant, reward(n)))).collect();
        Self {
            records_read: shops.records_read(),
            shops: format!("{:?}{products:?}{rewards:?}", shops.all()),
        }
    }
}

const fn merchant(number: u128) -> MerchantId {
    MerchantId(Uuid::from_u128(number))
}

const fn reward(number: u128) -> RewardId {
    RewardId(Uuid::from_u128(number))
}

fn product(number: u32) -> ProductId {
    ProductId::try_new(number.to_string()).unwrap()
}

fn install(number: u128) -> (StreamRef, Command) {
    let install = InstallMerchant {
        shop_domain: ShopDomain::try_new(format!("shop-{number}.myshopify.com")).unwrap(),
        currency: Currency::try_new("USD").unwrap(),
        timezone: TimeZone::utc(),
    };
    (StreamRef::merchant(merchant(number)), install.into())
}

fn sync(number: u32) -> (StreamRef, Command) {
    let ProductSynced { title, tags, updated_at, .. } = ProductSynced::sample();
    // Its stream is even or odd, and so is of one of the two shops.
    let stream = |shop| StreamRef::product(merchant(shop), &product(number));
    let shop = [1, 2].into_iter().find(|shop| stream(*shop).id.as_u128() % 2 == *shop % 2).unwrap_or(1);
    (stream(shop), SyncProduct { product: product(number), title, tags, updated_at }.into())
}

fn define(number: u128) -> (StreamRef, Command) {
    let RewardDefined { name, benefit, points, .. } = RewardDefined::sample();
    (StreamRef::reward(reward(number)), DefineReward { name, benefit, points }.into())
}

fn award() -> (StreamRef, Command) {
    (StreamRef::account(CustomerId(Uuid::from_u128(7))), earn(1).into())
}

/// Two shops with a catalogue, among much else that is none of it.
fn history() -> Vec<(StreamRef, Command)> {
    let mut history = vec![install(1), install(2), sync(1), sync(2), define(5), define(6)];
    history.extend((0..40).map(|_| award()));
    history
}

/// Changes of what there is, and something new.
fn news() -> [(StreamRef, Command); 4] {
    let leave = (StreamRef::merchant(merchant(1)), UninstallMerchant {}.into());
    let retire = (StreamRef::reward(reward(6)), RetireReward {}.into());
    [leave, retire, sync(3), award()]
}

#[test]
fn a_start_reads_only_what_came_after_the_checkpoint() {
    let disk = Disk::memory();
    let before = disk.send(history());
    assert_eq!(disk.start(), disk.by_the_log());
    assert_eq!(disk.start().records_read, 0);
    let after = disk.send(news());
    let started = disk.start();
    assert_eq!(started.records_read, after);
    let by_the_log = disk.by_the_log();
    assert_eq!((started.shops, before + after), (by_the_log.shops.clone(), by_the_log.records_read));
    // What was read last is kept too.
    assert_eq!(disk.start(), Started { records_read: 0, ..by_the_log });
}

/// Planted: the checkpoint moves on without the entries that changed. Those that are missing are counted; only this test
/// sees that a changed one is old.
#[test]
fn a_checkpoint_that_moves_on_without_an_entry_is_found() {
    let disk = Disk::memory();
    disk.send(history());
    disk.start();
    disk.send(news().into_iter().take(1));
    disk.try_start(true).unwrap();
    let started = disk.start();
    assert_eq!(started.records_read, 0);
    assert_ne!(started.shops, disk.by_the_log().shops);
}

/// Seen to fail where a checksum is not compared or the entries are not counted: then what decayed is believed.
#[test]
fn what_was_kept_and_has_a_wrong_byte_is_dropped_and_the_log_is_read() {
    let disk = Disk::memory();
    disk.send(history());
    disk.start();
    let (kept, by_the_log) = (disk.start(), disk.by_the_log());
    assert_eq!(kept.records_read, 0);
    let mut spoilt = vec![
        "UPDATE reference_covering SET entries = entries + 1".to_owned(),
        "UPDATE reference SET merchant = zeroblob(16) WHERE type = (SELECT min(type) FROM reference)"
            .to_owned(),
        "DELETE FROM reference WHERE id = (SELECT min(id) FROM reference)".to_owned(),
    ];
    for (table, column) in [("reference", "state"), ("reference_covering", "checkpoint")] {
        let wrong = |at: usize| {
            let before = format!("substr({column}, 1, {at})");
            let after = format!("substr({column}, {})", at + 2);
            let another = format!("iif(substr({column}, {}, 1) = x'07', x'08', x'07')", at + 1);
            format!("UPDATE {table} SET {column} = CAST({before} || {another} || {after} AS BLOB)")
        };
        spoilt.extend((0..40).step_by(3).map(wrong));
    }
    for sql in spoilt {
        disk.spoil(&sql);
        assert_eq!(disk.start(), by_the_log, "{sql}");
        assert_eq!(disk.start(), kept, "{sql}");
    }
}

#[test]
fn what_was_kept_of_another_log_is_dropped_and_the_log_is_read() {
    let (disk, other) = (Disk::memory(), Disk::memory());
    other.send(history());
    other.start();
    disk.send([install(1)]);
    std::fs::copy(other.snapshots(), disk.snapshots()).unwrap();
    assert_eq!(disk.start(), disk.by_the_log());
}

/// A history in which the record at the checkpoint is another one, or is gone. Seen to fail where that ends the start.
#[test]
fn what_was_kept_of_another_history_is_dropped_and_the_log_is_read() {
    let store = Memory::init(1, Class::Open);
    let disk = Disk::new(store.log());
    disk.send([install(1), define(5)]);
    disk.start();
    // Of the second command nothing is left, and others took its place.
    store.tamper(0, |records| records.truncate(2));
    disk.send([award(), award()]);
    assert_eq!(disk.start(), disk.by_the_log());
    store.tamper(0, |records| records.truncate(2));
    assert_eq!(disk.start(), disk.by_the_log());
}

#[test]
fn a_log_that_cannot_be_what_it_says_is_refused_with_what_was_kept_as_without() {
    let store = Memory::init(1, Class::Conditional);
    let disk = Disk::new(store.log());
    disk.send(history());
    disk.start();
    store.tamper(0, |records| records.truncate(4));
    let error = disk.try_start(false).unwrap_err();
    assert!(matches!(error, Error::Log(event_log::Error::Diverged(_))), "{error:?}");
}

#[test]
fn a_file_that_cannot_be_written_only_means_more_to_read() {
    let disk = Disk::memory();
    disk.send(history());
    disk.start();
    disk.spoil("UPDATE reference_covering SET entries = 0");
    let file = rusqlite::Connection::open(disk.snapshots()).unwrap();
    file.execute_batch(
        "CREATE TRIGGER full BEFORE DELETE ON reference BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
    )
    .unwrap();
    assert_eq!([disk.start(), disk.start()], [disk.by_the_log(), disk.by_the_log()]);
}
