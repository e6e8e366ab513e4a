//! Redemptions: what was exchanged for what, and how far it has come.
use event_schemas::{
    Code, CustomerId, Event, FieldAddress, MerchantId, Money, Points, RedemptionId, Sealed, StreamType,
    Timestamp, catalogue::RedemptionEvent, points_account::PosEntry, redemption::RedemptionRequested,
    reward::RewardUsed, words,
};
use privacy::MerchantScope;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable,
    column::{Column as _, Json, Origin, word_column},
    recorded::{address, sealed},
    table::{Row as _, table},
};

words! {
    /// How far a redemption has come.
    RedemptionStatus {
        /// The points are held; the code is not there yet.
        Pending = "pending",
        /// The code is issued and the points are spent.
        Completed = "completed",
        /// There was no code; the points go back.
        Failed = "failed",
        /// There was no code in time; the points go back.
        Expired = "expired",
        /// It was cancelled after its completion; the points come back.
        Cancelled = "cancelled",
    }
}

word_column!(RedemptionStatus);

table! {
    /// A redemption.
    Redemption {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The redemption.
            redemption: RedemptionId,
        }
        /// Who redeems.
        customer: CustomerId,
        /// What it costs.
        points: Points,
        /// What it gives.
        discount: Json<Money>,
        /// The reward of the catalogue, as it was then.
        reward: Option<Json<RewardUsed>>,
        /// The till that gave the discount, if one did.
        pos: Option<Json<PosEntry>>,
        /// How far it has come.
        status: RedemptionStatus,
        /// Why it failed or was cancelled.
        reason: Option<Code>,
        /// The discount code.
        code: Option<Sealed>,
        /// The event that the code comes from.
        code_origin: Option<Json<Origin>>,
        /// Who issued the code.
        issuer: Option<Code>,
        /// When it was requested.
        requested_at: Timestamp,
        /// When it last changed.
        updated_at: Timestamp,
    }
    indexes ["merchant, customer, requested_at, redemption"]
    sealed for customer
}

impl Redemption {
    /// The address of the code, if there is one.
    #[must_use]
    pub fn code_address(&self) -> Option<FieldAddress> {
        let stream = (StreamType::Redemption, self.redemption.0);
        let origin = self.code_origin.as_ref()?;
        Some(address(self.merchant, self.customer, stream, origin.0, "code"))
    }
}

/// The projection.
pub struct Redemptions;

impl Projection for Redemptions {
    type Row = Redemption;
    type Change = ();
    const NAME: &'static str = "redemption_list";
    const VERSION: u32 = 2;

    fn touches(event: &Recorded) -> Vec<(Key<Redemption>, ())> {
        match event.event {
            Event::Redemption(_) => vec![(Redemption::at(event.merchant, RedemptionId(event.stream)), ())],
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Redemption>, event: &Recorded, (): ()) -> Result<Redemption, Unfoldable> {
        let Event::Redemption(event_of_redemption) = &event.event else {
            return before.ok_or_else(|| Unfoldable::without("request"));
        };
        if let RedemptionEvent::RedemptionRequested(request) = event_of_redemption {
            return Ok(requested(event, request));
        }
        let redemption = before.ok_or_else(|| Unfoldable::without("request"))?;
        Ok(moved(Redemption { updated_at: event.recorded_at, ..redemption }, event_of_redemption, event))
    }
}

fn requested(event: &Recorded, request: &RedemptionRequested) -> Redemption {
    Redemption {
        merchant: event.merchant,
        redemption: RedemptionId(event.stream),
        customer: request.customer,
        points: request.points,
        discount: Json(request.discount),
        reward: request.reward.map(Json),
        pos: request.pos.map(Json),
        status: RedemptionStatus::Pending,
        reason: None,
        code: None,
        code_origin: None,
        issuer: None,
        requested_at: event.recorded_at,
        updated_at: event.recorded_at,
    }
}

fn moved(redemption: Redemption, event: &RedemptionEvent, recorded: &Recorded) -> Redemption {
    match event {
        RedemptionEvent::DiscountCodeIssued(issued) => Redemption {
            code: sealed(issued.code.as_ref()),
            code_origin: Some(Json(recorded.origin())),
            issuer: Some(issued.issuer.clone()),
            ..redemption
        },
        RedemptionEvent::RedemptionCompleted(_) => {
            Redemption { status: RedemptionStatus::Completed, ..redemption }
        }
        RedemptionEvent::RedemptionFailed(failed) => {
            Redemption { status: RedemptionStatus::Failed, reason: Some(failed.reason.clone()), ..redemption }
        }
        RedemptionEvent::RedemptionExpired(_) => {
            Redemption { status: RedemptionStatus::Expired, ..redemption }
        }
        RedemptionEvent::RedemptionCancelled(cancelled) => Redemption {
            status: RedemptionStatus::Cancelled,
            reason: Some(cancelled.reason.clone()),
            ..redemption
        },
        RedemptionEvent::RedemptionRequested(_) => redemption,
    }
}

/// Where a page of redemptions starts: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// When it was requested.
    pub requested_at: Timestamp,
    /// The redemption.
    pub redemption: RedemptionId,
}

/// The end of the year 9999.
const END_OF_TIME_US: i64 = 253_402_300_799_999_999;

/// The redemptions of these customers, newest first, at most `limit`.
pub async fn list(
    store: &ReadStore,
    scope: MerchantScope,
    customers: &[CustomerId],
    after: Option<After>,
    limit: u32,
) -> Result<Vec<Redemption>, Error> {
    let after = after.unwrap_or(After {
        requested_at: Timestamp::from_micros(END_OF_TIME_US),
        redemption: RedemptionId::from_bytes([0xff; 16]),
    });
    let any = vec!["?"; customers.len()].join(", ");
    let mut values = vec![scope.merchant().store()];
    values.extend(customers.iter().map(|customer| customer.store()));
    values.extend([after.requested_at.store(), after.redemption.store(), limit.store()]);
    store
        .query::<Redemptions, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND customer IN ({any})
                 AND (requested_at, redemption) < (?, ?)
                 ORDER BY requested_at DESC, redemption DESC LIMIT ?"
            );
            session.all(&sql, &values, Redemption::read)
        })
        .await
}
