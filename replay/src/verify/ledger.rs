//! The laws of one account, as its events can prove them: double entry, every lot's history, and business keys that
//! count once. What the domain makes of the same events must agree.
mod keys;
mod lots;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use domain::{
    Decider as _,
    points_account::{CUSTOMER_ERASED, State},
};
use event_schemas::{
    Overflow, Points,
    catalogue::PointsAccountEvent as Event,
    points_account::{Balances, Ledger, Posting},
};

use self::{keys::Keys, lots::Lots};
use super::Check;

/// An account as its events so far tell it.
#[derive(Default)]
pub(super) struct Account {
    opened: bool,
    /// A part of its estate left.
    leaving: bool,
    merged: bool,
    redacted: bool,
    sums: BTreeMap<Ledger, i128>,
    stated: Balances,
    keys: Keys,
    lots: Lots,
    domain: State,
}

/// Which check a law belongs to, and what is broken.
pub(super) type Verdict = Result<(), (Check, String)>;

impl Account {
    /// Takes the next event, or says which law it breaks.
    pub(super) fn take(&mut self, event: &Event) -> Verdict {
        let ledger = |reason: String| (Check::Ledger, reason);
        self.in_order(event).map_err(ledger)?;
        self.keys.once(event).map_err(ledger)?;
        self.debt_first(event).map_err(ledger)?;
        self.double_entry(event).map_err(ledger)?;
        self.lots.take(event).map_err(|reason| (Check::Lots, reason))?;
        self.fold(event).map_err(ledger)
    }

    /// What holds at the end: every point is in a lot, and the domain sees the same lots.
    pub(super) fn close(&self) -> Verdict {
        let told = self.lots.close(&self.stated).and_then(|()| self.lots.compare(self.domain.lots()));
        told.map_err(|reason| (Check::Lots, reason))
    }

    fn in_order(&mut self, event: &Event) -> Result<(), String> {
        if matches!(event, Event::PointsAccountRedacted(_)) {
            // It tells of the person, whatever became of the account.
            let told = self.redacted;
            self.redacted = true;
            return law(!told, "the account's customer is erased once");
        }
        law(
            !self.redacted || outlives_erasure(event),
            "the account's customer was erased, and nothing more is asked of it",
        )?;
        let opening = matches!(event, Event::PointsAccountOpened(_));
        law(opening != self.opened, "an account is opened once, before anything moves")?;
        self.opened = true;
        law(!self.merged, "the account was merged into another one, where everything goes on")?;
        let leaves = matches!(event, Event::EstatePartMoved(_) | Event::PointsAccountMerged(_));
        law(leaves || !self.leaving, "the account leaves its estate, and nothing else happens to it")?;
        self.leaving |= leaves;
        self.merged = matches!(event, Event::PointsAccountMerged(_));
        Ok(())
    }

    /// Whatever can be spent repays debt first, as far as there is any; pending points repay nothing yet.
    fn debt_first(&self, event: &Event) -> Result<(), String> {
        let (points, repaid) = match event {
            Event::PointsEarned(event) if event.release.is_some() => (Points::ZERO, event.repaid),
            Event::PointsEarned(event) => (event.points, event.repaid),
            Event::PointsReleased(event) => (event.points, event.repaid),
            Event::PointsReservationReleased(event) => (event.points, event.repaid),
            Event::PointsReinstated(event) => (event.points, event.repaid),
            Event::PointsAdjusted(event) => (event.points.max(Points::ZERO), event.repaid),
            Event::PointsTransferredIn(event) => (event.points, event.repaid),
            Event::PointsTransferReturned(event) => (event.points, event.repaid),
            _ => return Ok(()),
        };
        law(
            repaid == points.min(self.stated.debt),
            "the parts of the movement do not sum up: debt is repaid first",
        )
    }

    /// The event's postings sum to zero, and all of them so far to the balances that it states.
    fn double_entry(&mut self, event: &Event) -> Result<(), String> {
        let postings = event.postings().map_err(|overflow| overflow.to_string())?;
        let sum: i128 = postings.iter().map(|posting| i128::from(posting.points.0)).sum();
        law(sum == 0, "the parts of the movement do not sum to its points")?;
        for Posting { ledger, points } in postings {
            *self.sums.entry(ledger).or_default() += i128::from(points.0);
        }
        let Some(stated) = event.after() else { return Ok(()) };
        let expected = self.balances().map_err(|overflow| overflow.to_string())?;
        if expected != *stated {
            return Err(format!("the balances after it should be {expected:?}, and it says {stated:?}"));
        }
        self.stated = *stated;
        sound(stated)
    }

    /// The balances that follow from all postings.
    fn balances(&self) -> Result<Balances, Overflow> {
        let sum =
            |ledgers: &[Ledger]| -> i128 { ledgers.iter().filter_map(|ledger| self.sums.get(ledger)).sum() };
        let plus = |ledgers: &[Ledger]| i64::try_from(sum(ledgers)).map(Points).map_err(|_| Overflow);
        let minus = |ledgers: &[Ledger]| i64::try_from(-sum(ledgers)).map(Points).map_err(|_| Overflow);
        Ok(Balances {
            available: plus(&[Ledger::Available])?,
            pending: plus(&[Ledger::Pending])?,
            reserved: plus(&[Ledger::Reserved])?,
            in_transit: plus(&[Ledger::InTransit])?,
            debt: minus(&[Ledger::Debt])?,
            lifetime_earned: minus(&[Ledger::Issued])?,
            lifetime_redeemed: plus(&[Ledger::Redeemed])?,
            lifetime_expired: plus(&[Ledger::Expired])?,
            lifetime_clawed_back: plus(&[Ledger::ClawedBack, Ledger::Forgiven])?,
            lifetime_adjusted: minus(&[Ledger::Adjusted])?,
            lifetime_voided: plus(&[Ledger::Voided])?,
            lifetime_transferred: minus(&[Ledger::Transferred, Ledger::InTransit])?,
        })
    }

    fn fold(&mut self, event: &Event) -> Result<(), String> {
        let folded = catch_unwind(AssertUnwindSafe(|| self.domain.evolve(event)));
        folded.map_err(|_| "the domain cannot fold the event".to_owned())?;
        law(self.domain.balances() == self.stated, "the domain folds the event to other balances")
    }
}

/// Whether time brings it, or something that began before must come to its end.
fn outlives_erasure(event: &Event) -> bool {
    if let Event::PointsVoided(voided) = event {
        return voided.reason.as_str() == CUSTOMER_ERASED;
    }
    matches!(
        event,
        Event::PointsAccountOpened(_)
            | Event::PointsReleased(_)
            | Event::PointsExpired(_)
            | Event::PointsRedeemed(_)
            | Event::PointsReservationReleased(_)
            | Event::PointsReinstated(_)
            | Event::PointsTransferCompleted(_)
            | Event::PointsTransferReturned(_)
            | Event::EstatePartMoved(_)
            | Event::PointsAccountMerged(_)
            | Event::EstatePartAbsorbed(_)
            | Event::PointsAccountAbsorbed(_)
    )
}

/// No bucket is below zero, and nobody has points to spend beside debt.
fn sound(all: &Balances) -> Result<(), String> {
    let buckets = [all.available, all.pending, all.reserved, all.in_transit, all.debt];
    law(buckets.iter().all(|bucket| bucket.0 >= 0), "a bucket is below zero")?;
    law(all.available.is_zero() || all.debt.is_zero(), "there are points to spend beside debt")
}

fn law(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
