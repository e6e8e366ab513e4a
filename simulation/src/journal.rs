//! What was asked and what was answered, kept by those who asked: it outlasts every crash.
use std::collections::BTreeSet;

use uuid::Uuid;

use crate::shopify::Asked;

/// One request, and its first answer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) asked: Asked,
    pub(crate) effect: Effect,
    pub(crate) answer: Option<Answer>,
}

/// A status below 500 and the text with it; anything else is no answer.
pub(crate) type Answer = (u16, String);

/// What it does to whose points, if it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// An order; it pays as many points as it has dollars, once.
    Order { buyer: usize, order: u64, dollars: i64 },
    /// All of that order back.
    Refund { order: u64 },
    /// Points given or taken, if the answer is 200.
    Moves { buyer: usize, points: i64 },
    /// The same, for a discount code.
    Redeems { buyer: usize, points: i64 },
    /// That redemption undone, if the answer is 200.
    Cancels { redemption: Uuid },
}

/// All requests so far.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Entry>,
    /// What the people had at the beginning.
    pub(crate) opening: i64,
}

impl Journal {
    /// What a plain model says that this person owns, debt taken off, if these redemptions came to nothing. Every
    /// delivery counts, since all are repeated until they are answered.
    pub(crate) fn owned(&self, person: usize, failed: &BTreeSet<Uuid>) -> i64 {
        self.opening + self.entries.iter().map(|entry| self.worth(entry, person, failed)).sum::<i64>()
    }

    fn worth(&self, entry: &Entry, person: usize, failed: &BTreeSet<Uuid>) -> i64 {
        match entry.effect {
            Effect::Order { buyer, order, dollars } if buyer == person => {
                if self.has(|effect| effect == Effect::Refund { order }) { 0 } else { dollars }
            }
            Effect::Moves { buyer, points } if buyer == person && entry.is_accepted() => points,
            Effect::Redeems { buyer, points } if buyer == person => match entry.redemption() {
                Some(redemption) if !failed.contains(&redemption) && !self.cancelled(redemption) => -points,
                _ => 0,
            },
            _ => 0,
        }
    }

    fn cancelled(&self, redemption: Uuid) -> bool {
        let cancels = |entry: &Entry| entry.effect == Effect::Cancels { redemption } && entry.is_accepted();
        self.entries.iter().any(cancels)
    }

    pub(crate) fn has(&self, wanted: impl Fn(Effect) -> bool) -> bool {
        self.entries.iter().any(|entry| wanted(entry.effect))
    }
}

impl Entry {
    fn is_accepted(&self) -> bool {
        self.answer.as_ref().is_some_and(|(status, _)| *status == 200)
    }

    /// The id in the answer to a redemption.
    pub(crate) fn redemption(&self) -> Option<Uuid> {
        let (200, text) = self.answer.as_ref()? else { return None };
        let answer: serde_json::Value = serde_json::from_str(text).ok()?;
        answer["redemption_id"].as_str()?.parse().ok()
    }
}
