//! One pass over the log for all who wait: the records of their people's streams, with personal fields in clear.
use std::collections::{BTreeSet, HashMap, HashSet};

use event_log::{AdmittedRecord, Checkpoint, Kind as RecordKind, Log, Span};
use event_schemas::{
    CustomerId, FieldAddress, MerchantId, Sealed, StreamRef, StreamType, Timestamp,
    catalogue::{Event, PosDeviceEvent},
    record::{Meta, RawAnswer, View},
};
use privacy::{KeyStore, Kind, Opened};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Error;
use crate::requests::{Kept, Requests};

/// Records read in one go, beside traffic.
const READ_MAX: usize = 1_000;

/// What the log holds of those who asked, each in the order of its partitions.
pub(super) struct Gathered {
    /// Of each who asked, in their order, or why it could not be gathered of them.
    pub(super) of: Vec<Result<Vec<Told>, Error>>,
    /// Up to where the log was read.
    pub(super) read: Vec<Checkpoint>,
}

/// One event, or one refusal.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    #[serde(skip)]
    pub(super) stream_type: StreamType,
    #[serde(skip)]
    pub(super) stream: Uuid,
    #[serde(skip)]
    pub(super) route: Uuid,
    pub(super) partition: u16,
    pub(super) position: u64,
    pub(super) event: &'static str,
    pub(super) occurred_at: Timestamp,
    pub(super) recorded_at: Timestamp,
    /// Who asked for it.
    pub(super) by: &'static str,
    pub(super) data: Map<String, Value>,
}

/// A field to be opened: of whom, of which of their events, and which.
struct ToOpen {
    asked: usize,
    told: usize,
    address: FieldAddress,
    sealed: Sealed,
}

pub(super) async fn gather(
    log: &Log,
    keys: &KeyStore,
    requests: &Requests,
    asked: &[Kept],
) -> Result<Gathered, Error> {
    let wanted = wanted(keys, requests, asked).await?;
    let shops: HashSet<_> = asked.iter().map(|kept| kept.merchant.bytes()).collect();
    let mut tills = Tills { wanted: &wanted, told: HashMap::new() };
    let ends: Vec<_> =
        (0..log.partitions()).map(|number| Span { from: None, until: Some(log.end(number)) }).collect();
    let mut sweep = log.sweep(&ends)?;
    let mut of: Vec<_> = asked.iter().map(|_| Ok(Vec::new())).collect();
    loop {
        let batch = sweep.next(READ_MAX).await?;
        if batch.records.is_empty() {
            break;
        }
        let mut sealed = Vec::new();
        for record in &batch.records {
            let frame = &record.frame;
            let is_told = matches!(frame.kind, RecordKind::Commit | RecordKind::Outcome);
            if !is_told || !shops.contains(&frame.merchant) {
                continue;
            }
            for (asked, entry) in tills.entries(record) {
                match (&mut of[asked], entry) {
                    (Ok(told), Ok(entry)) => told.push(entry),
                    (told, Err(error)) => *told = Err(error),
                    (Err(_), Ok(_)) => {}
                }
            }
            let whose = |id: [u8; 16]| wanted.get(&(frame.merchant, id)).into_iter().flatten();
            for asked in whose(frame.route).chain(whose(frame.stream).filter(|_| frame.stream != frame.route))
            {
                let Ok(told) = &mut of[*asked] else { continue };
                if let Err(error) = take(*asked, record, told, &mut sealed) {
                    of[*asked] = Err(error);
                }
            }
        }
        open(keys, sealed, &mut of).await?;
    }
    Ok(Gathered { of, read: sweep.checkpoints().copied().collect() })
}

/// What streams are routed by, or are, and who asked for them.
type Wanted = HashMap<([u8; 16], [u8; 16]), Vec<usize>>;

async fn wanted(keys: &KeyStore, requests: &Requests, asked: &[Kept]) -> Result<Wanted, Error> {
    let mut wanted = Wanted::new();
    for (number, kept) in asked.iter().enumerate() {
        let orders = keys.ids_of(kept.merchant, kept.subjects.clone(), Kind::Order).await?;
        let named = requests.orders_named::<Error>(kept).await?;
        let ids: BTreeSet<_> =
            kept.subjects.iter().map(|subject| subject.0).chain(orders).chain(named).collect();
        for id in ids {
            wanted.entry((kept.merchant.bytes(), id.into_bytes())).or_default().push(number);
        }
    }
    Ok(wanted)
}

/// Looks for people in the streams of tills, which are routed by the till.
struct Tills<'a> {
    wanted: &'a Wanted,
    /// By shop, till and number, who asked for the person of an entry: what became of it names nobody. Shops name their
    /// tills themselves, so that two may have one of the same id.
    told: HashMap<([u8; 16], [u8; 16], u64), Vec<usize>>,
}

impl Tills<'_> {
    /// What a record of a till says of those who asked, each with who that is.
    fn entries(&mut self, record: &AdmittedRecord) -> Vec<(usize, Result<Told, Error>)> {
        let frame = &record.frame;
        // Of what does not open nobody can tell whose it is; whoever verifies the log finds it.
        let Ok(view) = View::open(&record.body) else { return Vec::new() };
        let RawAnswer::Events(events) = view.answer else { return Vec::new() };
        if view.meta.stream_type != StreamType::PosDevice {
            return Vec::new();
        }
        let mut entries = Vec::new();
        for event in events.iter().filter_map(|raw| raw.decode().ok()) {
            let whose = match &event {
                Event::PosDevice(PosDeviceEvent::PosEntryAccepted(entry)) => {
                    let whose = self.wanted.get(&(frame.merchant, entry.customer.bytes()));
                    let whose = whose.cloned().unwrap_or_default();
                    if !whose.is_empty() {
                        self.told.insert((frame.merchant, frame.stream, entry.sequence), whose.clone());
                    }
                    whose
                }
                Event::PosDevice(PosDeviceEvent::PosEntryRejected(entry)) => {
                    self.told.remove(&(frame.merchant, frame.stream, entry.sequence)).unwrap_or_default()
                }
                _ => continue,
            };
            for asked in whose {
                let data =
                    event.to_json().map_err(Error::from).and_then(|json| Ok(serde_json::from_str(&json)?));
                entries.push((asked, data.map(|data| tell(record, &view.meta, event.name(), data))));
            }
        }
        entries
    }
}

fn take(
    asked: usize,
    record: &AdmittedRecord,
    told: &mut Vec<Told>,
    to_open: &mut Vec<ToOpen>,
) -> Result<(), Error> {
    let view = View::open(&record.body).map_err(|error| Error::Record(error.into()))?;
    match view.answer {
        RawAnswer::Events(events) => {
            for (index, raw) in (0_u16..).zip(&events) {
                let event = raw.decode().map_err(|error| Error::Record(error.into()))?;
                let data: Map<String, Value> = serde_json::from_str(&event.to_json()?)?;
                for (field, value) in &data {
                    let address = address(record, &view.meta, index, raw.number, field);
                    if let Some((sealed, address)) = sealed(value).zip(address) {
                        to_open.push(ToOpen { asked, told: told.len(), address, sealed });
                    }
                }
                told.push(tell(record, &view.meta, event.name(), data));
            }
        }
        RawAnswer::Rejected(json) => {
            told.push(tell(record, &view.meta, "refused", serde_json::from_str(json)?));
        }
        RawAnswer::Unchanged => {}
    }
    Ok(())
}

/// A sealed field as events have it.
fn sealed(value: &Value) -> Option<Sealed> {
    let is_one = value.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key("sealed"));
    is_one.then(|| Sealed::deserialize(value).ok()).flatten()
}

fn tell(record: &AdmittedRecord, meta: &Meta, event: &'static str, data: Map<String, Value>) -> Told {
    Told {
        stream_type: meta.stream_type,
        stream: Uuid::from_bytes(record.frame.stream),
        route: Uuid::from_bytes(record.frame.route),
        partition: record.partition,
        position: record.position.get(),
        event,
        occurred_at: meta.occurred_at,
        recorded_at: meta.recorded_at,
        by: meta.actor.name(),
        data,
    }
}

fn address(
    record: &AdmittedRecord,
    meta: &Meta,
    index: u16,
    event_type: u16,
    field: &str,
) -> Option<FieldAddress> {
    let (stream, route) = (Uuid::from_bytes(record.frame.stream), Uuid::from_bytes(record.frame.route));
    let subject: CustomerId = StreamRef { stream_type: meta.stream_type, id: stream, route }.subject()?;
    Some(FieldAddress {
        merchant: MerchantId::from_bytes(record.frame.merchant),
        subject,
        stream_type: meta.stream_type.number(),
        stream,
        version: meta.first_version.saturating_add(u64::from(index)),
        record: meta.record,
        index,
        event_type,
        field: field.to_owned().into(),
    })
}

/// Puts what the fields hold in their places. One that does not open stops the export that it is for, and no other.
async fn open(
    keys: &KeyStore,
    to_open: Vec<ToOpen>,
    of: &mut [Result<Vec<Told>, Error>],
) -> Result<(), Error> {
    if to_open.is_empty() {
        return Ok(());
    }
    let fields: Vec<_> = to_open.iter().map(|field| (&field.address, &field.sealed)).collect();
    let opened = keys.open_many(&fields).await?;
    for (ToOpen { asked, told: number, address, .. }, opened) in to_open.iter().zip(opened) {
        let Ok(told) = &mut of[*asked] else { continue };
        match value(opened) {
            Ok(value) => drop(told[*number].data.insert(address.field.clone().into_owned(), value)),
            Err(error) => of[*asked] = Err(error),
        }
    }
    Ok(())
}

fn value(opened: Result<Opened, privacy::Error>) -> Result<Value, Error> {
    Ok(match opened? {
        Opened::Clear(clear) => serde_json::from_slice(&clear)?,
        Opened::Shredded { certificate } => json!({ "redacted": true, "certificate": certificate }),
    })
}
