//! What other programs may see of a record beside its bytes: columns of a view, headers of a message.

use std::borrow::Cow;

use crate::frame::Frame;

/// Tells what a record says of its aggregate. The log itself never looks into a body.
pub trait Columns: Send + Sync + 'static {
    /// What may be shown of a record; nothing if it holds no events, or none that can be shown. Such a record is history
    /// all the same.
    fn of(&self, frame: &Frame, body: &[u8]) -> Option<Shown>;
}

/// One record as others see it. No text holds a NUL.
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
