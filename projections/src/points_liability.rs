//! What each shop's points came to, account by account of the double entry: sums over all customers.
use std::collections::BTreeMap;

use event_schemas::{
    MerchantId, Overflow, Points,
    points_account::{Ledger, Posting},
};
use privacy::MerchantScope;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable, account_event,
    column::{Column as _, word_column},
    session::Typed as _,
    table::table,
};

word_column!(Ledger);

table! {
    /// One account of a shop's ledger. Customers feed it from every partition, and sums do not mind in which order.
    Account {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The account.
            ledger: Ledger,
        }
        /// The sum of all postings, signed as [`Ledger`] has it.
        points: Points,
    }
    indexes []
}

/// The projection.
pub struct PointsLiability;

impl Projection for PointsLiability {
    type Row = Account;
    type Change = Result<Posting, Overflow>;
    const NAME: &'static str = "points_liability";
    const VERSION: u32 = 1;

    /// An event whose parts do not sum up is poison for the account that all points come from.
    fn touches(event: &Recorded) -> Vec<(Key<Account>, Self::Change)> {
        let Some(moved) = account_event::of(event) else { return Vec::new() };
        let at = |ledger| Account::at(event.merchant, ledger);
        let mut sums = BTreeMap::new();
        for Posting { ledger, points } in match moved.postings() {
            Ok(postings) => postings,
            Err(overflow) => return vec![(at(Ledger::Issued), Err(overflow))],
        } {
            let sum = sums.entry(ledger).or_insert(Ok(Points::ZERO));
            *sum = sum.and_then(|sum: Points| sum.plus(points));
        }
        let change = |(ledger, sum): (Ledger, Result<Points, Overflow>)| {
            (at(ledger), sum.map(|points| Posting { ledger, points }))
        };
        sums.into_iter().map(change).collect()
    }

    fn fold(before: Option<Account>, event: &Recorded, change: Self::Change) -> Result<Account, Unfoldable> {
        let Posting { ledger, points } = change?;
        let sum = before.map_or(Points::ZERO, |account| account.points);
        Ok(Account { merchant: event.merchant, ledger, points: sum.plus(points)? })
    }
}

/// The shop's ledger: every account that was ever posted to. They sum to zero.
pub async fn find(store: &ReadStore, scope: MerchantScope) -> Result<Vec<(Ledger, Points)>, Error> {
    store
        .query::<PointsLiability, _>(scope, move |session, table, _| {
            let sql = format!("SELECT ledger, points FROM {table} WHERE merchant = ?");
            session.all(&sql, &[scope.merchant().store()], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
}
