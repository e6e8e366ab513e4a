//! What an order comes to by the model: a sum over all that was told of it, whatever came first.
use std::collections::BTreeSet;

use super::{
    plain::Slip,
    program::{DAY, Kind, Line, Order, Policy, Settings, Stage},
};

/// What points wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    Fulfilment,
    Until(i64),
}

/// What was told of an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    states: BTreeSet<usize>,
    refunds: BTreeSet<usize>,
    customer: Option<usize>,
    deleted: bool,
    last: Option<Verdict>,
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) customer: Option<usize>,
    /// Points of the purchase, then of each bonus.
    pub(super) worth: Vec<i64>,
    pub(super) waits: Option<Waits>,
    /// What else of it may change: how far it is, and what is left of it.
    about: (Standing, i64, i64, Vec<i64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Nothing,
    Waits,
    Earns,
    Refunded,
}

impl Known {
    pub(super) fn state(&mut self, order: &Order, state: usize) {
        self.states.insert(state);
        self.refunds.extend(0..order.states[state].refunds.min(order.refunds.len()));
        if state >= order.named_from {
            self.attach(order.buyer);
        }
    }

    pub(super) fn refund(&mut self, refund: usize) {
        self.refunds.insert(refund);
    }

    /// Gives a guest's order that was seen to somebody.
    pub(super) fn attach(&mut self, who: usize) {
        if !self.states.is_empty() {
            self.customer = self.customer.or(Some(who));
        }
    }

    pub(super) const fn delete(&mut self) {
        self.deleted = true;
    }

    /// Points of the last verdict, if somebody has them.
    pub(super) fn worth(&self) -> i64 {
        let last = self.last.iter().filter(|verdict| verdict.customer.is_some());
        last.flat_map(|verdict| &verdict.worth).sum()
    }

    /// The verdict, if it is another one than before.
    pub(super) fn news(&mut self, verdict: Option<Verdict>) -> Option<Verdict> {
        let news = verdict.filter(|verdict| self.last.as_ref() != Some(verdict));
        self.last = news.clone().or_else(|| self.last.take());
        news
    }

    pub(super) fn verdict(&self, settings: &Settings, order: &Order, slip: Slip) -> Option<Verdict> {
        let newest = *self.states.last()?;
        let state = &order.states[newest];
        let sold = [&order.lines[..], &state.more].concat();
        let eligible = earning(settings, order, &sold, true, |_| true);
        let refunded = self.refunded(settings, order, slip, |_| true).min(eligible);
        let left = eligible - refunded;
        let standing = match state.stage {
            _ if self.deleted || order.test => Standing::Nothing,
            Stage::Cancelled | Stage::Voided => Standing::Nothing,
            Stage::Unpaid => Standing::Waits,
            Stage::Paid if self.customer.is_none() => Standing::Waits,
            Stage::Paid if eligible == 0 => Standing::Nothing,
            Stage::Paid if left == 0 => Standing::Refunded,
            Stage::Paid => Standing::Earns,
        };
        let earns = standing == Standing::Earns;
        let counts = |new_only: bool| move |line: &Line| !new_only || line.kind == Kind::New;
        let of_bonuses = settings.bonuses.iter().map(|bonus| {
            let sold = earning(settings, order, &sold, !bonus.new_only, counts(bonus.new_only));
            sold - self.refunded(settings, order, slip, counts(bonus.new_only)).min(sold)
        });
        let of_bonuses: Vec<_> = of_bonuses.collect();
        // A rate per 100 major units of 100 minor units each; a bonus adds tenths of it.
        let purchase = if slip == Slip::EachRefundIsRounded {
            eligible * settings.rate / 10_000 - refunded * settings.rate / 10_000
        } else {
            left * settings.rate / 10_000
        };
        let added = settings.bonuses.iter().zip(&of_bonuses);
        let added = added.map(|(bonus, left)| left * settings.rate * (bonus.tenths - 10) / 100_000);
        let worth = std::iter::once(purchase).chain(added);
        Some(Verdict {
            customer: self.customer,
            worth: worth.map(|points| if earns { points } else { 0 }).collect(),
            waits: if earns { self.waits(settings, order, newest) } else { None },
            about: (standing, eligible, refunded, of_bonuses),
        })
    }

    fn refunded(
        &self,
        settings: &Settings,
        order: &Order,
        slip: Slip,
        counts: impl Fn(&Line) -> bool + Copy,
    ) -> i64 {
        let whole = counts(&Line { kind: Kind::Goods, minor: 0, tax: 0 });
        let refunds = self.refunds.iter().map(|refund| &order.refunds[*refund]);
        let counting = refunds.filter(|refund| !(refund.store_credit && settings.keep_store_credit));
        let beyond: i64 = counting.clone().map(|refund| refund.beyond).sum();
        let back = counting.map(|refund| {
            let lines: Vec<_> = order.back(refund).into_iter().collect();
            earning(settings, order, &lines, whole && refund.shipping, counts)
        });
        back.sum::<i64>() + if whole && slip != Slip::MoneyAloneTakesNothing { beyond.max(0) } else { 0 }
    }

    fn waits(&self, settings: &Settings, order: &Order, newest: usize) -> Option<Waits> {
        let after_fulfilment = |days: i64| match order.fulfilled(newest) {
            Some(time) => Waits::Until(time + days * DAY),
            None => Waits::Fulfilment,
        };
        match settings.wait {
            Policy::Nothing => None,
            Policy::DaysAfterPaid(days) => Some(Waits::Until(self.paid(order) + days * DAY)),
            Policy::Fulfilment => Some(after_fulfilment(0)),
            Policy::DaysAfterFulfilment(days) => Some(after_fulfilment(days)),
        }
    }

    /// When it was placed, unless it was seen unpaid before it was seen paid: then the latter.
    fn paid(&self, order: &Order) -> i64 {
        let first =
            |stage: Stage| self.states.iter().copied().find(|state| order.states[*state].stage == stage);
        match (first(Stage::Unpaid), first(Stage::Paid)) {
            (Some(unpaid), Some(paid)) if unpaid < paid => order.updated(paid),
            _ => order.placed,
        }
    }
}

/// What of these lines, and of shipping if it is among them, earns: minor units.
fn earning(
    settings: &Settings,
    order: &Order,
    lines: &[Line],
    shipping: bool,
    counts: impl Fn(&Line) -> bool,
) -> i64 {
    // Prices contain tax, or tax is added to them; and tax earns or does not.
    let with_tax = |minor: i64, tax: i64| match (order.taxes_included, settings.include_tax) {
        (true, false) => minor - tax,
        (false, true) => minor + tax,
        (true, true) | (false, false) => minor,
    };
    let earns = |line: &&Line| match line.kind {
        Kind::Goods | Kind::New => true,
        Kind::Sale => false,
        Kind::GiftCard => settings.include_gift_cards,
        Kind::Tip => settings.include_tips,
    };
    let of_lines = lines.iter().filter(earns).filter(|line| counts(line));
    let sum: i64 = of_lines.map(|line| with_tax(line.minor, line.tax)).sum();
    let of_shipping = shipping && settings.include_shipping;
    (sum + if of_shipping { with_tax(order.shipping.0, order.shipping.1) } else { 0 }).max(0)
}
