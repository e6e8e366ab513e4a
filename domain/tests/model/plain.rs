//! The plain model: one thread, lists that are searched from end to end, nothing of the rules' code.
mod orders;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    calendar,
    program::{DAY, Ending, Message, Order, PEOPLE, Program, Settings, Step},
    verdict::{Known, Waits},
};

/// A mistake that the model makes on purpose, to see that the comparison finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slip {
    None,
    DebtIsForgotten,
    LatestIsSpentFirst,
    EachRefundIsRounded,
    MoneyAloneTakesNothing,
    PendingIsSpared,
    EndedIsSpendable,
    CancelledTwice,
    MergeLeavesDebt,
    FrozenEarns,
    ReleaseWaitsForNobody,
    GraceIsForgotten,
    GiftsEndAtOnce,
}

/// What an account shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    pub(super) available: i64,
    pub(super) pending: i64,
    pub(super) reserved: i64,
    pub(super) in_transit: i64,
    pub(super) debt: i64,
    pub(super) earned: i64,
    pub(super) redeemed: i64,
    pub(super) expired: i64,
    pub(super) clawed_back: i64,
    pub(super) adjusted: i64,
    pub(super) voided: i64,
    pub(super) transferred: i64,
}

/// Points of one award. It is kept for ever, with or without points.
#[derive(Clone, Debug)]
struct Lot {
    who: usize,
    /// Its place among those who earned or took in something.
    place: u64,
    /// The order and which of its components.
    of: Option<(usize, usize)>,
    points: i64,
    waits: Option<Waits>,
    ends: Option<i64>,
}

/// What one component of an order earned, and what was taken back.
#[derive(Clone, Copy, Debug)]
struct Level {
    component: usize,
    granted: i64,
    taken: i64,
}

#[derive(Clone, Debug)]
struct Redemption {
    points: i64,
    held: Vec<(usize, i64)>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reserved,
    Spent,
    Over,
}

/// One person's account, but for the lots.
#[derive(Clone, Debug, Default)]
struct Account {
    sums: Buckets,
    frozen: bool,
    into: Option<usize>,
    active_at: Option<i64>,
    sources: BTreeSet<u8>,
    deeds: BTreeSet<u8>,
    times: BTreeMap<u8, u32>,
}

pub(super) struct Model<'a> {
    settings: &'a Settings,
    orders: &'a [Order],
    slip: Slip,
    now: i64,
    places: u64,
    lots: Vec<Lot>,
    accounts: Vec<Account>,
    known: Vec<Known>,
    levels: Vec<Vec<Level>>,
    redemptions: BTreeMap<u8, Redemption>,
}

impl<'a> Model<'a> {
    pub(super) fn new(program: &'a Program, slip: Slip) -> Self {
        let orders = &program.orders;
        Self {
            settings: &program.settings,
            orders,
            slip,
            now: 0,
            places: 0,
            lots: Vec::new(),
            accounts: vec![Account::default(); PEOPLE],
            known: vec![Known::default(); orders.len()],
            levels: vec![Vec::new(); orders.len()],
            redemptions: BTreeMap::new(),
        }
    }

    pub(super) fn buckets(&self, who: usize) -> Buckets {
        let of = |waits: bool| {
            let those = self.lots.iter().filter(|lot| lot.who == who && lot.waits.is_some() == waits);
            those.map(|lot| lot.points).sum()
        };
        Buckets { available: of(false), pending: of(true), ..self.accounts[who].sums }
    }

    /// What an order is worth by the last verdict on it.
    pub(super) fn worth(&self, order: usize) -> i64 {
        self.known[order].worth()
    }

    pub(super) fn deliver(&mut self, message: Message) {
        let (Message::State { order, .. } | Message::Refund { order, .. }) = message;
        match message {
            Message::State { state, .. } => self.known[order].state(&self.orders[order], state),
            Message::Refund { refund, .. } => self.known[order].refund(refund),
        }
        self.judge(order);
    }

    pub(super) fn take(&mut self, messages: &[Message], step: &Step) {
        match step {
            Step::Deliver(which) => self.deliver(*which.get(messages)),
            Step::Attach { order, who } => {
                let order = order.index(self.orders.len());
                self.known[order].attach(*who);
                self.judge(order);
            }
            Step::Delete { order } => {
                let order = order.index(self.orders.len());
                self.known[order].delete();
                self.judge(order);
            }
            Step::Pass { minutes } => self.pass(*minutes),
            Step::Nights { days } => self.pass(days * DAY - self.now % DAY),
            Step::Redeem { redemption, points } => self.redeem(*redemption, *points),
            Step::Issue { redemption, succeeds } => self.issue(*redemption, *succeeds),
            Step::Cancel { redemption } => self.cancel(*redemption),
            Step::Merge { gone, kept } => self.merge(*gone, *kept),
            Step::Transfer { from, to, points } => self.transfer(*from, *to, *points),
            // The merchant is told where an account went and asks again there; here nobody does.
            Step::Earn { who, .. }
            | Step::Act { who, .. }
            | Step::Adjust { who, .. }
            | Step::Freeze { who, .. }
            | Step::Extend { who, .. }
                if self.accounts[*who].into.is_some() => {}
            Step::Earn { who, source, points, wait_days } => self.earn(*who, *source, *points, *wait_days),
            Step::Act { who, deed, period } => self.act(*who, *deed, *period),
            Step::Adjust { who, points, allow_negative } => self.adjust(*who, *points, *allow_negative),
            Step::Freeze { who, frozen } => self.accounts[*who].frozen = *frozen,
            Step::Extend { who, days } => self.extend(*who, self.now + days * DAY),
        }
    }

    // ── lots ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// Who has this person's account now.
    fn heir(&self, who: usize) -> usize {
        self.accounts[who].into.map_or(who, |into| self.heir(into))
    }

    fn next_place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }

    /// A new lot, whose points repay debt first unless they wait.
    fn grant(
        &mut self,
        who: usize,
        points: i64,
        of: Option<(usize, usize)>,
        waits: Option<Waits>,
        ends: Option<i64>,
    ) {
        let points = if waits.is_some() { points } else { points - self.repay(who, points) };
        let place = self.next_place();
        self.lots.push(Lot { who, place, of, points, waits, ends });
    }

    fn repay(&mut self, who: usize, points: i64) -> i64 {
        if self.slip == Slip::DebtIsForgotten {
            return 0;
        }
        let debt = &mut self.accounts[who].sums.debt;
        let repaid = points.min(*debt);
        *debt -= repaid;
        repaid
    }

    /// The lots of somebody that can be spent, in the order in which they are.
    fn spendable(&self, who: usize) -> Vec<usize> {
        let those = (0..self.lots.len()).filter(|lot| {
            let lot = &self.lots[*lot];
            lot.who == who && lot.waits.is_none() && lot.points > 0
        });
        let mut those: Vec<_> = those.collect();
        those.sort_by_key(|lot| (self.lots[*lot].ends.unwrap_or(i64::MAX), self.lots[*lot].place));
        if self.slip == Slip::LatestIsSpentFirst {
            those.reverse();
        }
        those
    }

    /// Takes up to so many points out of these lots.
    fn draw(&mut self, lots: &[usize], points: i64) -> Vec<(usize, i64)> {
        let (mut missing, mut drawn) = (points, Vec::new());
        for lot in lots {
            let part = missing.min(self.lots[*lot].points);
            if part > 0 {
                self.lots[*lot].points -= part;
                missing -= part;
                drawn.push((*lot, part));
            }
        }
        drawn
    }

    /// Points come back to their lots; the first of them repay debt, and the rest live a while if their date is over.
    fn put_back(&mut self, who: usize, held: &[(usize, i64)]) {
        let mut owed = self.repay(who, held.iter().map(|(_, points)| points).sum());
        for (lot, points) in held {
            let kept = owed.min(*points);
            owed -= kept;
            if points - kept > 0 {
                let lot = &mut self.lots[*lot];
                lot.points += points - kept;
                if lot.ends.is_some_and(|ends| ends <= self.now) && self.slip != Slip::GraceIsForgotten {
                    let days = self.settings.grace_days * DAY;
                    let last = if days > 0 { calendar::midnight(self.now) + days + DAY } else { self.now };
                    lot.ends = Some(last);
                }
            }
        }
    }

    // ── time ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// The end of points that can be spent from this time on.
    fn end_of_lot(&self, from: i64) -> Option<i64> {
        match self.settings.ending {
            Ending::Lot(months) => Some(calendar::midnight(calendar::months_later(from, months)) + DAY),
            Ending::Never | Ending::Inactivity(_) => None,
        }
    }

    fn pass(&mut self, minutes: i64) {
        let next_run = calendar::midnight(self.now - 60) + DAY + 60;
        self.now += minutes;
        self.release_due();
        if next_run <= self.now {
            let last_run = calendar::midnight(self.now - 60) + 60;
            (0..PEOPLE).for_each(|who| self.expire(who, last_run));
        }
    }

    fn release_due(&mut self) {
        let due = |lot: &Lot| match lot.waits {
            Some(Waits::Until(time)) if time <= self.now && lot.points > 0 => Some((time, lot.place)),
            _ => None,
        };
        let mut lots: Vec<_> = (0..self.lots.len()).filter(|lot| due(&self.lots[*lot]).is_some()).collect();
        lots.sort_by_key(|lot| due(&self.lots[*lot]));
        lots.iter().for_each(|lot| self.expire_inactive(self.lots[*lot].who, self.now));
        lots.into_iter().for_each(|lot| self.release(lot));
    }

    fn release(&mut self, lot: usize) {
        let from = match self.lots[lot].waits {
            Some(Waits::Until(time)) => time.min(self.now),
            _ => self.now,
        };
        let (who, points) = (self.lots[lot].who, self.lots[lot].points);
        self.come(who, |model| {
            model.lots[lot].waits = None;
            model.lots[lot].ends = model.end_of_lot(from);
            model.lots[lot].points -= model.repay(who, points);
        });
    }

    fn expire_lots(&mut self, who: usize, as_of: i64) {
        let over =
            |lot: &Lot| lot.who == who && lot.waits.is_none() && lot.ends.is_some_and(|ends| ends <= as_of);
        for lot in 0..self.lots.len() {
            if over(&self.lots[lot]) {
                self.accounts[who].sums.expired += std::mem::take(&mut self.lots[lot].points);
            }
        }
    }

    fn expire(&mut self, who: usize, as_of: i64) {
        self.expire_lots(who, as_of);
        self.expire_inactive(who, as_of);
    }

    fn expire_inactive(&mut self, who: usize, as_of: i64) {
        if let (Ending::Inactivity(months), Some(last)) = (self.settings.ending, self.accounts[who].active_at)
            && calendar::months_later(last, months) <= as_of
        {
            for lot in self.spendable(who) {
                self.accounts[who].sums.expired += std::mem::take(&mut self.lots[lot].points);
            }
        }
    }

    /// What is there once what is over has ended; nothing has changed if that is too little.
    fn spend(&mut self, who: usize, points: i64, at_least: bool) -> Option<Vec<(usize, i64)>> {
        let before = (self.lots.clone(), self.accounts[who].sums);
        if self.slip != Slip::EndedIsSpendable {
            self.expire(who, self.now);
        }
        let lots = self.spendable(who);
        let there: i64 = lots.iter().map(|lot| self.lots[*lot].points).sum();
        if at_least && there < points {
            (self.lots, self.accounts[who].sums) = before;
            return None;
        }
        Some(self.draw(&lots, points))
    }

    fn active(&mut self, who: usize) {
        self.accounts[who].active_at = Some(self.now);
    }

    /// Points that come to somebody who had none have a whole time of inactivity ahead of them.
    fn come(&mut self, who: usize, come: impl FnOnce(&mut Self)) {
        let had_none = self.buckets(who).available == 0;
        come(self);
        if had_none && self.buckets(who).available > 0 && self.slip != Slip::GiftsEndAtOnce {
            self.active(who);
        }
    }

    fn extend(&mut self, who: usize, until: i64) {
        let sooner = |lot: &Lot| lot.ends.is_some_and(|ends| ends > self.now && ends < until);
        let lots: Vec<_> = self.spendable(who).into_iter().filter(|lot| sooner(&self.lots[*lot])).collect();
        if lots.is_empty() {
            return;
        }
        self.expire_lots(who, self.now);
        for lot in lots {
            self.lots[lot].ends = Some(until);
        }
    }

    // ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────

    fn award(&mut self, who: usize, points: i64, of: Option<(usize, usize)>, waits: Option<Waits>) {
        let waits = waits.filter(|waits| !matches!(waits, Waits::Until(time) if *time <= self.now));
        let ends = if waits.is_some() { None } else { self.end_of_lot(self.now) };
        self.accounts[who].sums.earned += points;
        self.grant(who, points, of, waits, ends);
        self.active(who);
    }

    fn earn(&mut self, who: usize, source: u8, points: i64, wait_days: Option<i64>) {
        let account = &mut self.accounts[who];
        if account.frozen && self.slip != Slip::FrozenEarns || !account.sources.insert(source) {
            return;
        }
        let waits = wait_days.map(|days| Waits::Until(self.now + days * DAY));
        self.award(who, points, None, waits);
    }

    fn act(&mut self, who: usize, deed: u8, period: u8) {
        let account = &mut self.accounts[who];
        let times = account.times.entry(period).or_default();
        if account.frozen || *times >= 2 || !account.deeds.insert(deed) {
            return;
        }
        *times += 1;
        self.award(who, 5, None, None);
    }

    fn adjust(&mut self, who: usize, points: i64, allow_negative: bool) {
        if points > 0 {
            let ends = self.end_of_lot(self.now);
            self.expire_inactive(who, self.now);
            self.come(who, |model| model.grant(who, points, None, None, ends));
        } else if points < 0 {
            let Some(drawn) = self.spend(who, -points, !allow_negative) else { return };
            let drawn: i64 = drawn.iter().map(|(_, points)| points).sum();
            self.accounts[who].sums.debt += -points - drawn;
        }
        self.accounts[who].sums.adjusted += points;
    }

    // ── redemptions, transfers, merges ───────────────────────────────────────────────────────────────────────

    fn redeem(&mut self, redemption: u8, points: i64) {
        let who = usize::from(redemption) % PEOPLE;
        let account = &self.accounts[who];
        if account.into.is_some() || account.frozen || self.redemptions.contains_key(&redemption) {
            return;
        }
        if let Some(held) = self.spend(who, points, true) {
            self.accounts[who].sums.reserved += points;
            self.redemptions.insert(redemption, Redemption { points, held, phase: Phase::Reserved });
            self.active(who);
        }
    }

    fn issue(&mut self, redemption: u8, succeeds: bool) {
        let who = self.heir(usize::from(redemption) % PEOPLE);
        let Some(mut one) = self.redemptions.remove(&redemption) else { return };
        if one.phase == Phase::Reserved {
            if !succeeds {
                self.expire_lots(who, self.now);
            }
            let sums = &mut self.accounts[who].sums;
            sums.reserved -= one.points;
            if succeeds {
                sums.redeemed += one.points;
                one.phase = Phase::Spent;
            } else {
                self.put_back(who, &one.held);
                one.phase = Phase::Over;
            }
        }
        self.redemptions.insert(redemption, one);
    }

    fn cancel(&mut self, redemption: u8) {
        let who = self.heir(usize::from(redemption) % PEOPLE);
        let Some(mut one) = self.redemptions.remove(&redemption) else { return };
        if one.phase == Phase::Spent {
            self.expire(who, self.now);
            self.accounts[who].sums.redeemed -= one.points;
            self.come(who, |model| model.put_back(who, &one.held));
            if self.slip != Slip::CancelledTwice {
                one.phase = Phase::Over;
            }
        }
        self.redemptions.insert(redemption, one);
    }

    fn transfer(&mut self, from: usize, to: usize, points: i64) {
        let account = &self.accounts[from];
        if from == to || account.into.is_some() || account.frozen {
            return;
        }
        let Some(drawn) = self.spend(from, points, true) else { return };
        let to = self.heir(to);
        if to == from || self.accounts[to].frozen {
            return self.put_back(from, &drawn);
        }
        self.accounts[from].sums.transferred -= points;
        self.accounts[to].sums.transferred += points;
        self.expire_inactive(to, self.now);
        self.come(to, |model| model.arrive(to, points, drawn));
    }

    fn arrive(&mut self, to: usize, points: i64, drawn: Vec<(usize, i64)>) {
        let mut owed = self.repay(to, points);
        for (lot, points) in drawn {
            let kept = owed.min(points);
            owed -= kept;
            let (place, ends) = (self.next_place(), self.lots[lot].ends);
            self.lots.push(Lot { who: to, place, of: None, points: points - kept, waits: None, ends });
        }
    }

    fn merge(&mut self, gone: usize, kept: usize) {
        let alive = |who: usize| self.accounts[who].into.is_none();
        if gone == kept || !alive(gone) || !alive(kept) {
            return;
        }
        let left = self.buckets(gone);
        let worth = left.available + left.pending + left.reserved - left.debt;
        let own = self.spendable(kept);
        let theirs = self.spendable(gone);
        let old = std::mem::take(&mut self.accounts[gone]);
        let empty = Buckets { reserved: 0, debt: 0, transferred: old.sums.transferred - worth, ..old.sums };
        self.accounts[gone] = Account { sums: empty, into: Some(kept), ..Account::default() };
        let account = &mut self.accounts[kept];
        account.sums.transferred += worth;
        account.sums.reserved += left.reserved;
        account.sums.debt += if self.slip == Slip::MergeLeavesDebt { 0 } else { left.debt };
        account.frozen |= old.frozen;
        account.active_at = account.active_at.max(old.active_at);
        account.sources.extend(old.sources);
        account.deeds.extend(old.deeds);
        for (period, count) in old.times {
            *account.times.entry(period).or_default() += count;
        }
        // They join the others behind them, in their own order.
        let mut moved: Vec<_> = (0..self.lots.len()).filter(|lot| self.lots[*lot].who == gone).collect();
        moved.sort_by_key(|lot| self.lots[*lot].place);
        for lot in moved {
            self.lots[lot].place = self.next_place();
            self.lots[lot].who = kept;
        }
        let there: i64 = own.iter().chain(&theirs).map(|lot| self.lots[*lot].points).sum();
        let repaid = self.repay(kept, there);
        self.draw(&[own, theirs].concat(), repaid);
    }
}
