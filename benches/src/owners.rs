//! The write side in this process: a log of eight partitions and their owners, with accounts that earn points.
use std::{
    ops::Deref,
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, bail};
use command_api::{
    Clock, Commander, Envelope, Lane, Origin, Outcome, RecordColumns,
    owner::{Keeping, Snapshots},
};
use domain::{
    Command, StreamRef,
    merchant::InstallMerchant,
    points_account::{EarnPoints, EarnSource, ExpiryRule},
};
use event_log::Log;
use event_schemas::{
    Code, CommandKey, CorrelationId, Currency, CustomerId, Digest, EntryId, MerchantId, Points, ShopDomain,
    TimeZone, Timestamp,
    record::{Actor, Trace},
};
use group_commit::Store;
use privacy::{KeyStore, RootKey};
use uuid::Uuid;

use crate::rounds::for_each;

/// As the executable has it by default.
const PARTITIONS: u16 = 8;
/// Streams ready for commands, and memory for the packed state of others, as the executable has them by default.
pub(crate) const IN_MEMORY: (usize, usize) = (16_384, 256 << 20);
/// Commands under way where nothing is measured.
const AT_ONCE: usize = 512;
/// Shops that the accounts belong to.
const SHOPS: usize = 16;

/// Running owners. They end with the last clone, of which callers make one for each command: it counts one reference, not
/// those of every part.
#[derive(Clone)]
pub(crate) struct Owners(Arc<Parts>);

/// What they are made of.
pub(crate) struct Parts {
    pub(crate) log: Log,
    pub(crate) commander: Commander,
    pub(crate) clock: Clock,
    pub(crate) keys: KeyStore,
    /// The clock's; dropped last.
    pub(crate) work: Store,
    accounts: usize,
    turn: AtomicUsize,
}

impl Deref for Owners {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Owners {
    /// A new installation in an empty folder, complete enough for the executable to go on with it.
    pub(crate) async fn create(folder: &Path, accounts: usize) -> anyhow::Result<Self> {
        RootKey::create_file(&folder.join("dev-root.key"))?;
        let log = event_log::sqlite::init(&folder.join("log.db"), PARTITIONS)?;
        Self::over(folder, log, accounts, IN_MEMORY).await
    }

    /// The same with its log in an empty database.
    pub(crate) async fn create_on_postgres(
        folder: &Path,
        url: &str,
        accounts: usize,
    ) -> anyhow::Result<Self> {
        RootKey::create_file(&folder.join("dev-root.key"))?;
        let columns = Some(Arc::new(RecordColumns) as _);
        let log = event_log::postgres::init(&url.parse()?, PARTITIONS, columns).await?;
        Self::over(folder, log, accounts, IN_MEMORY).await
    }

    /// The same with its log, in one partition, in a new topic.
    pub(crate) async fn create_on_kafka(
        folder: &Path,
        topic: &event_log::kafka::Address,
        accounts: usize,
    ) -> anyhow::Result<Self> {
        RootKey::create_file(&folder.join("dev-root.key"))?;
        let columns = Some(Arc::new(RecordColumns) as _);
        let log = event_log::kafka::init(topic, 1, columns).await?;
        Self::over(folder, log, accounts, IN_MEMORY).await
    }

    /// What [`Self::create`] made, again.
    pub(crate) async fn open(folder: &Path, accounts: usize) -> anyhow::Result<Self> {
        Self::open_with(folder, accounts, IN_MEMORY).await
    }

    /// The same, with so many streams ready and so many bytes for the others in memory.
    pub(crate) async fn open_with(
        folder: &Path,
        accounts: usize,
        in_memory: (usize, usize),
    ) -> anyhow::Result<Self> {
        Self::over(folder, event_log::sqlite::open(&folder.join("log.db"))?, accounts, in_memory).await
    }

    async fn over(
        folder: &Path,
        log: Log,
        accounts: usize,
        (live_streams, memory_bytes): (usize, usize),
    ) -> anyhow::Result<Self> {
        let root = RootKey::load_file(&folder.join("dev-root.key"))?;
        let keys = KeyStore::create_or_open(&folder.join("keys.db"), &root, *log.id().as_bytes()).await?;
        let work = command_api::work::open(&folder.join("work.db"))?;
        let clock = Clock::open(&work, true).await?;
        let snapshots = Snapshots::open(&folder.join("snap.db"), log.id()).await?;
        let keeping = Some(Keeping::new(snapshots, live_streams, memory_bytes));
        let commander = command_api::owner::start_keeping(&log, &keys, &clock, keeping).await?;
        let turn = AtomicUsize::new(0);
        Ok(Self(Arc::new(Parts { log, commander, clock, keys, work, accounts, turn })))
    }

    /// The next account in turn earns points; durable when it returns.
    pub(crate) async fn earn(self) -> anyhow::Result<()> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (merchant, customer) = account(turn % self.accounts);
        self.accept(merchant, customer, earn()).await
    }

    /// Every account earns points so many times.
    pub(crate) async fn earn_everywhere(&self, times: usize) -> anyhow::Result<()> {
        let owners = self.clone();
        for_each(times * self.accounts, AT_ONCE, move |_| owners.clone().earn()).await
    }

    /// Looks at an account, wherever its state lies.
    pub(crate) async fn glance(&self, number: usize) -> anyhow::Result<()> {
        let (merchant, customer) = account(number);
        Ok(self.commander.glance(merchant, StreamRef::account(customer), |_| ()).await?)
    }

    /// All shops that accounts belong to join, as a schedule needs them.
    pub(crate) async fn install_shops(&self) -> anyhow::Result<()> {
        for shop in 0..SHOPS {
            let (merchant, _) = account(shop);
            self.keys.ensure_merchant(merchant).await?;
            let install = InstallMerchant {
                shop_domain: ShopDomain::try_new(format!("shop-{shop}.myshopify.com"))?,
                currency: Currency::try_new("USD")?,
                timezone: TimeZone::utc(),
            };
            self.send(merchant, StreamRef::merchant(merchant), install).await?;
        }
        Ok(())
    }

    /// Sends a command to a customer's account; durable when it returns.
    pub(crate) async fn accept(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
        command: impl Into<Command>,
    ) -> anyhow::Result<()> {
        match self.send(merchant, StreamRef::account(customer), command).await? {
            Outcome::Accepted => Ok(()),
            other => bail!("a command was not accepted: {other:?}"),
        }
    }

    /// Sends a command, whatever comes of it; durable when it returns.
    pub(crate) async fn send(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        command: impl Into<Command>,
    ) -> anyhow::Result<Outcome> {
        let envelope = Envelope {
            merchant,
            stream,
            command: command.into(),
            key: CommandKey(fresh_id()),
            content: Digest([0; 16]),
            occurred_at: self.clock.now(),
            origin: Origin {
                actor: Actor::Merchant,
                correlation: CorrelationId(fresh_id()),
                trace: Trace::default(),
                causation: None,
            },
            lane: Lane::Interactive,
        };
        Ok(self.commander.send(envelope).await.context("no answer to a command")?.outcome)
    }
}

/// An award with a source of its own.
pub(crate) fn earn() -> EarnPoints {
    let id = fresh_id();
    EarnPoints {
        entry: EntryId(id),
        points: Points(7),
        reason: Code::fixed("goodwill"),
        source: EarnSource::Api(Digest(id.into_bytes())),
        rule: None,
        release: None,
        at: Timestamp::EPOCH,
        expiry: ExpiryRule::none(),
        reference: None,
        content: Digest([0; 16]),
    }
}

/// An id that no other call gives, at little cost: what callers send is not what is measured.
pub(crate) fn fresh_id() -> Uuid {
    static RUN: LazyLock<u64> = LazyLock::new(|| Uuid::now_v7().as_u64_pair().0);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Uuid::from_u64_pair(*RUN, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The account with this number: always the same, and accounts lie in all partitions.
pub(crate) fn account(number: usize) -> (MerchantId, CustomerId) {
    let id = |kind, number: usize| Uuid::from_u64_pair(kind, number as u64);
    (MerchantId(id(1, number % SHOPS)), CustomerId(id(2, number)))
}
