//! A till: which of its entries were seen, so that a repeated or late batch does no harm.
mod ranges;
mod reject_pos_entry;
mod sync_pos_batch;

pub use reject_pos_entry::RejectPosEntry;
pub use sync_pos_batch::{Found, PosEntry, SEQUENCES, SyncPosBatch};

use std::collections::BTreeMap;

use event_schemas::{
    Code, Digest, StreamType, catalogue::PosDeviceEvent as Event, pos_device::SequenceRange,
};
use serde::{Deserialize, Serialize};

use crate::{Decider, Rejection, decider::commands};
use ranges::Ranges;

/// Of so many entries, those with the highest numbers, it is remembered what they came to.
const RECENT_MAX: usize = 1_024;
/// So many gaps are reported at once.
const GAPS_MAX: usize = 100;

commands! {
    PosDevice {
        SyncPosBatch = "sync-pos-batch" in sync_pos_batch;
        RejectPosEntry = "reject-pos-entry" in reject_pos_entry;
    }
}

/// A till after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    seen: Ranges,
    recent: BTreeMap<u64, Known>,
}

/// What is remembered of an entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    /// Of an entry that was accepted.
    content: Option<Digest>,
    rejected: Option<Code>,
}

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was never seen.
    New,
    /// It is taken in; the account has not refused it.
    Accepted,
    /// It has no effect, for this reason.
    Rejected(Code),
    /// The same number came with other content, which has no effect.
    Conflict,
}

impl State {
    /// Highest sequence number seen; 0 before the first batch.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.seen.highest()
    }

    /// The first hundred gaps below the highest number.
    #[must_use]
    pub fn missing(&self) -> Vec<SequenceRange> {
        self.seen.gaps().take(GAPS_MAX).collect()
    }

    /// What became of an entry.
    #[must_use]
    pub fn standing(&self, entry: &PosEntry) -> Standing {
        let content = entry.found.as_ref().ok().map(|found| found.content);
        match self.recent.get(&entry.sequence) {
            None if self.seen.contains(entry.sequence) => Standing::Accepted,
            None => Standing::New,
            Some(known) if known.content.is_some() && content.is_some() && known.content != content => {
                Standing::Conflict
            }
            Some(Known { rejected: Some(code), .. }) => Standing::Rejected(code.clone()),
            Some(_) => Standing::Accepted,
        }
    }

    /// Whether the entry is news: never seen, or seen unusable and usable now.
    fn takes(&self, entry: &PosEntry) -> bool {
        let was_unusable = self.recent.get(&entry.sequence).is_some_and(|known| known.content.is_none());
        !self.seen.contains(entry.sequence) || (was_unusable && entry.found.is_ok())
    }

    fn know(&mut self, sequence: u64) -> &mut Known {
        self.seen.insert(sequence);
        if self.recent.len() >= RECENT_MAX && !self.recent.contains_key(&sequence) {
            self.recent.pop_first();
        }
        self.recent.entry(sequence).or_default()
    }
}

impl Decider for State {
    const STREAM: StreamType = StreamType::PosDevice;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::PosBatchReceived(_) => {}
            Event::PosEntryAccepted(entry) => {
                *self.know(entry.sequence) = Known { content: Some(entry.content), rejected: None };
            }
            Event::PosEntryRejected(entry) => {
                self.know(entry.sequence).rejected = Some(entry.code.clone());
            }
        }
    }
}
