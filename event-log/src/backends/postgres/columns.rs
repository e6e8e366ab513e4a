//! What other programs may see of a record beside its bytes: the columns behind the view `events`.

use std::borrow::Cow;

use crate::frame::Frame;

/// Tells what a record says of its aggregate. The log itself never looks into a body.
pub trait Columns: Send + Sync + 'static {
    /// The columns of a record; nothing if it holds no events, or none that can be shown. Such a record is no row of the
    /// view, and history all the same.
    fn of(&self, frame: &Frame, body: &[u8]) -> Option<Shown>;
}

/// One record as the view shows it: a row for each of its events. No text holds a NUL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// What kind of aggregate it is about.
    pub aggregate_type: Cow<'static, str>,
    /// Which one; unlike that of any other of its kind.
    pub aggregate_id: String,
    /// The number of its first event in the aggregate; the others follow.
    pub first_sequence: u64,
    /// Its events in order.
    pub events: Vec<ShownEvent>,
    /// What goes with each of them, as JSON.
    pub metadata: String,
}

/// One event of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShownEvent {
    /// What happened.
    pub event_type: Cow<'static, str>,
    /// The version in which it is written.
    pub version: u16,
    /// Where its JSON begins in the body, in bytes. It reaches to the next one's beginning; the last to the body's end.
    pub json_start: u32,
}

/// The same, as the statement that stores a record takes it.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) aggregate_type: Cow<'static, str>,
    pub(super) aggregate_id: String,
    pub(super) first_sequence: i64,
    /// Array literals: arrays of arrays cannot be bound unless all are of one length.
    pub(super) event_types: String,
    pub(super) event_versions: String,
    pub(super) json_starts: String,
    pub(super) metadata: String,
}

impl Cells {
    /// Nothing for a record without events, and for one that is beyond the column's range.
    pub(super) fn of(shown: Shown) -> Option<Self> {
        let Shown { aggregate_type, aggregate_id, first_sequence, events, metadata } = shown;
        if events.is_empty() {
            return None;
        }
        Some(Self {
            aggregate_type,
            aggregate_id,
            first_sequence: i64::try_from(first_sequence).ok()?,
            event_types: literal(events.iter().map(|event| quoted(&event.event_type))),
            event_versions: literal(events.iter().map(|event| event.version.to_string())),
            json_starts: literal(events.iter().map(|event| event.json_start.to_string())),
            metadata,
        })
    }
}

fn literal(items: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", items.collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_an_event_breaks_out_of_its_array() {
        let event =
            |event_type| ShownEvent { event_type: Cow::Borrowed(event_type), version: 2, json_start: 7 };
        let shown = Shown {
            aggregate_type: "account".into(),
            aggregate_id: "1".to_owned(),
            first_sequence: 3,
            events: vec![event("plain"), event("a\",\"b\\")],
            metadata: "{}".to_owned(),
        };
        let cells = Cells::of(shown).unwrap();
        assert_eq!(cells.event_types, r#"{"plain","a\",\"b\\"}"#);
        assert_eq!((cells.event_versions.as_str(), cells.json_starts.as_str()), ("{2,2}", "{7,7}"));
    }
}
