//! Three accounts that live through a program, with everything that happened to them.
use std::collections::BTreeMap;

use domain::{
    Decider, Rejection,
    points_account::{self as account, Command, EarnSource, ExpiryRule, Lot, Phase, State},
};
use event_schemas::{
    Code, CustomerId, Digest, EntryId, OrderId, Rate, RedemptionId, TimeZone, Timestamp, TransferId,
    catalogue::PointsAccountEvent as Event,
    loyalty_order::{BonusTarget, OrderStatus},
    merchant::{ActionLimit, LimitPeriod},
    points_account::{Balances, PointsTransferredOut, Release},
    sample::{REQUEST, usd},
};
use uuid::Uuid;

use super::commands::{Program, Step, Wait, day, points};

/// One event, with what an account shows before and after it.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) on: usize,
    pub(super) event: Event,
    pub(super) before: Shown,
    pub(super) after: Shown,
}

/// What an account shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) balances: Balances,
    pub(super) lots: Vec<Lot>,
    pub(super) held: i64,
    pub(super) frozen: bool,
    pub(super) merged: bool,
    pub(super) redacted: bool,
    pub(super) leaving: bool,
    pub(super) active_at: Option<Timestamp>,
}

impl Shown {
    fn of(state: &State) -> Self {
        let held = state.reservations().filter(|one| one.phase == Phase::Reserved);
        Self {
            balances: state.balances(),
            lots: state.lots().copied().collect(),
            held: held.map(|one| one.points.0).sum(),
            frozen: state.frozen(),
            merged: state.merged_into().is_some(),
            redacted: state.redacted(),
            leaving: state.is_leaving(),
            active_at: state.last_activity_at(),
        }
    }
}

/// How far a transfer came, as the one who sees to it knows.
#[derive(Debug)]
pub(super) struct Sent {
    from: usize,
    out: PointsTransferredOut,
    pub(super) arrived: Option<bool>,
    pub(super) ended: bool,
}

impl Sent {
    pub(super) const fn points(&self) -> i64 {
        self.out.points.0
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) rule: ExpiryRule,
    grace: account::Grace,
    pub(super) now: i64,
    pub(super) accounts: [State; 3],
    pub(super) sent: Vec<(usize, Command)>,
    pub(super) moments: Vec<Moment>,
    pub(super) transfers: BTreeMap<u8, Sent>,
    redeemed_on: BTreeMap<u8, usize>,
    /// Whose estate is on its way to whom, and what makes its next part leave.
    merging: BTreeMap<usize, (usize, Command)>,
    /// The newest version of each order and its levels.
    pub(super) levels: BTreeMap<OrderId, (u32, [i64; 2])>,
}

impl World {
    pub(super) fn played(program: &Program) -> Self {
        let timezone = TimeZone::try_new("Europe/Berlin").unwrap();
        let mut world = Self {
            grace: account::Grace { days: program.grace_days, timezone: timezone.clone() },
            rule: ExpiryRule { mode: program.mode, months: 1, timezone },
            now: 0,
            accounts: Default::default(),
            sent: Vec::new(),
            moments: Vec::new(),
            transfers: BTreeMap::new(),
            redeemed_on: BTreeMap::new(),
            merging: BTreeMap::new(),
            levels: BTreeMap::new(),
        };
        for (place, step) in program.steps.iter().enumerate() {
            world.take(place, step);
            world.next_parts();
        }
        (0..3).for_each(|on| world.finish(on));
        world
    }

    /// The events of an account, in order.
    pub(super) fn events(&self, on: usize) -> impl Iterator<Item = &Event> {
        self.moments.iter().filter(move |moment| moment.on == on).map(|moment| &moment.event)
    }

    /// Sends a command, and sends it on if its account was merged; tells whether it was accepted, and where.
    pub(super) fn send(&mut self, on: usize, command: &Command) -> Result<usize, Rejection> {
        if !matches!(command, Command::MergeAccount(_) | Command::MoveEstatePart(_)) {
            self.sent.push((on, command.clone()));
        }
        let mut on = on;
        let events = loop {
            match self.accounts[on].decide(command) {
                Err(Rejection::AccountMerged { into }) => {
                    // As whoever sends it on waits for the estate.
                    self.finish(on);
                    on = number(into);
                }
                answer => break answer?,
            }
        };
        for event in events {
            let before = Shown::of(&self.accounts[on]);
            self.accounts[on].evolve(&event);
            self.moments.push(Moment { on, event, before, after: Shown::of(&self.accounts[on]) });
        }
        Ok(on)
    }

    fn take(&mut self, place: usize, step: &Step) {
        let entry = EntryId(Uuid::from_u128(0xe0_0000 + place as u128));
        match step {
            Step::Days(days) => self.now += days,
            Step::Again(_) if self.sent.is_empty() => {}
            Step::Again(which) => {
                let (on, command) = which.get(&self.sent).clone();
                // What a person does not ask again is seen to by a process, which keeps its order.
                if asked(&command) {
                    let (on, command) = self.asked_anew(on, command, place, entry);
                    let _ = self.send(on, &command);
                }
            }
            Step::Send { on, transfer, points } => self.transfer(usize::from(*on), *transfer, *points, entry),
            Step::Arrive(transfer) => self.arrive(*transfer, entry),
            Step::EndTransfer(transfer) => self.end_transfer(*transfer, entry),
            Step::Merge { on, into } => self.merge(usize::from(*on), usize::from(*into), entry),
            step => {
                let on = self.on(step);
                if let Step::Reserve { redemption, .. } = step {
                    self.redeemed_on.entry(*redemption).or_insert(on);
                }
                let command = self.command(place, entry, step);
                let _ = self.send(on, &command);
            }
        }
    }

    /// Every other repeat is a new request for the same, from somebody who knows whose account goes on.
    fn asked_anew(&mut self, on: usize, command: Command, place: usize, entry: EntryId) -> (usize, Command) {
        let anew = match command {
            Command::EarnPoints(one) => account::EarnPoints { entry, ..one }.into(),
            Command::RecordAction(one) => account::RecordAction { entry, ..one }.into(),
            other => return (on, other),
        };
        let mut goes_on = on;
        while let Some(into) = self.accounts[goes_on].merged_into() {
            self.finish(goes_on);
            goes_on = number(into);
        }
        if place.is_multiple_of(2) { (on, anew) } else { (goes_on, anew) }
    }

    fn on(&self, step: &Step) -> usize {
        let redeemed = |number: &u8| self.redeemed_on.get(number).copied().unwrap_or(0);
        match step {
            Step::Settle { order, .. } => usize::from(*order % 3),
            Step::Reserve { redemption, on, .. } => {
                self.redeemed_on.get(redemption).copied().unwrap_or(usize::from(*on))
            }
            Step::Commit(number) | Step::Release(number) | Step::Reinstate(number) => redeemed(number),
            Step::Earn { on, .. }
            | Step::Act { on, .. }
            | Step::Adjust { on, .. }
            | Step::Extend { on, .. }
            | Step::ReleasePending(on)
            | Step::Expire(on)
            | Step::Warn(on)
            | Step::Freeze(on)
            | Step::Unfreeze(on)
            | Step::Redact(on) => usize::from(*on),
            _ => 0,
        }
    }

    fn command(&mut self, place: usize, entry: EntryId, step: &Step) -> Command {
        let (at, expiry) = (day(self.now), self.rule.clone());
        let reason = Code::fixed("test");
        match *step {
            Step::Settle { .. } => self.settle(place, step),
            Step::Earn { on, source, points: many, release } => account::EarnPoints {
                entry,
                points: points(many),
                reason,
                source: EarnSource::Api(Digest([on * 16 + source; 16])),
                rule: None,
                release: self.release(release),
                at,
                expiry,
                reference: None,
                content: content(many),
            }
            .into(),
            Step::Act { on, deed, period } => account::RecordAction {
                entry,
                action: Code::fixed("review"),
                points: points(5),
                limit: ActionLimit { count: 2, per: LimitPeriod::Year },
                period: Code::try_new(format!("202{period}")).unwrap(),
                source: Digest([on * 16 + deed; 16]),
                at,
                expiry,
                reference: None,
                content: content(5),
            }
            .into(),
            Step::Adjust { points: many, allow_negative, .. } => account::AdjustPoints {
                entry,
                points: points(many),
                reason,
                public_note: None,
                internal_note: None,
                allow_negative,
                at,
                expiry,
                content: content(many),
            }
            .into(),
            Step::Reserve { redemption, points: many, .. } => account::ReservePoints {
                redemption: id(redemption),
                points: points(many),
                discount: usd(many),
                rule_version: 1,
                reward: None,
                pos: None,
                at,
                expiry,
            }
            .into(),
            _ => self.job(entry, step),
        }
    }

    fn job(&self, entry: EntryId, step: &Step) -> Command {
        let (at, expiry, grace) = (day(self.now), self.rule.clone(), self.grace.clone());
        let reason = Code::fixed("test");
        match *step {
            Step::Commit(number) => account::CommitRedemption { redemption: id(number), entry }.into(),
            Step::Release(number) => {
                account::ReleaseReservation { redemption: id(number), reason, at, grace }.into()
            }
            Step::Reinstate(number) => {
                account::ReinstatePoints { redemption: id(number), entry, reason, at, grace, expiry }.into()
            }
            Step::ReleasePending(_) => account::ReleasePendingPoints { as_of: at, expiry }.into(),
            Step::Expire(_) => account::ExpirePoints { entry, as_of: at, expiry }.into(),
            Step::Warn(_) => account::WarnOfExpiry { as_of: at, expiry }.into(),
            Step::Extend { days, .. } => {
                let until = day(self.now + days);
                account::ExtendPointsExpiry { lots: None, until, reason, note: None, at, entry }.into()
            }
            Step::Redact(_) => account::RedactAccount { request: REQUEST }.into(),
            Step::Freeze(_) => account::FreezeAccount { reason, note: None }.into(),
            _ => account::UnfreezeAccount { reason }.into(),
        }
    }

    fn settle(&mut self, place: usize, step: &Step) -> Command {
        let Step::Settle { order, target, bonus, late, release, when_short } = *step else { unreachable!() };
        let place = u32::try_from(place).unwrap();
        let (order, version) =
            (OrderId(Uuid::from_u128(order.into())), if late { place / 2 } else { place } + 1);
        let newest = self.levels.entry(order).or_default();
        if version > newest.0 {
            *newest = (version, [target, bonus]);
        }
        let bonus = BonusTarget {
            rule: Code::fixed("double"),
            multiplier: Rate::ONE,
            eligible: usd(0),
            target: points(bonus),
        };
        account::SettleOrder {
            customer: customer(0),
            order,
            version,
            target: points(target),
            status: OrderStatus::Qualified,
            eligible: usd(0),
            refunded: usd(0),
            rate: Rate::ONE,
            rule_version: 1,
            release: self.release(release),
            bonuses: vec![bonus],
            when_short,
            at: day(self.now),
            expiry: self.rule.clone(),
            reference: None,
            content: content(target),
        }
        .into()
    }

    fn release(&self, wait: Wait) -> Option<Release> {
        match wait {
            Wait::Nothing => None,
            Wait::Fulfilment => Some(Release::AwaitingFulfilment),
            Wait::Days(days) => Some(Release::At(day(self.now + days))),
        }
    }

    fn transfer(&mut self, on: usize, transfer: u8, many: i64, entry: EntryId) {
        let to = (on + 1) % 3;
        let command = account::TransferPointsOut {
            transfer: transfer_id(transfer),
            from: customer(on),
            to: customer(to),
            points: points(many),
            reason: Code::fixed("gift"),
            note: None,
            entry,
            at: day(self.now),
            expiry: self.rule.clone(),
        };
        let seen = self.moments.len();
        if self.transfers.contains_key(&transfer) || self.send(on, &command.into()).is_err() {
            return;
        }
        let out = self.moments[seen..].iter().find_map(|moment| match &moment.event {
            Event::PointsTransferredOut(out) => Some(out.clone()),
            _ => None,
        });
        if let Some(out) = out {
            self.transfers.insert(transfer, Sent { from: on, out, arrived: None, ended: false });
        }
    }

    /// The other side takes the points or refuses them; if it refused them, they stay refused.
    fn arrive(&mut self, transfer: u8, entry: EntryId) {
        let Some(sent) = self.transfers.get(&transfer).filter(|sent| sent.arrived != Some(false)) else {
            return;
        };
        let (out, from) = (&sent.out, sent.from);
        let to = number(out.to);
        let command = account::TransferPointsIn {
            transfer: out.transfer,
            from: customer(from),
            points: out.points,
            lots: out.lots.clone(),
            entry,
            at: day(self.now),
            expiry: self.rule.clone(),
        };
        let arrived = self.send(to, &command.into()).is_ok();
        if let Some(sent) = self.transfers.get_mut(&transfer) {
            sent.arrived = Some(sent.arrived == Some(true) || arrived);
        }
    }

    fn end_transfer(&mut self, transfer: u8, entry: EntryId) {
        let Some(sent) = self.transfers.get(&transfer) else { return };
        let (on, transfer_id, at) = (sent.from, sent.out.transfer, day(self.now));
        let command = match sent.arrived {
            None => return,
            Some(true) => account::CompleteTransfer { transfer: transfer_id }.into(),
            Some(false) => {
                let (reason, grace) = (Code::fixed("refused"), self.grace.clone());
                account::ReturnTransfer { transfer: transfer_id, entry, reason, at, grace }.into()
            }
        };
        let ended = self.send(on, &command);
        assert!(ended.is_ok(), "a transfer always ends: {ended:?}");
        if let Some(sent) = self.transfers.get_mut(&transfer) {
            sent.ended = true;
        }
    }

    fn merge(&mut self, on: usize, into: usize, entry: EntryId) {
        let goes_on =
            self.accounts[into].merged_into().is_none() && self.accounts[on].merged_into().is_none();
        if on == into || !goes_on {
            return;
        }
        if self.accounts[on].redacted() {
            // An erasure takes in whoever the person was merged into.
            let _ = self.send(into, &account::RedactAccount { request: REQUEST }.into());
        }
        let part_max = [1, 3, account::ESTATE_PART_MAX][usize::from(entry.bytes()[15] % 3)];
        let merge = account::MergeAccount { customer: customer(on), into: customer(into), entry, part_max };
        self.part(on, into, &merge.into());
    }

    /// One more part of every estate that is on its way; what a program does comes in between.
    fn next_parts(&mut self) {
        for (on, (into, next)) in self.merging.clone() {
            // Another part may have gone on behind one before it.
            if self.merging.get(&on).is_some_and(|(_, asked)| *asked == next) {
                self.part(on, into, &next);
            }
        }
    }

    fn finish(&mut self, on: usize) {
        while let Some((into, next)) = self.merging.get(&on).cloned() {
            self.part(on, into, &next);
        }
    }

    /// A part leaves and arrives.
    fn part(&mut self, on: usize, into: usize, command: &Command) {
        assert_eq!(self.send(on, command), Ok(on));
        let (part, estate) = match self.moments.last().map(|moment| &moment.event) {
            Some(Event::EstatePartMoved(moved)) => (Some(moved.part), moved.estate.clone()),
            Some(Event::PointsAccountMerged(merged)) => (None, merged.estate.clone()),
            other => panic!("{command:?} came to {other:?}"),
        };
        let entry = EntryId(Uuid::new_v5(&customer(on).0, &part.unwrap_or_default().to_be_bytes()));
        match part {
            None => drop(self.merging.remove(&on)),
            Some(part) => {
                let next = account::MoveEstatePart { part: part + 1, part_max: 1 + part % 3, entry };
                self.merging.insert(on, (into, next.into()));
            }
        }
        let absorb = account::AbsorbAccount { from: customer(on), part, estate, entry };
        let taken_in = self.send(into, &absorb.into());
        assert!(taken_in.is_ok(), "{taken_in:?}");
    }
}

/// Whether a person or a program may ask the same again.
fn asked(command: &Command) -> bool {
    !matches!(
        command,
        Command::TransferPointsIn(_)
            | Command::CompleteTransfer(_)
            | Command::ReturnTransfer(_)
            | Command::TransferPointsOut(_)
    )
}

fn id(redemption: u8) -> RedemptionId {
    RedemptionId(Uuid::from_u128(redemption.into()))
}

fn transfer_id(transfer: u8) -> TransferId {
    TransferId(Uuid::from_u128(0x7000 + u128::from(transfer)))
}

pub(super) fn customer(number: usize) -> CustomerId {
    CustomerId(Uuid::from_u128(number as u128))
}

fn number(customer: CustomerId) -> usize {
    usize::try_from(customer.0.as_u128()).unwrap()
}

fn content(points: i64) -> Digest {
    Digest(i128::from(points).to_be_bytes())
}
