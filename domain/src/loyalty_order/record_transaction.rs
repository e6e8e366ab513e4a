//! Money moved at the order, or an authorisation was given up; perhaps told before the order. It counts once, for ever.
use event_schemas::{
    Digest, Money, Timestamp,
    loyalty_order::{OrderTransactionSeen, TransactionKind},
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State};
use crate::Rejection;

/// Tells of a transaction that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordTransaction {
    /// Keyed digest of Shopify's transaction id.
    pub transaction: Digest,
    /// What it did.
    pub kind: TransactionKind,
    /// How much, above or equal to zero.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &RecordTransaction) -> Result<Vec<Event>, Rejection> {
    let RecordTransaction { transaction, kind, amount, at } = *command;
    let seen = OrderTransactionSeen { transaction, kind, amount, at };
    if let Some(known) = state.transactions.get(&transaction) {
        return if *known == seen { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    let mut draft = Draft::of(state);
    draft.push(seen);
    draft.judged()
}
