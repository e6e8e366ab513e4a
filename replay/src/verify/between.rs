//! What leaves one account arrives at another as it left, by the events of both.
use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use event_schemas::{
    CustomerId, Points, TransferId, catalogue::PointsAccountEvent as Event, points_account::Estate,
};

/// Both ends of every transfer and of every merge, as far as they were seen. A running server may have written the
/// second end after the partition of the first was read, so an end alone is no fault.
#[derive(Default)]
pub(super) struct Between {
    transfers: HashMap<([u8; 16], TransferId), Ends>,
    /// By part; none is the last.
    merges: HashMap<([u8; 16], CustomerId, Option<u32>), Merge>,
}

#[derive(Default)]
struct Ends {
    sent: Option<Points>,
    arrived: Option<Points>,
    returned: bool,
}

#[derive(Default)]
struct Merge {
    left: Option<u64>,
    taken: Option<u64>,
}

impl Between {
    /// Takes the event of this account, or says what does not fit its other end.
    pub(super) fn take(
        &mut self,
        merchant: [u8; 16],
        account: CustomerId,
        event: &Event,
    ) -> Result<(), String> {
        match event {
            Event::PointsTransferredOut(event) => {
                let ends = self.transfer(merchant, event.transfer);
                ends.sent = Some(event.points);
                ends.fit()
            }
            Event::PointsTransferredIn(event) => {
                let ends = self.transfer(merchant, event.transfer);
                ends.arrived = Some(event.points);
                ends.fit()
            }
            Event::PointsTransferReturned(event) => {
                let ends = self.transfer(merchant, event.transfer);
                ends.returned = true;
                ends.fit()
            }
            Event::PointsAccountMerged(event) => self.left((merchant, account, None), &event.estate),
            Event::EstatePartMoved(event) => self.left((merchant, account, Some(event.part)), &event.estate),
            Event::PointsAccountAbsorbed(event) => self.taken((merchant, event.from, None), &event.estate),
            Event::EstatePartAbsorbed(event) => {
                self.taken((merchant, event.from, Some(event.part)), &event.estate)
            }
            _ => Ok(()),
        }
    }

    fn left(&mut self, part: ([u8; 16], CustomerId, Option<u32>), estate: &Estate) -> Result<(), String> {
        let merge = self.merges.entry(part).or_default();
        merge.left = Some(digest(estate));
        merge.fit()
    }

    fn taken(&mut self, part: ([u8; 16], CustomerId, Option<u32>), estate: &Estate) -> Result<(), String> {
        let merge = self.merges.entry(part).or_default();
        merge.taken = Some(digest(estate));
        merge.fit()
    }

    fn transfer(&mut self, merchant: [u8; 16], transfer: TransferId) -> &mut Ends {
        self.transfers.entry((merchant, transfer)).or_default()
    }
}

impl Ends {
    fn fit(&self) -> Result<(), String> {
        if self.returned && self.arrived.is_some() {
            return Err("a transfer arrived, and came back too".to_owned());
        }
        match (self.sent, self.arrived) {
            (Some(sent), Some(arrived)) if sent != arrived => {
                Err(format!("a transfer of {sent} points arrived as {arrived}"))
            }
            _ => Ok(()),
        }
    }
}

impl Merge {
    fn fit(&self) -> Result<(), String> {
        match (self.left, self.taken) {
            (Some(left), Some(taken)) if left != taken => {
                Err("another estate was taken in than was left".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn digest(estate: &Estate) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{estate:?}").hash(&mut hasher);
    hasher.finish()
}
