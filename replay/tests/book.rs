//! A data folder whose log was written by real commands: the domain decides, owners come and go, keys are counted.
mod commands;

use std::collections::HashMap;

use domain::{
    Aggregate, Command, StreamRef,
    merchant::InstallMerchant,
    points_account::{
        AbsorbAccount, CommitRedemption, CompleteTransfer, ExpirePoints, MergeAccount, MoveEstatePart,
        OpenAccount, ReleasePendingPoints,
    },
    redemption::RequestRedemption,
};
use event_log::{Log, NewKind, NewRecord, Writer};
use event_schemas::{
    CommandKey, CorrelationId, Currency, CustomerId, EntryId, Event, MerchantId, Points, RecordId,
    RedemptionId, ShopDomain, TimeZone, Timestamp, TransferId,
    record::{Actor, Answer, Body, Meta, Trace},
    sample,
};
use privacy::{KeyStore, RootKey};
use projections::{Projections, ReadStore};
use rand::{Rng as _, rngs::StdRng};
use replay::verify::Files;
use tempfile::TempDir;
use uuid::Uuid;

use self::commands::{
    adjust, earn_at, estate, extend, freeze, give_back, give_up, redemption, reserve, sent, transfer_back,
    transfer_in, unfreeze,
};
pub(crate) use self::commands::{earn, expiry, settle, transfer_out};

const PARTITIONS: u16 = 3;
/// So that most estates leave in parts.
const PART_MAX: u32 = 4;
/// Between two records: in a hundred of them points grow old.
const STEP_US: i64 = 12 * 3_600_000_000;

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
    /// Two shops with three customers each.
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
            book.tell(merchant, StreamRef::merchant(merchant), install).await;
            for _ in 0..3 {
                book.joins(merchant).await;
            }
        }
        book
    }

    /// Who signs certificates.
    pub(crate) const fn keys(&self) -> &KeyStore {
        &self.keys
    }

    pub(crate) fn files(&self) -> Files {
        let file = |name| self.folder.path().join(name);
        Files { log: file("log.db"), keys: file("keys.db").into(), reads: file("read.db").into() }
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
        self.tell(merchant, StreamRef::account(customer), OpenAccount { sign_up: None }).await;
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
            let at = self.now;
            match self.random.random_range(0..24) {
                0..4 => self.tell(merchant, account, settle(customer, id, at, small, large)).await,
                4..7 => self.tell(merchant, account, earn_at(id, at, small, large)).await,
                7 => self.tell(merchant, account, adjust(id, at, large - 45)).await,
                8..11 => self.reserves(merchant, customer, redemption, large).await,
                11..13 => self.tell(merchant, account, CommitRedemption { redemption, entry }).await,
                13 => self.tell(merchant, account, give_up(redemption, at)).await,
                14 => self.tell(merchant, account, give_back(redemption, entry, at)).await,
                15 => {
                    self.tell(merchant, account, ReleasePendingPoints { as_of: at, expiry: expiry() }).await;
                }
                16 => self.tell(merchant, account, ExpirePoints { entry, as_of: at, expiry: expiry() }).await,
                17 => self.tell(merchant, account, extend(entry, at)).await,
                18..20 => self.transfers(merchant, customer, large).await,
                20 => self.tell(merchant, account, freeze()).await,
                21 => self.tell(merchant, account, unfreeze()).await,
                22 if self.random.random_range(0..4) == 0 => self.merges(merchant, customer).await,
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
        let account = StreamRef::account(customer);
        self.tell(merchant, account, reserve(redemption, self.now, points.0)).await;
        let request = RequestRedemption { customer, points, discount, reward: None, pos: None };
        self.tell(merchant, StreamRef::redemption(redemption, customer), request).await;
    }

    /// Points go to another customer of the shop and arrive, or come back, or stay on their way.
    async fn transfers(&mut self, merchant: MerchantId, from: CustomerId, points: i64) {
        let Some(to) = self.other(merchant, from) else { return };
        let (transfer, at) = (TransferId(self.id()), self.now);
        let entries = [EntryId(self.id()), EntryId(self.id())];
        let (sender, receiver) = (StreamRef::account(from), StreamRef::account(to));
        let out = transfer_out(transfer, (from, to), points, entries[0], at);
        let events = self.send(merchant, sender, out).await;
        let Some(sent) = events.iter().find_map(sent) else { return };
        match self.random.random_range(0..3) {
            0 => {}
            1 => self.tell(merchant, sender, transfer_back(transfer, entries[1], at)).await,
            _ => {
                let came = transfer_in(from, sent, entries[1], at);
                if !self.send(merchant, receiver, came).await.is_empty() {
                    self.tell(merchant, sender, CompleteTransfer { transfer }).await;
                }
            }
        }
    }

    /// A customer turns out to be another one of the shop.
    async fn merges(&mut self, merchant: MerchantId, customer: CustomerId) {
        let Some(into) = self.other(merchant, customer) else { return };
        let entries = [EntryId(self.id()), EntryId(self.id())];
        let merge = MergeAccount { customer, into, entry: entries[0], part_max: PART_MAX };
        let mut events = self.send(merchant, StreamRef::account(customer), merge).await;
        while let Some((part, estate)) = events.iter().find_map(estate) {
            let (estate, entry) = (
                estate.clone(),
                EntryId(Uuid::new_v5(&entries[1].0, &part.unwrap_or_default().to_be_bytes())),
            );
            self.tell(
                merchant,
                StreamRef::account(into),
                AbsorbAccount { from: customer, part, estate, entry },
            )
            .await;
            let Some(part) = part else { return };
            let next = MoveEstatePart { part: part + 1, part_max: PART_MAX, entry: EntryId(self.id()) };
            events = self.send(merchant, StreamRef::account(customer), next).await;
        }
    }

    /// Whoever else has an account at the shop.
    pub(crate) fn other_at(&self, merchant: MerchantId, account: StreamRef) -> CustomerId {
        self.other(merchant, CustomerId(account.id)).unwrap()
    }

    /// Somebody else at the shop whose account goes on.
    fn other(&self, merchant: MerchantId, customer: CustomerId) -> Option<CustomerId> {
        let goes_on = |other: CustomerId| match self.aggregate(merchant, StreamRef::account(other)) {
            Aggregate::PointsAccount(account) => account.merged_into().is_none(),
            _ => false,
        };
        let others = self.people.iter().filter(|(shop, other)| *shop == merchant && *other != customer);
        others.map(|(_, other)| *other).find(|other| goes_on(*other))
    }

    pub(crate) fn somebody(&mut self) -> (MerchantId, CustomerId) {
        self.people[self.random.random_range(0..self.people.len())]
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u128(self.random.random())
    }

    /// Decides the command and writes its answer.
    pub(crate) async fn tell(
        &mut self,
        merchant: MerchantId,
        stream: StreamRef,
        command: impl Into<Command>,
    ) {
        self.send(merchant, stream, command).await;
    }

    /// The same, and hands its events back.
    pub(crate) async fn send(
        &mut self,
        merchant: MerchantId,
        stream: StreamRef,
        command: impl Into<Command>,
    ) -> Vec<Event> {
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
        let events = match &answer {
            Answer::Events(events) => events.clone(),
            Answer::Rejected(_) | Answer::Unchanged => Vec::new(),
        };
        let meta = self.meta(stream, first_version);
        self.write(merchant, stream, kind, Body { meta, answer }).await;
        events
    }

    /// The meta of a next record, hours after the last.
    pub(crate) fn meta(&mut self, stream: StreamRef, first_version: u64) -> Meta {
        self.now = Timestamp::from_micros(self.now.micros() + STEP_US);
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
        let store = ReadStore::open_at(&self.files().reads).await.unwrap();
        let running = Projections::start(self.log.clone(), store).await.unwrap();
        for partition in 0..self.log.partitions() {
            let soon = std::time::Duration::from_secs(20);
            assert!(running.progress().wait_for(partition, self.log.end(partition), soon).await);
        }
    }
}
