//! What a store can do inside a transaction. SQL is written once, in what SQLite and Postgres both understand: 64-bit
//! integers, texts and bytes are all there is, and values stand as `?`, or as `?1` where one is needed twice.
use crate::{StoreError, ValueRef};

/// One row of a query's answer.
pub trait Cells {
    /// The value in this column, counted from 0.
    ///
    /// # Errors
    /// There is no such column, or it holds something else than a value.
    fn cell(&self, column: usize) -> Result<ValueRef<'_>, StoreError>;
}

impl dyn Cells + '_ {
    /// The value in this column, counted from 0, as this type.
    ///
    /// # Errors
    /// It is of another type.
    pub fn at<T: Cell>(&self, column: usize) -> Result<T, StoreError> {
        T::load(self.cell(column)?)
    }
}

/// Told of one row after the other.
pub type OnRow<'a> = &'a mut dyn FnMut(&dyn Cells) -> Result<(), StoreError>;

/// A connection inside a transaction.
pub trait Session {
    /// Runs a query and hands its rows on, which may be many.
    ///
    /// # Errors
    /// The store refused, or `on_row` did.
    fn each(&self, sql: &str, values: &[ValueRef<'_>], on_row: OnRow<'_>) -> Result<(), StoreError>;

    /// Runs a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// The store refused.
    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, StoreError>;

    /// Inserts a row into a table whose rows the store numbers in `column`, the key; gives its number.
    ///
    /// # Errors
    /// The store refused.
    fn number(&self, column: &str, insert: &str, values: &[ValueRef<'_>]) -> Result<i64, StoreError>;
}

impl dyn Session + '_ {
    /// All rows of an answer.
    ///
    /// # Errors
    /// The store refused, or a row cannot be read.
    pub fn all<T>(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
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
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn first<T>(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        read: impl Fn(&dyn Cells) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        self.each(sql, values, &mut |row| {
            if found.is_none() {
                found = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The only row of an answer that always has one.
    ///
    /// # Errors
    /// As [`Self::all`]; [`StoreError::Missing`] if there is none.
    pub fn one<T>(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        read: impl Fn(&dyn Cells) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.first(sql, values, read)?.ok_or(StoreError::Missing)
    }
}

/// What a cell can be read as.
pub trait Cell: Sized {
    /// The value as read.
    ///
    /// # Errors
    /// It is of another type.
    fn load(value: ValueRef<'_>) -> Result<Self, StoreError>;
}

macro_rules! integers {
    ($($name:ty)*) => {$(
        impl Cell for $name {
            fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
                value.integer()?.try_into().map_err(|_| StoreError::misread(stringify!($name)))
            }
        }
    )*};
}

integers! { i32 i64 u16 u32 u64 }

impl Cell for bool {
    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        Ok(value.integer()? != 0)
    }
}

impl Cell for String {
    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        value.text().map(str::to_owned)
    }
}

impl Cell for Vec<u8> {
    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        value.bytes().map(<[u8]>::to_vec)
    }
}

impl<const LEN: usize> Cell for [u8; LEN] {
    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        value.bytes()?.try_into().map_err(StoreError::of_cell)
    }
}

impl<T: Cell> Cell for Option<T> {
    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        if value == ValueRef::Null { Ok(None) } else { T::load(value).map(Some) }
    }
}
