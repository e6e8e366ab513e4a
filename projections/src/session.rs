//! What a store of the read models must be able to do, within one transaction. SQL is written once, in what SQLite and
//! Postgres both understand, with `?` for values; what differs between them is a method here.
use crate::{
    StoreError,
    column::Column,
    table::Shape,
    value::{Value, ValueRef},
};

/// One row of a query's answer.
pub trait Cells {
    /// The value in this column, counted from 0.
    fn cell(&self, column: usize) -> Result<ValueRef<'_>, StoreError>;
}

impl dyn Cells + '_ {
    pub(crate) fn get<T: Column>(&self, column: usize) -> Result<T, StoreError> {
        T::load(self.cell(column)?)
    }
}

/// Told of one row after the other.
pub(crate) type OnRow<'a> = &'a mut dyn FnMut(&dyn Cells) -> Result<(), StoreError>;

/// Rows to write, each with all columns of its table.
pub(crate) type Rows<'a> = &'a mut dyn Iterator<Item = Vec<Value>>;

/// A connection inside a transaction.
pub(crate) trait Session {
    /// Runs a query and hands its rows on, which may be many.
    fn each(&self, sql: &str, values: &[Value], on_row: OnRow<'_>) -> Result<(), StoreError>;

    /// Runs a statement; returns how many rows it changed.
    fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, StoreError>;

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

impl dyn Session + '_ {
    /// All rows of an answer.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: impl Fn(&dyn Cells) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.each(sql, values, &mut |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The first row of an answer.
    pub(crate) fn first<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: impl Fn(&dyn Cells) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(sql, values, read)?.into_iter().next())
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
