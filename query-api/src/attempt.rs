//! One command and what came of it, as the audit log, the overview and the live feed tell it. Nothing in it is personal.
use event_schemas::StreamType;
use projections::audit_log::Attempt;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answers::time;

/// The topics of the live feed: what each stream type is called outside.
pub(crate) const TOPICS: [(&str, StreamType); 9] = [
    ("points", StreamType::PointsAccount),
    ("orders", StreamType::LoyaltyOrder),
    ("redemptions", StreamType::Redemption),
    ("customers", StreamType::Customer),
    ("settings", StreamType::Merchant),
    ("rewards", StreamType::Reward),
    ("products", StreamType::Product),
    ("tills", StreamType::PosDevice),
    ("privacy", StreamType::PrivacyRequest),
];

/// The topic of a stream type.
pub(crate) const fn topic(stream_type: StreamType) -> &'static str {
    match stream_type {
        StreamType::PointsAccount => "points",
        StreamType::LoyaltyOrder => "orders",
        StreamType::Redemption => "redemptions",
        StreamType::Customer => "customers",
        StreamType::Merchant => "settings",
        StreamType::Reward => "rewards",
        StreamType::Product => "products",
        StreamType::PosDevice => "tills",
        StreamType::PrivacyRequest => "privacy",
    }
}

/// One command: who, what, when, why.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptBody {
    /// The log's record of it.
    #[schema(format = Uuid)]
    record_id: String,
    /// `points`, `orders`, `redemptions`, `customers`, `settings`, `rewards`, `products`, `tills` or
    /// `privacy`.
    topic: &'static str,
    /// `accepted`, `rejected` or `unchanged`.
    outcome: &'static str,
    /// What it did; empty unless it was accepted.
    events: Vec<EventBody>,
    /// Why: the code of the refusal, or the reason that the events give.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    actor: ActorBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    customer_id: Option<String>,
    /// Our id of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    order_id: Option<String>,
    /// The account, order, redemption, customer or shop that was addressed.
    #[schema(format = Uuid)]
    stream_id: String,
    /// When it happened in business.
    #[schema(format = DateTime)]
    occurred_at: String,
    /// When it was recorded.
    #[schema(format = DateTime)]
    recorded_at: String,
    /// What it has in common with all that the same request caused: its `x-request-id`.
    #[schema(format = Uuid)]
    correlation_id: String,
    /// The record whose event caused it, if it was a policy that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    caused_by: Option<String>,
}

/// One event.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventBody {
    /// Such as `points-earned`.
    r#type: String,
    /// Signed change of the points that a customer has; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<i64>,
}

/// Who asked.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActorBody {
    /// `system`, `shopify`, `merchant`, `operator`, `staff` or `customer`.
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    pub(crate) id: Option<String>,
}

impl From<Attempt> for AttemptBody {
    fn from(row: Attempt) -> Self {
        let events = row.events.0.into_iter();
        let event = |event: projections::EventSeen| EventBody {
            r#type: event.r#type,
            points: event.points.map(|points| points.0),
        };
        Self {
            record_id: row.record.to_string(),
            topic: topic(row.stream_type),
            outcome: row.outcome.as_str(),
            events: events.map(event).collect(),
            reason: row.reason,
            actor: ActorBody { kind: row.actor, id: row.actor_id.map(|id| id.to_string()) },
            customer_id: row.customer.map(|id| id.to_string()),
            order_id: row.order_id.map(|id| id.to_string()),
            stream_id: row.stream.to_string(),
            occurred_at: time(row.occurred_at),
            recorded_at: time(row.recorded_at),
            correlation_id: row.correlation.to_string(),
            caused_by: row.cause.map(|id| id.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_leads_back_to_its_name() {
        for (name, stream_type) in TOPICS {
            assert_eq!(topic(stream_type), name);
        }
    }
}
