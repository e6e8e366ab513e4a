//! Follows partition 0 into the reference data, and keeps what it came to.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use domain::merchant;
use event_log::{AdmittedRecord, BoxError, Checkpoint, Log, Position, Reader};
use event_schemas::{
    Event, MerchantId, RewardId, StreamType,
    record::{RawAnswer, View},
};
use serde::de::{DeserializeOwned, Error as _};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    Error, Index, PARTITION, Shops,
    catalogue::Catalogue,
    kept::{Kept, Rows},
    shop,
};
use crate::owner::{
    SnapshotError, StreamKey,
    packed::{PackError, pack, unpack},
};

const BATCH_MAX: usize = 1_024;
/// What changed is kept after so many records, so that a start has few to read behind the checkpoint.
const KEEP_AFTER: u64 = 16_384;
/// The pause after the log could not be read.
const PAUSE: Duration = Duration::from_millis(200);

/// What partition 0 came to, and the reader behind it.
pub(super) struct Tail {
    reader: Reader,
    states: HashMap<MerchantId, merchant::State>,
    index: Arc<ArcSwap<Index>>,
    catalogue: Catalogue,
    tell: watch::Sender<Position>,
    kept: Option<Kept>,
    /// What changed since it was kept.
    unkept: HashSet<StreamKey>,
    unkept_records: u64,
    records_read: u64,
}

/// What is kept cannot be gone on from.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("a kept entry cannot be read")]
    Entry(#[from] PackError),
    #[error("the log does not go on from where it was kept")]
    Log(#[from] Error),
}

impl Tail {
    /// At the end of the log, from what is kept if it fits the log, and otherwise from the first record.
    pub(super) async fn over(log: &Log, kept: Kept) -> Result<Self, Error> {
        let (mut tail, kept) = match Self::resume(log, &kept).await {
            Ok(Some(tail)) => (tail, Some(kept)),
            Ok(None) => (Self::from_the_first(log).await?, Some(kept)),
            Err(Unusable::Log(error)) if !error.is_about_history() => return Err(error),
            Err(unusable) => {
                tracing::warn!(
                    error = &unusable as &dyn std::error::Error,
                    "The kept reference data does not fit and is dropped; the log is read"
                );
                let cleared = kept.clear().await.inspect_err(failed);
                (Self::from_the_first(log).await?, cleared.ok().map(|()| kept))
            }
        };
        tail.kept = kept;
        if tail.unkept_records > 0 {
            tail.keep().await;
        }
        Ok(tail)
    }

    /// At the end of the log, and nothing is kept.
    pub(super) async fn from_the_first(log: &Log) -> Result<Self, Error> {
        let mut tail = Self::new(log, None)?;
        tail.catch_up().await?;
        Ok(tail)
    }

    /// At the end of the log, from what is kept; nothing if that is nothing.
    async fn resume(log: &Log, kept: &Kept) -> Result<Option<Self>, Unusable> {
        let Some((checkpoint, rows)) = kept.load().await? else { return Ok(None) };
        let mut tail = Self::new(log, Some(checkpoint))?;
        tail.put(rows)?;
        tail.catch_up().await?;
        Ok(Some(tail))
    }

    fn new(log: &Log, from: Option<Checkpoint>) -> Result<Self, Error> {
        let reader = log.reader(PARTITION, from)?;
        let tell = watch::Sender::new(reader.position());
        Ok(Self {
            reader,
            states: HashMap::new(),
            index: Arc::default(),
            catalogue: Catalogue::default(),
            tell,
            kept: None,
            unkept: HashSet::new(),
            unkept_records: 0,
            records_read: 0,
        })
    }

    pub(super) fn shops(&self) -> Shops {
        Shops {
            index: self.index.clone(),
            catalogue: self.catalogue.clone(),
            seen: self.tell.subscribe(),
            records_read: self.records_read,
        }
    }

    async fn catch_up(&mut self) -> Result<(), Error> {
        while self.advance().await? {}
        Ok(())
    }

    /// Takes in the next batch; `false` at the end.
    async fn advance(&mut self) -> Result<bool, Error> {
        let batch = self.reader.next(BATCH_MAX).await?;
        let mut changed = Vec::new();
        for record in &batch.records {
            let took = self.admit(record);
            let took = took.map_err(|source| Error::Record { position: record.position, source })?;
            changed.extend(took);
        }
        if !changed.is_empty() {
            self.publish(&changed);
        }
        self.tell.send_replace(self.reader.position());
        let records = batch.records.len() as u64;
        self.records_read += records;
        self.unkept_records += records;
        if self.unkept_records >= KEEP_AFTER {
            self.keep().await;
        }
        Ok(records > 0)
    }

    /// Folds the record if it is reference data; says which shop it changes.
    fn admit(&mut self, record: &AdmittedRecord) -> Result<Option<MerchantId>, BoxError> {
        if record.frame.kind != event_log::Kind::Commit {
            return Ok(None);
        }
        let view = View::open(&record.body)?;
        let RawAnswer::Events(events) = view.answer else { return Ok(None) };
        let (merchant, stream) =
            (MerchantId::from_bytes(record.frame.merchant), Uuid::from_bytes(record.frame.stream));
        let mut changed = None;
        for raw in events.iter().filter(|_| is_reference_data(view.meta.stream_type)) {
            match raw.decode()? {
                Event::Merchant(event) => {
                    domain::Decider::evolve(self.states.entry(merchant).or_default(), &event);
                    changed = Some(merchant);
                }
                Event::Product(event) => self.catalogue.take_in_product(stream, &event),
                Event::Reward(event) => self.catalogue.take_in_reward(merchant, RewardId(stream), &event),
                _ => continue,
            }
            self.unkept.insert(StreamKey { merchant, stream_type: view.meta.stream_type, id: stream });
        }
        Ok(changed)
    }

    fn publish(&self, changed: &[MerchantId]) {
        let mut index = Index::clone(&self.index.load());
        for merchant in changed {
            if let Some(shop) = self.states.get(merchant).and_then(|state| shop(*merchant, state)) {
                index.by_domain.insert(shop.domain.clone(), *merchant);
                index.by_id.insert(*merchant, Arc::new(shop));
            }
        }
        self.index.store(Arc::new(index));
    }

    /// Puts everything that was kept in its place.
    fn put(&mut self, rows: Rows) -> Result<(), PackError> {
        for (key, state) in rows {
            match key.stream_type {
                StreamType::Merchant => {
                    self.states.insert(key.merchant, whole(&state)?);
                }
                StreamType::Product => self.catalogue.put_product(key.id, whole(&state)?),
                StreamType::Reward => {
                    self.catalogue.put_reward(key.merchant, RewardId(key.id), whole(&state)?);
                }
                _ => return Err(PackError::custom("a stream of this type is no reference data")),
            }
        }
        let shops: Vec<_> = self.states.keys().copied().collect();
        self.publish(&shops);
        Ok(())
    }

    /// Keeps what changed. It is disposable: if it cannot be kept, the records are read again at the next start.
    async fn keep(&mut self) {
        let Some(kept) = &self.kept else { return };
        self.unkept_records = 0;
        let packed = self.unkept.iter().filter_map(|key| Some((*key, self.packed(*key)?)));
        let rows = packed.map(|(key, state)| Ok((key, state?))).collect::<Result<Rows, PackError>>();
        let entries = (self.states.len() + self.catalogue.len()) as u64;
        let saved = match rows {
            Ok(rows) => kept.write(rows, &self.reader.checkpoint(), entries).await,
            Err(error) => Err(SnapshotError::new(error)),
        };
        match saved {
            Ok(()) => self.unkept.clear(),
            Err(error) => failed(&error),
        }
    }

    /// The packed entry of a stream; none of a product that was removed before anything was heard of it.
    fn packed(&self, key: StreamKey) -> Option<Result<Vec<u8>, PackError>> {
        let mut state = Vec::new();
        let packed = match key.stream_type {
            StreamType::Merchant => pack(self.states.get(&key.merchant)?, &mut state),
            StreamType::Product => pack(&*self.catalogue.product_of(key.id)?, &mut state),
            StreamType::Reward => pack(&*self.catalogue.reward(key.merchant, RewardId(key.id))?, &mut state),
            _ => return None,
        };
        Some(packed.map(|()| state))
    }

    pub(super) async fn follow(mut self) {
        loop {
            let step = match self.reader.changed().await {
                Ok(()) => self.advance().await.map(drop),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = step {
                if !matches!(error, Error::Log(event_log::Error::Storage(_))) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "ALARM: shops are no longer followed"
                    );
                    return;
                }
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Shops could not be read; trying again"
                );
                tokio::time::sleep(PAUSE).await;
            }
            if self.tell.is_closed() {
                return;
            }
        }
    }
}

/// Partition 0 has streams of people too, whose events are not worth decoding here.
const fn is_reference_data(stream: StreamType) -> bool {
    matches!(stream, StreamType::Merchant | StreamType::Product | StreamType::Reward)
}

/// What the bytes hold, all of them.
fn whole<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, PackError> {
    let value = unpack(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(PackError::custom("bytes are left behind an entry")) }
}

fn failed(error: &SnapshotError) {
    metrics::counter!("snapshot_failures_total").increment(1);
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "The reference data could not be kept; the next start reads more of the log"
    );
}
