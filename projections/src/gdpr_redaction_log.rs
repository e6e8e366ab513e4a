//! Every step of every redaction, and what hindered it, one row each. Nothing in it is personal.
use event_schemas::{
    Code, Event, MerchantId, RequestId, Timestamp, catalogue::PrivacyRequestEvent,
    privacy_request::RedactionStep,
};
use privacy::MerchantScope;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable,
    column::{Column as _, word_column},
    table::{Row as _, table},
};

word_column!(RedactionStep);

table! {
    /// A step that was done, or could not be.
    LoggedStep {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The request.
            request: RequestId,
            /// The event's version in the request's stream: their order.
            version: u64,
        }
        /// What happened, by the event's wire name.
        event: String,
        /// The step that could not be done.
        hindered: Option<RedactionStep>,
        /// Why.
        reason: Option<Code>,
        /// When it was recorded.
        recorded_at: Timestamp,
        /// Whether the request's record expired.
        expired: bool,
    }
    indexes []
}

/// The projection.
pub struct GdprRedactionLog;

impl Projection for GdprRedactionLog {
    type Row = LoggedStep;
    type Change = u64;
    const NAME: &'static str = "gdpr_redaction_log";
    const VERSION: u32 = 1;

    /// When the record expires, all its rows do: they are numbered from 1 without a gap.
    fn touches(event: &Recorded) -> Vec<(Key<LoggedStep>, u64)> {
        let Event::PrivacyRequest(happened) = &event.event else { return Vec::new() };
        let at = |version| (LoggedStep::at(event.merchant, RequestId(event.stream), version), version);
        match happened {
            PrivacyRequestEvent::PrivacyRecordExpired(_) => (1..=event.version).map(at).collect(),
            _ => vec![at(event.version)],
        }
    }

    fn fold(before: Option<LoggedStep>, event: &Recorded, version: u64) -> Result<LoggedStep, Unfoldable> {
        let Event::PrivacyRequest(happened) = &event.event else {
            return before.ok_or_else(|| Unfoldable::without("step"));
        };
        let expires = matches!(happened, PrivacyRequestEvent::PrivacyRecordExpired(_));
        let (hindered, reason) = match happened {
            PrivacyRequestEvent::RedactionFailed(failed) => (Some(failed.step), Some(failed.reason.clone())),
            _ => (None, None),
        };
        let told = || LoggedStep {
            merchant: event.merchant,
            request: RequestId(event.stream),
            version,
            event: event.event.name().to_owned(),
            hindered,
            reason,
            recorded_at: event.recorded_at,
            expired: false,
        };
        Ok(LoggedStep { expired: expires, ..before.unwrap_or_else(told) })
    }
}

/// The steps of a request, in order; none once its record expired.
///
/// # Errors
/// [`Error::Store`].
pub async fn steps(
    store: &ReadStore,
    scope: MerchantScope,
    request: RequestId,
) -> Result<Vec<LoggedStep>, Error> {
    store
        .query::<GdprRedactionLog, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND request = ? AND expired = 0 ORDER BY version"
            );
            session.all(&sql, &[scope.merchant().store(), request.store()], LoggedStep::read)
        })
        .await
}
