//! Money moved at an order, or an authorisation was given up.
use crate::{Digest, Money, Timestamp, payload, words};

words! {
    /// What a transaction did.
    TransactionKind {
        /// The buyer paid this much.
        Payment = "payment",
        /// The authorisation was given up.
        Void = "void",
    }
}

payload! {
    /// A transaction of an order was seen, counted once. Refunds are events of their own.
    OrderTransactionSeen {
        /// Keyed digest of Shopify's transaction id.
        transaction: Digest,
        /// What it did.
        kind: TransactionKind,
        /// How much.
        amount: Money,
        /// When.
        at: Timestamp,
    }
    sample: Self { transaction: DIGEST, kind: TransactionKind::Payment, amount: usd(6493), at: time() }
}
