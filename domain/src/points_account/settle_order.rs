//! An order's account is settled to the order's levels: the difference is awarded or taken back, repeats do nothing.
use event_schemas::{
    Code, CustomerId, Digest, Money, OrderId, Personal, Points, Rate, Timestamp,
    loyalty_order::{BonusTarget, OrderStatus},
    merchant::WhenShort,
    points_account::{
        OrderSettled, PointsClawedBack, PointsReleaseScheduled, PointsVoided, Release, RuleUsed, Source,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    Draft, Event, ExpiryRule, State,
    draft::{derived, total},
    earn_points::{Award, still_to_come},
    lots::Place,
    orders::{Level, Rule, Settled, settlement_entry},
};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Settles an order to an assessment. Each assessment says everything, so the newest one counts, whenever it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettleOrder {
    /// Whose order it is: the entries are named after both.
    pub customer: CustomerId,
    /// The order.
    pub order: OrderId,
    /// Version of the assessment.
    pub version: u32,
    /// Points that the purchase is worth now.
    pub target: Points,
    /// Where the order stands.
    pub status: OrderStatus,
    /// What of the order earns, before refunds.
    pub eligible: Money,
    /// What of that was refunded.
    pub refunded: Money,
    /// The points rate used.
    pub rate: Rate,
    /// Version of the settings that the rate comes from.
    pub rule_version: u32,
    /// What its points wait for.
    pub release: Option<Release>,
    /// What it is worth by bonuses.
    pub bonuses: Vec<BonusTarget>,
    /// How far a clawback may reach.
    pub when_short: WhenShort,
    /// The sender's clock.
    pub at: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
    /// The outside's name of the order.
    #[serde(with = "event_schemas::personal::transit")]
    pub reference: Option<Personal<String>>,
    /// Keyed digest of the command's content.
    pub content: Digest,
}

/// One component of the order: how far it is settled, and what it is worth now.
struct Component<'a> {
    level: &'a Level,
    due: Points,
    used: RuleUsed,
}

pub(super) fn decide(state: &State, command: &SettleOrder) -> Result<Vec<Event>, Rejection> {
    let never = Settled::default();
    let known = state.settled(command.order);
    let settled = known.unwrap_or(&never);
    if command.version <= settled.version && !planted::is(Bug::OlderVersionApplies) {
        return Ok(Vec::new());
    }
    let levels = levels(settled, command);
    let components = components(&levels, command)?;
    let mut draft = Draft::of(state);
    let mut told = false;
    for component in components.iter().filter(|one| one.due < Points::ZERO) {
        take_back(&mut draft, command, component)?;
        told = true;
    }
    told |= reschedule(&mut draft, command, settled)?;
    for component in components.iter().filter(|one| one.due.is_positive()) {
        draft.award(award(command, component))?;
        told = true;
    }
    let may_be_overtaken = known.is_some() || command.version > 1;
    match (told, may_be_overtaken && !planted::is(Bug::NewerVersionForgotten)) {
        (true, _) => Ok(draft.events()),
        // An older assessment may still come, and must find that a newer one was here.
        (false, true) => Ok(draft.with(OrderSettled { order: command.order, version: command.version })),
        (false, false) => Ok(Vec::new()),
    }
}

/// The levels of all components that are or were worth something.
fn levels(settled: &Settled, command: &SettleOrder) -> Vec<Level> {
    let mut levels = settled.levels.clone();
    let named = command.bonuses.iter().map(|bonus| Rule::of(&bonus.rule));
    for rule in std::iter::once(Rule::Purchase).chain(named) {
        if levels.iter().all(|level| level.rule != rule) {
            levels.push(Level::new(rule));
        }
    }
    levels
}

fn components<'a>(levels: &'a [Level], command: &SettleOrder) -> Result<Vec<Component<'a>>, Rejection> {
    let component = |level: &'a Level| {
        let (target, used) = worth(&level.rule, command);
        let due = target.max(Points::ZERO).minus(level.granted.minus(level.clawed)?)?;
        Ok(Component { level, due, used })
    };
    levels.iter().map(component).collect()
}

/// What a component is worth by the assessment; nothing if it does not name it.
fn worth(rule: &Rule, command: &SettleOrder) -> (Points, RuleUsed) {
    let net = command.eligible.minor.saturating_sub(command.refunded.minor);
    let used = RuleUsed {
        rule: rule.code(),
        version: command.rule_version,
        rate: command.rate,
        multiplier: None,
        eligible: Money { minor: net, ..command.eligible },
    };
    let bonus = command.bonuses.iter().find(|bonus| Rule::of(&bonus.rule) == *rule);
    match (rule, bonus) {
        (Rule::Purchase, _) => (command.target, used),
        (Rule::Bonus(_), None) => (Points::ZERO, used),
        (Rule::Bonus(_), Some(bonus)) => {
            let eligible = bonus.eligible;
            (bonus.target, RuleUsed { multiplier: Some(bonus.multiplier), eligible, ..used })
        }
    }
}

fn award<'a>(command: &'a SettleOrder, component: &Component<'_>) -> Award<'a> {
    let Level { rule, granted, .. } = component.level;
    let reason = match rule {
        _ if granted.is_positive() => "order-changed",
        Rule::Purchase => "purchase",
        Rule::Bonus(_) => "bonus",
    };
    Award {
        entry: settlement_entry(command.customer, command.order, command.version, rule),
        source: Source::Order { order: command.order, version: command.version },
        reason: Code::fixed(reason),
        points: component.due,
        rule: Some(component.used.clone()),
        release: command.release,
        at: command.at,
        expiry: &command.expiry,
        reference: command.reference.clone(),
        content: command.content,
    }
}

/// Takes back: pending points of the component first, then its active ones, then others, then debt, as far as allowed.
fn take_back(
    draft: &mut Draft<'_>,
    command: &SettleOrder,
    component: &Component<'_>,
) -> Result<(), Rejection> {
    let Level { rule, .. } = component.level;
    let entry = settlement_entry(command.customer, command.order, command.version, rule);
    let own = component.level.places();
    let points = component.due.negated()?;
    let pending = draft.take_pending(points, &own);
    let voided = total(&pending)?;
    if voided.is_positive() {
        draft.after.pending = draft.after.pending.minus(voided)?;
        draft.after.lifetime_voided = draft.after.lifetime_voided.plus(voided)?;
        draft.push(PointsVoided {
            entry: derived(entry, "void"),
            order: command.order,
            version: command.version,
            rule: rule.code(),
            reason: Code::fixed(why_less(command)),
            allocations: pending,
            points: voided,
            reference: command.reference.clone(),
            after: draft.after,
        });
    }
    claw_back(draft, command, component, points.minus(voided)?, &own)
}

fn claw_back(
    draft: &mut Draft<'_>,
    command: &SettleOrder,
    component: &Component<'_>,
    points: Points,
    own: &[Place],
) -> Result<(), Rejection> {
    if !points.is_positive() {
        return Ok(());
    }
    let from_active = match command.when_short {
        WhenShort::Unlimited | WhenShort::WithinBalance => draft.take(points, own),
        WhenShort::OnlyPending => Vec::new(),
    };
    let taken = total(&from_active)?;
    let short = points.minus(taken)?;
    let (to_debt, forgiven) = match command.when_short {
        WhenShort::Unlimited => (short, Points::ZERO),
        WhenShort::WithinBalance | WhenShort::OnlyPending => (Points::ZERO, short),
    };
    let gone = if planted::is(Bug::ClawbackLeavesPoints) { Points::ZERO } else { taken };
    draft.debit(gone, to_debt)?;
    let counted = if planted::is(Bug::DebtNotClawedBack) { taken } else { points.minus(forgiven)? };
    draft.after.lifetime_clawed_back = draft.after.lifetime_clawed_back.plus(counted)?;
    draft.push(PointsClawedBack {
        entry: settlement_entry(command.customer, command.order, command.version, &component.level.rule),
        order: command.order,
        version: command.version,
        rule: component.level.rule.code(),
        reason: Code::fixed(why_less(command)),
        points,
        from_pending: Vec::new(),
        from_active,
        to_debt,
        forgiven,
        reference: command.reference.clone(),
        after: draft.after,
    });
    Ok(())
}

/// The statement's answer to "why?": a partial refund is told as one too.
fn why_less(command: &SettleOrder) -> &'static str {
    match command.status {
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Refunded => "refunded",
        OrderStatus::Qualified if command.refunded.minor > 0 => "refunded",
        OrderStatus::Qualified | OrderStatus::Disqualified | OrderStatus::Waiting => "order-changed",
    }
}

/// What the order's pending points wait for may have changed. Tells whether an event of this version says so.
fn reschedule(draft: &mut Draft<'_>, command: &SettleOrder, settled: &Settled) -> Result<bool, Rejection> {
    let state = draft.state;
    let pending: Vec<_> = settled
        .places()
        .filter_map(|place| state.lots.get(place).map(|lot| (place, *lot)))
        .filter(|(place, lot)| lot.release.is_some() && draft.left(*place, lot) > 0)
        .collect();
    match still_to_come(command.release, command.at) {
        None if pending.is_empty() => Ok(false),
        None => {
            for (place, lot) in &pending {
                draft.release(*place, lot, command.at, &command.expiry)?;
            }
            draft.push(OrderSettled { order: command.order, version: command.version });
            Ok(true)
        }
        Some(release) => {
            let other = pending.iter().filter(|(_, lot)| lot.release != Some(release));
            let lots: Vec<_> = other.map(|(_, lot)| lot.entry).collect();
            let told = !lots.is_empty();
            if told {
                let (order, version) = (command.order, command.version);
                let release_at = match release {
                    Release::At(time) => Some(time),
                    Release::AwaitingFulfilment => None,
                };
                draft.push(PointsReleaseScheduled { order, version, lots, release_at });
            }
            Ok(told)
        }
    }
}

#[cfg(test)]
mod tests;
