//! The cells of a row as Postgres sends them.
use sqlx::{
    Row as _, ValueRef as _,
    postgres::{PgRow, types::Oid},
};

use crate::{StoreError, ValueRef, session::Cells};

/// The server's numbers of the types that come out of a store.
const BOOLEAN: Oid = Oid(16);
const BYTEA: Oid = Oid(17);
const BIGINT: Oid = Oid(20);
const INTEGER: Oid = Oid(23);
const TEXT: Oid = Oid(25);

impl Cells for PgRow {
    fn cell(&self, column: usize) -> Result<ValueRef<'_>, StoreError> {
        let raw = self.try_get_raw(column).map_err(StoreError::of_cell)?;
        if raw.is_null() {
            return Ok(ValueRef::Null);
        }
        let (bytes, of) = (raw.as_bytes().map_err(StoreError::of_cell)?, raw.type_info().oid());
        match of {
            Some(BYTEA) => Ok(ValueRef::Bytes(bytes)),
            Some(TEXT) => std::str::from_utf8(bytes).map(ValueRef::Text).map_err(StoreError::of_cell),
            Some(BIGINT) => Ok(ValueRef::Integer(i64::from_be_bytes(fixed(bytes)?))),
            Some(INTEGER) => Ok(ValueRef::Integer(i32::from_be_bytes(fixed(bytes)?).into())),
            Some(BOOLEAN) => Ok(ValueRef::Integer((bytes != [0]).into())),
            _ => Err(StoreError::misread("a number, a text or bytes")),
        }
    }
}

fn fixed<const LEN: usize>(bytes: &[u8]) -> Result<[u8; LEN], StoreError> {
    bytes.try_into().map_err(StoreError::of_cell)
}
