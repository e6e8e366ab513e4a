//! From the account's events to entries. The split stands in the event; nothing of it is worked out again.
use event_schemas::{
    Code, EntryId, Money, OrderId, Points, RedemptionId, Sealed,
    catalogue::PointsAccountEvent,
    points_account::{
        PointsAdjusted, PointsClawedBack, PointsEarned, PointsRedeemed, PointsReinstated,
        PointsReservationReleased, PointsReserved, RuleUsed, Source,
    },
};
use uuid::Uuid;

use super::{Entry, EntryType};
use crate::{Key, Projection, Recorded, Unfoldable, account_event, column::Json, recorded::sealed};

/// The projection.
pub struct PointsStatement;

impl Projection for PointsStatement {
    type Row = Entry;
    const NAME: &'static str = "points_statement";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<Key<Entry>> {
        let at = |entry| Entry::at(event.merchant, event.subject(), entry);
        let moved = account_event::of(event);
        let own = moved.and_then(|moved| movement(event, moved)).map(|movement| at(movement.entry));
        let ended = moved.and_then(ended_reservation).map(|redemption| at(redemption.0));
        own.into_iter().chain(ended).collect()
    }

    /// An entry that is there already is the reservation that this event ends.
    fn fold(before: Option<Entry>, event: &Recorded) -> Result<Entry, Unfoldable> {
        if let Some(entry) = before {
            return match entry.entry_type {
                EntryType::Reserve => Ok(Entry { visible: false, ..entry }),
                _ => Err(Unfoldable("the entry is there already".to_owned())),
            };
        }
        let moved = account_event::of(event).ok_or_else(|| Unfoldable::without("account"))?;
        let movement = movement(event, moved).ok_or_else(|| Unfoldable::without("movement"))?;
        Ok(entry(event, moved, movement, account_event::change(moved)?))
    }
}

/// The redemption whose reservation ends with the event.
const fn ended_reservation(event: &PointsAccountEvent) -> Option<RedemptionId> {
    match event {
        PointsAccountEvent::PointsRedeemed(redeemed) => Some(redeemed.redemption),
        PointsAccountEvent::PointsReservationReleased(released) => Some(released.redemption),
        _ => None,
    }
}

/// What is particular to a movement; all else is nothing.
struct Movement {
    entry: Uuid,
    entry_type: EntryType,
    reason: Option<Code>,
    order: Option<OrderId>,
    redemption: Option<RedemptionId>,
    rule: Option<RuleUsed>,
    discount: Option<Money>,
    held: Points,
    repaid: Points,
    to_debt: Points,
    forgiven: Points,
    reference: Option<Sealed>,
    public_note: Option<Sealed>,
    internal_note: Option<Sealed>,
}

impl Movement {
    const fn new(entry: EntryId, entry_type: EntryType) -> Self {
        Self {
            entry: entry.0,
            entry_type,
            reason: None,
            order: None,
            redemption: None,
            rule: None,
            discount: None,
            held: Points::ZERO,
            repaid: Points::ZERO,
            to_debt: Points::ZERO,
            forgiven: Points::ZERO,
            reference: None,
            public_note: None,
            internal_note: None,
        }
    }
}

/// What the event moves; opening an account moves nothing.
fn movement(recorded: &Recorded, event: &PointsAccountEvent) -> Option<Movement> {
    Some(match event {
        PointsAccountEvent::PointsAccountOpened(_) => return None,
        PointsAccountEvent::PointsEarned(event) => earned(event),
        PointsAccountEvent::PointsClawedBack(event) => clawed_back(event),
        PointsAccountEvent::PointsReserved(event) => reserved(event),
        PointsAccountEvent::PointsRedeemed(event) => redeemed(event),
        PointsAccountEvent::PointsReservationReleased(event) => released(recorded, event),
        PointsAccountEvent::PointsReinstated(event) => reinstated(event),
        PointsAccountEvent::PointsAdjusted(event) => adjusted(event),
    })
}

fn earned(event: &PointsEarned) -> Movement {
    let order = match event.source {
        Source::Order { order, .. } => Some(order),
        Source::Api { .. } => None,
    };
    Movement {
        reason: Some(event.reason.clone()),
        order,
        rule: event.rule.clone(),
        repaid: event.repaid,
        reference: sealed(event.reference.as_ref()),
        ..Movement::new(event.entry, EntryType::Earn)
    }
}

fn clawed_back(event: &PointsClawedBack) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        order: Some(event.order),
        to_debt: event.to_debt,
        forgiven: event.forgiven,
        reference: sealed(event.reference.as_ref()),
        ..Movement::new(event.entry, EntryType::ClawBack)
    }
}

fn reserved(event: &PointsReserved) -> Movement {
    Movement {
        redemption: Some(event.redemption),
        discount: Some(event.discount),
        held: event.points,
        ..Movement::new(EntryId(event.redemption.0), EntryType::Reserve)
    }
}

fn redeemed(event: &PointsRedeemed) -> Movement {
    Movement { redemption: Some(event.redemption), ..Movement::new(event.entry, EntryType::Redeem) }
}

/// The event grants no entry, so its own name is the entry's.
fn released(recorded: &Recorded, event: &PointsReservationReleased) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        redemption: Some(event.redemption),
        held: event.points,
        repaid: event.repaid,
        ..Movement::new(recorded.id.entry("unreserve"), EntryType::Unreserve)
    }
}

fn reinstated(event: &PointsReinstated) -> Movement {
    Movement {
        redemption: Some(event.redemption),
        repaid: event.repaid,
        ..Movement::new(event.entry, EntryType::Reinstate)
    }
}

fn adjusted(event: &PointsAdjusted) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        repaid: event.repaid,
        to_debt: event.to_debt,
        public_note: sealed(event.public_note.as_ref()),
        internal_note: sealed(event.internal_note.as_ref()),
        ..Movement::new(event.entry, EntryType::Adjust)
    }
}

fn entry(event: &Recorded, moved: &PointsAccountEvent, movement: Movement, points: Points) -> Entry {
    Entry {
        merchant: event.merchant,
        customer: event.subject(),
        entry: movement.entry,
        version: event.version,
        visible: true,
        entry_type: movement.entry_type,
        points,
        after: Json(account_event::after(moved)),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        reason: movement.reason,
        order_id: movement.order,
        redemption: movement.redemption,
        rule: movement.rule.map(Json),
        discount: movement.discount.map(Json),
        held: movement.held,
        repaid: movement.repaid,
        to_debt: movement.to_debt,
        forgiven: movement.forgiven,
        reference: movement.reference,
        public_note: movement.public_note,
        internal_note: movement.internal_note,
        origin: Json(event.origin()),
    }
}
