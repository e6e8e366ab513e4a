//! What the rows of a page have in common: the conditions of its query, and the values that stand in them.
use privacy::MerchantScope;

use crate::{Value, column::Column as _};

/// Conditions that all hold.
pub(crate) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// The shop's rows.
    pub(crate) fn of(scope: MerchantScope) -> Self {
        Self { sql: "merchant = ?".to_owned(), values: vec![scope.merchant().store()] }
    }

    /// This one too; a `?` in it for each value.
    pub(crate) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    /// What stands behind `WHERE`, and its values with the `LIMIT ?` behind them.
    pub(crate) fn at_most(mut self, limit: u32) -> (String, Vec<Value>) {
        self.values.push(limit.store());
        (self.sql, self.values)
    }
}
