//! What falls between two steps of an erasure, and a panic in one of them.
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use domain::customer::MergeCustomers;
use event_log::Position;
use event_schemas::{Code, privacy_request::RedactionStep};
use group_commit::values;
use privacy::Whom;

use super::{
    super::{
        Late, Looked, PortError, Process, ReadModels,
        merges::follow_up,
        scan::{Scanner, Sought},
        setback::Cause,
        steps::whom,
    },
    *,
};
use crate::{
    requests,
    webhooks::{blind, translate::Private},
};

/// A world where nothing is done for a request but what a test does.
async fn at_rest(bugs: &[Bug]) -> World {
    let bench = Bench::start().await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let bugs = Bugs(Arc::new(bugs.to_vec()));
    let process = Process::new(&bench.parts(), Ports::default(), Periods::default(), bugs);
    World { erasure: Erasure(process), bench, merchant }
}

impl World {
    /// Does the step ahead.
    async fn step(&self, request: &Request) -> Redaction {
        let redaction = self.redaction(request).await.unwrap();
        self.erasure.0.advance(request, &redaction).await.unwrap().unwrap()
    }

    /// A delivery that mentions this person and ended without effect.
    async fn dead_letter_of(&self, person: CustomerId) {
        const DEAD: &str = "INSERT INTO inbox(id, merchant, topic, webhook_id, body_hash, received_at, correlation, trace, \
            day, people, status, reason) VALUES(?1, ?2, 'orders/create', 'w', ?3, 0, ?4, ?4, '', ?5, 'dead_lettered', 'x')";
        let text = Private(person.0.as_u128().to_string());
        let named = vec![(Kind::ShopifyCustomer, text)];
        let people = blind::references(&self.bench.keys, self.merchant, named).unwrap();
        let merchant = self.merchant.bytes();
        let kept = self.bench.work.run(move |work| {
            let id = Uuid::now_v7().into_bytes();
            let seq = work.number("seq", DEAD, values![&id, &merchant, &[0; 32], &[0; 24], &people])?;
            work.execute("INSERT INTO inbox_body VALUES(?1, ?2)", values![seq, b"sealed"])
        });
        assert_eq!(kept.await.unwrap(), 1);
    }

    async fn bodies(&self) -> u64 {
        let count = "SELECT count(*) FROM inbox_body";
        self.bench.work.read(move |work| work.one(count, values![], |row| row.at(0))).await.unwrap()
    }
}

/// Deliveries that an erasure leaves of those that end while the keys are destroyed.
async fn left_of_what_ends_meanwhile(bugs: &[Bug]) -> u64 {
    let world = at_rest(bugs).await;
    let (keys, process) = (&world.bench.keys, &world.erasure.0);
    let ada = world.person().await;
    let request = world.ask(&[ada]).await;
    let fenced = world.step(&request).await;
    let (whom, asked_at) = (whom(&fenced), fenced.requested.requested_at);
    let told = |step| move |cause: Cause| cause.at(step);
    process.purge_early(&request, &whom, asked_at).await.map_err(told(RedactionStep::Destroy)).unwrap();
    world.dead_letter_of(ada).await;
    keys.destroy(world.merchant, &whom, request.id.0).await.unwrap();
    assert_eq!(keys.references_of(world.merchant, &whom).await.unwrap(), []);
    process.purge_work(&request, &whom).await.map_err(told(RedactionStep::Purge)).unwrap();
    let id = request.id;
    let people = world.bench.work.read(move |work| requests::people(work, id)).await.unwrap();
    assert_eq!(people, Some(Vec::new()), "a reference outlives what it finds");
    world.bodies().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_without_effect_while_the_keys_are_destroyed_is_purged() {
    assert_eq!(left_of_what_ends_meanwhile(&[]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_forgets_its_references_early_leaves_what_ends_meanwhile() {
    assert_eq!(left_of_what_ends_meanwhile(&[Bug::ForgetsEarly]).await, 1);
}

/// A crash behind the destruction: the step is done again when the directory has nothing of the person any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_that_is_done_again_still_finds_what_is_there() {
    let world = at_rest(&[]).await;
    let ada = world.person().await;
    let request = world.ask(&[ada]).await;
    let fenced = world.step(&request).await;
    let again = world.erasure.0.advance(&request, &fenced).await.unwrap().unwrap();
    assert!(again.destroyed.is_some());
    world.dead_letter_of(ada).await;
    world.erasure.0.advance(&request, &fenced).await.unwrap();
    assert_eq!(world.bodies().await, 0);
    let purged = world.step(&request).await.purged.unwrap().purged;
    assert_eq!(purged[&Code::fixed("dead-letters")], 1);
}

/// Catches, tried: a search that calls a row that is not there an open one, and never ends; one that tries again
/// without destroying what was put back, and never ends either.
#[tokio::test(flavor = "multi_thread")]
async fn whose_key_was_lost_is_erased_and_a_key_that_was_put_back_is_destroyed_again() {
    let world = at_rest(&[]).await;
    let (lost, back) = (world.person().await, world.person().await);
    let keys = rusqlite::Connection::open(world.bench.folder.path().join("keys.db")).unwrap();
    let row = "SELECT wrapped FROM subject_key WHERE subject = ?1";
    let wrapped: Vec<u8> = keys.query_row(row, [back.bytes()], |row| row.get(0)).unwrap();
    assert_eq!(keys.execute("DELETE FROM subject_key WHERE subject = ?1", [lost.bytes()]).unwrap(), 1);
    let request = world.ask(&[lost, back]).await;
    while world.step(&request).await.purged.is_none() {}
    let put_back = "UPDATE subject_key SET wrapped = ?2 WHERE subject = ?1";
    assert_eq!(keys.execute(put_back, rusqlite::params![back.bytes(), wrapped]).unwrap(), 1);
    let purged = world.redaction(&request).await.unwrap();
    let setback = world.erasure.0.advance(&request, &purged).await.unwrap_err();
    assert!(setback.step == RedactionStep::Verify && setback.opens(), "{setback:?}");
    let verified = world.step(&request).await.verified.unwrap();
    assert_eq!(verified.scanned.iter().map(|scanned| scanned.fields).sum::<u64>(), 8);
}

/// An estate arrives at the person between the destruction of the keys and the word of it in the streams; whether who it
/// is from is erased too.
async fn is_erased_who_arrives_before_the_mark(bugs: &[Bug]) -> bool {
    let world = at_rest(bugs).await;
    let merchant = world.merchant;
    let (gone, kept) = (world.person().await, world.person().await);
    let request = world.ask(&[kept]).await;
    while world.step(&request).await.destroyed.is_none() {}
    world.bench.accept(merchant, StreamRef::customer(gone), MergeCustomers { into: kept }).await;
    world.bench.policies_idle().await;
    assert_eq!(world.bench.balances(merchant, kept).await.available, Points(20), "it has arrived");
    let (id, stream) = follow_up(request.id, gone);
    let followed = Request { merchant, id, stream };
    assert!(world.redaction(&followed).await.is_none(), "who brought it found nobody erased");
    while world.step(&request).await.purged.is_none() {}
    world.redaction(&followed).await.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_estate_arrives_between_destruction_and_mark_is_erased_too() {
    assert!(is_erased_who_arrives_before_the_mark(&[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_looks_for_merges_once_leaves_whose_estate_arrives_then() {
    assert!(!is_erased_who_arrives_before_the_mark(&[Bug::LooksForMergesOnce]).await);
}

/// Catches, tried: a look of the future that counts, so that no epoch is turned until the clock has come there.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_went_ahead_and_back_while_it_ran_does_not_stop_the_epochs() {
    let world = at_rest(&[]).await;
    let (Bench { clock, keys, commander, .. }, process) = (&world.bench, &world.erasure.0);
    let mut looked = vec![Looked::default(); usize::from(commander.partitions())];
    clock.wrong_us.store(100 * 86_400_000_000, Ordering::Release);
    Process::look(process, &mut looked).await;
    clock.wrong_us.store(0, Ordering::Release);
    let request = world.ask(&[world.person().await]).await;
    let epoch = loop {
        let redaction = world.step(&request).await;
        if redaction.live.is_some() {
            break redaction.destroyed.unwrap().epoch;
        }
    };
    clock.advance_to(later(clock, 2)).await.unwrap();
    Process::look(process, &mut looked).await;
    let epochs = keys.epochs().await.unwrap();
    assert!(epochs.iter().any(|one| one.number == epoch && one.closed_at.is_some()), "{epochs:?}");
}

/// Catches, tried: a rotation that is done again at every look while a damaged key keeps its epoch from its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_left_a_damaged_key_is_done_again_an_hour_later() {
    let world = at_rest(&[]).await;
    let (gone, damaged) = (world.person().await, world.person().await);
    let request = world.ask(&[gone]).await;
    while world.step(&request).await.live.is_none() {}
    let keys = rusqlite::Connection::open(world.bench.folder.path().join("keys.db")).unwrap();
    keys.execute_batch("CREATE TABLE copied AS SELECT n, wrapped FROM subject_key").unwrap();
    let damage = "UPDATE subject_key SET wrapped = randomblob(length(wrapped)) WHERE subject = ?1";
    assert_eq!(keys.execute(damage, [damaged.bytes()]).unwrap(), 1);
    let now = world.bench.clock.now();
    let turn = async |days, minutes| {
        let then = after(now, TimeDelta::days(days) + TimeDelta::minutes(minutes));
        let turned = world.erasure.0.turn_epochs(then).await;
        turned.map_err(|cause| cause.at(RedactionStep::Finalize)).unwrap();
        let old = "SELECT count(*) FROM subject_key WHERE epoch < (SELECT epoch FROM meta)";
        keys.query_row(old, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    // It is closed, and its end is due.
    assert_eq!((turn(2, 0).await, turn(10, 0).await), (1, 1));
    let put_back =
        "UPDATE subject_key SET wrapped = (SELECT c.wrapped FROM copied c WHERE c.n = subject_key.n)
        WHERE subject = ?1";
    assert_eq!(keys.execute(put_back, [damaged.bytes()]).unwrap(), 1);
    assert_eq!((turn(10, 59).await, turn(10, 60).await), (1, 0));
}

/// Catches, tried: ages that only read models tell of, and a certificate that never becomes final and is taken for done.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_take_too_long_are_told_of_by_their_owner_whatever_read_models_know() {
    let world = at_rest(&[]).await;
    let process = &world.erasure.0;
    let (clock, commander) = (&world.bench.clock, &world.bench.commander);
    let late = async |days| {
        let (mut late, now) = (Late::default(), later(clock, days));
        for partition in 0..commander.partitions() {
            late += Process::take_up(process, partition, now).await.unwrap();
        }
        late
    };
    let request = world.ask(&[world.person().await]).await;
    // Nobody is at it while the process says that somebody is.
    process.running().insert(request.id);
    let open = |open| Late { open, not_final: 0 };
    assert_eq!((late(6).await, late(7).await, late(31).await), (open(0), open(1), open(1)));
    while world.step(&request).await.live.is_none() {}
    let live = world.redaction(&request).await.unwrap();
    assert_eq!(late(6).await, open(0));
    process.advance(&request, &live).await.unwrap();
    // Its epoch is closed, and is to be destroyed a week later.
    process.look_at_epochs(true, later(clock, 2)).await;
    assert_eq!((late(9).await, world.redaction(&request).await.unwrap()), (open(0), live));
    assert_eq!(late(10).await, Late { open: 0, not_final: 1 });
    let failures = world.redaction(&request).await.unwrap().failures;
    assert_eq!(failures, [(RedactionStep::Finalize, Code::fixed("epoch-not-destroyed"))].into());
}

/// Read models that panic the first time.
struct Clumsy {
    log: Log,
    has_panicked: AtomicBool,
}

#[async_trait]
impl ReadModels for Clumsy {
    async fn reached(&self) -> Result<BTreeMap<u16, Position>, PortError> {
        Ok((0..self.log.partitions()).map(|partition| (partition, self.log.end(partition))).collect())
    }

    async fn purge(&self, _: MerchantId, _: &Whom) -> Result<BTreeMap<Code, u64>, PortError> {
        assert!(self.has_panicked.swap(true, Ordering::AcqRel), "clumsy");
        Ok(BTreeMap::new())
    }
}

/// A panic is a setback like others. Tried without that: the next look takes the request up again, a while later.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_panics_is_done_again() {
    let bench = Bench::start().await;
    let clumsy = Arc::new(Clumsy { log: bench.log.clone(), has_panicked: AtomicBool::new(false) });
    let ports = Ports { read_models: Some(clumsy.clone()), witness: None };
    let world = World::with(bench, ports, &[]).await;
    let ada = world.person().await;
    let request = world.ask(&[ada]).await;
    world.certified(&request).await;
    assert!(clumsy.has_panicked.load(Ordering::Acquire));
}

/// Catches, tried: a partition that is searched no more after one search panicked.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_panics_is_told_to_who_waits_and_the_next_one_comes_to_its_end() {
    let world = at_rest(&[]).await;
    let Bench { log, commander, keys, .. } = &world.bench;
    let scanner = Scanner::start(log, commander, keys, &Bugs(Arc::new(vec![Bug::PanicsAtShops])));
    let ada = world.person().await;
    let account = StreamRef::account(ada);
    let partition = world.erasure.0.partition_of(world.merchant, account);
    let whom = Whom::Person(vec![ada]);
    keys.fence(world.merchant, &whom, Uuid::nil()).await.unwrap();
    keys.destroy(world.merchant, &whom, Uuid::nil()).await.unwrap();
    let search = async |sought| {
        let scanned = scanner.scan(partition, account, sought).await;
        scanned.map_err(|cause| cause.at(RedactionStep::Verify))
    };
    let panicked = search(Sought::Shop(world.merchant)).await.unwrap_err();
    assert_eq!(panicked.reason.as_str(), "internal-fault");
    assert_eq!(search(Sought::People(world.merchant, [ada].into())).await.unwrap().fields, 4);
}
