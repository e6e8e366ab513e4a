//! The same program at the real aggregates, with every policy run to its end after each step.
use std::collections::BTreeMap;

use domain::{
    Aggregate, Command, DueKind, Rejection, StreamRef,
    customer::MergeCustomers,
    loyalty_order::{self as order, AttachCustomer, DeleteOrder, ObserveOrder, RecordRefund, RefundFacts},
    points_account::{self as account, EarnSource, ExpiryRule},
    redemption::{CancelRedemption, CodeUse, FailRedemption, RecordCodeIssued, Status},
};
use event_schemas::{
    Code, CustomerId, Digest, EntryId, EventId, OrderId, Points, ProductId, ProductTag, RecordId,
    RedemptionId, RefundId, TimeZone, Timestamp, TransferId,
    loyalty_order::{EarnRule, OrderStage, RefundLine},
    merchant::{ActionLimit, Bonus, ExpiryMode, LimitPeriod, Pending, PendingPolicy, StoreCredit, WhenShort},
    points_account::Release,
    sample::usd,
};
use uuid::Uuid;

use super::{
    plain::Buckets,
    processes::Processes,
    program::{
        DAY, Ending, Kind, Line, Message, Order, PEOPLE, Policy, Program, Settings, Short, Stage, Step,
    },
};

/// No order costs more.
const TOTAL_MINOR: i64 = 10_000_000;
/// What a deed earns.
const ACT: i64 = 5;

pub(super) struct Shop<'a> {
    settings: &'a Settings,
    orders: &'a [Order],
    now: i64,
    records: u128,
    streams: BTreeMap<StreamRef, Aggregate>,
    pub(super) processes: Processes,
    /// Points that were earned and adjusted by hand.
    pub(super) by_hand: i64,
}

impl<'a> Shop<'a> {
    pub(super) fn new(program: &'a Program, processes: Processes) -> Self {
        let (settings, orders) = (&program.settings, &program.orders[..]);
        Self { settings, orders, now: 0, records: 0, streams: BTreeMap::new(), processes, by_hand: 0 }
    }

    pub(super) fn buckets(&self, who: usize) -> Buckets {
        let Some(account) = self.account(who) else { return Buckets::default() };
        let all = account.balances();
        Buckets {
            available: all.available.0,
            pending: all.pending.0,
            reserved: all.reserved.0,
            in_transit: all.in_transit.0,
            debt: all.debt.0,
            earned: all.lifetime_earned.0,
            redeemed: all.lifetime_redeemed.0,
            expired: all.lifetime_expired.0,
            clawed_back: all.lifetime_clawed_back.0,
            adjusted: all.lifetime_adjusted.0,
            voided: all.lifetime_voided.0,
            transferred: all.lifetime_transferred.0,
        }
    }

    pub(super) fn account(&self, who: usize) -> Option<&account::State> {
        match self.streams.get(&StreamRef::account(person(who))) {
            Some(Aggregate::PointsAccount(account)) => Some(account),
            _ => None,
        }
    }

    pub(super) fn aggregate(&self, stream: StreamRef) -> Option<&Aggregate> {
        self.streams.get(&stream)
    }

    pub(super) fn is_merged(&self, who: usize) -> bool {
        match self.streams.get(&StreamRef::customer(person(who))) {
            Some(Aggregate::Customer(customer)) => customer.merged_into().is_some(),
            _ => false,
        }
    }

    /// Points that an order's account has of it now, granted less taken back.
    pub(super) fn settled(&self, order: usize) -> i64 {
        let order = OrderId(id(1, order));
        let accounts = (0..PEOPLE).filter_map(|who| self.account(who)?.settled(order));
        let sum: i128 = accounts.map(|settled| settled.granted() - settled.clawed()).sum();
        i64::try_from(sum).unwrap()
    }

    /// How the redemption stands, with its points.
    pub(super) fn redemption(&self, redemption: u8) -> Option<(Status, i64)> {
        let who = person(usize::from(redemption) % PEOPLE);
        let stream = StreamRef::redemption(redemption_id(redemption), who);
        let Some(Aggregate::Redemption(state)) = self.streams.get(&stream) else { return None };
        Some((state.status()?, state.points()?.0))
    }

    // ── commands and policies ────────────────────────────────────────────────────────────────────────────────

    /// Sends a command, lets the policies do what follows from it, and tells whether it had any effect.
    ///
    /// What is refused has none; the model says so too, or the comparison fails.
    fn ask(&mut self, stream: StreamRef, command: impl Into<Command>) -> bool {
        let events = self.send(stream, &command.into()).unwrap_or_default();
        self.go_on();
        events > 0
    }

    /// Sends a command and tells how many events it led to.
    pub(super) fn send(&mut self, stream: StreamRef, command: &Command) -> Result<usize, Rejection> {
        let aggregate = self.streams.entry(stream).or_insert_with(|| Aggregate::new(command.stream_type()));
        let events = aggregate.decide(command)?;
        let count = events.len();
        self.records += 1;
        let record = RecordId(Uuid::from_u128(self.records));
        for (index, event) in (0_u16..).zip(events) {
            aggregate.evolve(&event).unwrap();
            self.processes.tell(EventId { record, index }, stream, &event);
        }
        Ok(count)
    }

    /// What a policy's sender fills in.
    pub(super) fn complete(&self, command: &mut Command) {
        let Command::PointsAccount(command) = command else { return };
        let at = time(self.now);
        let days = u32::try_from(self.settings.grace_days).unwrap();
        let grace = account::Grace { days, timezone: TimeZone::utc() };
        match command {
            // So that estates leave in several parts, with others in between. Debt is repaid by the part that brings points
            // first, and which one that is the model does not know.
            account::Command::MergeAccount(merge) => {
                let is_compared = !self.processes.are_late() && self.owes(merge.into);
                merge.part_max = if is_compared { account::ESTATE_PART_MAX } else { 3 };
            }
            account::Command::MoveEstatePart(next) => next.part_max = 2,
            account::Command::SettleOrder(settle) => {
                settle.when_short = match self.settings.short {
                    Short::Debt => WhenShort::Unlimited,
                    Short::WithinBalance => WhenShort::WithinBalance,
                    Short::OnlyPending => WhenShort::OnlyPending,
                };
                (settle.at, settle.expiry) = (at, self.expiry());
            }
            account::Command::ReleaseReservation(release) => {
                (release.at, release.grace) = (at, grace);
            }
            account::Command::ReinstatePoints(reinstate) => {
                (reinstate.at, reinstate.grace) = (at, grace);
                reinstate.expiry = self.expiry();
            }
            account::Command::TransferPointsIn(arrive) => (arrive.at, arrive.expiry) = (at, self.expiry()),
            account::Command::ReturnTransfer(back) => (back.at, back.grace) = (at, grace),
            _ => {}
        }
    }

    fn owes(&self, customer: CustomerId) -> bool {
        match self.streams.get(&StreamRef::account(customer)) {
            Some(Aggregate::PointsAccount(account)) => account.balances().debt.is_positive(),
            _ => false,
        }
    }

    fn expiry(&self) -> ExpiryRule {
        let (mode, months) = match self.settings.ending {
            Ending::Never => (ExpiryMode::None, 0),
            Ending::Lot(months) => (ExpiryMode::PerLot, months),
            Ending::Inactivity(months) => (ExpiryMode::Inactivity, months),
        };
        ExpiryRule { mode, months, timezone: TimeZone::utc() }
    }

    // ── steps ────────────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn deliver(&mut self, message: Message) {
        match message {
            Message::State { order, state } => {
                let observe = self.observe(&self.orders[order], order, state);
                self.ask_order(order, observe);
            }
            Message::Refund { order, refund } => {
                let refund = refunded(&self.orders[order], order, refund);
                self.ask_order(order, RecordRefund { refund });
            }
        }
    }

    fn ask_order(&mut self, order: usize, command: impl Into<order::Command>) {
        self.ask(StreamRef::order(OrderId(id(1, order))), command.into());
    }

    pub(super) fn take(&mut self, place: usize, messages: &[Message], step: &Step) {
        match step {
            Step::Deliver(which) => self.deliver(*which.get(messages)),
            Step::Attach { order, who } => {
                self.ask_order(order.index(self.orders.len()), AttachCustomer { customer: person(*who) });
            }
            Step::Delete { order } => {
                let currency = usd(0).currency;
                self.ask_order(order.index(self.orders.len()), DeleteOrder { currency });
            }
            Step::Pass { minutes } => self.pass(*minutes),
            Step::Nights { days } => self.pass(days * DAY - self.now % DAY),
            Step::Issue { redemption, succeeds } => self.issue(*redemption, *succeeds),
            Step::Cancel { redemption } => {
                let reason = Code::fixed("cancelled");
                self.ask_redemption(*redemption, CancelRedemption { reason, code: CodeUse::Unused });
            }
            Step::Merge { gone, kept } => self.merge(*gone, *kept),
            step => {
                let (who, command) = self.by_hand(place, step);
                let had_effect = self.ask(StreamRef::account(person(who)), command);
                match *step {
                    Step::Earn { points, .. } | Step::Adjust { points, .. } if had_effect => {
                        self.by_hand += points;
                    }
                    Step::Act { .. } if had_effect => self.by_hand += ACT,
                    _ => {}
                }
            }
        }
    }

    fn ask_redemption(&mut self, redemption: u8, command: impl Into<domain::redemption::Command>) {
        let who = person(usize::from(redemption) % PEOPLE);
        let stream = StreamRef::redemption(redemption_id(redemption), who);
        self.ask(stream, command.into());
    }

    fn issue(&mut self, redemption: u8, succeeds: bool) {
        if succeeds {
            self.ask_redemption(redemption, RecordCodeIssued { code: None, issuer: Code::fixed("local") });
        } else {
            self.ask_redemption(redemption, FailRedemption { reason: Code::fixed("failed") });
        }
    }

    /// Shopify merges people who are there, each once.
    fn merge(&mut self, gone: usize, kept: usize) {
        if gone != kept && !self.is_merged(gone) && !self.is_merged(kept) {
            let merge = MergeCustomers { into: person(kept) };
            self.ask(StreamRef::customer(person(gone)), domain::customer::Command::from(merge));
        }
    }

    /// Only accounts that say that they have something to do are asked, as by the schedule.
    fn pass(&mut self, minutes: i64) {
        let next_run = (self.now - 60).div_euclid(DAY) * DAY + DAY + 60;
        self.now += minutes;
        let (as_of, expiry) = (time(self.now), self.expiry());
        for who in self.due(&[DueKind::Release]) {
            let release = account::ReleasePendingPoints { as_of, expiry: expiry.clone() };
            self.ask(StreamRef::account(person(who)), account::Command::from(release));
        }
        if next_run <= self.now {
            let as_of = time((self.now - 60).div_euclid(DAY) * DAY + 60);
            for who in self.due(&[DueKind::Expiry, DueKind::Activity]) {
                let entry = EntryId(Uuid::new_v5(&person(who).0, &self.now.to_be_bytes()));
                let expire = account::ExpirePoints { entry, as_of, expiry: expiry.clone() };
                self.ask(StreamRef::account(person(who)), account::Command::from(expire));
            }
        }
    }

    fn due(&self, kinds: &[DueKind]) -> Vec<usize> {
        let is_due = |who: &usize| {
            let due = self.streams.get(&StreamRef::account(person(*who))).map(Aggregate::due);
            due.unwrap_or_default().iter().any(|due| kinds.contains(&due.kind) && due.at <= time(self.now))
        };
        (0..PEOPLE).filter(is_due).collect()
    }

    fn by_hand(&self, place: usize, step: &Step) -> (usize, account::Command) {
        let (at, expiry, entry) = (time(self.now), self.expiry(), EntryId(id(2, place)));
        let reason = Code::fixed("test");
        match *step {
            Step::Redeem { redemption, points } => {
                let reserve = account::ReservePoints {
                    redemption: redemption_id(redemption),
                    points: Points(points),
                    discount: usd(points),
                    rule_version: 1,
                    reward: None,
                    pos: None,
                    at,
                    expiry,
                };
                (usize::from(redemption) % PEOPLE, reserve.into())
            }
            Step::Transfer { from, to, points } => {
                let transfer = account::TransferPointsOut {
                    transfer: TransferId(id(3, place)),
                    from: person(from),
                    to: person(to),
                    points: Points(points),
                    reason,
                    note: None,
                    entry,
                    at,
                    expiry,
                };
                (from, transfer.into())
            }
            Step::Extend { who, days } => {
                let until = time(self.now + days * DAY);
                let (lots, note) = (None, None);
                (who, account::ExtendPointsExpiry { lots, until, reason, note, at, entry }.into())
            }
            Step::Freeze { who, frozen: true } => (who, account::FreezeAccount { reason, note: None }.into()),
            Step::Freeze { who, frozen: false } => (who, account::UnfreezeAccount { reason }.into()),
            _ => self.awarded_by_hand(entry, step),
        }
    }

    fn awarded_by_hand(&self, entry: EntryId, step: &Step) -> (usize, account::Command) {
        let (at, expiry, reason) = (time(self.now), self.expiry(), Code::fixed("test"));
        match *step {
            Step::Earn { who, source, points, wait_days } => {
                let earn = account::EarnPoints {
                    entry,
                    points: Points(points),
                    reason,
                    source: EarnSource::Api(Digest([source; 16])),
                    rule: None,
                    release: wait_days.map(|days| Release::At(time(self.now + days * DAY))),
                    at,
                    expiry,
                    reference: None,
                    content: content(points),
                };
                (who, earn.into())
            }
            Step::Act { who, deed, period } => {
                let act = account::RecordAction {
                    entry,
                    action: Code::fixed("review"),
                    points: Points(ACT),
                    limit: ActionLimit { count: 2, per: LimitPeriod::Year },
                    period: Code::try_new(format!("202{period}")).unwrap(),
                    source: Digest([deed; 16]),
                    at,
                    expiry,
                    reference: None,
                    content: content(ACT),
                };
                (who, act.into())
            }
            Step::Adjust { who, points, allow_negative } => {
                let adjust = account::AdjustPoints {
                    entry,
                    points: Points(points),
                    reason,
                    public_note: None,
                    internal_note: None,
                    allow_negative,
                    at,
                    expiry,
                    content: content(points),
                };
                (who, adjust.into())
            }
            _ => unreachable!("{step:?} is no command to an account"),
        }
    }

    // ── orders ───────────────────────────────────────────────────────────────────────────────────────────────

    fn observe(&self, order: &Order, number: usize, state: usize) -> ObserveOrder {
        let seen = &order.states[state];
        let lines = order.lines.iter().chain(&seen.more);
        ObserveOrder {
            updated_at: time(order.updated(state)),
            ordered_at: time(order.placed),
            paid_at: (seen.stage == Stage::Paid).then(|| time(order.placed)),
            fulfilled_at: order.fulfilled(state).map(time),
            stage: match seen.stage {
                Stage::Unpaid => OrderStage::Unpaid,
                Stage::Paid => OrderStage::Paid,
                Stage::Voided => OrderStage::Voided,
                Stage::Cancelled => OrderStage::Cancelled,
            },
            test: order.test,
            customer: (state >= order.named_from).then(|| person(order.buyer)),
            taxes_included: order.taxes_included,
            lines: lines.map(|line| sold(*line)).collect(),
            shipping: order::Shipping { minor: order.shipping.0, tax_minor: order.shipping.1 },
            total: usd(TOTAL_MINOR),
            codes_used: Vec::new(),
            refunds: (0..seen.refunds.min(order.refunds.len()))
                .map(|one| refunded(order, number, one))
                .collect(),
            rule: rule(self.settings),
        }
    }
}

fn rule(settings: &Settings) -> EarnRule {
    let bonuses = settings.bonuses.iter().enumerate().map(|(number, bonus)| Bonus {
        id: Code::try_new(format!("bonus-{number}")).unwrap(),
        multiplier: format!("{}.{}", bonus.tenths / 10, bonus.tenths % 10).parse().unwrap(),
        starts_at: None,
        ends_at: None,
        product_ids: Vec::new(),
        tags: if bonus.new_only { vec![tag("new")] } else { Vec::new() },
    });
    let (policy, days) = match settings.wait {
        Policy::Nothing => (PendingPolicy::Immediate, 0),
        Policy::DaysAfterPaid(days) => (PendingPolicy::DaysAfterPaid, days),
        Policy::Fulfilment => (PendingPolicy::OnFulfilled, 0),
        Policy::DaysAfterFulfilment(days) => (PendingPolicy::DaysAfterFulfilled, days),
    };
    EarnRule {
        version: 1,
        points_per_unit: format!("{}.{:02}", settings.rate / 100, settings.rate % 100).parse().unwrap(),
        include_tax: settings.include_tax,
        include_shipping: settings.include_shipping,
        excluded_product_ids: Vec::new(),
        excluded_tags: vec![tag("sale")],
        include_tips: settings.include_tips,
        include_gift_cards: settings.include_gift_cards,
        store_credit: if settings.keep_store_credit { StoreCredit::Keep } else { StoreCredit::ClawBack },
        pending: Pending { policy, days: u32::try_from(days).unwrap() },
        bonuses: bonuses.collect(),
        judged_product_ids: Vec::new(),
    }
}

fn sold(line: Line) -> order::Line {
    let tags = match line.kind {
        Kind::Sale => vec![tag("SALE")],
        Kind::New => vec![tag("new")],
        Kind::Goods | Kind::GiftCard | Kind::Tip => Vec::new(),
    };
    order::Line {
        product_id: product(line),
        gift_card: line.kind == Kind::GiftCard,
        tip: line.kind == Kind::Tip,
        tags,
        subtotal_minor: line.minor,
        tax_minor: line.tax,
    }
}

fn refunded(order: &Order, number: usize, refund: usize) -> RefundFacts {
    let told = &order.refunds[refund];
    let lines = order.back(told).map(|line| RefundLine {
        product_id: product(line),
        gift_card: line.kind == Kind::GiftCard,
        tip: line.kind == Kind::Tip,
        subtotal_minor: line.minor,
        tax_minor: line.tax,
    });
    let (shipping_minor, shipping_tax_minor) = if told.shipping { order.shipping } else { (0, 0) };
    RefundFacts {
        refund: RefundId(id(4, number * 100 + refund)),
        refunded_at: time(order.placed),
        currency: usd(0).currency,
        lines: lines.into_iter().collect(),
        shipping_minor,
        shipping_tax_minor,
        store_credit: told.store_credit,
        beyond_minor: told.beyond,
        beyond_tax_minor: 0,
    }
}

/// Each kind of goods is one product.
fn product(line: Line) -> Option<ProductId> {
    let number = match line.kind {
        Kind::Goods => "1",
        Kind::Sale => "2",
        Kind::New => "3",
        Kind::GiftCard => "4",
        Kind::Tip => return None,
    };
    Some(ProductId::try_new(number).unwrap())
}

fn tag(text: &str) -> ProductTag {
    ProductTag::try_new(text).unwrap()
}

/// 2026-01-31 and so many minutes.
fn time(minutes: i64) -> Timestamp {
    Timestamp::from_micros((1_769_817_600 + minutes * 60) * 1_000_000)
}

pub(super) fn person(who: usize) -> CustomerId {
    CustomerId(id(5, who))
}

fn redemption_id(redemption: u8) -> RedemptionId {
    RedemptionId(id(6, redemption.into()))
}

fn id(kind: u128, number: usize) -> Uuid {
    Uuid::from_u128(kind << 64 | number as u128)
}

fn content(points: i64) -> Digest {
    Digest(i128::from(points).to_be_bytes())
}
