//! Owners that keep their state in snapshots know exactly what the log says, wherever they are stopped.
use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{Aggregate, Command, DueKind, StreamRef, points_account::EarnPoints};
use event_log::{
    Class, Log,
    faulty::{Fate, Faulty, Plan},
    memory::{self, Memory},
};
use event_schemas::{
    CommandKey, CorrelationId, CustomerId, MerchantId, Timestamp,
    points_account::Release,
    record::{Actor, Trace},
    sample,
};
use futures::FutureExt as _;
use privacy::{KeyStore, RootKey};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tempfile::TempDir;
use uuid::Uuid;

use super::{DueQuery, DueStream, Keeping, Planted, Snapshots};
use crate::{
    clock::Clock,
    commands::{Answered, Commander, Envelope, Lane, Origin, Outcome, Unavailable},
    testing::{POISON, balances, earn, process, reserve, within},
    work,
};

const MERCHANT: MerchantId = MerchantId::from_bytes([7; 16]);

/// What outlives a process.
struct Disk {
    log: Log,
    folder: TempDir,
    /// How often the snapshots were replaced. A file is replaced under another name: a process that was killed may still
    /// be tidying up under the old one.
    replaced: Cell<usize>,
}

/// How a process keeps its state.
#[derive(Clone, Copy)]
struct How {
    live_streams: usize,
    memory_bytes: usize,
    planted: Option<Planted>,
}

const ROOMY: How = How { live_streams: 1_000, memory_bytes: 1 << 30, planted: None };
/// Nothing stays in memory that is not at work.
const NO_ROOM: How = How { live_streams: 0, memory_bytes: 0, planted: None };

impl Disk {
    fn new(log: Log) -> Self {
        Self { log, folder: tempfile::tempdir().unwrap(), replaced: Cell::new(0) }
    }

    fn memory() -> Self {
        Self::new(memory::init(2, Class::Conditional))
    }

    fn snapshots(&self) -> PathBuf {
        self.folder.path().join(format!("snap-{}.db", self.replaced.get()))
    }

    /// Where other snapshots may be put in the place of those that are there.
    fn other_snapshots(&self) -> PathBuf {
        self.replaced.update(|replaced| replaced + 1);
        self.snapshots()
    }

    async fn try_start(&self, log: &Log, how: Option<How>) -> Result<Commander, super::StartError> {
        let keys = self.folder.path().join("keys.db");
        let root = RootKey::from_bytes([7; 32]);
        let keys = KeyStore::create_or_open(&keys, &root, *log.id().as_bytes()).await.unwrap();
        let work = work::open(&self.folder.path().join("work.db")).unwrap();
        let clock = Clock::open(&work, true).await.unwrap();
        let keeping = match how {
            None => None,
            Some(How { live_streams, memory_bytes, planted }) => {
                within("the end of the process before", until_closed(&self.snapshots())).await;
                let snapshots = Snapshots::open(&self.snapshots(), log.id()).await.unwrap();
                Some(Keeping { snapshots, live_streams, memory_bytes, planted })
            }
        };
        super::start_keeping(log, &keys, &clock, keeping).await
    }

    async fn start(&self, how: How) -> Commander {
        self.try_start(&self.log, Some(how)).await.unwrap()
    }

    /// The whole state of accounts as the log alone says it; in a process of its own, or two owners fight for the log.
    async fn by_the_log(&self, accounts: &[CustomerId]) -> Vec<Aggregate> {
        let commander = self.try_start(&self.log, None).await.unwrap();
        states(&commander, accounts).await
    }
}

/// A process that is killed writes no more; here its thread may still have a page to write when its tasks are gone.
async fn until_closed(file: &Path) {
    let is_open = || {
        let mut open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.any(|open| fs::read_link(open.path()).is_ok_and(|opened| opened == file))
    };
    while is_open() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn envelope(customer: CustomerId, key: CommandKey, command: impl Into<Command>) -> Envelope {
    Envelope {
        merchant: MERCHANT,
        stream: StreamRef::account(customer),
        command: command.into(),
        key,
        content: sample::DIGEST,
        occurred_at: sample::time(),
        origin: Origin {
            actor: Actor::Merchant,
            correlation: CorrelationId(Uuid::now_v7()),
            trace: Trace::default(),
            causation: None,
        },
        lane: Lane::Interactive,
    }
}

async fn state(commander: &Commander, customer: CustomerId) -> Aggregate {
    commander.read(MERCHANT, StreamRef::account(customer), Aggregate::clone).await.unwrap()
}

async fn states(commander: &Commander, accounts: &[CustomerId]) -> Vec<Aggregate> {
    futures::future::join_all(accounts.iter().map(|customer| state(commander, *customer))).await
}

/// All that is due at any time, page by page.
async fn due(commander: &Commander) -> Vec<(DueKind, DueStream)> {
    let mut found = Vec::new();
    for (partition, kind) in (0..commander.partitions()).flat_map(|p| DueKind::ALL.map(|kind| (p, kind))) {
        let up_to = Timestamp::from_micros(i64::from(i32::MAX) * 1_000_000);
        let mut query = DueQuery { kind, up_to, merchant: None, after: None, limit: 2 };
        loop {
            let page = commander.due(partition, query).await.unwrap();
            query.after = page.last().copied();
            found.extend(page.iter().map(|due| (kind, *due)));
            if page.len() < query.limit {
                break;
            }
        }
    }
    found
}

/// Sends the same command until there is an answer.
async fn insist(commander: &Commander, envelope: &Envelope) -> Answered {
    let asks = async {
        loop {
            match commander.send(envelope.clone()).await {
                Ok(answered) => return answered,
                Err(unavailable) => assert!(unavailable.is_transient(), "{unavailable:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("an answer", asks).await
}

async fn available(commander: &Commander, customer: CustomerId) -> i64 {
    commander.read(MERCHANT, StreamRef::account(customer), balances).await.unwrap().available.0
}

fn accounts<const COUNT: usize>() -> [CustomerId; COUNT] {
    std::array::from_fn(|n| CustomerId(Uuid::from_u128(n as u128 + 1)))
}

/// Everything that was answered so far, to be asked again.
#[derive(Default)]
struct Told(Vec<(Envelope, Answered)>);

impl Told {
    /// Sends random commands: awards, reservations that may be refused, and what was answered before. Saves now and then.
    async fn go_on(&mut self, rng: &mut StdRng, commander: &Commander, accounts: &[CustomerId]) {
        for _ in 0..rng.random_range(1..30) {
            let again = self.0.choose(rng).filter(|_| rng.random_ratio(1, 4)).cloned();
            if let Some((envelope, first)) = again {
                check_told(commander, &envelope, &first).await;
                continue;
            }
            let (customer, key) = (*accounts.choose(rng).unwrap(), CommandKey(Uuid::now_v7()));
            let points = rng.random_range(1..20);
            let later =
                Release::At(Timestamp::from_micros(sample::time().micros() + rng.random_range(1..50)));
            let envelope = match rng.random_range(0..6) {
                0 | 1 => envelope(customer, key, reserve(points)),
                2 | 3 => envelope(customer, key, EarnPoints { release: Some(later), ..earn(points) }),
                _ => envelope(customer, key, earn(points)),
            };
            let answered = insist(commander, &envelope).await;
            self.0.push((envelope, answered));
            if rng.random_ratio(1, 12) {
                commander.save().await.unwrap();
            }
        }
    }

    async fn check(&self, commander: &Commander) {
        for (envelope, first) in &self.0 {
            check_told(commander, envelope, first).await;
        }
    }
}

async fn check_told(commander: &Commander, envelope: &Envelope, first: &Answered) {
    let again = insist(commander, envelope).await;
    assert_eq!((&again.outcome, again.at, again.replayed), (&first.outcome, first.at, true));
    assert!(again.made.is_none());
}

/// Histories of awards, refusals and repeats, cut by kills; with room and without.
#[test]
fn wherever_it_is_killed_an_owner_knows_what_the_log_says() {
    for seed in 0..8 {
        let (disk, mut rng, mut told) = (Disk::memory(), StdRng::seed_from_u64(seed), Told::default());
        let accounts = accounts::<5>();
        for _ in 0..6 {
            let how = if rng.random() { ROOMY } else { NO_ROOM };
            process(async {
                let commander = disk.start(how).await;
                told.go_on(&mut rng, &commander, &accounts).await;
            });
        }
        process(async {
            let commander = disk.start(NO_ROOM).await;
            told.check(&commander).await;
            let (kept, due) = (states(&commander, &accounts).await, due(&commander).await);
            assert!(!due.is_empty());
            drop(commander);
            let commander = disk.try_start(&disk.log, None).await.unwrap();
            assert_eq!(kept, states(&commander, &accounts).await, "seed {seed}");
            assert_eq!(due, self::due(&commander).await, "seed {seed}");
        });
    }
}

/// What a process finds of an account that was parked in the one before, and of another. How many records it reads.
fn parked_and_killed(how: How) -> (u64, [i64; 2]) {
    let (disk, [parked, other]) = (Disk::memory(), accounts());
    process(async {
        let commander = disk.start(how).await;
        insist(&commander, &envelope(parked, CommandKey(Uuid::now_v7()), earn(10))).await;
        let poison = commander.send(envelope(parked, POISON, earn(1))).await;
        assert!(matches!(poison, Err(Unavailable::AggregateParked)));
        insist(&commander, &envelope(other, CommandKey(Uuid::now_v7()), earn(5))).await;
        commander.save().await.unwrap();
    });
    process(async {
        let commander = disk.start(how).await;
        let read = commander.records_read();
        (read, [available(&commander, parked).await, available(&commander, other).await])
    })
}

/// A state that cannot be saved is not; its records are remembered instead.
#[test]
fn a_parked_aggregate_is_read_from_the_log_and_lives_on_after_a_restart() {
    let (read, found) = parked_and_killed(ROOMY);
    assert_eq!(found, [10, 5]);
    assert_eq!(read, 2, "a claim of each partition");
    assert_eq!(parked_and_killed(NO_ROOM).1, [10, 5]);
    let planted = How { planted: Some(Planted::ForgottenRows), ..ROOMY };
    assert_ne!(parked_and_killed(planted).1, [10, 5]);
}

/// A process that earns for two customers, saves, earns once more, and is killed. How many records the next one reads,
/// and what it finds.
fn saved_and_killed(how: How) -> (u64, Vec<i64>) {
    let disk = Disk::memory();
    let accounts = accounts::<2>();
    process(async {
        let commander = disk.start(how).await;
        for customer in &accounts {
            for _ in 0..10 {
                insist(&commander, &envelope(*customer, CommandKey(Uuid::now_v7()), earn(1))).await;
            }
        }
        commander.save().await.unwrap();
        insist(&commander, &envelope(accounts[0], CommandKey(Uuid::now_v7()), earn(1))).await;
        // Whoever still holds it when the process ends has not said that this is a clean end, which saves.
        commander
    });
    process(async {
        let commander = disk.start(how).await;
        let read = commander.records_read();
        let mut found = Vec::new();
        for customer in &accounts {
            found.push(available(&commander, *customer).await);
        }
        (read, found)
    })
}

#[test]
fn a_start_reads_only_what_came_after_the_checkpoint() {
    let (read, found) = saved_and_killed(ROOMY);
    assert_eq!(found, [11, 10]);
    // The award behind the checkpoint, and a claim of each partition.
    assert!((3..=4).contains(&read), "{read}");
}

/// Planted: the checkpoint covers records of streams whose rows were not written.
#[test]
fn a_checkpoint_that_moves_on_without_a_row_is_found() {
    let (_, found) = saved_and_killed(How { planted: Some(Planted::ForgottenRows), ..ROOMY });
    assert_ne!(found, [11, 10]);
}

/// Catches, tried: the streams of a round that failed count as saved, though nothing of them was stored.
#[test]
fn what_a_round_could_not_store_the_next_one_stores() {
    for how in [ROOMY, NO_ROOM] {
        let (disk, accounts) = (Disk::memory(), accounts::<2>());
        process(async {
            let commander = disk.start(how).await;
            let file = rusqlite::Connection::open(disk.snapshots()).unwrap();
            file.busy_timeout(Duration::from_secs(5)).unwrap();
            file.execute_batch("ALTER TABLE due RENAME TO gone").unwrap();
            for customer in &accounts {
                insist(&commander, &envelope(*customer, CommandKey(Uuid::now_v7()), earn(10))).await;
            }
            assert!(commander.save().await.is_err());
            insist(&commander, &envelope(accounts[0], CommandKey(Uuid::now_v7()), earn(1))).await;
            file.execute_batch("ALTER TABLE gone RENAME TO due").unwrap();
            commander.save().await.unwrap();
            // Killed, as above.
            commander
        });
        process(async {
            let commander = disk.start(how).await;
            assert_eq!(commander.records_read(), 2, "a claim of each partition");
            let found = [available(&commander, accounts[0]).await, available(&commander, accounts[1]).await];
            assert_eq!(found, [11, 10]);
        });
    }
}

/// An award is on its way when the state is to be saved, and is lost. Whether it still counts exactly once, after the
/// doubt and after a restart.
fn lost_while_saving(how: How) -> bool {
    let disk = Disk::new(memory::init(1, Class::Open));
    let [customer] = accounts();
    let first = envelope(customer, CommandKey(Uuid::now_v7()), earn(10));
    let lost = envelope(customer, CommandKey(Uuid::now_v7()), earn(5));
    let faulty = Faulty::new(&disk.log, Plan::default());
    let after_doubt = process(async {
        let commander = disk.try_start(&faulty.log(), Some(how)).await.unwrap();
        insist(&commander, &first).await;
        faulty.script([Fate::Lose]);
        faulty.pause();
        let save = async {
            let saved = commander.save();
            match how.planted {
                // It does not wait for what is on its way, which the pause holds up.
                Some(_) => saved.await.unwrap(),
                None => assert!(saved.now_or_never().is_none()),
            }
            faulty.resume();
        };
        let (answered, ()) = tokio::join!(commander.send(lost.clone()), save);
        match answered.unwrap().outcome {
            Outcome::Accepted => available(&commander, customer).await,
            _ => 0,
        }
    });
    let after_restart = process(async { available(&disk.start(how).await, customer).await });
    (after_doubt, after_restart) == (15, 15)
}

#[test]
fn what_is_on_its_way_is_not_saved() {
    assert!(lost_while_saving(ROOMY));
    assert!(lost_while_saving(NO_ROOM));
}

/// Planted: a round is written without waiting for what is on its way.
#[test]
fn a_snapshot_of_speculative_state_is_found() {
    assert!(!lost_while_saving(How { planted: Some(Planted::SpeculativeSnapshot), ..ROOMY }));
}

fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if with(from).exists() {
            fs::copy(with(from), with(to)).unwrap();
        }
    }
}

#[test]
fn an_old_snapshot_file_only_means_more_to_read() {
    let (disk, mut rng, mut told) = (Disk::memory(), StdRng::seed_from_u64(1), Told::default());
    let (accounts, old) = (accounts::<3>(), disk.folder.path().join("old.db"));
    for round in 0..4 {
        process(async {
            let commander = disk.start(NO_ROOM).await;
            told.go_on(&mut rng, &commander, &accounts).await;
            commander.save().await.unwrap();
        });
        if round == 1 {
            copy(&disk.snapshots(), &old);
        }
    }
    copy(&old, &disk.other_snapshots());
    let found = process(async {
        let commander = disk.start(NO_ROOM).await;
        told.check(&commander).await;
        states(&commander, &accounts).await
    });
    assert_eq!(found, process(disk.by_the_log(&accounts)));
}

#[test]
fn the_snapshots_of_another_log_and_what_is_no_database_are_dropped() {
    let (disk, other, accounts) = (Disk::memory(), Disk::memory(), accounts::<3>());
    let (mut rng, mut told) = (StdRng::seed_from_u64(2), Told::default());
    for disk in [&other, &disk] {
        process(async {
            let commander = disk.start(ROOMY).await;
            told.0.clear();
            told.go_on(&mut rng, &commander, &accounts).await;
            commander.save().await.unwrap();
        });
    }
    for is_foreign in [true, false] {
        if is_foreign {
            copy(&other.snapshots(), &disk.other_snapshots());
        } else {
            fs::write(disk.other_snapshots(), "this is no database ".repeat(500)).unwrap();
        }
        let found = process(async {
            let commander = disk.start(ROOMY).await;
            told.check(&commander).await;
            states(&commander, &accounts).await
        });
        assert_eq!(found, process(disk.by_the_log(&accounts)));
    }
}

/// The state is packed and put into the snapshots anew, whatever they had.
#[test]
fn a_damaged_row_is_read_from_the_log_again() {
    let (disk, accounts) = (Disk::memory(), accounts::<3>());
    let (mut rng, mut told) = (StdRng::seed_from_u64(3), Told::default());
    process(async {
        let commander = disk.start(ROOMY).await;
        told.go_on(&mut rng, &commander, &accounts).await;
        commander.save().await.unwrap();
    });
    let file = rusqlite::Connection::open(disk.snapshots()).unwrap();
    assert!(file.execute("UPDATE stream SET state = substr(state, 1, length(state) - 1)", ()).unwrap() > 0);
    drop(file);
    let found = process(async {
        let commander = disk.start(ROOMY).await;
        told.check(&commander).await;
        states(&commander, &accounts).await
    });
    assert_eq!(found, process(disk.by_the_log(&accounts)));
}

/// One byte decays in what was saved. Seen to fail where checksums are not compared: a changed digit of a balance reads
/// as well as the right one, and what is due at another time is not found.
#[test]
fn a_row_with_one_wrong_byte_is_read_from_the_log_again() {
    let (disk, accounts) = (Disk::memory(), accounts::<3>());
    let (mut rng, mut told) = (StdRng::seed_from_u64(4), Told::default());
    process(async {
        let commander = disk.start(ROOMY).await;
        for _ in 0..4 {
            told.go_on(&mut rng, &commander, &accounts).await;
        }
        commander.save().await.unwrap();
    });
    let found = || async {
        let commander = disk.start(NO_ROOM).await;
        let read = commander.records_read();
        told.check(&commander).await;
        let found = (read, states(&commander, &accounts).await, due(&commander).await);
        commander.save().await.unwrap();
        (found, commander)
    };
    // Whoever is still held when its process ends does not save at its leisure, over what is spoilt next.
    let found = || process(found()).0;
    let (read, states, due) = found();
    let all = told.0.len() as u64;
    assert!(read < all);
    let state =
        "UPDATE stream SET state = CAST(substr(state, 1, ?1) || x'01' || substr(state, ?1 + 2) AS BLOB)";
    let in_states = (0..150).step_by(6).map(|at| (state, at));
    let elsewhere = [
        ("UPDATE covering SET streams = streams + ?1", 1),
        ("UPDATE covering SET recorded_at = recorded_at + ?1", 1_i64 << 50),
        ("UPDATE due SET at = at + ?1", 7),
        ("UPDATE due SET route = zeroblob(?1)", 16),
    ];
    let mut believed = Vec::new();
    for (spoil, value) in elsewhere.into_iter().chain(in_states) {
        let file = rusqlite::Connection::open(disk.snapshots()).unwrap();
        file.busy_timeout(Duration::from_secs(5)).unwrap();
        assert!(file.execute(spoil, [value]).unwrap() > 0);
        drop(file);
        let spoilt = found();
        let is_dropped = spoilt.0 >= all || !spoil.contains("covering");
        if !is_dropped || spoilt.1 != states || spoilt.2 != due {
            believed.push((spoil, value));
        }
    }
    assert_eq!(believed, []);
}

#[test]
fn a_log_that_was_cut_is_refused_with_snapshots_as_without() {
    for how in [Some(ROOMY), None] {
        let store = Memory::init(1, Class::Conditional);
        let disk = Disk::new(store.log());
        let customer = accounts::<1>()[0];
        process(async {
            let commander = disk.try_start(&disk.log, how).await.unwrap();
            for _ in 0..5 {
                insist(&commander, &envelope(customer, CommandKey(Uuid::now_v7()), earn(1))).await;
            }
            commander.save().await.unwrap();
        });
        store.tamper(0, |records| records.truncate(4));
        let started = process(async { disk.try_start(&disk.log, how).await.map(drop) });
        let error = started.unwrap_err();
        assert!(matches!(error, super::StartError::Log(event_log::Error::Diverged(_))), "{error:?}");
    }
}

#[test]
fn two_keys_of_the_same_short_hash_are_told_apart() {
    let (disk, customer) = (Disk::memory(), accounts::<1>()[0]);
    let key = |n: u128| CommandKey(Uuid::from_u128(n << 64 | 0xabcd));
    let envelopes = [envelope(customer, key(1), earn(1)), envelope(customer, key(2), reserve(5))];
    let told = process(async {
        let commander = disk.start(ROOMY).await;
        let mut told = Vec::new();
        for envelope in &envelopes {
            told.push(insist(&commander, envelope).await);
        }
        commander.save().await.unwrap();
        told
    });
    process(async {
        let commander = disk.start(NO_ROOM).await;
        for (envelope, first) in envelopes.iter().zip(&told) {
            check_told(&commander, envelope, first).await;
        }
        let third = insist(&commander, &envelope(customer, key(3), earn(1))).await;
        assert!(!third.replayed);
    });
}

/// An older state stands in two rows; what is saved of the one that is forgotten is its state of now.
#[test]
fn a_stream_that_is_forgotten_is_saved_anew_as_it_is_now() {
    let (disk, customers) = (Disk::memory(), accounts::<2>());
    process(async {
        let commander = disk.start(ROOMY).await;
        for customer in &customers {
            insist(&commander, &envelope(*customer, CommandKey(Uuid::now_v7()), earn(3))).await;
        }
        commander.save().await.unwrap();
        let file = rusqlite::Connection::open(disk.snapshots()).unwrap();
        file.busy_timeout(Duration::from_secs(5)).unwrap();
        file.execute("UPDATE stream SET state = x'01'", ()).unwrap();
        commander.forget(MERCHANT, &[StreamRef::account(customers[1])]).await.unwrap();
        let is_old = |customer: CustomerId| {
            let saved = "SELECT state = x'01' FROM stream WHERE id = ?1";
            file.query_row(saved, [customer.bytes()], |row| row.get::<_, bool>(0)).unwrap()
        };
        assert_eq!(customers.map(is_old), [true, false]);
    });
}
