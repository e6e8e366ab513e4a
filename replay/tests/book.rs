//! A data folder whose log was written by real commands: the domain decides, owners come and go, keys are counted.
use std::collections::HashMap;

use domain::{
    Aggregate, Command, StreamRef,
    merchant::InstallMerchant,
    points_account::{
        AdjustPoints, CommitRedemption, EarnPoints, OpenAccount, ReinstatePoints, ReleaseReservation,
        ReservePoints, SettleOrder,
    },
    redemption::RequestRedemption,
};
use event_log::{Log, NewKind, NewRecord, Writer};
use event_schemas::{
    Code, CommandKey, CorrelationId, Currency, CustomerId, Digest, EntryId, MerchantId, OrderId, Points,
    Rate, RecordId, RedemptionId, ShopDomain, TimeZone, Timestamp,
    loyalty_order::OrderStatus,
    merchant::WhenShort,
    record::{Actor, Answer, Body, Meta, Trace},
    sample,
};
use privacy::{KeyStore, RootKey};
use projections::{Projections, ReadStore};
use rand::{Rng as _, rngs::StdRng};
use replay::verify::Files;
use tempfile::TempDir;
use uuid::Uuid;

const PARTITIONS: u16 = 3;
const MINUTE_US: i64 = 60_000_000;

/// The folder and its owner.
pub(crate) struct Book {
    pub(crate) folder: TempDir,
    pub(crate) log: Log,
    keys: KeyStore,
    writers: Vec<Writer>,
    streams: HashMap<(MerchantId, StreamRef), (Aggregate, u64)>,
    people: Vec<(MerchantId, CustomerId)>,
    now: Timestamp,
    random: StdRng,
}

impl Book {
    /// Two shops with four customers.
    pub(crate) async fn open(random: StdRng) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = event_log::sqlite::init(&folder.path().join("log.db"), PARTITIONS).unwrap();
        let root = RootKey::from_bytes([7; 32]);
        let keys = folder.path().join("keys.db");
        let keys = KeyStore::create_or_open(&keys, &root, *log.id().as_bytes()).await.unwrap();
        let (streams, people, now) = (HashMap::new(), Vec::new(), sample::time());
        let mut book = Self { folder, log, keys, writers: Vec::new(), streams, people, now, random };
        book.change_owner().await;
        for shop in ["one.myshopify.com", "two.myshopify.com"] {
            let merchant = MerchantId(book.id());
            book.keys.ensure_merchant(merchant).await.unwrap();
            let install = InstallMerchant {
                shop_domain: ShopDomain::try_new(shop).unwrap(),
                currency: Currency::try_new("USD").unwrap(),
                timezone: TimeZone::try_new("UTC").unwrap(),
            };
            book.send(merchant, StreamRef::merchant(merchant), install).await;
            book.joins(merchant).await;
            book.joins(merchant).await;
        }
        book
    }

    pub(crate) fn files(&self) -> Files {
        let file = |name| self.folder.path().join(name);
        Files { log: file("log.db"), keys: file("keys.db"), reads: file("read.db") }
    }

    /// Nobody writes any more, and the log's file is whole without its write-ahead log.
    pub(crate) fn close(self) -> TempDir {
        let file = rusqlite::Connection::open(self.files().log).unwrap();
        let folder = self.folder;
        let busy =
            || -> bool { file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap() };
        while busy() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        folder
    }

    /// Another owner claims every partition.
    pub(crate) async fn change_owner(&mut self) {
        self.writers.clear();
        for partition in 0..self.log.partitions() {
            self.writers.push(self.log.claim(partition, |_| Ok(())).await.unwrap());
        }
    }

    async fn joins(&mut self, merchant: MerchantId) {
        let customer = CustomerId(self.id());
        self.keys.ensure_subject(merchant, customer).await.unwrap();
        self.send(merchant, StreamRef::account(customer), OpenAccount {}).await;
        self.people.push((merchant, customer));
    }

    /// So many commands of all sorts, refusals and repeats among them.
    pub(crate) async fn lives(&mut self, commands: usize) {
        for _ in 0..commands {
            let (merchant, customer) = self.somebody();
            let account = StreamRef::account(customer);
            let (small, large) = (self.random.random_range(0..4_u8), self.random.random_range(1..90_i64));
            let (id, redemption) = (self.id(), redemption(customer, small));
            let entry = EntryId(id);
            match self.random.random_range(0..12) {
                0..3 => self.send(merchant, account, settle(id, small, large)).await,
                3..5 => self.send(merchant, account, earn(id, small, large)).await,
                5 => self.send(merchant, account, adjust(id, large - 45)).await,
                6..8 => self.reserves(merchant, customer, redemption, large).await,
                8 => self.send(merchant, account, CommitRedemption { redemption, entry }).await,
                9 => {
                    let reason = Code::fixed("failed");
                    self.send(merchant, account, ReleaseReservation { redemption, reason }).await;
                }
                10 => self.send(merchant, account, ReinstatePoints { redemption, entry }).await,
                _ => {
                    let partition = self.random.random_range(0..usize::from(PARTITIONS));
                    let barrier = NewRecord::barrier(self.keys.insert_count());
                    self.writers[partition].append(barrier).unwrap().await.unwrap();
                }
            }
        }
    }

    async fn reserves(
        &mut self,
        merchant: MerchantId,
        customer: CustomerId,
        redemption: RedemptionId,
        points: i64,
    ) {
        let (points, discount) = (Points(points), sample::usd(points));
        let reserve = ReservePoints { redemption, points, discount, rule_version: 1 };
        self.send(merchant, StreamRef::account(customer), reserve).await;
        let request = RequestRedemption { customer, points, discount };
        self.send(merchant, StreamRef::redemption(redemption, customer), request).await;
    }

    pub(crate) fn somebody(&mut self) -> (MerchantId, CustomerId) {
        self.people[self.random.random_range(0..self.people.len())]
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u128(self.random.random())
    }

    /// Decides the command and writes its answer.
    pub(crate) async fn send(
        &mut self,
        merchant: MerchantId,
        stream: StreamRef,
        command: impl Into<Command>,
    ) {
        let fresh = || (Aggregate::new(stream.stream_type), 0);
        let (aggregate, version) = self.streams.entry((merchant, stream)).or_insert_with(fresh);
        let first_version = *version + 1;
        let (kind, answer) = match aggregate.decide(&command.into()) {
            Ok(events) if events.is_empty() => (NewKind::Outcome, Answer::Unchanged),
            Ok(events) => {
                events.iter().for_each(|event| aggregate.evolve(event).unwrap());
                *version += events.len() as u64;
                (NewKind::Commit, Answer::Events(events))
            }
            Err(rejection) => {
                (NewKind::Outcome, Answer::Rejected(serde_json::to_string(&rejection).unwrap()))
            }
        };
        let meta = self.meta(stream, first_version);
        self.write(merchant, stream, kind, Body { meta, answer }).await;
    }

    /// The meta of a next record, a minute after the last.
    pub(crate) fn meta(&mut self, stream: StreamRef, first_version: u64) -> Meta {
        self.now = Timestamp::from_micros(self.now.micros() + MINUTE_US);
        Meta {
            record: RecordId(self.id()),
            stream_type: stream.stream_type,
            first_version,
            occurred_at: self.now,
            recorded_at: self.now,
            correlation: CorrelationId(self.id()),
            trace: Trace::default(),
            causation: None,
            actor: Actor::Merchant,
            command: CommandKey(self.id()),
            content: sample::DIGEST,
        }
    }

    /// How many events the stream has.
    pub(crate) fn version(&self, merchant: MerchantId, stream: StreamRef) -> u64 {
        self.streams.get(&(merchant, stream)).map_or(0, |(_, version)| *version)
    }

    /// The aggregate as it stands.
    pub(crate) fn aggregate(&self, merchant: MerchantId, stream: StreamRef) -> Aggregate {
        let known = self.streams.get(&(merchant, stream)).map(|(aggregate, _)| aggregate.clone());
        known.unwrap_or_else(|| Aggregate::new(stream.stream_type))
    }

    /// Writes a body as it is.
    pub(crate) async fn write(&mut self, merchant: MerchantId, stream: StreamRef, kind: NewKind, body: Body) {
        let route = stream.route.into_bytes();
        let partition = self.log.partition_of(merchant.bytes(), route);
        let record = NewRecord {
            kind,
            merchant: merchant.bytes(),
            route,
            stream: stream.id.into_bytes(),
            key_count: self.keys.insert_count(),
            body: body.encode().unwrap().into(),
        };
        self.writers[usize::from(partition)].append(record).unwrap().await.unwrap();
    }

    /// The read models follow to the end of the log, as a server's do.
    pub(crate) async fn catch_up(&self) {
        let store = ReadStore::open(&self.files().reads).await.unwrap();
        let running = Projections::start(self.log.clone(), store).await.unwrap();
        for partition in 0..self.log.partitions() {
            let soon = std::time::Duration::from_secs(20);
            assert!(running.progress().wait_for(partition, self.log.end(partition), soon).await);
        }
    }
}

/// Few for each customer, so that they come again.
fn redemption(customer: CustomerId, number: u8) -> RedemptionId {
    RedemptionId(Uuid::from_u128(customer.0.as_u128() ^ u128::from(number)))
}

pub(crate) fn earn(id: Uuid, source: u8, points: i64) -> EarnPoints {
    EarnPoints {
        entry: EntryId(id),
        points: Points(points),
        reason: Code::fixed("goodwill"),
        source: Digest([source; 16]),
        rule: None,
        reference: None,
        content: sample::DIGEST,
    }
}

fn adjust(id: Uuid, points: i64) -> AdjustPoints {
    AdjustPoints {
        entry: EntryId(id),
        points: Points(points),
        reason: Code::fixed("correction"),
        public_note: None,
        internal_note: None,
        allow_negative: points % 2 == 0,
        content: sample::DIGEST,
    }
}

/// Versions come from the level, so that older ones come again.
fn settle(id: Uuid, order: u8, target: i64) -> SettleOrder {
    SettleOrder {
        order: OrderId(Uuid::from_u128(u128::from(order) + 100)),
        version: u32::try_from(id.as_u128() % 9).unwrap() + 1,
        target: Points(target),
        status: OrderStatus::Qualified,
        eligible: sample::usd(target * 100),
        refunded: sample::usd(0),
        rate: Rate::ONE,
        rule_version: 1,
        when_short: [WhenShort::Unlimited, WhenShort::WithinBalance][usize::from(target % 5 == 0)],
        entry: EntryId(id),
        reference: None,
        content: sample::DIGEST,
    }
}
