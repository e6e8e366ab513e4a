//! What each event tells beside its postings: its name, its reason, and what it goes back to.
use event_schemas::{
    Code, CustomerId, EntryId, Money, OrderId, Points, RedemptionId, Sealed, Timestamp, TransferId,
    catalogue::PointsAccountEvent,
    points_account::{
        ExpiryReason, PointsAdjusted, PointsClawedBack, PointsEarned, PointsExpired, PointsReinstated,
        PointsReleased, PointsReservationReleased, PointsReserved, PointsTransferReturned,
        PointsTransferredIn, PointsTransferredOut, PointsVoided, PosEntry, Release, RuleUsed, Source,
    },
    reward::RewardUsed,
};
use uuid::Uuid;

use super::EntryType;
use crate::{Recorded, recorded::sealed};

/// The reason of the last entry of an account that ended.
pub(super) const MERGED_INTO: &str = "merged-into";

/// What is particular to a movement; all else is nothing.
pub(super) struct Movement {
    pub(super) entry: Uuid,
    pub(super) entry_type: EntryType,
    pub(super) reason: Option<Code>,
    pub(super) order: Option<OrderId>,
    pub(super) redemption: Option<RedemptionId>,
    pub(super) transfer: Option<TransferId>,
    pub(super) other: Option<CustomerId>,
    pub(super) award: Option<Uuid>,
    pub(super) action: Option<Code>,
    pub(super) pos: Option<PosEntry>,
    pub(super) rule: Option<RuleUsed>,
    pub(super) release: Option<Release>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) discount: Option<Money>,
    pub(super) reward: Option<RewardUsed>,
    pub(super) held: Points,
    pub(super) repaid: Points,
    pub(super) to_debt: Points,
    pub(super) forgiven: Points,
    pub(super) reference: Option<Sealed>,
    pub(super) public_note: Option<Sealed>,
    pub(super) internal_note: Option<Sealed>,
    pub(super) note: Option<Sealed>,
}

impl Movement {
    /// What the event moves; nothing for an event that moves no points.
    pub(super) fn of(recorded: &Recorded, event: &PointsAccountEvent) -> Option<Self> {
        Some(match event {
            PointsAccountEvent::PointsAccountOpened(_)
            | PointsAccountEvent::PointsReleaseScheduled(_)
            | PointsAccountEvent::PointsExpiryExtended(_)
            | PointsAccountEvent::PointsExpiryWarned(_)
            | PointsAccountEvent::PointsAccountFrozen(_)
            | PointsAccountEvent::PointsAccountUnfrozen(_)
            | PointsAccountEvent::PointsAccountRedacted(_)
            | PointsAccountEvent::OrderSettled(_) => return None,
            PointsAccountEvent::PointsEarned(event) => earned(event),
            PointsAccountEvent::PointsReleased(event) => released(event),
            PointsAccountEvent::PointsVoided(event) => voided(event),
            PointsAccountEvent::PointsClawedBack(event) => clawed_back(event),
            PointsAccountEvent::PointsReserved(event) => reserved(event),
            PointsAccountEvent::PointsRedeemed(event) => {
                Self { redemption: Some(event.redemption), ..Self::new(event.entry.0, EntryType::Redeem) }
            }
            PointsAccountEvent::PointsReservationReleased(event) => unreserved(recorded, event),
            PointsAccountEvent::PointsReinstated(event) => reinstated(event),
            PointsAccountEvent::PointsAdjusted(event) => adjusted(event),
            PointsAccountEvent::PointsExpired(event) => expired(event),
            PointsAccountEvent::PointsTransferredOut(event) => transferred_out(event),
            PointsAccountEvent::PointsTransferredIn(event) => transferred_in(event),
            // The event grants no entry, so its own name is the entry's.
            PointsAccountEvent::PointsTransferCompleted(event) => Self {
                transfer: Some(event.transfer),
                ..Self::new(recorded.id.entry("arrive").0, EntryType::Arrive)
            },
            PointsAccountEvent::PointsTransferReturned(event) => returned(event),
            PointsAccountEvent::PointsAccountMerged(event) => merged(event.entry, event.into),
            PointsAccountEvent::EstatePartMoved(event) => merged(event.entry, event.into),
            PointsAccountEvent::PointsAccountAbsorbed(event) => {
                absorbed(event.entry, event.from, event.repaid)
            }
            PointsAccountEvent::EstatePartAbsorbed(event) => absorbed(event.entry, event.from, event.repaid),
        })
    }
}

fn earned(event: &PointsEarned) -> Movement {
    let (order, action, pos) = match &event.source {
        Source::Order { order, .. } => (Some(*order), None, None),
        Source::Action { action, .. } => (None, Some(action.clone()), None),
        Source::Pos(entry) => (None, None, Some(*entry)),
        Source::Api { .. } => (None, None, None),
    };
    Movement {
        reason: Some(event.reason.clone()),
        order,
        action,
        pos,
        rule: event.rule.clone(),
        release: event.release,
        expires_at: event.expires_at,
        repaid: event.repaid,
        reference: sealed(event.reference.as_ref()),
        ..Movement::new(event.entry.0, EntryType::Earn)
    }
}

fn released(event: &PointsReleased) -> Movement {
    Movement {
        award: Some(event.lot.0),
        repaid: event.repaid,
        expires_at: event.expires_at,
        ..Movement::new(event.entry.0, EntryType::Release)
    }
}

fn voided(event: &PointsVoided) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        order: Some(event.order),
        reference: sealed(event.reference.as_ref()),
        ..Movement::new(event.entry.0, EntryType::Void)
    }
}

fn clawed_back(event: &PointsClawedBack) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        order: Some(event.order),
        to_debt: event.to_debt,
        forgiven: event.forgiven,
        reference: sealed(event.reference.as_ref()),
        ..Movement::new(event.entry.0, EntryType::ClawBack)
    }
}

fn reserved(event: &PointsReserved) -> Movement {
    Movement {
        redemption: Some(event.redemption),
        discount: Some(event.discount),
        reward: event.reward,
        pos: event.pos,
        held: event.points,
        ..Movement::new(event.redemption.0, EntryType::Reserve)
    }
}

/// The event grants no entry, so its own name is the entry's.
fn unreserved(recorded: &Recorded, event: &PointsReservationReleased) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        redemption: Some(event.redemption),
        held: event.points,
        repaid: event.repaid,
        ..Movement::new(recorded.id.entry("unreserve").0, EntryType::Unreserve)
    }
}

fn reinstated(event: &PointsReinstated) -> Movement {
    Movement {
        reason: event.reason.clone(),
        redemption: Some(event.redemption),
        repaid: event.repaid,
        ..Movement::new(event.entry.0, EntryType::Reinstate)
    }
}

fn adjusted(event: &PointsAdjusted) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        repaid: event.repaid,
        to_debt: event.to_debt,
        expires_at: event.expires_at,
        public_note: sealed(event.public_note.as_ref()),
        internal_note: sealed(event.internal_note.as_ref()),
        ..Movement::new(event.entry.0, EntryType::Adjust)
    }
}

fn expired(event: &PointsExpired) -> Movement {
    let reason = match event.reason {
        ExpiryReason::Lot => Code::fixed("too-old"),
        ExpiryReason::Inactivity => Code::fixed("inactivity"),
    };
    Movement { reason: Some(reason), ..Movement::new(event.entry.0, EntryType::Expire) }
}

fn transferred_out(event: &PointsTransferredOut) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        transfer: Some(event.transfer),
        other: Some(event.to),
        note: sealed(event.note.as_ref()),
        ..Movement::new(event.entry.0, EntryType::Transfer)
    }
}

fn transferred_in(event: &PointsTransferredIn) -> Movement {
    Movement {
        transfer: Some(event.transfer),
        other: Some(event.from),
        repaid: event.repaid,
        ..Movement::new(event.entry.0, EntryType::Transfer)
    }
}

fn returned(event: &PointsTransferReturned) -> Movement {
    Movement {
        reason: Some(event.reason.clone()),
        transfer: Some(event.transfer),
        repaid: event.repaid,
        ..Movement::new(event.entry.0, EntryType::Transfer)
    }
}

fn merged(entry: EntryId, into: CustomerId) -> Movement {
    Movement {
        reason: Some(Code::fixed(MERGED_INTO)),
        other: Some(into),
        ..Movement::new(entry.0, EntryType::Merge)
    }
}

fn absorbed(entry: EntryId, from: CustomerId, repaid: Points) -> Movement {
    Movement {
        reason: Some(Code::fixed("merged-from")),
        other: Some(from),
        repaid,
        ..Movement::new(entry.0, EntryType::Merge)
    }
}
