//! What each event makes of the account. Sums were checked by the decision and stand in the event.
use event_schemas::{
    EntryId, Points,
    catalogue::PointsAccountEvent as Event,
    points_account::{
        LotExpiry, MovedLot, PointsAccountMerged, PointsAdjusted, PointsClawedBack, PointsEarned,
        PointsExpired, PointsExpiryWarned, PointsRedeemed, PointsReinstated, PointsReleaseScheduled,
        PointsReleased, PointsReservationReleased, PointsReserved, PointsTransferReturned,
        PointsTransferredIn, PointsTransferredOut, PointsVoided, Source,
    },
};

use super::{
    Entry, Level, Lot, Phase, Reservation, Rule, State,
    keys::Key,
    lots::Held,
    orders::OwnLot,
    reservations::Spent,
    transfers::{Transfer, Transit},
    warn_of_expiry::{WARNING_DAYS, days_before},
};
use crate::planted::{self, Bug};

impl State {
    pub(super) fn take_in(&mut self, event: &Event) {
        match event {
            Event::PointsAccountOpened(_) => self.opened = true,
            Event::PointsEarned(event) => self.earned(event),
            Event::PointsReleaseScheduled(event) => self.scheduled(event),
            Event::PointsReleased(event) => self.made_active(event),
            Event::PointsVoided(event) => self.voided(event),
            Event::PointsClawedBack(event) => self.clawed_back(event),
            Event::OrderSettled(event) => self.orders.entry(event.order).or_default().version = event.version,
            Event::PointsAdjusted(event) => self.adjusted(event),
            Event::PointsReserved(event) => self.reserved(event),
            Event::PointsRedeemed(event) => self.redeemed(event),
            Event::PointsReservationReleased(event) => self.released(event),
            Event::PointsReinstated(event) => self.reinstated(event),
            Event::PointsExpired(event) => self.expired(event),
            Event::PointsExpiryExtended(event) => {
                for one in &event.lots {
                    self.lots.change(one.lot, |lot| lot.expires_at = Some(one.expires_at));
                }
                self.date_held(&event.lots);
            }
            Event::PointsExpiryWarned(event) => self.told(event),
            Event::PointsTransferredOut(event) => self.sent(event),
            Event::PointsTransferredIn(event) => self.received(event),
            Event::PointsTransferCompleted(event) => {
                self.transfers.insert(event.transfer, Transfer::Completed);
            }
            Event::PointsTransferReturned(event) => self.returned(event),
            Event::PointsAccountMerged(event) => self.ended(event),
            Event::PointsAccountAbsorbed(event) => self.absorb_last(event),
            Event::EstatePartMoved(event) => self.part_moved(event),
            Event::EstatePartAbsorbed(event) => self.absorb_part(event),
            Event::PointsAccountFrozen(_) => self.frozen = true,
            Event::PointsAccountUnfrozen(_) => self.frozen = false,
            Event::PointsAccountRedacted(_) => self.redacted = true,
        }
        self.forget_what_was_asked();
        if let Some(after) = event.after() {
            if self.balances.available.is_zero() && after.available.is_positive() {
                // Or what comes to an account that nobody used for long would be over before it can be spent.
                self.last_activity_at = self.last_activity_at.max(event.at());
            }
            self.balances = *after;
        }
    }

    fn earned(&mut self, event: &PointsEarned) {
        let place = self.lots.grant(Lot {
            entry: event.entry,
            points: Points(event.points.0 - event.repaid.0),
            release: event.release,
            expires_at: event.expires_at,
        });
        self.last_activity_at = self.last_activity_at.max(event.at);
        if let Source::Order { order, version } = event.source {
            let settled = self.orders.entry(order).or_default();
            settled.version = version;
            let level =
                settled.level_mut(&event.rule.as_ref().map_or(Rule::Purchase, |used| Rule::of(&used.rule)));
            level.granted.0 += event.points.0;
            level.lots.extend(place.map(|place| OwnLot { place, version }));
        }
        if let Source::Action { action, period, .. } = &event.source {
            *self.actions.entry((action.clone(), period.clone())).or_default() += 1;
        }
        if let Some(key) = Key::of(&event.source) {
            let (entry, points, after) = (event.entry, event.points, event.after);
            self.keys.insert(key, Entry { entry, points, after, content: Some(event.content) });
        }
    }

    fn scheduled(&mut self, event: &PointsReleaseScheduled) {
        self.orders.entry(event.order).or_default().version = event.version;
        for lot in &event.lots {
            self.lots.change(*lot, |lot| lot.release = Some(event.release()));
        }
    }

    fn made_active(&mut self, event: &PointsReleased) {
        self.lots.change(event.lot, |lot| {
            lot.points = Points(event.points.0 - event.repaid.0);
            lot.release = lot.release.filter(|_| planted::is(Bug::ReleaseLeavesPending));
            lot.expires_at = event.expires_at;
        });
    }

    fn voided(&mut self, event: &PointsVoided) {
        self.lots.draw(&event.allocations);
        let settled = self.orders.entry(event.order).or_default();
        settled.version = event.version;
        if !planted::is(Bug::VoidForgotten) {
            settled.level_mut(&Rule::of(&event.rule)).clawed.0 += event.points.0;
        }
    }

    fn clawed_back(&mut self, event: &PointsClawedBack) {
        self.lots.draw(&event.from_pending);
        self.lots.draw(&event.from_active);
        let settled = self.orders.entry(event.order).or_default();
        settled.version = event.version;
        let Level { clawed, .. } = settled.level_mut(&Rule::of(&event.rule));
        clawed.0 += event.points.0;
    }

    fn adjusted(&mut self, event: &PointsAdjusted) {
        if event.points.is_positive() {
            let points = Points(event.points.0 - event.repaid.0);
            self.lots.grant(Lot { entry: event.entry, points, release: None, expires_at: event.expires_at });
        }
        self.lots.draw(&event.allocations);
        let (entry, points, after) = (event.entry, event.points, event.after);
        let content = Some(event.content);
        self.keys.insert(Key::Adjustment(entry), Entry { entry, points, after, content });
    }

    fn reserved(&mut self, event: &PointsReserved) {
        self.last_activity_at = self.last_activity_at.max(event.at);
        let reservation = Reservation {
            points: event.points,
            discount: event.discount,
            after: event.after,
            phase: Phase::Reserved,
            held: self.lots.hold(&event.allocations),
            spent: None,
        };
        self.reservations.insert(event.redemption, reservation);
    }

    fn redeemed(&mut self, event: &PointsRedeemed) {
        if let Some(reservation) = self.reservations.get_mut(&event.redemption) {
            reservation.phase = Phase::Redeemed;
            reservation.spent = Some(Spent { entry: event.entry, after: event.after });
        }
    }

    fn released(&mut self, event: &PointsReservationReleased) {
        if let Some(reservation) = self.reservations.get_mut(&event.redemption) {
            reservation.phase = Phase::Released;
            let held = std::mem::take(&mut reservation.held);
            self.come_back(&held, &event.allocations, &event.expiries);
        }
    }

    fn reinstated(&mut self, event: &PointsReinstated) {
        if let Some(reservation) = self.reservations.get_mut(&event.redemption) {
            reservation.phase = Phase::Reinstated;
            let held = std::mem::take(&mut reservation.held);
            self.come_back(&held, &event.allocations, &event.expiries);
        }
    }

    fn expired(&mut self, event: &PointsExpired) {
        self.lots.draw(&event.allocations);
        self.warned.retain(|date, _| *date > event.as_of);
    }

    fn told(&mut self, event: &PointsExpiryWarned) {
        // A warning comes at most so many days early, so what lies before is over.
        let over = days_before(event.expires_at, WARNING_DAYS[0]);
        self.warned.retain(|date, _| *date >= over);
        self.warned.insert(event.expires_at, event.days);
    }

    fn sent(&mut self, event: &PointsTransferredOut) {
        let held = event.lots.iter().filter_map(|MovedLot { lot, points, expires_at }| {
            let place = self.lots.place(*lot)?;
            Some(Held { place, entry: *lot, points: *points, expires_at: *expires_at })
        });
        let held: Vec<_> = held.collect();
        self.lots.draw(&super::reservations::allocations(&held));
        let transit = Transit { to: event.to, points: event.points, held };
        self.transfers.insert(event.transfer, Transfer::InTransit(transit));
    }

    fn received(&mut self, event: &PointsTransferredIn) {
        for MovedLot { lot: entry, points, expires_at } in event.lots.iter().copied() {
            self.lots.grant(Lot { entry, points, release: None, expires_at });
        }
        self.transfers.insert(event.transfer, Transfer::Received);
    }

    fn returned(&mut self, event: &PointsTransferReturned) {
        let transfer = self.transfers.insert(event.transfer, Transfer::Returned);
        let Some(Transfer::InTransit(transit)) = transfer else { return };
        let left = |lot: EntryId| transit.held.iter().find(|held| held.entry == lot);
        for MovedLot { lot, points, expires_at } in &event.lots {
            if let Some(held) = left(*lot) {
                self.lots.put_back(Held { points: *points, ..*held }, *expires_at);
            }
        }
        let dated = |moved: &MovedLot| Some(LotExpiry { lot: moved.lot, expires_at: moved.expires_at? });
        self.date_held(&event.lots.iter().filter_map(dated).collect::<Vec<_>>());
    }

    /// What lived on elsewhere is gone; what was honoured here stays known.
    fn ended(&mut self, event: &PointsAccountMerged) {
        (self.merged_into, self.leaving) = (Some(event.into), None);
        self.lots.clear();
        self.orders.clear();
        self.actions.clear();
        self.warned.clear();
        self.last_activity_at = None;
        self.reservations.values_mut().for_each(|reservation| reservation.held.clear());
    }
}
