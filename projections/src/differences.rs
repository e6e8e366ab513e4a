//! Which rows two tables of one projection do not have in common. Personal fields are shown as they stand: sealed.
use std::cmp::Ordering;

use rusqlite::{Connection, Rows, types::Value};
use serde::Serialize;

use crate::table::Statements;

/// How far two tables differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Rows that differ, or that only one of the tables has.
    pub rows: u64,
    /// The first of them in the order of their keys.
    pub first: Vec<Difference>,
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The row's key.
    pub key: Vec<Cell>,
    /// What of it differs.
    pub change: Change,
}

/// A column with its value as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The column.
    pub column: &'static str,
    /// Its value; long bytes are cut.
    pub value: String,
}

/// How a row differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The log does not give it.
    OnlyServed,
    /// It was not served.
    OnlyRebuilt,
    /// These columns differ.
    Columns(Vec<Changed>),
}

/// A column that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The column.
    pub column: &'static str,
    /// What was served.
    pub served: String,
    /// What the log gives.
    pub rebuilt: String,
}

/// Walks both tables in the order of their keys; keeps at most `first_max` rows.
pub(crate) fn differences(
    connection: &Connection,
    served: &Statements,
    rebuilt: &Statements,
    first_max: usize,
) -> rusqlite::Result<Differences> {
    let (names, key_len) = (&served.names, served.key_len);
    let (mut left, mut right) = (connection.prepare(&served.scan)?, connection.prepare(&rebuilt.scan)?);
    let (mut left, mut right) = (left.query([])?, right.query([])?);
    let mut found = Differences::default();
    let mut note = |row: &[Value], change: Change| {
        found.rows += 1;
        if found.first.len() < first_max {
            let cell = |(column, value): (&&'static str, &Value)| Cell { column, value: text(value) };
            found
                .first
                .push(Difference { key: names.iter().zip(row).take(key_len).map(cell).collect(), change });
        }
    };
    let (mut one, mut other) = (next(&mut left, names.len())?, next(&mut right, names.len())?);
    loop {
        let order = match (&one, &other) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => compare(&one[..key_len], &other[..key_len]),
        };
        match (order, &one, &other) {
            (Ordering::Less, Some(row), _) => note(row, Change::OnlyServed),
            (Ordering::Greater, _, Some(row)) => note(row, Change::OnlyRebuilt),
            (Ordering::Equal, Some(one), Some(other)) if one != other => {
                note(one, Change::Columns(changed(names, one, other)));
            }
            _ => {}
        }
        if order != Ordering::Greater {
            one = next(&mut left, names.len())?;
        }
        if order != Ordering::Less {
            other = next(&mut right, names.len())?;
        }
    }
    Ok(found)
}

fn next(rows: &mut Rows<'_>, columns: usize) -> rusqlite::Result<Option<Vec<Value>>> {
    rows.next()?.map(|row| (0..columns).map(|column| row.get(column)).collect()).transpose()
}

fn changed(names: &[&'static str], served: &[Value], rebuilt: &[Value]) -> Vec<Changed> {
    let pairs =
        names.iter().zip(served.iter().zip(rebuilt)).filter(|(_, (served, rebuilt))| served != rebuilt);
    pairs
        .map(|(column, (served, rebuilt))| Changed { column, served: text(served), rebuilt: text(rebuilt) })
        .collect()
}

/// SQLite's own order of a key: its columns are typed, so only equal types meet.
fn compare(one: &[Value], other: &[Value]) -> Ordering {
    let columns = one.iter().zip(other).map(|pair| match pair {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Text(one), Value::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => Ordering::Equal,
    });
    columns.fold(Ordering::Equal, Ordering::then)
}

/// Ids in full, sealed fields by their length and first bytes.
fn text(value: &Value) -> String {
    const SHOWN_MAX: usize = 16;
    match value {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => {
            let hex: String = bytes.iter().take(SHOWN_MAX).map(|byte| format!("{byte:02x}")).collect();
            if bytes.len() > SHOWN_MAX { format!("{hex}… ({} bytes)", bytes.len()) } else { hex }
        }
    }
}
