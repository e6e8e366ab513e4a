//! How a record lies in a Kafka message, and how it is put together again.
//!
//! A record is the bytes of one header and of the value behind it, wherever its writer cut it: before the JSON of its
//! events, or behind everything if it has none, so that the value is what others want to read. The key is the stream. The
//! other headers tell what one looks at, as CloudEvents do; they are not part of history, and nobody here reads them.

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
};

use crate::{
    columns::{Columns, Shown},
    frame::{FRAME_LEN, Frame, Kind, NO_FORMAT, Record, frame},
    ids::LogId,
};

/// Holds the frame, and what of the body stands before the events.
pub(super) const HEAD: &str = "loyalnest-frame";
/// The events of the value in order: name and version of each.
const EVENTS: &str = "loyalnest-events";
/// What goes with each of them, as JSON.
const METADATA: &str = "loyalnest-metadata";

/// A record as it is sent.
pub(super) struct Envelope {
    pub(super) headers: OwnedHeaders,
    pub(super) key: Option<[u8; 36]>,
    pub(super) value: Bytes,
}

impl Envelope {
    /// `source` is the log's and partition's, from [`source`].
    pub(super) fn of(record: &Record, source: &str, columns: Option<&dyn Columns>) -> Self {
        let body = record.bytes.get(FRAME_LEN..).unwrap_or_default();
        let shown = columns.and_then(|columns| columns.of(&record.frame, body));
        let first = shown.as_ref().and_then(|shown| shown.events.first());
        let before_events = match first {
            Some(event) => usize::try_from(event.json_start).unwrap_or(0),
            None if record.frame.kind == Kind::Commit => 0,
            None => body.len(),
        };
        let cut = FRAME_LEN.saturating_add(before_events).min(record.bytes.len());
        let (head, value) = (record.bytes.slice(..cut), record.bytes.slice(cut..));
        let key = key(&record.frame);
        let put =
            |headers: OwnedHeaders, key, value: &str| headers.insert(Header { key, value: Some(value) });
        let mut headers =
            OwnedHeaders::new_with_capacity(9).insert(Header { key: HEAD, value: Some(&head[..]) });
        headers = put(headers, "ce_specversion", "1.0");
        headers = put(headers, "ce_id", &record.hash.to_string());
        headers = put(headers, "ce_source", source);
        headers = put(headers, "ce_type", first.map_or(kind(record.frame.kind), |event| &event.event_type));
        if let Some(shown) = &shown {
            headers = put(headers, "ce_subject", &format!("{}/{}", shown.aggregate_type, shown.aggregate_id));
            headers = put(headers, EVENTS, &events(shown));
            headers = put(headers, METADATA, &shown.metadata);
        }
        Self { headers, key, value }
    }
}

/// What tells the records of one partition from all others, for who looks from outside.
pub(super) fn source(log: LogId, partition: u16) -> String {
    format!("/logs/{log}/{partition}")
}

fn events(shown: &Shown) -> String {
    let mut names = String::new();
    for event in &shown.events {
        let comma = if names.is_empty() { "" } else { "," };
        names.extend([comma, &event.event_type, ".v", &event.version.to_string()]);
    }
    names
}

/// The stream, as ids are written elsewhere; nothing for what belongs to no stream.
fn key(frame: &Frame) -> Option<[u8; 36]> {
    frame.kind.is_routed().then(|| stream(&frame.stream))
}

fn stream(id: &[u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let places = text.iter_mut().enumerate().filter(|(place, _)| !matches!(place, 8 | 13 | 18 | 23));
    let digits = id.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for ((_, place), digit) in places.zip(digits) {
        *place = DIGITS[usize::from(digit)];
    }
    text
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Claim => "loyalnest.claim",
        Kind::Commit => "loyalnest.commit",
        Kind::Outcome => "loyalnest.outcome",
        Kind::Barrier => "loyalnest.barrier",
    }
}

/// The bytes of a record as they were hashed. A message that was never one of ours, or has another key than its frame
/// says, gives bytes that no record has.
pub(super) fn bytes_of(message: &BorrowedMessage<'_>) -> Bytes {
    let header = message.headers().and_then(|headers| headers.iter().find(|header| header.key == HEAD));
    let head = header.and_then(|header| header.value).filter(|head| !head.is_empty());
    let value = message.payload().unwrap_or_default();
    let record: Bytes = [head.unwrap_or_default(), value].concat().into();
    if is_ours(&record, head.is_some(), message.key()) {
        return record;
    }
    let mut foreign = vec![NO_FORMAT];
    foreign.extend_from_slice(message.key().unwrap_or_default());
    foreign.extend_from_slice(&record);
    foreign.into()
}

/// Where the stream and the kind stand in a frame is the frame's business, so it is asked. What it cannot tell may be of a
/// newer format, but only behind the header that is ours: any byte may begin what others put into the topic.
fn is_ours(record: &Bytes, has_head: bool, key_found: Option<&[u8]>) -> bool {
    match frame(record) {
        Ok(frame) => key(&frame).as_ref().map(|key| &key[..]) == key_found,
        Err(_) => has_head,
    }
}
