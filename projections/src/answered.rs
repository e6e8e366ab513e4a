//! A record as a whole: who asked for what and why, and what came of it.
use event_log::Position;
use event_schemas::{
    Code, CustomerId, EVENTS, Event, MerchantId, OrderId, Points, StreamType,
    catalogue::{
        LoyaltyOrderEvent, PointsAccountEvent, PosDeviceEvent, PrivacyRequestEvent, RedemptionEvent,
    },
    record::{Meta, RawAnswer},
    words,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Recorded,
    account_event::{self, COUNTED},
    orders,
    recorded::{Content, Place},
};

words! {
    /// What came of a command.
    Outcome {
        /// It had effects: the events.
        Accepted = "accepted",
        /// It was refused.
        Rejected = "rejected",
        /// It was so already.
        Unchanged = "unchanged",
    }
}

/// A command's record without its data: nothing in it is personal.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The record's partition.
    pub partition: u16,
    /// Its place there.
    pub position: Position,
    /// The shop.
    pub merchant: MerchantId,
    /// The stream that was addressed; its type is in `meta`.
    pub stream: Uuid,
    /// Who, when, and what caused it.
    pub meta: Meta,
    /// What came of it.
    pub outcome: Outcome,
    /// Its events, in order.
    pub events: Vec<EventSeen>,
    /// Why: the code of the refusal, or the reason that the events give.
    pub reason: Option<String>,
    /// Whom it is about.
    pub customer: Option<CustomerId>,
    /// The order it is about.
    pub order: Option<OrderId>,
}

/// One event of a record, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSeen {
    /// The event's wire name.
    pub r#type: String,
    /// Signed change of `available + reserved − debt`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<Points>,
}

impl Answered {
    /// From a record's head and its events as far as they can be read.
    pub(crate) fn new<'a>(
        place: Place,
        meta: Meta,
        answer: &RawAnswer<'_>,
        contents: impl Iterator<Item = &'a Content> + Clone,
    ) -> Self {
        let recorded = contents.clone().filter_map(|content| match content {
            Content::Event(event) => Some(&**event),
            Content::Unreadable { .. } | Content::Record(_) => None,
        });
        let (outcome, refusal) = match answer {
            RawAnswer::Events(_) => (Outcome::Accepted, None),
            RawAnswer::Rejected(json) => (Outcome::Rejected, code_of(json)),
            RawAnswer::Unchanged => (Outcome::Unchanged, None),
        };
        let reason = || recorded.clone().find_map(|event| reason(&event.event)).map(ToString::to_string);
        let stream = Uuid::from_bytes(place.stream);
        let customer = match meta.stream_type {
            StreamType::Merchant | StreamType::Reward | StreamType::Product | StreamType::PrivacyRequest => {
                None
            }
            StreamType::LoyaltyOrder | StreamType::PosDevice => recorded.clone().find_map(about),
            StreamType::Customer | StreamType::PointsAccount | StreamType::Redemption => {
                Some(CustomerId::from_bytes(place.route))
            }
        };
        let order = match meta.stream_type {
            StreamType::LoyaltyOrder => Some(OrderId(stream)),
            _ => recorded.clone().find_map(orders::order),
        };
        Self {
            partition: place.partition,
            position: place.position,
            merchant: MerchantId::from_bytes(place.merchant),
            stream,
            meta,
            outcome,
            events: contents.filter_map(seen).collect(),
            reason: refusal.or_else(reason),
            customer,
            order,
        }
    }
}

fn seen(content: &Content) -> Option<EventSeen> {
    let (name, points) = match content {
        Content::Event(event) => (event.event.name(), points(event)),
        Content::Unreadable { event_type, .. } => {
            (EVENTS.iter().find(|kind| kind.number == *event_type)?.name, None)
        }
        Content::Record(_) => return None,
    };
    Some(EventSeen { r#type: name.to_owned(), points })
}

fn points(event: &Recorded) -> Option<Points> {
    let change = account_event::change(account_event::of(event)?, COUNTED).ok()?;
    (change != Points::ZERO).then_some(change)
}

/// The code of a rejection's JSON.
fn code_of(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
    }
    serde_json::from_str::<Refusal>(json).ok().map(|refusal| refusal.code)
}

/// Whom an event in a stream that is nobody's own is about.
fn about(event: &Recorded) -> Option<CustomerId> {
    match &event.event {
        Event::LoyaltyOrder(LoyaltyOrderEvent::OrderObserved(seen)) => seen.customer,
        Event::LoyaltyOrder(LoyaltyOrderEvent::OrderAttachedToCustomer(attached)) => Some(attached.customer),
        Event::LoyaltyOrder(verdict) => verdict.assessment()?.customer,
        Event::PosDevice(PosDeviceEvent::PosEntryAccepted(entry)) => Some(entry.customer),
        _ => None,
    }
}

/// The reason that an event gives as a code.
fn reason(event: &Event) -> Option<&Code> {
    match event {
        Event::PointsAccount(moved) => reason_of_movement(moved),
        Event::LoyaltyOrder(LoyaltyOrderEvent::OrderCodeReturned(returned)) => Some(&returned.reason),
        Event::LoyaltyOrder(verdict) => verdict.assessment()?.reason.as_ref(),
        Event::Redemption(RedemptionEvent::RedemptionFailed(failed)) => Some(&failed.reason),
        Event::Redemption(RedemptionEvent::RedemptionCancelled(cancelled)) => Some(&cancelled.reason),
        Event::PosDevice(PosDeviceEvent::PosEntryRejected(entry)) => Some(&entry.code),
        Event::PrivacyRequest(PrivacyRequestEvent::RedactionFailed(failed)) => Some(&failed.reason),
        _ => None,
    }
}

const fn reason_of_movement(event: &PointsAccountEvent) -> Option<&Code> {
    match event {
        PointsAccountEvent::PointsEarned(earned) => Some(&earned.reason),
        PointsAccountEvent::PointsClawedBack(clawed_back) => Some(&clawed_back.reason),
        PointsAccountEvent::PointsVoided(voided) => Some(&voided.reason),
        PointsAccountEvent::PointsAdjusted(adjusted) => Some(&adjusted.reason),
        PointsAccountEvent::PointsReservationReleased(released) => Some(&released.reason),
        PointsAccountEvent::PointsExpiryExtended(extended) => Some(&extended.reason),
        PointsAccountEvent::PointsReinstated(back) => back.reason.as_ref(),
        PointsAccountEvent::PointsTransferredOut(sent) => Some(&sent.reason),
        PointsAccountEvent::PointsTransferReturned(returned) => Some(&returned.reason),
        PointsAccountEvent::PointsAccountFrozen(frozen) => Some(&frozen.reason),
        PointsAccountEvent::PointsAccountUnfrozen(unfrozen) => Some(&unfrozen.reason),
        _ => None,
    }
}
