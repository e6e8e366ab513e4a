//! What waits for an owner: fair by merchant, with bulk work below a share of what is taken.
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use domain::{Aggregate, StreamRef};
use event_log::PositionToken;
use event_schemas::{CommandKey, MerchantId};
use tokio::sync::oneshot;

use super::due::{DueQuery, DueStream};
use crate::commands::{Answered, Envelope, Lane, Unavailable};

/// While both lanes wait, one of this many messages taken is bulk.
const BULK_SHARE: usize = 4;

/// Somebody who waits for an answer of the kind `A`.
pub(crate) trait Asker<A>: Send {
    /// Looks at the state; the last look counts.
    fn see(&mut self, aggregate: &Aggregate);
    /// Gives the answer, once.
    fn answer(self: Box<Self>, answer: Result<A, Unavailable>);
}

/// What is wanted of an aggregate.
pub(crate) enum Work {
    /// To decide a command.
    Command(Arc<Envelope>, Box<dyn Asker<Answered>>),
    /// To find the outcome of a command that may have been decided before.
    Recall(CommandKey, Box<dyn Asker<Option<Answered>>>),
    /// To look, with proof.
    Read(Box<dyn Asker<PositionToken>>),
    /// To look, without proof.
    Glance(Box<dyn Asker<()>>),
    /// To save the state as it is now, some streams of it anew.
    Save(Saving),
    /// To list the streams that have something to do, with proof; of no aggregate in particular.
    Due(Listing),
}

/// A wish to save, and who waits for it.
pub(crate) struct Saving {
    pub(crate) renew: Vec<StreamRef>,
    pub(crate) done: oneshot::Sender<Result<(), Unavailable>>,
}

impl Saving {
    /// Says that all is saved, or why not.
    pub(crate) fn finish(self, saved: Result<(), Unavailable>) {
        // A caller that went away no longer wants to know.
        drop(self.done.send(saved));
    }
}

/// Streams that are asked for, and those found.
pub(crate) struct Listing {
    pub(crate) query: DueQuery,
    pub(crate) found: Vec<DueStream>,
    pub(crate) answer: oneshot::Sender<Result<Vec<DueStream>, Unavailable>>,
}

impl Listing {
    /// Gives what was found, or why there is no answer.
    pub(crate) fn finish(self, proved: Result<(), Unavailable>) {
        // A caller that went away no longer wants to know.
        drop(self.answer.send(proved.map(|()| self.found)));
    }
}

impl Work {
    pub(crate) fn refuse(self, why: Unavailable) {
        match self {
            Self::Command(_, asker) => asker.answer(Err(why)),
            Self::Recall(_, asker) => asker.answer(Err(why)),
            Self::Read(asker) => asker.answer(Err(why)),
            Self::Glance(asker) => asker.answer(Err(why)),
            Self::Due(listing) => listing.finish(Err(why)),
            Self::Save(saving) => saving.finish(Err(why)),
        }
    }

    pub(crate) fn see(&mut self, aggregate: &Aggregate) {
        match self {
            Self::Command(_, asker) => asker.see(aggregate),
            Self::Recall(_, asker) => asker.see(aggregate),
            Self::Read(asker) => asker.see(aggregate),
            Self::Glance(asker) => asker.see(aggregate),
            Self::Due(_) | Self::Save(_) => {}
        }
    }
}

/// One message to an owner.
pub(crate) struct Message {
    pub(crate) merchant: MerchantId,
    pub(crate) stream: StreamRef,
    pub(crate) lane: Lane,
    /// Its record was sent before a doubt: if it is found in the log now, it is its own answer and no replay.
    pub(crate) resumed: bool,
    pub(crate) work: Work,
}

/// The messages that wait, in the order in which they are due.
#[derive(Default)]
pub(crate) struct Mailbox {
    resumed: VecDeque<Message>,
    interactive: Turns,
    bulk: Turns,
    taken: usize,
}

impl Mailbox {
    pub(crate) fn put(&mut self, message: Message) {
        match message.lane {
            Lane::Interactive => self.interactive.put(message),
            Lane::Bulk => self.bulk.put(message),
        }
    }

    /// Puts messages in front of all others, in their order.
    pub(crate) fn resume(&mut self, messages: Vec<Message>) {
        self.resumed.extend(messages);
    }

    pub(crate) fn take(&mut self) -> Option<Message> {
        if let Some(message) = self.resumed.pop_front() {
            return Some(message);
        }
        self.taken = self.taken.wrapping_add(1);
        let bulk_first = self.taken.is_multiple_of(BULK_SHARE);
        let (first, second) = if bulk_first {
            (&mut self.bulk, &mut self.interactive)
        } else {
            (&mut self.interactive, &mut self.bulk)
        };
        first.take().or_else(|| second.take())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.resumed.is_empty() && self.interactive.order.is_empty() && self.bulk.order.is_empty()
    }
}

/// One lane: merchants take turns.
#[derive(Default)]
struct Turns {
    order: VecDeque<MerchantId>,
    waiting: HashMap<MerchantId, VecDeque<Message>>,
}

impl Turns {
    fn put(&mut self, message: Message) {
        let merchant = message.merchant;
        let queue = self.waiting.entry(merchant).or_default();
        if queue.is_empty() {
            self.order.push_back(merchant);
        }
        queue.push_back(message);
    }

    fn take(&mut self) -> Option<Message> {
        let merchant = self.order.pop_front()?;
        let queue = self.waiting.get_mut(&merchant)?;
        let message = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&merchant);
        } else {
            self.order.push_back(merchant);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Asker<()> for Nobody {
        fn see(&mut self, _: &Aggregate) {}
        fn answer(self: Box<Self>, _: Result<(), Unavailable>) {}
    }

    fn message(merchant: u8, lane: Lane) -> Message {
        let merchant = MerchantId::from_bytes([merchant; 16]);
        let stream = StreamRef::merchant(merchant);
        Message { merchant, stream, lane, resumed: false, work: Work::Glance(Box::new(Nobody)) }
    }

    fn taken(mailbox: &mut Mailbox) -> Vec<(u8, Lane)> {
        std::iter::from_fn(|| mailbox.take()).map(|m| (m.merchant.bytes()[0], m.lane)).collect()
    }

    #[test]
    fn a_merchant_with_much_waiting_does_not_hold_up_another() {
        let mut mailbox = Mailbox::default();
        (0..5).for_each(|_| mailbox.put(message(1, Lane::Interactive)));
        mailbox.put(message(2, Lane::Interactive));
        let order: Vec<u8> = taken(&mut mailbox).into_iter().map(|(merchant, _)| merchant).collect();
        assert_eq!(order, [1, 2, 1, 1, 1, 1]);
        assert!(mailbox.is_empty());
    }

    #[test]
    fn bulk_work_stays_below_its_share_and_is_never_starved() {
        let mut mailbox = Mailbox::default();
        for _ in 0..8 {
            mailbox.put(message(1, Lane::Bulk));
            mailbox.put(message(1, Lane::Interactive));
        }
        let lanes: Vec<Lane> = taken(&mut mailbox).into_iter().map(|(_, lane)| lane).collect();
        let bulk_early = lanes[..8].iter().filter(|lane| **lane == Lane::Bulk).count();
        assert_eq!(bulk_early, 2);
        assert_eq!(lanes.len(), 16);
    }
}
