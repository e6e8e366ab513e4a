//! The laws of one account, as its events can prove them: each movement against the balances before it, the business
//! keys and lots by folding the same events with the domain.
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::{
    Decider as _,
    points_account::{Lot, Phase, State},
};
use event_schemas::{
    Points, RedemptionId,
    catalogue::PointsAccountEvent as Event,
    points::Overflow,
    points_account::{Allocation, Balances, PointsAdjusted, PointsClawedBack, PointsEarned, Source},
};

/// An account as its events so far tell it.
#[derive(Default)]
pub(super) struct Account {
    state: State,
}

type Verdict = Result<(), String>;

impl Account {
    /// Takes the next event, or says which law it breaks.
    pub(super) fn take(&mut self, event: &Event) -> Verdict {
        if matches!(event, Event::PointsAccountOpened(_)) == self.state.opened() {
            return Err("an account is opened once, before anything moves".to_owned());
        }
        self.once(event)?;
        let before = self.state.balances();
        let told = told(before, event).map_err(|overflow| overflow.to_string())?;
        if let Some(Told { after, stated, split }) = told {
            law(split, "the parts of the movement do not sum to its points")?;
            if after != stated {
                return Err(format!("the balances after it should be {after:?}, and it says {stated:?}"));
            }
            double_entry(&stated)?;
        }
        let folded = catch_unwind(AssertUnwindSafe(|| self.state.evolve(event)));
        folded.map_err(|_| "the domain cannot fold the event".to_owned())
    }

    /// What holds at the end: every point that can be spent is in a lot, and every point of a lot is somewhere.
    pub(super) fn close(&self) -> Verdict {
        let Balances { available, reserved, .. } = self.state.balances();
        let sum = |part: fn(&Lot) -> Points| -> i128 {
            self.state.lots().map(|(_, lot)| i128::from(part(lot).0)).sum()
        };
        law(sum(|lot| lot.remaining) == i128::from(available.0), "the lots do not hold what can be spent")?;
        law(sum(|lot| lot.reserved) == i128::from(reserved.0), "the lots do not hold what is reserved")?;
        self.state.lots().try_for_each(|(_, lot)| {
            let parts = [lot.remaining, lot.reserved, lot.spent, lot.clawed_back, lot.repaid];
            let total: i128 = parts.iter().map(|part| i128::from(part.0)).sum();
            let sound = total == i128::from(lot.granted.0) && parts.iter().all(|part| part.0 >= 0);
            law(sound, "the parts of a lot are not what it was granted")
        })
    }

    /// Business keys count once, for ever; nothing is taken, spent or given back beyond what is there.
    fn once(&self, event: &Event) -> Verdict {
        match event {
            Event::PointsAccountOpened(_) => Ok(()),
            Event::PointsEarned(earned) => self.awarded_once(earned),
            Event::PointsClawedBack(clawed) => self.clawed_back_within(clawed),
            Event::PointsAdjusted(adjusted) => {
                law(self.state.entry(adjusted.entry).is_none(), "the adjustment was made before")
            }
            Event::PointsReserved(reserved) => {
                let enough = (1..=self.state.balances().available.0).contains(&reserved.points.0);
                law(enough, "more is reserved than can be spent")?;
                law(
                    self.state.reservation(reserved.redemption).is_none(),
                    "the redemption was reserved before",
                )
            }
            Event::PointsRedeemed(redeemed) => {
                self.ends(redeemed.redemption, Phase::Reserved, redeemed.points)
            }
            Event::PointsReservationReleased(released) => {
                self.ends(released.redemption, Phase::Reserved, released.points)
            }
            Event::PointsReinstated(back) => self.ends(back.redemption, Phase::Redeemed, back.points),
        }
    }

    fn awarded_once(&self, earned: &PointsEarned) -> Verdict {
        law(earned.points.is_positive(), "an award is not above zero")?;
        match &earned.source {
            Source::Order { order, version } => {
                let newer = self.state.settled(*order).is_none_or(|settled| settled.version < *version);
                law(newer, "the order was settled to this assessment before")
            }
            Source::Api { id } => {
                law(self.state.entry_for_source(id).is_none(), "the source was awarded before")
            }
        }
    }

    fn clawed_back_within(&self, clawed: &PointsClawedBack) -> Verdict {
        let Some(settled) = self.state.settled(clawed.order) else {
            return Err("points are taken back of an order that was never awarded".to_owned());
        };
        law(settled.version < clawed.version, "the order was settled to this assessment before")?;
        let net = i128::from(settled.granted.0) - i128::from(settled.clawed.0);
        law(i128::from(clawed.points.0) <= net, "more is taken back of an order than it was granted")
    }

    fn ends(&self, redemption: RedemptionId, phase: Phase, points: Points) -> Verdict {
        let Some(reservation) = self.state.reservation(redemption) else {
            return Err("the redemption was never reserved".to_owned());
        };
        law(reservation.phase == phase, "the redemption is not in the phase that this ends")?;
        law(reservation.points == points, "the redemption had other points")
    }
}

/// A movement: the balances that follow from its parts, those that it states, and whether its parts sum up.
struct Told {
    after: Balances,
    stated: Balances,
    split: bool,
}

/// What follows from the event's own parts; nothing for an opening.
fn told(mut all: Balances, event: &Event) -> Result<Option<Told>, Overflow> {
    let debt = all.debt;
    let (stated, split) = match event {
        Event::PointsAccountOpened(_) => return Ok(None),
        Event::PointsEarned(event) => {
            all.lifetime_earned = all.lifetime_earned.plus(event.points)?;
            credit(&mut all, event.points, event.repaid)?;
            (event.after, event.repaid == event.points.min(debt))
        }
        Event::PointsClawedBack(event) => (event.after, clawed_back(&mut all, event)?),
        Event::PointsReserved(event) => {
            all.available = all.available.minus(event.points)?;
            all.reserved = all.reserved.plus(event.points)?;
            (event.after, total(&event.allocations)? == event.points)
        }
        Event::PointsRedeemed(event) => {
            all.reserved = all.reserved.minus(event.points)?;
            all.lifetime_redeemed = all.lifetime_redeemed.plus(event.points)?;
            (event.after, total(&event.allocations)? == event.points)
        }
        Event::PointsReservationReleased(event) => {
            all.reserved = all.reserved.minus(event.points)?;
            credit(&mut all, event.points, event.repaid)?;
            let split = total(&event.allocations)?.plus(event.repaid)? == event.points;
            (event.after, split && event.repaid == event.points.min(debt))
        }
        Event::PointsReinstated(event) => {
            all.lifetime_redeemed = all.lifetime_redeemed.minus(event.points)?;
            credit(&mut all, event.points, event.repaid)?;
            let split = total(&event.allocations)?.plus(event.repaid)? == event.points;
            (event.after, split && event.repaid == event.points.min(debt))
        }
        Event::PointsAdjusted(event) => (event.after, adjusted(&mut all, event)?),
    };
    Ok(Some(Told { after: all, stated, split }))
}

fn clawed_back(all: &mut Balances, event: &PointsClawedBack) -> Result<bool, Overflow> {
    let (pending, active) = (total(&event.from_pending)?, total(&event.from_active)?);
    all.pending = all.pending.minus(pending)?;
    all.available = all.available.minus(active)?;
    all.debt = all.debt.plus(event.to_debt)?;
    let taken = event.points.minus(event.forgiven)?;
    all.lifetime_clawed_back = all.lifetime_clawed_back.plus(taken)?;
    Ok(Points::sum([pending, active, event.to_debt])? == taken && event.points.is_positive())
}

fn adjusted(all: &mut Balances, event: &PointsAdjusted) -> Result<bool, Overflow> {
    all.lifetime_adjusted = all.lifetime_adjusted.plus(event.points)?;
    if event.points.is_positive() {
        let repaid = event.points.min(all.debt);
        credit(all, event.points, event.repaid)?;
        return Ok(event.repaid == repaid && event.allocations.is_empty() && event.to_debt.is_zero());
    }
    let taken = total(&event.allocations)?;
    all.available = all.available.minus(taken)?;
    all.debt = all.debt.plus(event.to_debt)?;
    Ok(taken.plus(event.to_debt)? == event.points.negated()? && event.repaid.is_zero())
}

fn credit(all: &mut Balances, points: Points, repaid: Points) -> Result<(), Overflow> {
    all.debt = all.debt.minus(repaid)?;
    all.available = all.available.plus(points.minus(repaid)?)?;
    Ok(())
}

fn total(allocations: &[Allocation]) -> Result<Points, Overflow> {
    Points::sum(allocations.iter().map(|one| one.points))
}

/// Issued = outstanding + redeemed + expired + clawed back + voided; and nobody has points to spend and debt.
fn double_entry(all: &Balances) -> Verdict {
    let sum = |parts: &[Points]| -> i128 { parts.iter().map(|part| i128::from(part.0)).sum() };
    let issued = sum(&[all.lifetime_earned, all.lifetime_adjusted, all.lifetime_transferred]);
    let gone =
        sum(&[all.lifetime_redeemed, all.lifetime_expired, all.lifetime_clawed_back, all.lifetime_voided]);
    let outstanding = sum(&[all.available, all.pending, all.reserved]) - i128::from(all.debt.0);
    law(issued - gone == outstanding, "the points issued are not all accounted for")?;
    let buckets = [all.available, all.pending, all.reserved, all.debt];
    law(buckets.iter().all(|bucket| bucket.0 >= 0), "a bucket is below zero")?;
    law(all.available.is_zero() || all.debt.is_zero(), "there are points to spend beside debt")
}

fn law(holds: bool, otherwise: &str) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
