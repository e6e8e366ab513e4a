//! What a store of the read models must be able to do beside what every store can: rows of a table in bulk.
pub(crate) use group_commit::Cells;
pub(crate) use group_commit::OnRow;
use group_commit::ValueRef;

use crate::{StoreError, Value, column::Column, table::Shape};

/// A row's cells as the types of our columns.
pub(crate) trait Typed {
    /// The value in this column, counted from 0.
    fn get<T: Column>(&self, column: usize) -> Result<T, StoreError>;
}

impl Typed for dyn Cells + '_ {
    fn get<T: Column>(&self, column: usize) -> Result<T, StoreError> {
        T::load(self.cell(column)?)
    }
}

/// Rows to write, each with all columns of its table.
pub(crate) type Rows<'a> = &'a mut dyn Iterator<Item = Vec<Value>>;

/// A connection inside a transaction. Values stand as `?`.
pub(crate) trait Session {
    /// What every store can.
    fn base(&self) -> &dyn group_commit::Session;

    /// The rows with these keys, all columns, in any order; a key without a row gives none.
    fn rows_at(&self, shape: &Shape, keys: &[&[Value]], on_row: OnRow<'_>) -> Result<(), StoreError>;

    /// Writes rows whose keys the table does not hold, each key once.
    fn insert(&self, shape: &Shape, rows: Rows<'_>) -> Result<(), StoreError>;

    /// Writes rows over those with their keys, each key once.
    fn upsert(&self, shape: &Shape, rows: Rows<'_>) -> Result<(), StoreError>;

    /// The names of all tables.
    fn tables(&self) -> Result<Vec<String>, StoreError>;

    /// Makes the table, unless it is there.
    fn create(&self, shape: &Shape) -> Result<(), StoreError>;

    /// Makes the indexes that there are not yet. No fold needs them.
    fn index(&self, shape: &Shape) -> Result<(), StoreError>;

    /// Drops the table, if it is there.
    fn drop_table(&self, table: &str) -> Result<(), StoreError>;
}

/// So many values are lent to a statement without a list on the heap.
const FEW: usize = 8;

impl dyn Session + '_ {
    /// Runs a query and hands its rows on, which may be many.
    pub(crate) fn each(&self, sql: &str, values: &[Value], on_row: OnRow<'_>) -> Result<(), StoreError> {
        lent(values, |values| self.base().each(sql, values, on_row))
    }

    /// Runs a statement; returns how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        lent(values, |values| self.base().execute(sql, values))
    }

    /// All rows of an answer.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: impl Fn(&dyn Cells) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        lent(values, |values| self.base().all(sql, values, read))
    }

    /// The first row of an answer.
    pub(crate) fn first<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: impl Fn(&dyn Cells) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        lent(values, |values| self.base().first(sql, values, read))
    }

    /// The only row of an answer that always has one.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: impl Fn(&dyn Cells) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.first(sql, values, read)?.ok_or(StoreError::Missing)
    }
}

/// The values as a statement takes them.
pub(crate) fn lent<T>(values: &[Value], work: impl FnOnce(&[ValueRef<'_>]) -> T) -> T {
    let mut few = [ValueRef::Null; FEW];
    match few.get_mut(..values.len()) {
        Some(lent) => {
            lent.iter_mut().zip(values).for_each(|(lent, value)| *lent = value.borrowed());
            work(lent)
        }
        None => work(&values.iter().map(Value::borrowed).collect::<Vec<_>>()),
    }
}
