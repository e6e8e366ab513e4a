//! From the account's events to entries. The split stands in the event; nothing of it is worked out again.
use event_schemas::{Points, RedemptionId, catalogue::PointsAccountEvent, points_account::Ledger};
use uuid::Uuid;

use super::{Entry, EntryType, movement::Movement};
use crate::{
    Key, Projection, Recorded, Unfoldable,
    account_event::{self, COUNTED},
    column::Json,
    recorded::actor_id,
};

/// The projection.
pub struct PointsStatement;

/// What an event does to a row.
pub enum Change {
    /// It is the event's own.
    Tell,
    /// It is the reservation that the event ends.
    Hide,
}

impl Projection for PointsStatement {
    type Row = Entry;
    type Change = Change;
    const NAME: &'static str = "points_statement";
    const VERSION: u32 = 4;

    fn touches(event: &Recorded) -> Vec<(Key<Entry>, Change)> {
        let Some(moved) = account_event::of(event) else { return Vec::new() };
        let at = |entry: Uuid| Entry::at(event.merchant, event.subject(), entry);
        let own = Movement::of(event, moved).map(|movement| (at(movement.entry), Change::Tell));
        let ended = ended_reservation(moved).map(|redemption| (at(redemption.0), Change::Hide));
        own.into_iter().chain(ended).collect()
    }

    fn fold(before: Option<Entry>, event: &Recorded, change: Change) -> Result<Entry, Unfoldable> {
        let moved = account_event::of(event).ok_or_else(|| Unfoldable::without("account"))?;
        match (change, before) {
            (Change::Tell, None) => tell(event, moved),
            (Change::Tell, Some(_)) => Err(Unfoldable("the entry is there already".to_owned())),
            (Change::Hide, Some(entry)) => Ok(Entry { visible: false, ..entry }),
            // The reservation was made on an account that was merged into this one: its row is there.
            (Change::Hide, None) => {
                let entry = tell(event, moved)?;
                let reservation = entry.redemption.map_or(entry.entry, |redemption| redemption.0);
                Ok(Entry { entry: reservation, visible: false, ..entry })
            }
        }
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

fn tell(event: &Recorded, moved: &PointsAccountEvent) -> Result<Entry, Unfoldable> {
    let movement = Movement::of(event, moved).ok_or_else(|| Unfoldable::without("movement"))?;
    let after = account_event::after(moved).ok_or_else(|| Unfoldable::without("balances"))?;
    Ok(Entry {
        merchant: event.merchant,
        customer: event.subject(),
        entry: movement.entry,
        version: event.version,
        visible: movement.entry_type != EntryType::Arrive,
        entry_type: movement.entry_type,
        points: account_event::change(moved, COUNTED)?,
        pending: account_event::change(moved, &[Ledger::Pending])?,
        after: Json(after),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        reason: movement.reason,
        order_id: movement.order,
        redemption: movement.redemption,
        transfer: movement.transfer,
        other: movement.other,
        award: movement.award,
        action: movement.action,
        pos: movement.pos.map(Json),
        rule: movement.rule.map(Json),
        release: movement.release.map(Json),
        expires_at: movement.expires_at,
        discount: movement.discount.map(Json),
        reward: movement.reward.map(Json),
        held: movement.held,
        repaid: movement.repaid,
        to_debt: movement.to_debt,
        forgiven: movement.forgiven,
        reference: movement.reference,
        public_note: movement.public_note,
        internal_note: movement.internal_note,
        note: movement.note,
        actor: event.actor.name().to_owned(),
        actor_id: actor_id(event.actor),
        cause: event.cause.map(|cause| cause.record.0),
        origin: Json(event.origin()),
    })
}

/// Of a movement, what no posting says.
impl Movement {
    /// Nothing but its name and its kind.
    pub(super) const fn new(entry: Uuid, entry_type: EntryType) -> Self {
        Self {
            entry,
            entry_type,
            reason: None,
            order: None,
            redemption: None,
            transfer: None,
            other: None,
            award: None,
            action: None,
            pos: None,
            rule: None,
            release: None,
            expires_at: None,
            discount: None,
            reward: None,
            held: Points::ZERO,
            repaid: Points::ZERO,
            to_debt: Points::ZERO,
            forgiven: Points::ZERO,
            reference: None,
            public_note: None,
            internal_note: None,
            note: None,
        }
    }
}
