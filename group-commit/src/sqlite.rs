//! A transaction on SQLite; its statements are prepared once.
use rusqlite::{
    Connection, ToSql, params_from_iter,
    types::{self, ToSqlOutput},
};

use crate::{
    StoreError, Value, ValueRef,
    group::Transact,
    session::{Cells, OnRow, Session},
};

impl Session for Connection {
    fn each(&self, sql: &str, values: &[ValueRef<'_>], on_row: OnRow<'_>) -> Result<(), StoreError> {
        let mut select = self.prepare_cached(sql)?;
        let mut found = select.query(params_from_iter(values))?;
        while let Some(row) = found.next()? {
            on_row(row)?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        Ok(self.prepare_cached(sql)?.execute(params_from_iter(values))? as u64)
    }

    fn number(&self, _: &str, insert: &str, values: &[ValueRef<'_>]) -> Result<i64, StoreError> {
        // `RETURNING` would keep the row in a table of its own first.
        self.prepare_cached(insert)?.execute(params_from_iter(values))?;
        Ok(self.last_insert_rowid())
    }
}

impl Transact for Connection {
    fn step(&self, sql: &str) -> Result<(), StoreError> {
        self.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

impl Cells for rusqlite::Row<'_> {
    fn cell(&self, column: usize) -> Result<ValueRef<'_>, StoreError> {
        Ok(match self.get_ref(column)? {
            types::ValueRef::Null => ValueRef::Null,
            types::ValueRef::Integer(number) => ValueRef::Integer(number),
            types::ValueRef::Text(text) => {
                ValueRef::Text(std::str::from_utf8(text).map_err(StoreError::of_cell)?)
            }
            types::ValueRef::Blob(bytes) => ValueRef::Bytes(bytes),
            types::ValueRef::Real(_) => return Err(StoreError::misread("no fraction")),
        })
    }
}

impl ToSql for ValueRef<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(lent(*self))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(lent(self.borrowed()))
    }
}

const fn lent(value: ValueRef<'_>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        ValueRef::Null => types::ValueRef::Null,
        ValueRef::Integer(number) => types::ValueRef::Integer(number),
        ValueRef::Text(text) => types::ValueRef::Text(text.as_bytes()),
        ValueRef::Bytes(bytes) => types::ValueRef::Blob(bytes),
    })
}
