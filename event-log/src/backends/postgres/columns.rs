//! The columns behind the view `events`, as the statement that stores a record takes them.

use std::borrow::Cow;

use crate::columns::Shown;

/// What is shown of one record.
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
    use crate::columns::ShownEvent;

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
