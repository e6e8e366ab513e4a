//! What a table comes to: its rows counted, and one digest over all of them in the order of their keys.
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Serialize, Serializer};

use crate::{StoreError, ValueRef, session::Session, table::Shape};

/// Two tables of one projection are equal exactly when their digests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TableDigest {
    /// How many rows.
    pub rows: u64,
    /// SHA-256 over the columns' names and every cell, each with its type and length.
    pub digest: RowsHash,
}

/// A SHA-256 over rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RowsHash([u8; 32]);

impl fmt::Display for RowsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RowsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RowsHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The digest of the table as this session sees it; the same in every store.
pub(crate) fn digest(session: &dyn Session, shape: &Shape) -> Result<TableDigest, StoreError> {
    let mut context = Context::new(&SHA256);
    for (name, _) in shape.columns {
        part(&mut context, b'c', name.as_bytes());
    }
    let mut rows = 0;
    session.each(&shape.scan(), &[], &mut |row| {
        for column in 0..shape.columns.len() {
            cell(&mut context, row.cell(column)?);
        }
        rows += 1;
        Ok(())
    })?;
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(TableDigest { rows, digest: RowsHash(hash) })
}

fn cell(context: &mut Context, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => part(context, b'n', &[]),
        ValueRef::Integer(number) => part(context, b'i', &number.to_be_bytes()),
        ValueRef::Text(text) => part(context, b't', text.as_bytes()),
        ValueRef::Bytes(bytes) => part(context, b'b', bytes),
    }
}

fn part(context: &mut Context, kind: u8, bytes: &[u8]) {
    context.update(&[kind]);
    context.update(&(bytes.len() as u64).to_be_bytes());
    context.update(bytes);
}
