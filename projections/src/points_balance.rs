//! What each customer has: all buckets of the account, as after its newest event.
use event_schemas::{CustomerId, MerchantId, Points, Timestamp, points_account::Balances};
use privacy::MerchantScope;
use rusqlite::params;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable, account_event, column::Column as _, table::table,
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
        /// Version of the newest event of the account.
        version: u64,
        /// When it was recorded.
        updated_at: Timestamp,
    }
    indexes []
}

impl Balance {
    /// The buckets alone.
    #[must_use]
    pub const fn balances(&self) -> Balances {
        Balances {
            available: self.available,
            pending: self.pending,
            reserved: self.reserved,
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
    const NAME: &'static str = "points_balance";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<Key<Balance>> {
        account_event::of(event)
            .map(|_| vec![Balance::at(event.merchant, event.subject())])
            .unwrap_or_default()
    }

    fn fold(_: Option<Balance>, event: &Recorded) -> Result<Balance, Unfoldable> {
        let after = account_event::of(event).map(account_event::after);
        let after = after.ok_or_else(|| Unfoldable::without("account"))?;
        Ok(Balance {
            merchant: event.merchant,
            customer: event.subject(),
            available: after.available,
            pending: after.pending,
            reserved: after.reserved,
            debt: after.debt,
            lifetime_earned: after.lifetime_earned,
            lifetime_redeemed: after.lifetime_redeemed,
            lifetime_expired: after.lifetime_expired,
            lifetime_clawed_back: after.lifetime_clawed_back,
            lifetime_adjusted: after.lifetime_adjusted,
            lifetime_voided: after.lifetime_voided,
            lifetime_transferred: after.lifetime_transferred,
            version: event.version,
            updated_at: event.recorded_at,
        })
    }
}

/// The customer's account, unless it was never opened.
pub async fn find(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
) -> Result<Option<Balance>, Error> {
    store.find::<PointsBalance>(Balance::at(scope.merchant(), customer)).await
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
    /// Owed.
    pub debt: Points,
}

/// The sums over all accounts of the shop.
pub async fn totals(store: &ReadStore, scope: MerchantScope) -> Result<Totals, Error> {
    store
        .query::<PointsBalance, _>(move |connection, table, _| {
            let sums =
                ["available", "pending", "reserved", "debt"].map(|name| format!("coalesce(sum({name}), 0)"));
            let sql = format!("SELECT {} FROM {table} WHERE merchant = ?", sums.join(", "));
            connection.prepare_cached(&sql)?.query_row(params![scope.merchant().store()], |row| {
                let sum = |column| row.get(column).map(Points);
                Ok(Totals { available: sum(0)?, pending: sum(1)?, reserved: sum(2)?, debt: sum(3)? })
            })
        })
        .await
}
