//! When a stream has something to do by itself, so that a job asks those streams only.
use event_schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that a stream has to be asked for once its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Due {
    /// What.
    pub kind: DueKind,
    /// From when on.
    pub at: Timestamp,
}

/// The kinds of what can be due. Numbers never change their meaning: stores keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DueKind {
    /// Pending points become active.
    Release = 1,
    /// Points expire.
    Expiry = 2,
    /// The person is told that points will expire.
    Warning = 3,
    /// Nothing happened for so long that something follows.
    Activity = 4,
    /// A request about somebody's data has a step ahead.
    Privacy = 5,
}

impl DueKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Release, Self::Expiry, Self::Warning, Self::Activity, Self::Privacy];

    /// Its number in a store.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}
