//! Double entry: what each event moves between the accounts of a ledger. The postings of an event sum to zero.
use crate::{
    Points,
    catalogue::PointsAccountEvent as Event,
    points::Overflow,
    points_account::{
        Allocation, Balances, Estate, MovedLot, PointsAdjusted, PointsClawedBack, PointsEarned,
        ReservationPhase,
    },
    words,
};

words! {
    /// The accounts. Where points are and where they went stand with a plus, where they came from with a minus.
    Ledger {
        /// All that was earned, with a minus.
        Issued = "issued",
        /// Can be spent.
        Available = "available",
        /// Earned, not to be spent yet.
        Pending = "pending",
        /// Held while a reward is issued.
        Reserved = "reserved",
        /// Sent to another customer, and neither arrived nor came back yet.
        InTransit = "in-transit",
        /// What is owed, with a minus.
        Debt = "debt",
        /// Spent, less what was given back.
        Redeemed = "redeemed",
        /// Ended.
        Expired = "expired",
        /// What clawbacks were due to take, what was let go too.
        ClawedBack = "clawed-back",
        /// What of that was let go, with a minus.
        Forgiven = "forgiven",
        /// Pending points that were taken back.
        Voided = "voided",
        /// All adjustments with the other sign.
        Adjusted = "adjusted",
        /// What arrived at other accounts, less what arrived from there. A shop's sum is zero.
        Transferred = "transferred",
    }
}

/// A change of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The account.
    pub ledger: Ledger,
    /// Signed, never zero.
    pub points: Points,
}

impl Event {
    /// What the event moves, from its own parts alone; nothing for an event that moves no points.
    ///
    /// # Errors
    /// Its parts sum up to more than there can be.
    pub fn postings(&self) -> Result<Vec<Posting>, Overflow> {
        let mut book = Book::default();
        match self {
            Self::PointsAccountOpened(_)
            | Self::PointsReleaseScheduled(_)
            | Self::PointsExpiryExtended(_)
            | Self::PointsExpiryWarned(_)
            | Self::PointsAccountFrozen(_)
            | Self::PointsAccountUnfrozen(_)
            | Self::PointsAccountRedacted(_)
            | Self::OrderSettled(_) => {}
            Self::PointsEarned(event) => book.earned(event)?,
            Self::PointsReleased(event) => {
                book.take(Ledger::Pending, event.points)?;
                book.credit(event.points.minus(event.repaid)?, event.repaid);
            }
            Self::PointsVoided(event) => {
                book.take(Ledger::Pending, total(&event.allocations)?)?;
                book.put(Ledger::Voided, event.points);
            }
            Self::PointsClawedBack(event) => book.clawed_back(event)?,
            Self::PointsReserved(event) => {
                book.take(Ledger::Available, total(&event.allocations)?)?;
                book.put(Ledger::Reserved, event.points);
            }
            Self::PointsRedeemed(event) => {
                book.take(Ledger::Reserved, total(&event.allocations)?)?;
                book.put(Ledger::Redeemed, event.points);
            }
            Self::PointsReservationReleased(event) => {
                book.take(Ledger::Reserved, event.points)?;
                book.credit(total(&event.allocations)?, event.repaid);
            }
            Self::PointsReinstated(event) => {
                book.take(Ledger::Redeemed, event.points)?;
                book.credit(total(&event.allocations)?, event.repaid);
            }
            Self::PointsAdjusted(event) => book.adjusted(event)?,
            Self::PointsExpired(event) => {
                book.take(Ledger::Available, total(&event.allocations)?)?;
                book.put(Ledger::Expired, event.points);
            }
            Self::PointsTransferredOut(_)
            | Self::PointsTransferredIn(_)
            | Self::PointsTransferCompleted(_)
            | Self::PointsTransferReturned(_)
            | Self::PointsAccountMerged(_)
            | Self::EstatePartMoved(_)
            | Self::PointsAccountAbsorbed(_)
            | Self::EstatePartAbsorbed(_) => self.between_accounts(&mut book)?,
        }
        Ok(book.postings)
    }

    /// What leaves the account for another one, and what comes from there.
    fn between_accounts(&self, book: &mut Book) -> Result<(), Overflow> {
        match self {
            Self::PointsTransferredOut(event) => {
                book.take(Ledger::Available, moved(&event.lots)?)?;
                book.put(Ledger::InTransit, event.points);
            }
            Self::PointsTransferredIn(event) => {
                book.take(Ledger::Transferred, event.points)?;
                book.credit(moved(&event.lots)?, event.repaid);
            }
            Self::PointsTransferCompleted(event) => {
                book.take(Ledger::InTransit, event.points)?;
                book.put(Ledger::Transferred, event.points);
            }
            Self::PointsTransferReturned(event) => {
                book.take(Ledger::InTransit, event.points)?;
                book.credit(moved(&event.lots)?, event.repaid);
            }
            Self::PointsAccountMerged(event) => book.left(&event.estate)?,
            Self::EstatePartMoved(event) => book.left(&event.estate)?,
            Self::PointsAccountAbsorbed(event) => {
                book.absorbed(&event.estate, event.repaid, &event.allocations)?;
            }
            Self::EstatePartAbsorbed(event) => {
                book.absorbed(&event.estate, event.repaid, &event.allocations)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Balances {
    /// What the sum of all postings of an account must be, by its balances; the two of a clawback are told as one.
    ///
    /// # Errors
    /// A balance is the smallest number of all, which has no counterpart.
    pub fn ledger(&self) -> Result<Vec<Posting>, Overflow> {
        let mut book = Book::default();
        book.take(Ledger::Issued, self.lifetime_earned)?;
        book.put(Ledger::Available, self.available);
        book.put(Ledger::Pending, self.pending);
        book.put(Ledger::Reserved, self.reserved);
        book.put(Ledger::InTransit, self.in_transit);
        book.take(Ledger::Debt, self.debt)?;
        book.put(Ledger::Redeemed, self.lifetime_redeemed);
        book.put(Ledger::Expired, self.lifetime_expired);
        book.put(Ledger::ClawedBack, self.lifetime_clawed_back);
        book.put(Ledger::Voided, self.lifetime_voided);
        book.take(Ledger::Adjusted, self.lifetime_adjusted)?;
        book.take(Ledger::Transferred, self.lifetime_transferred.plus(self.in_transit)?)?;
        Ok(book.postings)
    }
}

#[derive(Default)]
struct Book {
    postings: Vec<Posting>,
}

impl Book {
    fn put(&mut self, ledger: Ledger, points: Points) {
        if !points.is_zero() {
            self.postings.push(Posting { ledger, points });
        }
    }

    fn take(&mut self, ledger: Ledger, points: Points) -> Result<(), Overflow> {
        self.put(ledger, points.negated()?);
        Ok(())
    }

    /// Points that can be spent, and points that repaid debt instead.
    fn credit(&mut self, available: Points, repaid: Points) {
        self.put(Ledger::Available, available);
        self.put(Ledger::Debt, repaid);
    }

    fn earned(&mut self, event: &PointsEarned) -> Result<(), Overflow> {
        self.take(Ledger::Issued, event.points)?;
        let rest = event.points.minus(event.repaid)?;
        if event.release.is_some() {
            self.put(Ledger::Pending, rest);
            self.put(Ledger::Debt, event.repaid);
        } else {
            self.credit(rest, event.repaid);
        }
        Ok(())
    }

    fn clawed_back(&mut self, event: &PointsClawedBack) -> Result<(), Overflow> {
        self.take(Ledger::Pending, total(&event.from_pending)?)?;
        self.take(Ledger::Available, total(&event.from_active)?)?;
        self.take(Ledger::Debt, event.to_debt)?;
        self.take(Ledger::Forgiven, event.forgiven)?;
        self.put(Ledger::ClawedBack, event.points);
        Ok(())
    }

    fn adjusted(&mut self, event: &PointsAdjusted) -> Result<(), Overflow> {
        self.take(Ledger::Adjusted, event.points)?;
        if event.points.is_positive() {
            self.credit(event.points.minus(event.repaid)?, event.repaid);
        }
        self.take(Ledger::Available, total(&event.allocations)?)?;
        self.take(Ledger::Debt, event.to_debt)
    }

    fn left(&mut self, estate: &Estate) -> Result<(), Overflow> {
        let worth = Worth::of(estate)?;
        self.take(Ledger::Available, worth.available)?;
        self.take(Ledger::Pending, worth.pending)?;
        self.take(Ledger::Reserved, worth.reserved)?;
        self.take(Ledger::InTransit, worth.in_transit)?;
        self.put(Ledger::Debt, estate.debt);
        self.put(Ledger::Transferred, worth.net(estate)?);
        Ok(())
    }

    fn absorbed(
        &mut self,
        estate: &Estate,
        repaid: Points,
        allocations: &[Allocation],
    ) -> Result<(), Overflow> {
        let worth = Worth::of(estate)?;
        self.put(Ledger::Available, worth.available.minus(total(allocations)?)?);
        self.put(Ledger::Pending, worth.pending);
        self.put(Ledger::Reserved, worth.reserved);
        self.put(Ledger::InTransit, worth.in_transit);
        self.put(Ledger::Debt, repaid.minus(estate.debt)?);
        self.take(Ledger::Transferred, worth.net(estate)?)
    }
}

/// What an estate holds, by bucket.
struct Worth {
    available: Points,
    pending: Points,
    reserved: Points,
    in_transit: Points,
}

impl Worth {
    fn of(estate: &Estate) -> Result<Self, Overflow> {
        let lots = |pending: bool| {
            let those = estate.lots.iter().filter(move |lot| lot.release.is_some() == pending);
            Points::sum(those.map(|lot| lot.points))
        };
        let held = estate.reservations.iter().filter(|one| one.phase == ReservationPhase::Reserved);
        Ok(Self {
            available: lots(false)?,
            pending: lots(true)?,
            reserved: Points::sum(held.map(|one| one.points))?,
            in_transit: Points::sum(estate.transfers.iter().map(|one| one.points))?,
        })
    }

    fn net(&self, estate: &Estate) -> Result<Points, Overflow> {
        Points::sum([self.available, self.pending, self.reserved, self.in_transit])?.minus(estate.debt)
    }
}

fn total(allocations: &[Allocation]) -> Result<Points, Overflow> {
    Points::sum(allocations.iter().map(|one| one.points))
}

fn moved(lots: &[MovedLot]) -> Result<Points, Overflow> {
    Points::sum(lots.iter().map(|one| one.points))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EVENTS, Event as Any};

    /// Seen to catch a clawback whose forgiven points were not posted.
    #[test]
    fn the_postings_of_every_sample_sum_to_zero() {
        let mut seen = 0;
        for kind in EVENTS {
            let sample = Any::decode(kind.number, kind.version, &(kind.sample)().unwrap()).unwrap();
            let Any::PointsAccount(event) = sample else { continue };
            let postings = event.postings().unwrap();
            let sum = Points::sum(postings.iter().map(|posting| posting.points)).unwrap();
            assert_eq!(sum, Points::ZERO, "{}: {postings:?}", kind.name);
            assert_eq!(postings.is_empty(), event.after().is_none(), "{}", kind.name);
            seen += 1;
        }
        assert!(seen > 20, "{seen} samples");
    }
}
