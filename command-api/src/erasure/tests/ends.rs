//! What an erasure waits for, what a crash between its steps leaves, and how a request ends.
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use axum::{extract::FromRequestParts as _, http};
use domain::{
    Decider as _,
    privacy_request::{OpenDataRequest, PrepareExport, RecordFailure, State},
};
use event_log::{Class, Position, memory};
use event_schemas::{Code, privacy_request::RedactionStep};
use group_commit::values;
use privacy::{RootKey, Whom};
use tempfile::TempDir;

use super::{
    super::{Failing, PortError, ReadModels, Witness, late::Late},
    *,
};
use crate::{
    idempotency::{Idempotency, IdempotencyKey},
    owner::{self, DueStream, Keeping, Snapshots},
    testing::{ROOT, process, stores},
};

/// Read models, and a witness, that are away until somebody says otherwise.
pub(super) struct Away {
    pub(super) log: Log,
    pub(super) is_back: AtomicBool,
    /// They are back and hold on to what they have.
    pub(super) holds_on: AtomicBool,
}

#[async_trait]
impl ReadModels for Away {
    async fn reached(&self) -> Result<BTreeMap<u16, Position>, PortError> {
        if !self.is_back.load(Ordering::Acquire) {
            return Err("the read models are away".into());
        }
        Ok((0..self.log.partitions()).map(|partition| (partition, self.log.end(partition))).collect())
    }

    async fn purge(&self, _: MerchantId, _: &Whom) -> Result<BTreeMap<Code, u64>, PortError> {
        if self.holds_on.load(Ordering::Acquire) {
            return Err("something is left".into());
        }
        Ok(BTreeMap::from([(Code::fixed("customers"), 3)]))
    }
}

#[async_trait]
impl Witness for Away {
    async fn witness(&self) -> Result<(), PortError> {
        if self.is_back.load(Ordering::Acquire) { Ok(()) } else { Err("the witness is away".into()) }
    }
}

pub(super) fn away(log: &Log) -> Arc<Away> {
    Arc::new(Away { log: log.clone(), is_back: AtomicBool::new(false), holds_on: AtomicBool::new(false) })
}

fn told(redaction: &Redaction) -> Vec<(RedactionStep, &str)> {
    redaction.failures.iter().map(|(step, reason)| (*step, reason.as_str())).collect()
}

/// Catches, tried: tries that are counted anew with each reason, so that two in turn are never told.
#[test]
fn a_step_that_fails_for_two_reasons_in_turn_is_told_of() {
    let mut failing = Failing::default();
    let told = ["a", "b", "a", "a", "b", "b"].map(|reason| failing.again(&Code::fixed(reason)));
    assert_eq!(told, [false, false, true, false, true, false]);
}

/// Catches, tried: a reason that is told of only if it was the first one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_destroyed_does_not_wait_for_read_models_and_the_certificate_does() {
    let bench = Bench::start().await;
    let away = away(&bench.log);
    let ports = Ports { read_models: Some(away.clone()), witness: None };
    let world = World::with(bench, ports, &[]).await;
    let ada = world.person().await;
    let request = world.ask(&[ada]).await;
    let waiting = world.until(&request, |redaction| !redaction.failures.is_empty()).await;
    assert!(waiting.destroyed.is_some() && waiting.purged.is_none());
    assert_eq!(told(&waiting), [(RedactionStep::Purge, "read-models-away")]);
    away.holds_on.store(true, Ordering::Release);
    away.is_back.store(true, Ordering::Release);
    let waiting = world.until(&request, |redaction| redaction.failures.len() > 1).await;
    assert!(told(&waiting).contains(&(RedactionStep::Purge, "read-models-hold-on")), "{waiting:?}");
    away.holds_on.store(false, Ordering::Release);
    let purged = world.certified(&request).await.purged.unwrap().purged;
    assert_eq!(purged[&Code::fixed("customers")], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_certified_that_is_not_witnessed() {
    let bench = Bench::start().await;
    let away = away(&bench.log);
    let ports = Ports { witness: Some(away.clone()), read_models: None };
    let world = World::with(bench, ports, &[]).await;
    let ada = world.person().await;
    let request = world.ask(&[ada]).await;
    let waiting = world.until(&request, |redaction| !redaction.failures.is_empty()).await;
    assert_eq!(told(&waiting), [(RedactionStep::Certify, "witness-away")]);
    assert!(waiting.verified.is_some() && waiting.live.is_none());
    away.is_back.store(true, Ordering::Release);
    world.certified(&request).await;
}

/// Keeps an idempotency key of a request about this person.
async fn use_key(bench: &Bench, merchant: MerchantId, customer: CustomerId) {
    let head = http::Request::get("/").header("idempotency-key", "once").body(()).unwrap();
    let key = IdempotencyKey::from_request_parts(&mut head.into_parts().0, &()).await.unwrap();
    let kept = Idempotency::new(bench.work.clone(), bench.keys.clone());
    let attempt = kept.begin(merchant, key, "/earn", b"{\"email\":\"ada@example.com\"}").await.unwrap();
    kept.keep(attempt.about([customer])).await.unwrap();
}

pub(super) async fn keys_used(bench: &Bench) -> u64 {
    let count =
        bench.work.read(|work| work.one("SELECT count(*) FROM idempotency", values![], |row| row.at(0)));
    count.await.unwrap()
}

/// A process that is killed while it waits for the read models, behind the destruction.
async fn until_it_waits(log: Log, folder: TempDir) -> (TempDir, MerchantId, CustomerId, Request) {
    let bench = Bench::resume(log, folder).await;
    let ports = Ports { read_models: Some(away(&bench.log)), witness: None };
    let world = World::with(bench, ports, &[]).await;
    let ada = world.person().await;
    use_key(&world.bench, world.merchant, ada).await;
    let request = world.ask(&[ada]).await;
    world.until(&request, |redaction| redaction.destroyed.is_some()).await;
    (world.bench.folder, world.merchant, ada, request)
}

/// Catches: a count that is kept in memory until it is recorded, and a start that does not find what is open.
#[test]
fn what_was_removed_before_a_crash_is_counted_by_whoever_goes_on() {
    let log = memory::init(2, Class::Conditional);
    let (folder, merchant, ada, request) = process(until_it_waits(log.clone(), tempfile::tempdir().unwrap()));
    process(async move {
        let bench = Bench::resume(log, folder).await;
        let erasure = erasures(&bench, Ports::default(), &[]);
        let world = World { bench, erasure, merchant };
        let redaction = world.certified(&request).await;
        assert_eq!(redaction.purged.unwrap().purged[&Code::fixed("idempotency-keys")], 1);
        assert_eq!(keys_used(&world.bench).await, 0);
        assert!(world.bench.keys.sealer(merchant, ada).is_err());
    });
}

/// As if each step had been done by a process that was killed before it could record it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_and_not_recorded_is_done_again_with_the_same_counts() {
    let bench = Bench::start().await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let idle = Erasure::start_with(&bench.parts(), Ports::default(), Periods::default(), Bugs::default());
    let world = World { bench, erasure: idle, merchant };
    let ada = world.person().await;
    let (id, whom) = (RequestId(Uuid::now_v7()), Whom::Person(vec![ada]));
    let keys = &world.bench.keys;
    keys.fence(merchant, &whom, id.0).await.unwrap();
    let before = keys.destroy(merchant, &whom, id.0).await.unwrap();
    keys.certify(merchant, &whom, "an earlier try").await.unwrap();
    let request = world.ask_for(id, ada.0, RedactionScope::Customer, &[ada]).await;
    let after = world.certified(&request).await.destroyed.unwrap();
    assert_eq!((after.keys, after.directory_rows), (before.keys, before.directory_rows));
    assert_eq!((before.keys, before.directory_rows), (1, 1));
}

/// What a stream's row in the snapshots holds.
fn saved(folder: &TempDir, customer: CustomerId) -> Vec<Vec<u8>> {
    let file = rusqlite::Connection::open(folder.path().join("snap.db")).unwrap();
    let mut rows = file.prepare("SELECT state FROM stream WHERE id = ?1").unwrap();
    let rows = rows.query_map([customer.bytes()], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Catches: a row that is left as it was (`forgets` says no, or [`Commander::forget`] does nothing).
#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_of_a_person_is_saved_anew_without_what_compared() {
    let bench = Bench::start().await;
    let (folder, log) = (tempfile::tempdir().unwrap(), memory::init(1, Class::Conditional));
    let snapshots = Snapshots::open(&folder.path().join("snap.db"), log.id()).await.unwrap();
    let keeping = Keeping::new(snapshots, 10, 1 << 20);
    let (keys, _) = stores(folder.path(), &RootKey::from_bytes(ROOT), *log.id().as_bytes()).await;
    let commander = owner::start_keeping(&log, &keys, &bench.clock, Some(keeping)).await.unwrap();
    let (merchant, ada) = (MerchantId(Uuid::now_v7()), CustomerId(Uuid::now_v7()));
    keys.ensure_merchant(merchant).await.unwrap();
    keys.ensure_subject(merchant, ada).await.unwrap();
    let source = event_schemas::Digest([0xa7; 16]);
    let earn = EarnPoints { source: domain::points_account::EarnSource::Api(source), ..earn(10) };
    let account = StreamRef::account(ada);
    commander.send(bench.envelope(merchant, account, earn)).await.unwrap();
    commander.save().await.unwrap();
    let holds = |rows: Vec<Vec<u8>>| {
        rows.iter().any(|row| row.windows(source.0.len()).any(|window| window == source.0))
    };
    assert!(holds(saved(&folder, ada)), "the test sees what is there");
    let redact = domain::points_account::RedactAccount { request: RequestId(Uuid::now_v7()) };
    commander.send(bench.envelope(merchant, account, redact)).await.unwrap();
    commander.forget(merchant, &[account]).await.unwrap();
    let rows = saved(&folder, ada);
    assert!(!rows.is_empty() && !holds(rows));
}

async fn state(world: &World, request: &Request) -> State {
    let read = world.bench.commander.read(request.merchant, request.stream, |aggregate| match aggregate {
        Aggregate::PrivacyRequest(state) => state.clone(),
        other => panic!("{other:?}"),
    });
    read.await.unwrap()
}

async fn until_expired(world: &World, request: &Request) {
    within("the record of the request expires", async {
        while !state(world, request).await.expired() {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    assert!(state(world, request).await.subjects().is_empty());
}

/// Nine days pass, and ninety more.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_final_when_its_epoch_is_destroyed_and_its_record_expires_later() {
    let world = World::start().await;
    let ada = world.person().await;
    let request = world.ask(&[ada]).await;
    let epoch = world.certified(&request).await.destroyed.unwrap().epoch;
    let Bench { clock, keys, .. } = &world.bench;
    clock.advance_to(later(clock, 2)).await.unwrap();
    let is_closed = |epochs: Vec<privacy::EpochState>| {
        epochs.iter().any(|one| one.number == epoch && one.closed_at.is_some())
    };
    within("the epoch is closed", async {
        while !is_closed(keys.epochs().await.unwrap()) {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    assert!(world.redaction(&request).await.unwrap().last.is_none());
    clock.advance_to(later(clock, 8)).await.unwrap();
    world.until(&request, |redaction| redaction.last.is_some()).await;
    let statement = world.statement(&request).await;
    assert_eq!((statement.level, statement.epoch), (Level::Final, epoch));
    let gone = keys.epochs().await.unwrap().into_iter().find(|one| one.number == epoch).unwrap();
    assert_eq!(gone.destroyed_at, Some(statement.epoch_destroyed));

    clock.advance_to(later(clock, 91)).await.unwrap();
    until_expired(&world, &request).await;
}

/// A data request whose files were made at once, or are still to be made.
async fn data_request(world: &World, ada: CustomerId, is_made: bool) -> Request {
    let id = RequestId(Uuid::now_v7());
    let (merchant, stream) = (world.merchant, StreamRef::privacy_request(id, ada.0));
    let (source, requested_at) = (RequestSource::Merchant, world.bench.clock.now());
    let open = OpenDataRequest { subjects: vec![ada], source, requested_at };
    world.bench.accept(merchant, stream, open).await;
    if is_made {
        let made =
            PrepareExport { files: 3, bytes: 9, manifest_digest: sample::DIGEST, prepared_at: requested_at };
        world.bench.accept(merchant, stream, made).await;
    }
    Request { merchant, id, stream }
}

/// What is told of a request so many days from now, if it is due then as it stands.
async fn late_after(world: &World, request: &Request, days: i64) -> Late {
    let due = match state(world, request).await.due().as_slice() {
        [due] => DueStream { at: due.at, merchant: request.merchant, stream: request.stream },
        due => panic!("{due:?}"),
    };
    world.erasure.0.tell_late(&due, later(&world.bench.clock, days)).await
}

/// A certified erasure, as a process finds it that did not see it through.
async fn certified_before(world: &World, ada: CustomerId) -> Request {
    let request = world.ask(&[ada]).await;
    world.certified(&request).await;
    within("it waits for its epoch", async {
        while world.erasure.0.waiting.lock().unwrap().remove(&request.id).is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    request
}

/// What is told of an export and an erasure that are done, by a process that did not run when they were due again.
async fn told_of_what_is_done(bugs: &[Bug]) -> (World, Request, [Late; 2]) {
    let world = World::with(Bench::start().await, Ports::default(), bugs).await;
    let made = data_request(&world, CustomerId(Uuid::now_v7()), true).await;
    let ada = world.person().await;
    let erased = certified_before(&world, ada).await;
    let told = [late_after(&world, &made, 7 + 90 + 8).await, late_after(&world, &erased, 7 + 8).await];
    (world, erased, told)
}

const OPEN: Late = Late { open: 1, not_final: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_alarmed_at_a_request_that_is_done_unless_it_fails_to_become_final() {
    let (world, erased, told) = told_of_what_is_done(&[]).await;
    assert_eq!(told, [Late::default(); 2]);
    let failure = RecordFailure {
        step: RedactionStep::Finalize,
        reason: Code::fixed("witness-away"),
        at: world.bench.clock.now(),
    };
    world.bench.accept(erased.merchant, erased.stream, failure).await;
    assert_eq!(late_after(&world, &erased, 7 + 8).await, OPEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_at_a_request_that_is_done_is_caught() {
    assert_eq!(told_of_what_is_done(&[Bug::TellsOfTheEnded]).await.2, [OPEN; 2]);
}

/// Catches: data requests that are left to whoever makes their files, and nobody ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_data_request_expires_and_one_that_is_not_made_is_told_of() {
    let world = World::start().await;
    let ada = CustomerId(Uuid::now_v7());
    let (made, waits) = (data_request(&world, ada, true).await, data_request(&world, ada, false).await);
    assert_eq!(late_after(&world, &waits, 6).await, Late::default());
    assert_eq!(late_after(&world, &waits, 8).await, OPEN);
    world.bench.clock.advance_to(later(&world.bench.clock, 98)).await.unwrap();
    until_expired(&world, &made).await;
    assert!(!state(&world, &waits).await.expired());
}
