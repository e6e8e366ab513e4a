//! What each customer has: all buckets of the account, as after its newest event, and how the account stands.
use event_schemas::{
    Code, CustomerId, MerchantId, Points, Timestamp,
    catalogue::PointsAccountEvent,
    points_account::{Balances, Estate},
};
use privacy::MerchantScope;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable, account_event, account_lots::Ending,
    column::Column as _, session::Typed as _, table::table,
};

table! {
    /// An account's buckets. Columns of their own, so that a shop's sums are one query.
    Balance {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The customer.
            customer: CustomerId,
        }
        /// Can be spent.
        available: Points,
        /// Earned, not to be spent yet.
        pending: Points,
        /// Held while a reward is issued.
        reserved: Points,
        /// Sent to another customer, and neither arrived nor came back yet.
        in_transit: Points,
        /// Owed.
        debt: Points,
        /// All that was ever earned.
        lifetime_earned: Points,
        /// All that was ever redeemed, less what was given back.
        lifetime_redeemed: Points,
        /// All that ever expired.
        lifetime_expired: Points,
        /// All that was ever clawed back.
        lifetime_clawed_back: Points,
        /// The signed sum of all adjustments.
        lifetime_adjusted: Points,
        /// All pending points that were ever voided.
        lifetime_voided: Points,
        /// The signed sum of all transfers.
        lifetime_transferred: Points,
        /// Why people and programs may ask nothing of the account.
        frozen: Option<Code>,
        /// Whose account goes on, if this one was merged.
        merged_into: Option<CustomerId>,
        /// When points end of which the customer was warned since they last earned or redeemed.
        warned_end_at: Option<Timestamp>,
        /// Version of the newest event of the account.
        version: u64,
        /// When it was recorded.
        updated_at: Timestamp,
    }
    indexes ["merchant, warned_end_at, customer"]
}

impl Balance {
    /// The buckets alone.
    #[must_use]
    pub const fn balances(&self) -> Balances {
        Balances {
            available: self.available,
            pending: self.pending,
            reserved: self.reserved,
            in_transit: self.in_transit,
            debt: self.debt,
            lifetime_earned: self.lifetime_earned,
            lifetime_redeemed: self.lifetime_redeemed,
            lifetime_expired: self.lifetime_expired,
            lifetime_clawed_back: self.lifetime_clawed_back,
            lifetime_adjusted: self.lifetime_adjusted,
            lifetime_voided: self.lifetime_voided,
            lifetime_transferred: self.lifetime_transferred,
        }
    }
}

/// The projection.
pub struct PointsBalance;

impl Projection for PointsBalance {
    type Row = Balance;
    type Change = ();
    const NAME: &'static str = "points_balance";
    const VERSION: u32 = 3;

    fn touches(event: &Recorded) -> Vec<(Key<Balance>, ())> {
        account_event::of(event)
            .map(|_| vec![(Balance::at(event.merchant, event.subject()), ())])
            .unwrap_or_default()
    }

    fn fold(before: Option<Balance>, event: &Recorded, (): ()) -> Result<Balance, Unfoldable> {
        let moved = account_event::of(event).ok_or_else(|| Unfoldable::without("account"))?;
        let account = before.unwrap_or_else(|| opened(event));
        let account = match account_event::after(moved) {
            Some(after) => with(account, after),
            None => account,
        };
        let account =
            stands(Balance { version: event.version, updated_at: event.recorded_at, ..account }, moved);
        // Of points that left, nobody is warned; those that come later have all their time ahead of them.
        let warned_end_at = account.warned_end_at.filter(|_| account.available.is_positive());
        Ok(Balance { warned_end_at, ..account })
    }
}

const fn opened(event: &Recorded) -> Balance {
    Balance {
        merchant: event.merchant,
        customer: event.subject(),
        available: Points::ZERO,
        pending: Points::ZERO,
        reserved: Points::ZERO,
        in_transit: Points::ZERO,
        debt: Points::ZERO,
        lifetime_earned: Points::ZERO,
        lifetime_redeemed: Points::ZERO,
        lifetime_expired: Points::ZERO,
        lifetime_clawed_back: Points::ZERO,
        lifetime_adjusted: Points::ZERO,
        lifetime_voided: Points::ZERO,
        lifetime_transferred: Points::ZERO,
        frozen: None,
        merged_into: None,
        warned_end_at: None,
        version: event.version,
        updated_at: event.recorded_at,
    }
}

fn with(account: Balance, after: Balances) -> Balance {
    Balance {
        available: after.available,
        pending: after.pending,
        reserved: after.reserved,
        in_transit: after.in_transit,
        debt: after.debt,
        lifetime_earned: after.lifetime_earned,
        lifetime_redeemed: after.lifetime_redeemed,
        lifetime_expired: after.lifetime_expired,
        lifetime_clawed_back: after.lifetime_clawed_back,
        lifetime_adjusted: after.lifetime_adjusted,
        lifetime_voided: after.lifetime_voided,
        lifetime_transferred: after.lifetime_transferred,
        ..account
    }
}

/// What beside the buckets the event changes.
fn stands(account: Balance, event: &PointsAccountEvent) -> Balance {
    let unwarned = |account| Balance { warned_end_at: None, ..account };
    match event {
        PointsAccountEvent::PointsAccountRedacted(_) => unwarned(account),
        PointsAccountEvent::PointsAccountFrozen(frozen) => {
            Balance { frozen: Some(frozen.reason.clone()), ..account }
        }
        PointsAccountEvent::PointsAccountUnfrozen(_) => Balance { frozen: None, ..account },
        PointsAccountEvent::PointsAccountMerged(merged) => {
            unwarned(Balance { merged_into: Some(merged.into), ..account })
        }
        PointsAccountEvent::EstatePartMoved(moved) => {
            unwarned(Balance { merged_into: Some(moved.into), ..account })
        }
        PointsAccountEvent::PointsAccountAbsorbed(absorbed) => inherits(account, &absorbed.estate),
        PointsAccountEvent::EstatePartAbsorbed(absorbed) => inherits(account, &absorbed.estate),
        PointsAccountEvent::PointsExpiryWarned(warned) => {
            Balance { warned_end_at: Some(warned.expires_at), ..account }
        }
        PointsAccountEvent::PointsEarned(_)
        | PointsAccountEvent::PointsReserved(_)
        | PointsAccountEvent::PointsExpired(_) => unwarned(account),
        _ => account,
    }
}

/// A freeze survives a merge.
fn inherits(account: Balance, estate: &Estate) -> Balance {
    let inherited = || estate.frozen.then(|| Code::fixed("merged-account-was-frozen"));
    let frozen = account.frozen.or_else(inherited);
    Balance { frozen, ..account }
}

/// The customer's account, unless it was never opened.
pub async fn find(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
) -> Result<Option<Balance>, Error> {
    store.find::<PointsBalance>(scope, Balance::at(scope.merchant(), customer)).await
}

/// What all customers of a shop have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Can be spent.
    pub available: Points,
    /// Earned, not to be spent yet.
    pub pending: Points,
    /// Held while rewards are issued.
    pub reserved: Points,
    /// On their way between customers.
    pub in_transit: Points,
    /// Owed.
    pub debt: Points,
}

/// The sums over all accounts of the shop.
pub async fn totals(store: &ReadStore, scope: MerchantScope) -> Result<Totals, Error> {
    store
        .query::<PointsBalance, _>(scope, move |session, table, _| {
            let sums = ["available", "pending", "reserved", "in_transit", "debt"]
                .map(|name| format!("CAST(coalesce(sum({name}), 0) AS BIGINT)"));
            let sql = format!("SELECT {} FROM {table} WHERE merchant = ?", sums.join(", "));
            session.one(&sql, &[scope.merchant().store()], |row| {
                Ok(Totals {
                    available: row.get(0)?,
                    pending: row.get(1)?,
                    reserved: row.get(2)?,
                    in_transit: row.get(3)?,
                    debt: row.get(4)?,
                })
            })
        })
        .await
}

/// Who was warned that points end by `until`, in the order of [`crate::account_lots::ending`], each with all points that
/// can be spent: where inactivity ends them, it ends all.
pub async fn warned(
    store: &ReadStore,
    scope: MerchantScope,
    of: Option<CustomerId>,
    until: Timestamp,
    after: Option<(Timestamp, CustomerId)>,
    limit: u32,
) -> Result<Vec<Ending>, Error> {
    let (time, customer) = after.unwrap_or((Timestamp::EPOCH, CustomerId(uuid::Uuid::nil())));
    store
        .query::<PointsBalance, _>(scope, move |session, table, _| {
            let one = if of.is_some() { "AND customer = ?" } else { "" };
            let sql = format!(
                "SELECT warned_end_at, customer, available FROM {table}
                 WHERE merchant = ? AND warned_end_at <= ? AND (warned_end_at, customer) > (?, ?) {one}
                 AND available > 0 ORDER BY warned_end_at, customer LIMIT ?"
            );
            let mut values = vec![scope.merchant().store(), until.store(), time.store(), customer.store()];
            values.extend(of.map(|of| of.store()));
            values.push(limit.store());
            session.all(&sql, &values, Ending::read)
        })
        .await
}
