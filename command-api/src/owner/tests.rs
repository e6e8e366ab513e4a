//! Owners over logs that fail as stores, networks and processes do.
use std::time::Duration;

use domain::{Aggregate, Rejection, StreamRef};
use event_log::{
    Class, FETCH_RECORDS_MAX, Kind, Log, NewKind, NewRecord, Timing,
    faulty::{Fate, Faulty, Plan},
    memory,
};
use event_schemas::{
    CommandKey, CustomerId, MerchantId, Points, RecordId, StreamType,
    catalogue::PointsAccountEvent,
    payload::Payload as _,
    points_account::PointsEarned,
    record::{Actor, Answer, Body, Meta, Trace},
    sample,
};
use futures::future::join;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    commands::{Commander, Envelope, Outcome, Unavailable},
    testing::{Bench, POISON, balances, earn, process, reserve, within},
};

/// One process on a shared store.
fn over(store: &Log, plan: Plan) -> (Faulty, Log) {
    let faulty = Faulty::new(store, plan);
    let timing = Timing { append_timeout: Duration::from_secs(1), claim_timeout: Duration::from_secs(10) };
    let log = faulty.log().with_timing(timing);
    (faulty, log)
}

fn store() -> Log {
    memory::init(1, Class::Open)
}

struct Account {
    merchant: MerchantId,
    customer: CustomerId,
    stream: StreamRef,
}

async fn account(bench: &Bench, points: i64) -> Account {
    let merchant = bench.install("demo-1.myshopify.com").await;
    let customer = bench.customer(merchant).await;
    bench.earn(merchant, customer, points).await;
    Account { merchant, customer, stream: StreamRef::account(customer) }
}

#[tokio::test]
async fn a_known_key_gets_the_first_outcome_and_makes_no_record() {
    let bench = Bench::start().await;
    let Account { merchant, stream, .. } = account(&bench, 10).await;
    let spend = Envelope { key: sample_key(1), ..bench.envelope(merchant, stream, reserve(11)) };
    let refused = bench.commander.send(spend.clone()).await.unwrap();
    let short = Rejection::InsufficientPoints { needed: Points(11), available: Points(10) };
    assert_eq!((refused.outcome, refused.replayed), (Outcome::Rejected(short.clone()), false));

    bench.earn(merchant, CustomerId(stream.id), 10).await;
    let again = bench.commander.send(spend).await.unwrap();
    assert_eq!((again.outcome, again.replayed, again.at), (Outcome::Rejected(short), true, refused.at));
    assert!(again.made.is_none());
}

/// More messages than one drain takes keep the mailbox full while answers come in, so that a wait for an answer is
/// dropped for the mailbox again and again; the runtime's cooperative budget makes that happen at every await.
#[tokio::test]
async fn under_a_crowd_every_command_is_answered_and_every_answer_keeps_its_place() {
    let bench = Bench::start().await;
    let Account { merchant, stream, .. } = account(&bench, 10).await;
    let envelopes: Vec<_> = (0..3_000).map(|_| bench.envelope(merchant, stream, earn(1))).collect();
    let crowd = envelopes.iter().map(|envelope| bench.commander.send(envelope.clone()));
    let answers = futures::future::join_all(crowd).await;
    let places: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().at).collect();
    for (envelope, at) in envelopes.into_iter().zip(places) {
        let again = bench.commander.send(envelope).await.unwrap();
        assert_eq!((again.outcome, again.replayed, again.at), (Outcome::Accepted, true, at));
    }
}

#[test]
fn an_owner_that_starts_again_remembers_state_and_answers() {
    let (log, folder, account, spend, refused) = process(async {
        let bench = Bench::start().await;
        let account = account(&bench, 10).await;
        let spend = bench.envelope(account.merchant, account.stream, reserve(11));
        let spend = Envelope { key: sample_key(2), ..spend };
        let refused = bench.commander.send(spend.clone()).await.unwrap();
        (bench.log, bench.folder, account, spend, refused)
    });
    process(async {
        let bench = Bench::resume(log, folder).await;
        assert_eq!(bench.balances(account.merchant, account.customer).await.available, Points(10));
        let again = bench.commander.send(spend).await.unwrap();
        assert_eq!((again.outcome, again.at, again.replayed), (refused.outcome, refused.at, true));
    });
}

#[tokio::test]
async fn of_many_redeems_of_the_last_points_one_wins_and_nothing_goes_below_zero() {
    let bench = Bench::start().await;
    let Account { merchant, customer, stream } = account(&bench, 100).await;
    let spends = (0..64).map(|_| bench.commander.send(bench.envelope(merchant, stream, reserve(100))));
    let answers = futures::future::join_all(spends).await;
    let accepted = answers.iter().filter(|a| a.as_ref().unwrap().outcome == Outcome::Accepted).count();
    assert_eq!(accepted, 1);
    let after = bench.balances(merchant, customer).await;
    assert_eq!(after.available.0 + after.reserved.0 + after.lifetime_redeemed.0, 100);
}

#[test]
fn a_poison_command_parks_its_aggregate_and_no_other() {
    let (log, folder, Account { merchant, customer, .. }) = process(async {
        let bench = Bench::start().await;
        let account = account(&bench, 10).await;
        let Account { merchant, stream, .. } = account;
        let other = bench.customer(merchant).await;
        let poison = Envelope { key: POISON, ..bench.envelope(merchant, stream, earn(1)) };
        assert!(matches!(bench.commander.send(poison).await, Err(Unavailable::AggregateParked)));

        let next = bench.commander.send(bench.envelope(merchant, stream, earn(1))).await;
        assert!(matches!(next, Err(Unavailable::AggregateParked)));
        assert_eq!(bench.commander.parked(), 1);
        bench.earn(merchant, other, 5).await;
        assert_eq!(bench.balances(merchant, other).await.available, Points(5));
        (bench.log, bench.folder, account)
    });
    process(async {
        let bench = Bench::resume(log, folder).await;
        assert_eq!(bench.balances(merchant, customer).await.available, Points(10));
    });
}

#[tokio::test]
async fn a_record_that_cannot_be_folded_parks_its_aggregate_and_the_partition_starts() {
    let log = memory::init(1, Class::Conditional);
    let (merchant, customer) = (MerchantId(Uuid::now_v7()), sample::CUSTOMER);
    let earned = PointsEarned { points: Points(i64::MIN), repaid: Points(1), ..PointsEarned::sample() };
    let body = Body {
        meta: Meta {
            record: RecordId(Uuid::now_v7()),
            stream_type: StreamType::PointsAccount,
            first_version: 1,
            occurred_at: sample::time(),
            recorded_at: sample::time(),
            correlation: event_schemas::CorrelationId(Uuid::now_v7()),
            trace: Trace::default(),
            causation: None,
            actor: Actor::System,
            command: sample_key(3),
            content: sample::DIGEST,
        },
        answer: Answer::Events(vec![PointsAccountEvent::from(earned).into()]),
    };
    let mut writer = log.claim(0, |_| Ok(())).await.unwrap();
    let (route, stream) = (customer.bytes(), customer.bytes());
    let body = body.encode().unwrap().into();
    let record =
        NewRecord { kind: NewKind::Commit, merchant: merchant.bytes(), route, stream, key_count: 0, body };
    writer.append(record).unwrap().await.unwrap();

    let bench = Bench::over(log).await;
    let look = bench.commander.read(merchant, StreamRef::account(customer), balances).await;
    assert!(matches!(look, Err(Unavailable::AggregateParked)));
    assert_eq!(account(&bench, 7).await.stream.route.get_version_num(), 7);
}

#[tokio::test]
async fn a_lost_acknowledgement_is_found_after_the_next_claim_and_counts_once() {
    let store = store();
    let (faulty, log) = over(&store, Plan::default());
    let bench = Bench::over(log).await;
    let Account { merchant, customer, stream } = account(&bench, 10).await;
    bench.policies_idle().await;
    faulty.script([Fate::LoseReport]);
    let answered = bench.commander.send(bench.envelope(merchant, stream, earn(5))).await.unwrap();
    assert_eq!((answered.outcome, answered.replayed), (Outcome::Accepted, false));
    assert_eq!(bench.balances(merchant, customer).await.available, Points(15));
}

#[tokio::test]
async fn a_lost_record_is_decided_again_like_a_new_command() {
    let store = store();
    let (faulty, log) = over(&store, Plan::default());
    let bench = Bench::over(log).await;
    let Account { merchant, customer, stream } = account(&bench, 10).await;
    bench.policies_idle().await;
    faulty.script([Fate::Lose]);
    let sends = (0..8).map(|_| bench.commander.send(bench.envelope(merchant, stream, reserve(4))));
    let answers = futures::future::join_all(sends).await;
    let accepted = answers.iter().filter(|a| a.as_ref().unwrap().outcome == Outcome::Accepted).count();
    assert_eq!(accepted, 2);
    bench.policies_idle().await;
    assert_eq!(bench.balances(merchant, customer).await.available, Points(2));
}

#[tokio::test]
async fn a_fenced_owner_answers_unavailable_and_the_newer_one_has_the_truth() {
    let store = store();
    let (_old_process, old_log) = over(&store, Plan::default());
    let old = Bench::over(old_log).await;
    let Account { merchant, customer, stream } = account(&old, 10).await;
    old.policies_idle().await;
    let spend = Envelope { key: sample_key(4), ..old.envelope(merchant, stream, reserve(10)) };

    // Somebody newer claims; the old owner finds out with its next record and answers nothing from old state.
    let mut newer = store.claim(0, |_| Ok(())).await.unwrap();
    newer.append(NewRecord::barrier(0)).unwrap().await.unwrap();
    let first = old.commander.send(spend.clone()).await;
    assert!(matches!(first, Err(Unavailable::NotOwned)), "{first:?}");

    // Nobody newer is left, so the old process wins the partition back and the same key is decided once.
    drop(newer);
    assert_eq!(insist_on(&old, &spend).await, Outcome::Accepted);
    old.policies_idle().await;
    assert_eq!(old.balances(merchant, customer).await.available, Points(0));
}

#[test]
fn under_random_faults_every_answer_is_kept_and_every_award_counts_once() {
    for seed in 0..6 {
        let store = store();
        let plan = Plan {
            seed,
            lose_report: 60,
            lose: 60,
            delay_report: 100,
            late: 20,
            twice: 20,
            delay_max: Duration::from_millis(20),
            ..Plan::default()
        };
        let under = store.clone();
        let (folder, merchant, customer) = process(async move {
            let (_process, log) = over(&under, plan);
            let bench = Bench::over(log).await;
            let merchant = bench.install("demo-1.myshopify.com").await;
            let customer = CustomerId(Uuid::now_v7());
            let sends = (0..40).map(|n| insist(&bench, merchant, customer, 1 + n));
            let outcomes = futures::future::join_all(sends).await;
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "seed {seed}");
            (bench.folder, merchant, customer)
        });
        process(async move {
            let bench = Bench::resume(store, folder).await;
            let after = bench.balances(merchant, customer).await;
            assert_eq!(after.available, Points((1..=40).sum()), "seed {seed}");
        });
    }
}

/// Sends the same command until there is an answer.
async fn insist(bench: &Bench, merchant: MerchantId, customer: CustomerId, points: i64) -> Outcome {
    insist_on(bench, &bench.envelope(merchant, StreamRef::account(customer), earn(points))).await
}

async fn insist_on(bench: &Bench, envelope: &Envelope) -> Outcome {
    let asks = async {
        loop {
            match bench.commander.send(envelope.clone()).await {
                Ok(answered) => return answered.outcome,
                Err(unavailable) => assert!(unavailable.is_transient(), "{unavailable:?}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    within("an answer", asks).await
}

#[tokio::test]
async fn reads_see_what_was_answered_before_and_share_a_barrier() {
    let bench = Bench::start().await;
    let Account { merchant, customer, .. } = account(&bench, 10).await;
    bench.policies_idle().await;
    let partition = bench.log.partition_of(merchant.bytes(), customer.bytes());
    let looks = (0..50).map(|_| bench.balances(merchant, customer));
    let seen = futures::future::join_all(looks).await;
    assert!(seen.iter().all(|balances| balances.available == Points(10)));
    let mut reader = bench.log.reader(partition, None).unwrap();
    let records = reader.next(1_000).await.unwrap().records;
    let barriers = records.iter().filter(|record| record.frame.kind == Kind::Barrier).count();
    assert!((1..25).contains(&barriers), "{barriers}");
}

#[tokio::test]
async fn another_merchants_id_is_an_unknown_stream() {
    let bench = Bench::start().await;
    let Account { customer, .. } = account(&bench, 10).await;
    let other = bench.install("demo-2.myshopify.com").await;
    let opened = |aggregate: &Aggregate| matches!(aggregate, Aggregate::PointsAccount(a) if a.opened());
    assert!(!bench.commander.read(other, StreamRef::account(customer), opened).await.unwrap());
}

#[tokio::test]
async fn a_key_store_behind_the_log_refuses_to_start() {
    let bench = Bench::start().await;
    account(&bench, 10).await;
    bench.policies_idle().await;
    let folder = tempfile::tempdir().unwrap();
    let root = privacy::RootKey::from_bytes([7; 32]);
    let keys = folder.path().join("keys.db");
    let keys = privacy::KeyStore::create_or_open(&keys, &root, *bench.log.id().as_bytes()).await.unwrap();
    let started = crate::owner::start(&bench.log, &keys, &bench.clock).await;
    assert!(matches!(started, Err(crate::owner::StartError::Keys(_))));
}

/// Catches: a Postgres that fails over during a rebalance stops partitions until their node is restarted.
#[test]
fn a_key_store_that_cannot_be_asked_is_asked_again_and_one_that_lost_keys_is_not() {
    let away = privacy::Error::from(group_commit::StoreError::Missing);
    let behind = privacy::Error::Behind { store: 1, log: 2 };
    assert_eq!([away, behind].map(|error| super::is_final(&super::StartError::Keys(error))), [false, true]);
}

fn sample_key(n: u128) -> CommandKey {
    CommandKey(Uuid::from_u128(n))
}

/// Two processes that both own the partition take turns: neither is kept waiting, and neither does nothing but claim.
///
/// Catches a pause that begins anew with every claim (so many claims that few commands are left) and one that doubles
/// without end (clients wait for minutes): both were tried.
#[tokio::test(start_paused = true)]
async fn two_owners_of_one_partition_both_serve_and_claim_at_most_a_few_times_a_second() {
    const MINUTE: Duration = Duration::from_secs(60);
    for class in [Class::Open, Class::Conditional] {
        let log = memory::init(1, class);
        let bench = Bench::over(log.clone()).await;
        let rival = crate::owner::start(&log, &bench.keys, &bench.clock).await.unwrap();
        let merchant = MerchantId::from_bytes([1; 16]);
        let stream = StreamRef::account(CustomerId::from_bytes([2; 16]));
        let begun = Instant::now();
        let client = async |commander: &Commander| {
            let (mut last, mut longest, mut accepted) = (begun, Duration::ZERO, 0);
            while begun.elapsed() < MINUTE {
                match commander.send(bench.envelope(merchant, stream, earn(1))).await {
                    Ok(_) => accepted += 1,
                    Err(_) => {
                        sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                }
                longest = longest.max(last.elapsed());
                last = Instant::now();
                sleep(Duration::from_millis(20)).await;
            }
            (accepted, longest)
        };
        for (accepted, longest) in <[_; 2]>::from(join(client(&bench.commander), client(&rival)).await) {
            assert!(accepted > 500, "only {accepted} commands in a minute");
            assert!(longest < Duration::from_secs(10), "{longest:?} without an answer");
        }
        let (mut reader, mut claims) = (log.reader(0, None).unwrap(), 0);
        loop {
            let records = reader.next(FETCH_RECORDS_MAX).await.unwrap().records;
            if records.is_empty() {
                break;
            }
            claims += records.iter().filter(|record| record.frame.kind == Kind::Claim).count();
        }
        assert!(claims < 300, "{claims} claims in a minute");
    }
}
