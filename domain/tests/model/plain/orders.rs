//! Orders in the plain model: what one comes to is granted and taken back, component by component.
use super::{Level, Lot, Model, Slip};
use crate::{
    program::Short,
    verdict::{Verdict, Waits},
};

impl Model<'_> {
    /// Settles an order to what is known of it now.
    pub(super) fn judge(&mut self, order: usize) {
        let verdict = self.known[order].verdict(self.settings, &self.orders[order], self.slip);
        if let Some(verdict) = self.known[order].news(verdict)
            && let Some(customer) = verdict.customer
        {
            self.settle(self.heir(customer), order, &verdict);
        }
    }

    fn settle(&mut self, who: usize, order: usize, verdict: &Verdict) {
        let mut levels = self.levels[order].clone();
        for component in 0..verdict.worth.len() {
            if levels.iter().all(|level| level.component != component) {
                levels.push(Level { component, granted: 0, taken: 0 });
            }
        }
        let due = |level: &Level| verdict.worth[level.component] - (level.granted - level.taken);
        for level in &mut levels {
            let less = -due(level);
            if less > 0 {
                self.take_back(who, (order, level.component), less);
                level.taken += less;
            }
        }
        self.reschedule(order, verdict.waits);
        for level in &mut levels {
            let more = due(level);
            if more > 0 {
                self.award(who, more, Some((order, level.component)), verdict.waits);
                level.granted += more;
            }
        }
        // Components are taken back in the order in which they first earned.
        levels.retain(|level| level.granted > 0);
        self.levels[order] = levels;
    }

    fn take_back(&mut self, who: usize, of: (usize, usize), points: i64) {
        let mut own: Vec<_> = (0..self.lots.len()).filter(|lot| self.lots[*lot].of == Some(of)).collect();
        own.sort_by_key(|lot| self.lots[*lot].place);
        let (waiting, active): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|lot| self.lots[*lot].waits.is_some());
        let waiting = if self.slip == Slip::PendingIsSpared { Vec::new() } else { waiting };
        let voided: i64 = self.draw(&waiting, points).iter().map(|(_, points)| points).sum();
        self.accounts[who].sums.voided += voided;
        let rest = points - voided;
        let lots = match self.settings.short {
            Short::OnlyPending => Vec::new(),
            Short::Debt | Short::WithinBalance => [active, self.spendable(who)].concat(),
        };
        let taken: i64 = self.draw(&lots, rest).iter().map(|(_, points)| points).sum();
        let owed = if self.settings.short == Short::Debt { rest - taken } else { 0 };
        let sums = &mut self.accounts[who].sums;
        sums.debt += owed;
        sums.clawed_back += taken + owed;
    }

    /// What the order's pending points wait for may have changed.
    fn reschedule(&mut self, order: usize, waits: Option<Waits>) {
        let waiting =
            |lot: &Lot| lot.of.is_some_and(|of| of.0 == order) && lot.waits.is_some() && lot.points > 0;
        let mut lots: Vec<_> = (0..self.lots.len()).filter(|lot| waiting(&self.lots[*lot])).collect();
        lots.sort_by_key(|lot| (self.lots[*lot].of.map(|of| of.1), self.lots[*lot].place));
        for lot in lots {
            match waits {
                None => self.release(lot),
                Some(Waits::Until(time)) if time <= self.now && self.slip != Slip::ReleaseWaitsForNobody => {
                    self.release(lot);
                }
                Some(_) => self.lots[lot].waits = waits,
            }
        }
    }
}
