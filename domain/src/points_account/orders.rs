//! How far each order is settled: a level for the purchase and one for each bonus.
use event_schemas::{Code, EntryId, OrderId, Points};
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

/// The entry that settles a component of an order to an assessment: the same at every run, so that nobody keeps it.
#[must_use]
pub fn settlement_entry(order: OrderId, version: u32, rule: &Rule) -> EntryId {
    let code = match rule {
        Rule::Purchase => Rule::PURCHASE,
        Rule::Bonus(code) => code.as_str(),
    };
    EntryId(Uuid::new_v5(&order.0, &[&version.to_be_bytes(), code.as_bytes()].concat()))
}
