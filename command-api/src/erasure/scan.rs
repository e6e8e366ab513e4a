//! The search of the log behind an erasure: every sealed field of the people is tried, and none may open. One without a row
//! that a key could stand in does not.
//!
//! One search of a partition serves all who wait for it. It begins once a record of the partition's owner was admitted that
//! was appended after they asked: what was sealed before their fence and was still on its way stands before it.
use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use domain::StreamRef;
use event_log::{AdmittedRecord, FETCH_RECORDS_MAX, Kind, Log};
use event_schemas::{
    CustomerId, FieldAddress, Hash, MerchantId, Sealed,
    privacy_request::Scanned,
    record::{Meta, RawAnswer, RawEvent, View},
};
use futures::FutureExt as _;
use privacy::{KeyStore, Proof};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    bugs::{Bug, Bugs},
    setback::Cause,
};
use crate::commands::Commander;

/// Fields that are tried at once.
const TRIED_AT_ONCE: usize = 512;
/// After a search the next one waits as long as it took, but no longer than this.
const REST_MAX: Duration = Duration::from_secs(30);

/// Whose fields are looked for in a partition.
#[derive(Clone, Debug)]
pub(super) enum Sought {
    /// These customers of the shop.
    People(MerchantId, BTreeSet<CustomerId>),
    /// Everybody in the shop.
    Shop(MerchantId),
}

struct Wanted {
    sought: Sought,
    /// Any stream of the partition.
    stream: StreamRef,
    answer: oneshot::Sender<Result<Scanned, Cause>>,
}

/// Searches partitions; each has a task of its own that waits for work.
pub(super) struct Scanner {
    partitions: Vec<mpsc::UnboundedSender<Wanted>>,
}

impl Scanner {
    pub(super) fn start(log: &Log, commander: &Commander, keys: &KeyStore, bugs: &Bugs) -> Self {
        let partitions = (0..log.partitions()).map(|partition| {
            let (post, posted) = mpsc::unbounded_channel();
            let (log, commander, keys) = (log.clone(), commander.clone(), keys.clone());
            let bugs = bugs.clone();
            tokio::spawn(Search { log, commander, keys, partition, bugs }.run(posted));
            post
        });
        Self { partitions: partitions.collect() }
    }

    /// Searches a partition from its first record to behind a record that its owner appends from now on. `stream` is any of
    /// the partition.
    pub(super) async fn scan(
        &self,
        partition: u16,
        stream: StreamRef,
        sought: Sought,
    ) -> Result<Scanned, Cause> {
        let (answer, answered) = oneshot::channel();
        let gone = || Cause::new("search-ended", "the search of the partition ended");
        let posts = self.partitions.get(usize::from(partition)).ok_or_else(gone)?;
        posts.send(Wanted { sought, stream, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// The searches of one partition, one after the other.
struct Search {
    log: Log,
    commander: Commander,
    keys: KeyStore,
    partition: u16,
    bugs: Bugs,
}

/// What was found for one who waits.
#[derive(Clone, Copy, Default)]
struct Found {
    records: u64,
    fields: u64,
    opening: u64,
    /// Of fields whose key was lost before it could be destroyed.
    without_row: u64,
}

/// A sealed field, and for whom it is tried.
struct Field {
    address: FieldAddress,
    sealed: Sealed,
    of: Arc<[usize]>,
}

/// Who looks for what.
struct Seekers {
    by_person: HashMap<(MerchantId, CustomerId), Vec<usize>>,
    by_shop: HashMap<MerchantId, Vec<usize>>,
}

impl Seekers {
    fn of(wanted: &[Wanted]) -> Self {
        let (mut by_person, mut by_shop) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (index, wanted) in wanted.iter().enumerate() {
            match &wanted.sought {
                Sought::Shop(merchant) => by_shop.entry(*merchant).or_default().push(index),
                Sought::People(merchant, people) => people
                    .iter()
                    .for_each(|person| by_person.entry((*merchant, *person)).or_default().push(index)),
            }
        }
        Self { by_person, by_shop }
    }

    /// Who looks for records with this head.
    fn find(&self, record: &AdmittedRecord) -> Vec<usize> {
        let merchant = MerchantId::from_bytes(record.frame.merchant);
        let person = CustomerId::from_bytes(record.frame.route);
        let people = self.by_person.get(&(merchant, person)).into_iter().flatten();
        people.chain(self.by_shop.get(&merchant).into_iter().flatten()).copied().collect()
    }
}

impl Search {
    async fn run(self, mut posted: mpsc::UnboundedReceiver<Wanted>) {
        while let Some(first) = posted.recv().await {
            let mut wanted = vec![first];
            while let Ok(next) = posted.try_recv() {
                wanted.push(next);
            }
            let begun = Instant::now();
            // Nothing is carried from one search to the next, so whatever one of them meets, the others go on.
            let found = AssertUnwindSafe(self.search(&wanted)).catch_unwind().await;
            let panicked = |_| Err(Cause::new("internal-fault", "the search of the partition panicked"));
            match found.unwrap_or_else(panicked) {
                Ok(found) => wanted.into_iter().zip(found).for_each(|(wanted, scanned)| {
                    // Whoever went away asks again.
                    drop(wanted.answer.send(scanned));
                }),
                Err(cause) => {
                    wanted.into_iter().for_each(|wanted| drop(wanted.answer.send(Err(cause.told()))));
                }
            }
            sleep(begun.elapsed().min(REST_MAX)).await;
        }
    }

    async fn search(&self, wanted: &[Wanted]) -> Result<Vec<Result<Scanned, Cause>>, Cause> {
        let Some(first) = wanted.first() else { return Ok(Vec::new()) };
        let (Sought::People(merchant, _) | Sought::Shop(merchant)) = first.sought;
        self.bugs.panic_at(Bug::PanicsAtShops, matches!(first.sought, Sought::Shop(_)));
        let barrier = match self.bugs.has(Bug::ScansEarly) {
            true => self.log.end(self.partition),
            false => self.commander.read_at(merchant, first.stream, |_| ()).await?.0.position(),
        };
        let seekers = Seekers::of(wanted);
        let mut found = vec![Found::default(); wanted.len()];
        let mut reader = self.log.reader(self.partition, None)?;
        let (mut from, mut fields) = (None, Vec::new());
        while reader.position() < barrier {
            let records = reader.next(FETCH_RECORDS_MAX).await?.records;
            if records.is_empty() {
                reader.changed().await?;
                continue;
            }
            from = from.or(records.first().map(|record| record.position));
            for record in records.iter().filter(|record| record.frame.kind == Kind::Commit) {
                self.collect(record, &seekers, &mut found, &mut fields)?;
            }
            if fields.len() >= TRIED_AT_ONCE {
                self.attempt(&mut fields, &mut found).await?;
            }
        }
        self.attempt(&mut fields, &mut found).await?;
        let head = Hash::try_new(hex::encode(reader.checkpoint().state.head.as_bytes()));
        let head = head.map_err(|error| Cause::new("log-unreadable", error.to_string()))?;
        let (from, to) = (from.map_or(0, |from| from.get()), reader.position().get());
        let partition = u32::from(self.partition);
        let scanned = found.into_iter().map(|Found { records, fields, opening, without_row }| {
            if without_row > 0 {
                tracing::warn!(partition, fields, without_row, "The keys of sealed fields were lost before");
            }
            match opening {
                0 => Ok(Scanned { partition, from, to, head: head.clone(), records, fields }),
                _ => Err(Cause::opening(format!("{opening} of {fields} sealed fields have a key"))),
            }
        });
        Ok(scanned.collect())
    }

    /// Notes the sealed fields of a record, if anybody looks for them.
    fn collect(
        &self,
        record: &AdmittedRecord,
        seekers: &Seekers,
        found: &mut [Found],
        fields: &mut Vec<Field>,
    ) -> Result<(), Cause> {
        let of: Arc<[usize]> = seekers.find(record).into();
        if of.is_empty() {
            return Ok(());
        }
        let view = View::open(&record.body).map_err(|error| Cause::new("log-unreadable", error))?;
        of.iter().for_each(|index| found[*index].records += 1);
        let RawAnswer::Events(events) = &view.answer else { return Ok(()) };
        for (index, event) in (0..).zip(events) {
            let sealed = sealed_fields(event).map_err(|error| Cause::new("log-unreadable", error))?;
            for (field, sealed) in sealed {
                let Some(address) = address(record, &view.meta, index, event, field) else {
                    return Err(Cause::new("log-unreadable", "a sealed field in a stream of nobody"));
                };
                fields.push(Field { address, sealed, of: of.clone() });
            }
        }
        Ok(())
    }

    /// Tries the fields that were collected.
    async fn attempt(&self, fields: &mut Vec<Field>, found: &mut [Found]) -> Result<(), Cause> {
        for chunk in std::mem::take(fields).chunks(TRIED_AT_ONCE) {
            let asked: Vec<_> = chunk.iter().map(|field| (&field.address, &field.sealed)).collect();
            let proofs = self.keys.prove_shredded(&asked).await?;
            for (field, proof) in chunk.iter().zip(proofs) {
                let (opening, without_row) = match proof {
                    Ok(Proof::Destroyed) => (0, 0),
                    Ok(Proof::NoKey) => (0, 1),
                    Ok(Proof::Opens) | Err(_) => (1, 0),
                };
                for index in field.of.iter() {
                    let found = &mut found[*index];
                    found.fields += 1;
                    found.opening += opening;
                    found.without_row += without_row;
                }
            }
        }
        Ok(())
    }
}

fn address(
    record: &AdmittedRecord,
    meta: &Meta,
    index: u16,
    event: &RawEvent<'_>,
    field: String,
) -> Option<FieldAddress> {
    let (id, route) = (Uuid::from_bytes(record.frame.stream), Uuid::from_bytes(record.frame.route));
    Some(FieldAddress {
        merchant: MerchantId::from_bytes(record.frame.merchant),
        subject: StreamRef { stream_type: meta.stream_type, id, route }.subject()?,
        stream_type: meta.stream_type.number(),
        stream: id,
        version: meta.first_version + u64::from(index),
        record: meta.record,
        index,
        event_type: event.number,
        field: field.into(),
    })
}

/// The sealed fields of an event as it was written, by name: whatever stands where a personal value may stand.
fn sealed_fields(event: &RawEvent<'_>) -> Result<Vec<(String, Sealed)>, serde_json::Error> {
    if !event.json.contains("\"sealed\"") {
        return Ok(Vec::new());
    }
    let fields: serde_json::Map<String, Value> = serde_json::from_str(event.json)?;
    let sealed = fields.into_iter().filter(|(_, value)| {
        value.as_object().is_some_and(|value| value.len() == 1 && value.contains_key("sealed"))
    });
    sealed.map(|(name, value)| Ok((name, serde_json::from_value(value)?))).collect()
}
