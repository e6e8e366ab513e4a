//! Business keys: what counts once, for ever, and what can only end once.
use std::collections::{HashMap, HashSet};

use event_schemas::{
    Code, CustomerId, Digest, EntryId, OrderId, Points, RedemptionId, TransferId,
    catalogue::PointsAccountEvent as Event,
    points_account::{Estate, PointsEarned, PosEntry, ReservationPhase as Phase, Source},
};

use super::law;

/// All keys that were honoured.
#[derive(Default)]
pub(super) struct Keys {
    entries: HashSet<EntryId>,
    sources: HashSet<Key>,
    orders: HashMap<OrderId, Order>,
    redemptions: HashMap<RedemptionId, (Points, Phase)>,
    transfers: HashMap<TransferId, (Points, Transfer)>,
    /// By part; none is the last.
    absorbed: HashSet<(CustomerId, Option<u32>)>,
}

/// What earned, other than an order.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Api(Digest),
    Action(Code, Digest),
    Pos(PosEntry),
}

/// How far an order is settled.
#[derive(Default)]
struct Order {
    version: u32,
    levels: HashMap<Code, Level>,
    /// What the newest version did, by component.
    done: HashSet<(Code, Settles)>,
}

#[derive(Default)]
struct Level {
    granted: i128,
    taken: i128,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Settles {
    Award,
    Void,
    ClawBack,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transfer {
    InTransit,
    Completed,
    Returned,
    Received,
}

type Verdict = Result<(), String>;

impl Keys {
    /// Nothing counts twice; nothing is taken, spent or given back beyond what is there.
    pub(super) fn once(&mut self, event: &Event) -> Verdict {
        if let Some(entry) = entry(event) {
            law(self.entries.insert(entry), "the entry was made before")?;
        }
        match event {
            Event::PointsEarned(earned) => self.awarded(earned),
            Event::PointsVoided(event) => {
                self.settled(event.order, event.version, &event.rule, Settles::Void)?;
                self.taken(event.order, &event.rule, event.points)
            }
            Event::PointsClawedBack(event) => {
                self.settled(event.order, event.version, &event.rule, Settles::ClawBack)?;
                self.taken(event.order, &event.rule, event.points)
            }
            Event::OrderSettled(event) => self.newer(event.order, event.version),
            Event::PointsReleaseScheduled(event) => self.newer(event.order, event.version),
            Event::PointsAdjusted(event) => law(!event.points.is_zero(), "an adjustment of nothing"),
            Event::PointsReserved(event) => {
                law(event.points.is_positive(), "a reservation is not above zero")?;
                let before = self.redemptions.insert(event.redemption, (event.points, Phase::Reserved));
                law(before.is_none(), "the redemption was reserved before")
            }
            Event::PointsRedeemed(event) => {
                self.goes_on(event.redemption, event.points, (Phase::Reserved, Phase::Redeemed))
            }
            Event::PointsReservationReleased(event) => {
                self.goes_on(event.redemption, event.points, (Phase::Reserved, Phase::Released))
            }
            Event::PointsReinstated(event) => {
                self.goes_on(event.redemption, event.points, (Phase::Redeemed, Phase::Reinstated))
            }
            Event::PointsTransferredOut(event) => {
                let before = self.transfers.insert(event.transfer, (event.points, Transfer::InTransit));
                law(before.is_none(), "the transfer was made before")
            }
            Event::PointsTransferredIn(event) => {
                let before = self.transfers.insert(event.transfer, (event.points, Transfer::Received));
                law(before.is_none(), "the transfer arrived before")
            }
            Event::PointsTransferCompleted(event) => {
                self.ends(event.transfer, event.points, Transfer::Completed)
            }
            Event::PointsTransferReturned(event) => {
                self.ends(event.transfer, event.points, Transfer::Returned)
            }
            Event::PointsAccountAbsorbed(event) => self.arrived((event.from, None), &event.estate),
            Event::EstatePartAbsorbed(event) => self.arrived((event.from, Some(event.part)), &event.estate),
            _ => Ok(()),
        }
    }

    fn arrived(&mut self, part: (CustomerId, Option<u32>), estate: &Estate) -> Verdict {
        let is_over = self.absorbed.contains(&(part.0, None));
        law(!is_over && self.absorbed.insert(part), "the account was taken in before")?;
        self.inherit(estate);
        Ok(())
    }

    fn awarded(&mut self, earned: &PointsEarned) -> Verdict {
        law(earned.points.is_positive(), "an award is not above zero")?;
        let key = match &earned.source {
            Source::Order { order, version } => {
                let rule = earned.rule.as_ref().map_or_else(purchase, |used| used.rule.clone());
                self.settled(*order, *version, &rule, Settles::Award)?;
                self.level(*order, &rule).granted += i128::from(earned.points.0);
                return Ok(());
            }
            Source::Api { id } => Key::Api(*id),
            Source::Action { action, id, .. } => Key::Action(action.clone(), *id),
            Source::Pos(entry) => Key::Pos(*entry),
        };
        law(self.sources.insert(key), "the source was awarded before")
    }

    /// An assessment is at least as new as those before it, and does each thing once.
    fn settled(&mut self, order: OrderId, version: u32, rule: &Code, what: Settles) -> Verdict {
        self.newer(order, version)?;
        let done = &mut self.orders.entry(order).or_default().done;
        law(done.insert((rule.clone(), what)), "the order was settled to this assessment before")
    }

    fn newer(&mut self, order: OrderId, version: u32) -> Verdict {
        let order = self.orders.entry(order).or_default();
        law(version >= order.version, "the order was settled to a newer assessment before")?;
        if version > order.version {
            (order.version, order.done) = (version, HashSet::new());
        }
        Ok(())
    }

    fn taken(&mut self, order: OrderId, rule: &Code, points: Points) -> Verdict {
        law(points.is_positive(), "what is taken back is not above zero")?;
        let level = self.level(order, rule);
        level.taken += i128::from(points.0);
        law(level.taken <= level.granted, "more is taken back of an order than it was granted")
    }

    fn level(&mut self, order: OrderId, rule: &Code) -> &mut Level {
        self.orders.entry(order).or_default().levels.entry(rule.clone()).or_default()
    }

    fn goes_on(&mut self, redemption: RedemptionId, points: Points, (from, to): (Phase, Phase)) -> Verdict {
        let Some((held, phase)) = self.redemptions.get_mut(&redemption) else {
            return Err("the redemption was never reserved".to_owned());
        };
        law(*phase == from, "the redemption is not in the phase that this ends")?;
        law(*held == points, "the redemption had other points")?;
        *phase = to;
        Ok(())
    }

    fn ends(&mut self, transfer: TransferId, points: Points, how: Transfer) -> Verdict {
        let Some((sent, phase)) = self.transfers.get_mut(&transfer) else {
            return Err("the transfer was never made".to_owned());
        };
        law(*phase == Transfer::InTransit, "the transfer ended before")?;
        law(*sent == points, "the transfer had other points")?;
        *phase = how;
        Ok(())
    }

    /// What was honoured on the account that ended is honoured here too.
    fn inherit(&mut self, estate: &Estate) {
        for order in &estate.orders {
            let known = self.orders.entry(order.order).or_default();
            known.version = known.version.max(order.version);
            for level in &order.levels {
                let sum = known.levels.entry(level.rule.clone()).or_default();
                sum.granted += i128::from(level.granted.0);
                sum.taken += i128::from(level.clawed.0);
            }
        }
        for one in &estate.reservations {
            self.redemptions.entry(one.redemption).or_insert((one.points, one.phase));
        }
        for one in &estate.transfers {
            self.transfers.entry(one.transfer).or_insert((one.points, Transfer::InTransit));
        }
        let keys = estate.keys.iter().filter_map(|key| match &key.source {
            Source::Order { .. } => None,
            Source::Api { id } => Some(Key::Api(*id)),
            Source::Action { action, id, .. } => Some(Key::Action(action.clone(), *id)),
            Source::Pos(entry) => Some(Key::Pos(*entry)),
        });
        self.sources.extend(keys);
    }
}

fn purchase() -> Code {
    Code::fixed("purchase")
}

/// The entry that the event makes, if it makes one.
const fn entry(event: &Event) -> Option<EntryId> {
    Some(match event {
        Event::PointsEarned(event) => event.entry,
        Event::PointsReleased(event) => event.entry,
        Event::PointsVoided(event) => event.entry,
        Event::PointsClawedBack(event) => event.entry,
        Event::PointsRedeemed(event) => event.entry,
        Event::PointsReinstated(event) => event.entry,
        Event::PointsAdjusted(event) => event.entry,
        Event::PointsExpired(event) => event.entry,
        Event::PointsTransferredOut(event) => event.entry,
        Event::PointsTransferredIn(event) => event.entry,
        Event::PointsTransferReturned(event) => event.entry,
        Event::PointsAccountMerged(event) => event.entry,
        Event::PointsAccountAbsorbed(event) => event.entry,
        Event::EstatePartMoved(event) => event.entry,
        Event::EstatePartAbsorbed(event) => event.entry,
        _ => return None,
    })
}
