//! The same history through the framework's repository over the view and through our reader.
use std::{collections::BTreeMap, sync::Arc};

use cqrs_es::{
    EventEnvelope,
    persist::{PersistedEventRepository as _, ReplayStream},
};
use event_log::Kind;
use event_schemas::{
    StreamType,
    record::{Answer, Body},
};
use postgres_store::testing::TestDatabase;
use uuid::Uuid;

use super::{super::Hosted, *};
use crate::{
    RecordColumns,
    commands::Outcome,
    testing::{Bench, earn, reserve},
};

type Account = Hosted<domain::points_account::State>;

/// Name of an aggregate, number of an event, what happened, in which version, as which JSON.
type Row = (String, usize, String, u16, Value);

struct Desk {
    /// Ends before its database goes.
    bench: Bench,
    cold: ColdAggregates,
    _database: TestDatabase,
}

impl Desk {
    /// Two shops with a customer each who earn and reserve, in a log with one partition for all and three idle ones.
    async fn start() -> Self {
        let database = TestDatabase::create();
        let address: Address = database.url().parse().unwrap();
        let log = event_log::postgres::init(&address, 4, Some(Arc::new(RecordColumns))).await.unwrap();
        let bench = Bench::over(log).await;
        for shop in ["demo-1.myshopify.com", "demo-2.myshopify.com"] {
            let merchant = bench.install(shop).await;
            let account = StreamRef::account(bench.customer(merchant).await);
            for points in 1..=20 {
                bench.accept(merchant, account, earn(points * 10)).await;
            }
            bench.accept(merchant, account, reserve(50)).await;
            // A refusal is a record without events, and no row of the view.
            let refused = bench.envelope(merchant, account, reserve(1_000_000));
            assert!(matches!(bench.commander.send(refused).await.unwrap().outcome, Outcome::Rejected(_)));
        }
        // What the policies make of it is history too.
        bench.policies_idle().await;
        Self { bench, cold: ColdAggregates::new(&address), _database: database }
    }

    /// All events, by our reader, by type of stream and name of aggregate.
    async fn read(&self) -> BTreeMap<StreamType, BTreeMap<String, Vec<Row>>> {
        let mut found: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
        for partition in 0..self.bench.log.partitions() {
            let records = self.bench.log.reader(partition, None).unwrap().next(2_000).await.unwrap().records;
            for record in records.iter().filter(|record| record.frame.kind == Kind::Commit) {
                let Body { meta, answer: Answer::Events(events) } = Body::decode(&record.body).unwrap()
                else {
                    panic!("a commit without events")
                };
                let key = StreamKey {
                    merchant: MerchantId::from_bytes(record.frame.merchant),
                    stream_type: meta.stream_type,
                    id: Uuid::from_bytes(record.frame.stream),
                };
                let rows = found.entry(meta.stream_type).or_default().entry(key.to_string()).or_default();
                for (sequence, event) in (meta.first_version as usize..).zip(events) {
                    let json = serde_json::from_str(&event.to_json().unwrap()).unwrap();
                    rows.push((key.to_string(), sequence, event.name().to_owned(), event.version(), json));
                }
            }
        }
        found
    }
}

fn row(event: &SerializedEvent) -> Row {
    let SerializedEvent { aggregate_id, sequence, event_type, event_version, payload, metadata, .. } = event;
    assert!(metadata["record"].is_string() && metadata["recorded_at"].is_string(), "{metadata}");
    let keys: Vec<_> = payload.as_object().unwrap().keys().collect();
    assert_eq!(keys, [event_type]);
    let json = payload[event_type].clone();
    (aggregate_id.clone(), *sequence, event_type.clone(), event_version.parse().unwrap(), json)
}

/// What a stream of the framework gives, decoded by it.
async fn replayed(mut stream: ReplayStream) -> Vec<Row> {
    let upcasters: Vec<Box<dyn EventUpcaster>> = vec![Box::new(Shown)];
    let mut rows = Vec::new();
    while let Some(event) = stream.next::<Account>(&upcasters).await {
        let EventEnvelope { aggregate_id, sequence, payload, .. } = event.unwrap();
        let Recorded::Event(event) = payload else { panic!("a refusal is shown") };
        let json = serde_json::from_str(&event.to_json().unwrap()).unwrap();
        rows.push((aggregate_id, sequence, event.name().to_owned(), event.version(), json));
    }
    rows
}

/// While a policy was still writing between the two readings this was seen to fail: they differed by an event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_frameworks_repository_and_our_reader_read_the_same_history() {
    let desk = Desk::start().await;
    let repository = desk.cold.repository();
    let read = desk.read().await;
    assert!(read.len() >= 3, "merchants, customers and accounts");
    for (stream_type, aggregates) in &read {
        for (name, rows) in aggregates {
            let got = super::super::serialized(&repository, *stream_type, name).await.unwrap();
            assert_eq!(&got.iter().map(row).collect::<Vec<_>>(), rows);
        }
    }
    let accounts = &read[&StreamType::PointsAccount];
    assert_eq!(accounts.len(), 2);
    for (name, rows) in accounts {
        assert!(rows.len() >= 22);
        assert_eq!(&replayed(repository.stream_events::<Account>(name).await.unwrap()).await, rows);
        let last = repository.get_last_events::<Account>(name, 20).await.unwrap();
        assert_eq!(last.iter().map(row).collect::<Vec<_>>(), rows[20..]);
    }
    let mut all = replayed(repository.stream_all_events::<Account>().await.unwrap()).await;
    all.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    assert_eq!(all, accounts.values().flatten().cloned().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_aggregate_is_what_its_owner_has() {
    let desk = Desk::start().await;
    for (name, rows) in &desk.read().await[&StreamType::PointsAccount] {
        let [merchant, _, customer] = name.split('/').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let (merchant, customer) = (merchant.parse().unwrap(), customer.parse().unwrap());
        let stream = StreamRef::account(customer);
        let owned = desk.bench.commander.read(merchant, stream, Aggregate::clone).await.unwrap();
        let cold = desk.cold.load(merchant, stream).await.unwrap();
        assert_eq!(cold, Cold { aggregate: owned, version: rows.len() as u64 });
    }
    let (merchant, nobody) = (MerchantId(Uuid::nil()), StreamRef::account(event_schemas::sample::CUSTOMER));
    assert_eq!(desk.cold.load(merchant, nobody).await.unwrap().version, 0);
}

/// Records from before the view was filled are no reason to load a shorter history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_that_is_not_shown_as_a_whole_is_not_loaded() {
    let database = TestDatabase::create();
    let address: Address = database.url().parse().unwrap();
    let bench = Bench::over(event_log::postgres::init(&address, 1, None).await.unwrap()).await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let account = StreamRef::account(bench.customer(merchant).await);
    bench.accept(merchant, account, earn(10)).await;
    let Bench { folder, .. } = bench;
    let log = event_log::postgres::open(&address, Some(Arc::new(RecordColumns))).await.unwrap();
    let bench = Bench::resume(log, folder).await;
    bench.accept(merchant, account, earn(20)).await;
    let loaded = ColdAggregates::new(&address).load(merchant, account).await;
    assert!(matches!(loaded, Err(ColdError::Gap { expected: 1, .. })), "{loaded:?}");
}
