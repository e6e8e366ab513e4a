//! How far each order is settled: a level for the purchase and one for each bonus.
use event_schemas::{Code, CustomerId, EntryId, OrderId, Points};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::lots::Place;

/// What of an order earned: the purchase itself, or one of its bonuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// The purchase.
    Purchase,
    /// The bonus with this name.
    Bonus(Code),
}

impl Rule {
    /// The name under which it stands in events.
    pub const PURCHASE: &str = "purchase";

    /// The rule with this name.
    #[must_use]
    pub fn of(code: &Code) -> Self {
        if code.as_str() == Self::PURCHASE { Self::Purchase } else { Self::Bonus(code.clone()) }
    }

    /// Its name.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Purchase => Code::fixed(Self::PURCHASE),
            Self::Bonus(code) => code.clone(),
        }
    }
}

/// How far an order is settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// Version of the newest assessment.
    pub version: u32,
    pub(super) levels: Vec<Level>,
}

/// How far one component of an order is settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// What of the order.
    pub rule: Rule,
    /// All points granted for it.
    pub granted: Points,
    /// All points taken back of it: voided and clawed back, those forgiven too.
    pub clawed: Points,
    /// Its lots, oldest first.
    pub(super) lots: Vec<OwnLot>,
}

/// A lot of an order, with the version of the assessment that granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnLot {
    pub(super) place: Place,
    pub(super) version: u32,
}

impl Settled {
    /// The level of a component.
    #[must_use]
    pub fn level(&self, rule: &Rule) -> Option<&Level> {
        self.levels.iter().find(|level| level.rule == *rule)
    }

    /// The levels of all components, in the order in which they first moved.
    pub fn levels(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter()
    }

    /// All points granted for the order.
    #[must_use]
    pub fn granted(&self) -> i128 {
        self.levels.iter().map(|level| i128::from(level.granted.0)).sum()
    }

    /// All points taken back of the order.
    #[must_use]
    pub fn clawed(&self) -> i128 {
        self.levels.iter().map(|level| i128::from(level.clawed.0)).sum()
    }

    pub(super) fn level_mut(&mut self, rule: &Rule) -> &mut Level {
        let known = self.levels.iter().position(|level| level.rule == *rule);
        let at = known.unwrap_or(self.levels.len());
        if known.is_none() {
            self.levels.push(Level::new(rule.clone()));
        }
        &mut self.levels[at]
    }

    /// The places of all lots of the order.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.levels.iter().flat_map(|level| level.lots.iter().map(|lot| lot.place))
    }
}

impl Level {
    pub(super) const fn new(rule: Rule) -> Self {
        Self { rule, granted: Points::ZERO, clawed: Points::ZERO, lots: Vec::new() }
    }

    pub(super) fn places(&self) -> Vec<Place> {
        self.lots.iter().map(|lot| lot.place).collect()
    }
}

/// The entry that settles a component of a customer's order to an assessment: the same at every run, so that nobody keeps
/// it, and another one for every customer, so that accounts can be merged that were settled for the same order.
#[must_use]
pub fn settlement_entry(customer: CustomerId, order: OrderId, version: u32, rule: &Rule) -> EntryId {
    Seal::of(customer).entry(order, version, rule)
}

/// How a customer's settlement entries differ in their last bytes from those of others for the same order. An entry shows
/// it, so that a state that does not know its customer keeps it only once; short, because it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal([u8; 5]);

impl Seal {
    fn of(customer: CustomerId) -> Self {
        Self::last_of(Uuid::new_v5(&customer.0, b"settlement").into_bytes())
    }

    /// The one under which this entry settles that component, if it does.
    pub(super) fn behind(entry: EntryId, order: OrderId, version: u32, rule: &Rule) -> Self {
        let [of_entry, of_order] = [entry.bytes(), of_order(order, version, rule)].map(Self::last_of);
        let mut bits = of_entry.0;
        bits.iter_mut().zip(of_order.0).for_each(|(bit, other)| *bit ^= other);
        Self(bits)
    }

    pub(super) fn entry(self, order: OrderId, version: u32, rule: &Rule) -> EntryId {
        let mut bytes = of_order(order, version, rule);
        bytes.iter_mut().rev().zip(self.0.into_iter().rev()).for_each(|(byte, bits)| *byte ^= bits);
        EntryId::from_bytes(bytes)
    }

    fn last_of(bytes: [u8; 16]) -> Self {
        Self(bytes.last_chunk().copied().unwrap_or_default())
    }
}

fn of_order(order: OrderId, version: u32, rule: &Rule) -> [u8; 16] {
    let code = match rule {
        Rule::Purchase => Rule::PURCHASE,
        Rule::Bonus(code) => code.as_str(),
    };
    Uuid::new_v5(&order.0, &[&version.to_be_bytes(), code.as_bytes()].concat()).into_bytes()
}
