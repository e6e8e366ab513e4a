//! What other programs may see of our records: each event with its name, its place in its stream and who caused it.
use std::borrow::Cow;

use event_log::{Columns, Frame, Shown, ShownEvent};
use event_schemas::{
    EVENTS, MerchantId, Timestamp,
    record::{Meta, RawAnswer, RawEvent, View},
};
use serde::Serialize;
use uuid::Uuid;

use crate::owner::StreamKey;

/// Shows commits; personal fields stay sealed. What it does not understand it leaves out.
#[derive(Clone, Copy, Debug)]
pub struct RecordColumns;

/// What goes with each event. Every value is a text, as cqrs-es has it.
#[derive(Serialize)]
struct Metadata {
    record: String,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    correlation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation: Option<String>,
    actor: &'static str,
}

impl Columns for RecordColumns {
    fn of(&self, frame: &Frame, body: &[u8]) -> Option<Shown> {
        let View { meta, answer } = View::open(body).ok()?;
        let RawAnswer::Events(raw) = answer else { return None };
        let length = raw.iter().map(|event| event.json.len()).sum::<usize>();
        let mut json_start = u32::try_from(body.len().checked_sub(length)?).ok()?;
        let mut events = Vec::with_capacity(raw.len());
        for RawEvent { number, version, json } in raw {
            let name = EVENTS.iter().find(|kind| kind.number == number)?.name;
            events.push(ShownEvent { event_type: Cow::Borrowed(name), version, json_start });
            json_start = json_start.checked_add(u32::try_from(json.len()).ok()?)?;
        }
        let key = StreamKey {
            merchant: MerchantId::from_bytes(frame.merchant),
            stream_type: meta.stream_type,
            id: Uuid::from_bytes(frame.stream),
        };
        Some(Shown {
            aggregate_type: Cow::Borrowed(meta.stream_type.name()),
            aggregate_id: key.to_string(),
            first_sequence: meta.first_version,
            events,
            metadata: metadata(&meta)?,
        })
    }
}

fn metadata(meta: &Meta) -> Option<String> {
    let shown = Metadata {
        record: meta.record.to_string(),
        occurred_at: meta.occurred_at,
        recorded_at: meta.recorded_at,
        correlation: meta.correlation.to_string(),
        causation: meta.causation.map(|cause| cause.to_string()),
        actor: meta.actor.name(),
    };
    serde_json::to_string(&shown).ok()
}
