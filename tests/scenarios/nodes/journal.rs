//! What clients asked for, and what they were told.
use reqwest::RequestBuilder;
use serde_json::Value;

use super::ledger::Told;
use crate::harness::{Shop, Webhook};

/// What a delivery asks for.
const ORDER: &str = "a paid order";

/// A command under a key of its own.
pub(super) struct Asked {
    pub(super) path: &'static str,
    pub(super) key: String,
    pub(super) body: Value,
    pub(super) owner: usize,
    /// What it moves if it is accepted.
    pub(super) points: i64,
}

impl Asked {
    pub(super) fn request(&self, shop: &Shop) -> RequestBuilder {
        shop.keyed(self.path, &self.key, &self.body)
    }
}

/// A command with its one answer.
pub(super) struct Done {
    pub(super) asked: Asked,
    pub(super) answer: (u16, String),
}

/// The delivery of a paid order.
pub(super) struct Placed {
    pub(super) webhook: Webhook,
    pub(super) order: u64,
    pub(super) owner: usize,
    pub(super) points: i64,
}

/// Points that the test moved by itself.
struct Granted {
    owner: usize,
    points: i64,
    key: String,
}

/// What clients did.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) done: Vec<Done>,
    /// What was accepted.
    pub(super) placed: Vec<Placed>,
    granted: Vec<Granted>,
    /// What got no answer: whether it was done nobody knows.
    unanswered: Vec<Asked>,
    undelivered: Vec<Placed>,
    /// How often there was no answer yet.
    pub(super) waited: u64,
    /// Answers that nobody may get.
    pub(super) wrong: Vec<String>,
}

impl Journal {
    pub(super) fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.placed.extend(other.placed);
        self.granted.extend(other.granted);
        self.unanswered.extend(other.unanswered);
        self.undelivered.extend(other.undelivered);
        self.waited += other.waited;
        self.wrong.extend(other.wrong);
    }

    /// Files a command with its answer, if it got one.
    pub(super) fn file(&mut self, asked: Asked, answer: Option<(u16, String)>) {
        let Some(answer) = answer else { return self.unanswered.push(asked) };
        if !matches!(answer.0, 200 | 409) {
            self.wrong.push(format!("{} {} got {answer:?}", asked.path, asked.key));
        }
        self.done.push(Done { asked, answer });
    }

    /// Files a delivery with its answer, if it got one.
    pub(super) fn file_delivery(&mut self, placed: Placed, answer: Option<(u16, String)>) {
        match answer {
            Some((200, _)) => self.placed.push(placed),
            Some(answer) => self.wrong.push(format!("the delivery {} got {answer:?}", placed.webhook.id)),
            None => self.undelivered.push(placed),
        }
    }

    /// Takes out what got no answer, to be asked again.
    pub(super) fn take_unanswered(&mut self) -> (Vec<Asked>, Vec<Placed>) {
        (std::mem::take(&mut self.unanswered), std::mem::take(&mut self.undelivered))
    }

    /// Notes points that the test moved by itself, under this key.
    pub(super) fn granted(&mut self, owner: usize, points: i64, key: impl Into<String>) {
        self.granted.push(Granted { owner, points, key: key.into() });
    }

    /// Notes what became of the last points that the test moved.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn granted_at_last(&mut self, owner: usize, points: i64) {
        let mut keys = self.granted.iter().rev().filter(|granted| granted.owner == owner);
        let key = keys.next().map(|granted| granted.key.clone()).expect("points that the test moved");
        self.granted(owner, points, key);
    }

    /// Answers that nobody may get, and requests that got none.
    pub(super) fn violations(&self) -> Vec<String> {
        let commands =
            self.unanswered.iter().map(|asked| format!("{} {} got no answer", asked.path, asked.key));
        let deliveries = self.undelivered.iter();
        let deliveries = deliveries.map(|placed| format!("the delivery {} got no answer", placed.webhook.id));
        self.wrong.iter().cloned().chain(commands).chain(deliveries).collect()
    }

    /// How many requests have their answer.
    pub(super) fn answered(&self) -> usize {
        self.done.len() + self.placed.len()
    }

    /// What is said of all that concerns this owner.
    pub(super) fn told<'a>(&'a self, owner: usize) -> Vec<Told<'a>> {
        let told = |whose: usize, key: &'a str, what, points, answer| {
            (whose == owner).then_some(Told { key, what, points, answer })
        };
        let command =
            |asked: &'a Asked, answer| told(asked.owner, &asked.key, asked.path, asked.points, answer);
        let delivery =
            |placed: &'a Placed, answer| told(placed.owner, &placed.webhook.id, ORDER, placed.points, answer);
        let done =
            self.done.iter().filter_map(|done| command(&done.asked, Some((done.answer.0, &*done.answer.1))));
        let unanswered = self.unanswered.iter().filter_map(|asked| command(asked, None));
        let placed = self.placed.iter().filter_map(|placed| delivery(placed, Some((200, ""))));
        let undelivered = self.undelivered.iter().filter_map(|placed| delivery(placed, None));
        let granted = self.granted.iter();
        let granted =
            granted.filter_map(|one| told(one.owner, &one.key, "the test", one.points, Some((200, ""))));
        done.chain(unanswered).chain(placed).chain(undelivered).chain(granted).collect()
    }
}
