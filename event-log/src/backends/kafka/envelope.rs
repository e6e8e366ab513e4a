//! How a record lies in a Kafka message, and how it is put together again.
//!
//! The frame is one header, the body the value, the stream the key. The other headers tell any CloudEvents reader what it
//! looks at; they are not part of history, and nobody here reads them.

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
};

use crate::{
    frame::{FRAME_LEN, Frame, Kind, Record, frame},
    ids::LogId,
};

/// Holds the frame.
pub(super) const FRAME: &str = "loyalnest-frame";

/// Headers of a record that is sent.
pub(super) fn headers(record: &Record, log: LogId, partition: u16) -> OwnedHeaders {
    let head = record.bytes.get(..FRAME_LEN).unwrap_or_default();
    let headers = OwnedHeaders::new_with_capacity(6)
        .insert(Header { key: FRAME, value: Some(head) })
        .insert(Header { key: "ce_specversion", value: Some("1.0") })
        .insert(Header { key: "ce_id", value: Some(&record.hash.to_string()) })
        .insert(Header { key: "ce_source", value: Some(&format!("/logs/{log}/{partition}")) })
        .insert(Header { key: "ce_type", value: Some(kind(record.frame.kind)) });
    match key(&record.frame) {
        Some(stream) => headers.insert(Header { key: "ce_subject", value: Some(&stream) }),
        None => headers,
    }
}

/// What follows the frame.
pub(super) fn value(record: &Record) -> &[u8] {
    record.bytes.get(FRAME_LEN..).unwrap_or_default()
}

/// The stream, as ids are written elsewhere; nothing for what belongs to no stream.
pub(super) fn key(frame: &Frame) -> Option<String> {
    frame.kind.is_routed().then(|| stream(&frame.stream))
}

fn stream(id: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in id.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
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
    let header = message.headers().and_then(|headers| headers.iter().find(|header| header.key == FRAME));
    let head = header.and_then(|header| header.value).unwrap_or_default();
    let value = message.payload().unwrap_or_default();
    let mut bytes = Vec::with_capacity(head.len() + value.len());
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(value);
    let record: Bytes = bytes.into();
    if has_key(&record, message.key()) {
        return record;
    }
    let mut foreign = vec![0];
    foreign.extend_from_slice(message.key().unwrap_or_default());
    foreign.extend_from_slice(&record);
    foreign.into()
}

/// Where the stream and the kind stand in a frame is the frame's business, so it is asked.
fn has_key(record: &Bytes, key_found: Option<&[u8]>) -> bool {
    match frame(record) {
        Some(frame) => key(&frame).as_deref().map(str::as_bytes) == key_found,
        // Not a record anyway.
        None => true,
    }
}
