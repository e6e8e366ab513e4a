//! From the account's events to lots.
use event_schemas::{
    CustomerId, EntryId, Overflow, Points, Timestamp,
    catalogue::PointsAccountEvent as Event,
    points_account::{
        Allocation, Estate, EstateLot, LotExpiry, MovedLot, PointsAdjusted, PointsEarned, ReservationPhase,
        Source,
    },
};

use super::{Effect, Grant, Lot};
use crate::{Key, Projection, Recorded, Unfoldable, account_event, column::Json};

/// The projection.
pub struct AccountLots;

impl Projection for AccountLots {
    type Row = Lot;
    type Change = Touch;
    const NAME: &'static str = "account_lots";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<(Key<Lot>, Touch)> {
        let Some(moved) = account_event::of(event) else { return Vec::new() };
        let (merchant, customer) = (event.merchant, event.subject());
        let mut effects = effects(moved);
        // Stable, so that the effects on one lot keep their order.
        effects.sort_by_key(|(lot, _)| *lot);
        let by_lot = effects.chunk_by(|one, next| one.0 == next.0);
        by_lot
            .filter_map(|effects| {
                let lot = effects.first()?.0;
                let effects = effects.iter().map(|(_, effect)| effect.clone()).collect();
                Some((Lot::at(merchant, customer, lot.0), Touch { customer, lot, effects }))
            })
            .collect()
    }

    fn fold(before: Option<Lot>, event: &Recorded, change: Touch) -> Result<Lot, Unfoldable> {
        let mut lot = before.unwrap_or_else(|| unknown(event, &change));
        for effect in change.effects {
            take(&mut lot, effect)?;
        }
        lot.ends_at = lot.expires_at.filter(|_| lot.remaining.is_positive());
        Ok(lot)
    }
}

/// What one event does to one lot, in order.
pub struct Touch {
    customer: CustomerId,
    lot: EntryId,
    effects: Vec<Effect>,
}

const fn unknown(event: &Recorded, touch: &Touch) -> Lot {
    Lot {
        merchant: event.merchant,
        customer: touch.customer,
        lot: touch.lot.0,
        version: event.version,
        granted: Points::ZERO,
        pending: Points::ZERO,
        remaining: Points::ZERO,
        expired: Points::ZERO,
        clawed_back: Points::ZERO,
        voided: Points::ZERO,
        transferred: Points::ZERO,
        release: None,
        expires_at: None,
        ends_at: None,
        earned_at: event.occurred_at,
        order_id: None,
        rule: None,
    }
}

fn take(lot: &mut Lot, effect: Effect) -> Result<(), Overflow> {
    match effect {
        Effect::Grant(grant) => {
            lot.granted = lot.granted.plus(grant.granted)?;
            lot.pending = lot.pending.plus(grant.pending)?;
            lot.remaining = lot.remaining.plus(grant.remaining)?;
            lot.release = grant.release.map(Json);
            lot.expires_at = grant.expires_at;
            lot.order_id = grant.order;
            lot.rule = grant.rule.map(Json);
        }
        Effect::Release { points, repaid, expires_at } => {
            lot.pending = lot.pending.minus(points)?;
            lot.remaining = lot.remaining.plus(points.minus(repaid)?)?;
            lot.release = None;
            lot.expires_at = expires_at;
        }
        Effect::Reschedule(release) => lot.release = Some(Json(release)),
        Effect::Void(points) => {
            lot.pending = lot.pending.minus(points)?;
            lot.voided = lot.voided.plus(points)?;
        }
        Effect::Use(points) => lot.remaining = lot.remaining.minus(points)?,
        Effect::Return(points) => lot.remaining = lot.remaining.plus(points)?,
        Effect::Expire(points) => {
            lot.remaining = lot.remaining.minus(points)?;
            lot.expired = lot.expired.plus(points)?;
        }
        Effect::ClawBack { pending, points } => {
            take_from(lot, pending, points)?;
            lot.clawed_back = lot.clawed_back.plus(points)?;
        }
        Effect::Leave { pending, points } => {
            take_from(lot, pending, points)?;
            lot.transferred = lot.transferred.plus(points)?;
        }
        Effect::ComeBack(points) => {
            lot.remaining = lot.remaining.plus(points)?;
            lot.transferred = lot.transferred.minus(points)?;
        }
        Effect::Hold(moved) => {
            lot.granted = lot.granted.plus(moved.points)?;
            date_inherited(lot, moved.expires_at);
        }
        Effect::Away(moved) => {
            lot.granted = lot.granted.plus(moved.points)?;
            lot.transferred = lot.transferred.plus(moved.points)?;
            date_inherited(lot, moved.expires_at);
        }
        Effect::Date(date) => lot.expires_at = Some(date.expires_at),
    }
    Ok(())
}

/// A lot that came with an earlier part may have another date by now.
fn date_inherited(lot: &mut Lot, expires_at: Option<Timestamp>) {
    if lot.pending.is_zero() && lot.remaining.is_zero() {
        lot.expires_at = expires_at;
    }
}

fn take_from(lot: &mut Lot, pending: bool, points: Points) -> Result<(), Overflow> {
    let bucket = if pending { &mut lot.pending } else { &mut lot.remaining };
    *bucket = bucket.minus(points)?;
    Ok(())
}

/// All that the event does to lots. Exhaustive: a new movement must say which lots it moves.
fn effects(event: &Event) -> Vec<(EntryId, Effect)> {
    match event {
        Event::PointsAccountOpened(_)
        | Event::PointsExpiryWarned(_)
        | Event::PointsTransferCompleted(_)
        | Event::PointsAccountFrozen(_)
        | Event::PointsAccountUnfrozen(_)
        | Event::PointsAccountRedacted(_)
        | Event::OrderSettled(_)
        // What is held stays used.
        | Event::PointsRedeemed(_) => Vec::new(),
        Event::PointsEarned(earned) => vec![(earned.entry, Effect::Grant(awarded(earned)))],
        Event::PointsReleaseScheduled(event) => {
            event.lots.iter().map(|lot| (*lot, Effect::Reschedule(event.release()))).collect()
        }
        Event::PointsReleased(event) => {
            let (points, repaid, expires_at) = (event.points, event.repaid, event.expires_at);
            vec![(event.lot, Effect::Release { points, repaid, expires_at })]
        }
        Event::PointsVoided(event) => each(&event.allocations, Effect::Void),
        Event::PointsClawedBack(event) => {
            let mut both = each(&event.from_pending, |points| Effect::ClawBack { pending: true, points });
            both.extend(each(&event.from_active, |points| Effect::ClawBack { pending: false, points }));
            both
        }
        Event::PointsReserved(event) => each(&event.allocations, Effect::Use),
        Event::PointsReservationReleased(event) => returned(&event.allocations, &event.expiries),
        Event::PointsReinstated(event) => returned(&event.allocations, &event.expiries),
        Event::PointsAdjusted(event) => adjusted(event),
        Event::PointsExpired(event) => each(&event.allocations, Effect::Expire),
        Event::PointsExpiryExtended(event) => dates(&event.lots).collect(),
        Event::PointsTransferredOut(event) => {
            let leave = |moved: &MovedLot| (moved.lot, Effect::Leave { pending: false, points: moved.points });
            event.lots.iter().map(leave).collect()
        }
        Event::PointsTransferredIn(event) => {
            event.lots.iter().map(|moved| (moved.lot, Effect::Grant(arrived(moved)))).collect()
        }
        Event::PointsTransferReturned(event) => came_back(&event.lots),
        Event::PointsAccountMerged(event) => left(&event.estate),
        Event::EstatePartMoved(event) => left(&event.estate),
        Event::PointsAccountAbsorbed(event) => absorbed(&event.estate, &event.allocations),
        Event::EstatePartAbsorbed(event) => absorbed(&event.estate, &event.allocations),
    }
}

fn left(estate: &Estate) -> Vec<(EntryId, Effect)> {
    let leave =
        |lot: &EstateLot| (lot.lot, Effect::Leave { pending: lot.release.is_some(), points: lot.points });
    estate.lots.iter().map(leave).collect()
}

fn each(allocations: &[Allocation], effect: impl Fn(Points) -> Effect) -> Vec<(EntryId, Effect)> {
    allocations.iter().map(|one| (one.lot, effect(one.points))).collect()
}

fn dates(dates: &[LotExpiry]) -> impl Iterator<Item = (EntryId, Effect)> {
    dates.iter().map(|date| (date.lot, Effect::Date(*date)))
}

/// Back from a reservation or a redemption; what repaid debt on the way is not among it.
fn returned(allocations: &[Allocation], expiries: &[LotExpiry]) -> Vec<(EntryId, Effect)> {
    each(allocations, Effect::Return).into_iter().chain(dates(expiries)).collect()
}

/// Back from the way to another account, with the dates that they had or got.
fn came_back(lots: &[MovedLot]) -> Vec<(EntryId, Effect)> {
    let back = |moved: &MovedLot| {
        let date = moved.expires_at.map(|expires_at| Effect::Date(LotExpiry { lot: moved.lot, expires_at }));
        let effects = std::iter::once(Effect::ComeBack(moved.points)).chain(date);
        effects.map(|effect| (moved.lot, effect)).collect::<Vec<_>>()
    };
    lots.iter().flat_map(back).collect()
}

fn awarded(event: &PointsEarned) -> Grant {
    // What repaid debt is used at once.
    let rest = Points(event.points.0.saturating_sub(event.repaid.0));
    let (pending, remaining) =
        if event.release.is_some() { (rest, Points::ZERO) } else { (Points::ZERO, rest) };
    let order = match event.source {
        Source::Order { order, .. } => Some(order),
        Source::Api { .. } | Source::Action { .. } | Source::Pos(_) => None,
    };
    Grant {
        granted: event.points,
        pending,
        remaining,
        release: event.release,
        expires_at: event.expires_at,
        order,
        rule: event.rule.clone(),
    }
}

fn adjusted(event: &PointsAdjusted) -> Vec<(EntryId, Effect)> {
    if !event.points.is_positive() {
        return each(&event.allocations, Effect::Use);
    }
    let grant = Grant {
        granted: event.points,
        pending: Points::ZERO,
        remaining: Points(event.points.0.saturating_sub(event.repaid.0)),
        release: None,
        expires_at: event.expires_at,
        order: None,
        rule: None,
    };
    vec![(event.entry, Effect::Grant(grant))]
}

const fn arrived(moved: &MovedLot) -> Grant {
    Grant {
        granted: moved.points,
        pending: Points::ZERO,
        remaining: moved.points,
        release: None,
        expires_at: moved.expires_at,
        order: None,
        rule: None,
    }
}

/// The lots of the estate, then those that only redemptions and transfers in flight still speak of, then what repaid
/// debt of either account.
fn absorbed(estate: &Estate, repaid_by: &[Allocation]) -> Vec<(EntryId, Effect)> {
    let Estate { lots, reservations, transfers, .. } = estate;
    let whole = |lot: &EstateLot| {
        let pending = lot.release.is_some();
        let grant = Grant {
            granted: lot.points,
            pending: if pending { lot.points } else { Points::ZERO },
            remaining: if pending { Points::ZERO } else { lot.points },
            release: lot.release,
            expires_at: lot.expires_at,
            order: lot.order,
            rule: None,
        };
        (lot.lot, Effect::Grant(grant))
    };
    let may_come_back =
        |phase: ReservationPhase| matches!(phase, ReservationPhase::Reserved | ReservationPhase::Redeemed);
    let held = reservations.iter().filter(|one| may_come_back(one.phase)).flat_map(|one| &one.lots);
    let away = transfers.iter().flat_map(|one| &one.lots);
    let used = |moved: &MovedLot| (moved.lot, Effect::Hold(*moved));
    let away = away.map(|moved| (moved.lot, Effect::Away(*moved)));
    let mut all: Vec<_> = held.map(used).chain(away).collect();
    all.extend(lots.iter().map(whole));
    all.extend(each(repaid_by, Effect::Use));
    all
}
