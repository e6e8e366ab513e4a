//! The audit log: one row of every record, refusals too. Who asked for what and when, why, and in whose course.
use event_schemas::{CustomerId, MerchantId, OrderId, StreamType, Timestamp};
use privacy::MerchantScope;
use uuid::Uuid;

use crate::{
    Answered, Error, EventSeen, OfRecords, Outcome, ReadStore,
    column::{Column as _, Json, word_column},
    conditions::Conditions,
    recorded::actor_id,
    table::{Row as _, table},
};

word_column!(Outcome);

table! {
    /// What one command came to. Nothing in it is personal.
    Attempt {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The record's partition.
            part: u16,
            /// Its place there.
            position: u64,
        }
        /// The record's id.
        record: Uuid,
        /// What kind of stream was addressed.
        stream_type: StreamType,
        /// The stream.
        stream: Uuid,
        /// Whom it is about.
        customer: Option<CustomerId>,
        /// The order it is about.
        order_id: Option<OrderId>,
        /// Who asked, such as `shopify` or `merchant`.
        actor: String,
        /// The member of staff or the customer who asked.
        actor_id: Option<Uuid>,
        /// What came of it.
        outcome: Outcome,
        /// Its events.
        events: Json<Vec<EventSeen>>,
        /// Why: the code of the refusal, or the reason that the events give.
        reason: Option<String>,
        /// When it happened in business.
        occurred_at: Timestamp,
        /// When it was recorded.
        recorded_at: Timestamp,
        /// What it has in common with all that the same request caused.
        correlation: Uuid,
        /// The record whose event caused it.
        cause: Option<Uuid>,
    }
    indexes ["merchant, recorded_at", "merchant, customer, recorded_at", "merchant, order_id, recorded_at"]
}

/// The projection.
pub struct AuditLog;

impl OfRecords for AuditLog {
    type Row = Attempt;
    const NAME: &'static str = "audit_log";
    const VERSION: u32 = 1;

    fn row(record: &Answered) -> Attempt {
        let meta = &record.meta;
        Attempt {
            merchant: record.merchant,
            part: record.partition,
            position: record.position.get(),
            record: meta.record.0,
            stream_type: meta.stream_type,
            stream: record.stream,
            customer: record.customer,
            order_id: record.order,
            actor: meta.actor.name().to_owned(),
            actor_id: actor_id(meta.actor),
            outcome: record.outcome,
            events: Json(record.events.clone()),
            reason: record.reason.clone(),
            occurred_at: meta.occurred_at,
            recorded_at: meta.recorded_at,
            correlation: meta.correlation.0,
            cause: meta.causation.map(|event| event.record.0),
        }
    }
}

/// Which rows are wanted; all that are given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those about this customer.
    pub customer: Option<CustomerId>,
    /// Only those about this order.
    pub order: Option<OrderId>,
    /// Without commands that found everything so already.
    pub without_repeats: bool,
}

/// Where a page starts: behind this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Its partition.
    pub part: u16,
    /// Its place there.
    pub position: u64,
}

/// The shop's rows, newest first, at most `limit`.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    filter: Filter,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<Attempt>, Error> {
    let mut wanted = Conditions::of(scope);
    if let Some(customer) = filter.customer {
        wanted.and("customer = ?", [customer.store()]);
    }
    if let Some(order) = filter.order {
        wanted.and("order_id = ?", [order.store()]);
    }
    if filter.without_repeats {
        wanted.and("outcome <> 'unchanged'", []);
    }
    if let Some(After { recorded_at, part, position }) = after {
        let behind = [recorded_at.store(), part.store(), position.store()];
        wanted.and("(recorded_at, part, position) < (?, ?, ?)", behind);
    }
    let (wanted, values) = wanted.at_most(limit);
    store
        .query_rows(AuditLog::NAME, scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE {wanted}
                 ORDER BY recorded_at DESC, part DESC, position DESC LIMIT ?"
            );
            session.all(&sql, &values, Attempt::read)
        })
        .await
}

/// A stretch of a partition: behind `after`, up to and with `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub part: u16,
    /// The last place that is not wanted any more.
    pub after: u64,
    /// The last place that is wanted.
    pub until: u64,
}

/// What the shop's commands changed or were refused in these stretches, partition by partition in the log's order,
/// at most `limit`: a full answer may have left something out.
pub async fn happened(
    store: &ReadStore,
    scope: MerchantScope,
    streams: &[StreamType],
    stretches: Vec<Stretch>,
    limit: usize,
) -> Result<Vec<Attempt>, Error> {
    let kinds: Vec<_> = streams.iter().map(|kind| kind.number().to_string()).collect();
    let kinds = kinds.join(", ");
    store
        .query_rows(AuditLog::NAME, scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND part = ? AND position > ? AND position <= ?
                 AND outcome <> 'unchanged' AND stream_type IN ({kinds}) ORDER BY position LIMIT ?"
            );
            let mut found: Vec<Attempt> = Vec::new();
            for Stretch { part, after, until } in stretches {
                let left = u32::try_from(limit - found.len()).unwrap_or(u32::MAX);
                let values = [
                    scope.merchant().store(),
                    part.store(),
                    after.store(),
                    until.store(),
                    left.store(),
                ];
                found.extend(session.all(&sql, &values, Attempt::read)?);
                if found.len() >= limit {
                    break;
                }
            }
            Ok(found)
        })
        .await
}
