//! Which rows two tables of one projection do not have in common. Personal fields are shown as they stand: sealed.
use std::mem;

use serde::Serialize;

use crate::{
    StoreError, Value, ValueRef,
    column::Column as _,
    session::{Cells, Session},
    table::{NamedColumn, Shape},
};

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

/// Asks for the rows that only one of the tables has, in the order of their keys; keeps at most `first_max`.
pub(crate) fn differences(
    session: &dyn Session,
    served: &Shape,
    rebuilt: &Shape,
    first_max: usize,
) -> Result<Differences, StoreError> {
    let (names, columns, key) = (served.names(), served.columns, served.key_names());
    let (left, right) = (&served.table, &rebuilt.table);
    let only = |side: u16, one: &str, other: &str| {
        format!(
            "SELECT * FROM (SELECT {side} AS side, {names} FROM {one}
             EXCEPT SELECT {side} AS side, {names} FROM {other}) AS only_{side}"
        )
    };
    let sql = format!(
        "SELECT {names}, CAST(side AS BIGINT) FROM ({} UNION ALL {}) AS apart ORDER BY {key}, side",
        only(SERVED, left, right),
        only(REBUILT, right, left)
    );
    let mut walk =
        Walk { columns, key_len: served.key_len, first_max, waiting: None, found: Differences::default() };
    session.each(&sql, &[], &mut |row| {
        walk.step(Apart::read(row, columns)?);
        Ok(())
    })?;
    walk.settle();
    Ok(walk.found)
}

const SERVED: u16 = 1;
const REBUILT: u16 = 2;

/// A row that only one of the tables has.
struct Apart {
    side: u16,
    cells: Vec<Value>,
}

impl Apart {
    fn read(row: &dyn Cells, columns: &[NamedColumn]) -> Result<Self, StoreError> {
        let cells = (0..columns.len())
            .map(|column| row.cell(column).map(ValueRef::owned))
            .collect::<Result<_, _>>()?;
        Ok(Self { side: u16::load(row.cell(columns.len())?)?, cells })
    }
}

/// Two rows one after the other with the same key are one that differs.
struct Walk {
    columns: &'static [NamedColumn],
    key_len: usize,
    first_max: usize,
    waiting: Option<Apart>,
    found: Differences,
}

impl Walk {
    fn step(&mut self, next: Apart) {
        match self.waiting.take() {
            Some(before) if before.side != next.side && self.key(&before) == self.key(&next) => {
                let change = Change::Columns(self.changed(&before, &next));
                self.note(&before, change);
            }
            before => {
                self.waiting = before;
                self.settle();
                self.waiting = Some(next);
            }
        }
    }

    /// Whatever waits is the only one with its key.
    fn settle(&mut self) {
        if let Some(row) = mem::take(&mut self.waiting) {
            let change = if row.side == SERVED { Change::OnlyServed } else { Change::OnlyRebuilt };
            self.note(&row, change);
        }
    }

    fn key<'a>(&self, row: &'a Apart) -> &'a [Value] {
        row.cells.get(..self.key_len).unwrap_or_default()
    }

    fn note(&mut self, row: &Apart, change: Change) {
        self.found.rows += 1;
        if self.found.first.len() < self.first_max {
            let named = self.columns.iter().zip(self.key(row));
            let cell = |((column, _), value): (&NamedColumn, &Value)| Cell { column, value: text(value) };
            self.found.first.push(Difference { key: named.map(cell).collect(), change });
        }
    }

    fn changed(&self, served: &Apart, rebuilt: &Apart) -> Vec<Changed> {
        let pairs = self.columns.iter().zip(served.cells.iter().zip(&rebuilt.cells));
        let differing = pairs.filter(|(_, (served, rebuilt))| served != rebuilt);
        differing
            .map(|((column, _), (served, rebuilt))| Changed {
                column,
                served: text(served),
                rebuilt: text(rebuilt),
            })
            .collect()
    }
}

/// Ids in full, sealed fields by their length and first bytes.
fn text(value: &Value) -> String {
    const SHOWN_MAX: usize = 16;
    match value.borrowed() {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => text.to_owned(),
        ValueRef::Bytes(bytes) => {
            let hex: String = bytes.iter().take(SHOWN_MAX).map(|byte| format!("{byte:02x}")).collect();
            if bytes.len() > SHOWN_MAX { format!("{hex}… ({} bytes)", bytes.len()) } else { hex }
        }
    }
}
