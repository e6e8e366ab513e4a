//! A transaction on Postgres: bulk reads by arrays of keys, bulk writes by COPY and by arrays of columns.
use std::fmt::Write as _;

use futures::TryStreamExt as _;
use sqlx::{
    Arguments as _, Row as _, ValueRef as _,
    postgres::{PgArguments, PgRow, types::Oid},
    query_with,
};

use super::{SCHEMA, client::Client, copy};
use crate::{
    StoreError,
    column::{ColumnType, Kind},
    session::{Cells, OnRow, Rows, Session},
    table::{NamedColumn, Shape},
    value::{Value, ValueRef},
};

/// So many new rows are worth a COPY, which costs two more round trips than an insert.
const COPY_ROWS_MIN: usize = 64;
/// So many bytes of a COPY are sent at once.
const COPY_BYTES: usize = 256 * 1024;

impl Session for Client {
    fn each(&self, sql: &str, values: &[Value], on_row: OnRow<'_>) -> Result<(), StoreError> {
        let mut arguments = PgArguments::default();
        for value in values {
            add(&mut arguments, value)?;
        }
        self.stream(&numbered(sql), arguments, on_row)
    }

    fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let mut arguments = PgArguments::default();
        for value in values {
            add(&mut arguments, value)?;
        }
        self.change(&numbered(sql), arguments)
    }

    fn rows_at(&self, shape: &Shape, keys: &[&[Value]], on_row: OnRow<'_>) -> Result<(), StoreError> {
        let (names, table, key) = (shape.names(), &shape.table, shape.key());
        if let [one] = keys {
            let matches: Vec<_> = key.iter().map(|(name, _)| format!("{name} = ?")).collect();
            return self.each(
                &format!("SELECT {names} FROM {table} WHERE {}", matches.join(" AND ")),
                one,
                on_row,
            );
        }
        let mut arguments = PgArguments::default();
        for (number, column) in key.iter().enumerate() {
            add_all(&mut arguments, column.1.kind, keys.iter().map(|key| key.get(number)))?;
        }
        let wanted: Vec<_> = key.iter().map(|(name, _)| format!("wanted_{name}")).collect();
        let matches: Vec<_> = key.iter().map(|(name, _)| format!("{name} = wanted_{name}")).collect();
        let sql = format!(
            "SELECT {names} FROM unnest({}) AS wanted ({}) JOIN {table} ON {}",
            arrays(key),
            wanted.join(", "),
            matches.join(" AND ")
        );
        self.stream(&sql, arguments, on_row)
    }

    fn insert(&self, shape: &Shape, rows: Rows<'_>) -> Result<(), StoreError> {
        let first: Vec<_> = (&mut *rows).take(COPY_ROWS_MIN).collect();
        if first.len() < COPY_ROWS_MIN {
            return self.upsert(shape, &mut first.into_iter());
        }
        let sql = format!("COPY {} ({}) FROM STDIN (FORMAT BINARY)", shape.table, shape.names());
        let mut out = Vec::with_capacity(COPY_BYTES + COPY_BYTES / 4);
        copy::begin(&mut out);
        self.wait(async |connection| {
            let mut copying = connection.copy_in_raw(&sql).await?;
            for row in first.into_iter().chain(rows) {
                copy::row(&mut out, &row).ok_or_else(too_long)?;
                if out.len() >= COPY_BYTES {
                    copying.send(out.as_slice()).await?;
                    out.clear();
                }
            }
            copy::end(&mut out);
            copying.send(out.as_slice()).await?;
            copying.finish().await
        })?;
        Ok(())
    }

    fn upsert(&self, shape: &Shape, rows: Rows<'_>) -> Result<(), StoreError> {
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut arguments = PgArguments::default();
        for (number, column) in shape.columns.iter().enumerate() {
            add_all(&mut arguments, column.1.kind, rows.iter().map(|row| row.get(number)))?;
        }
        let rest = shape.columns.get(shape.key_len..).unwrap_or_default();
        let set: Vec<_> = rest.iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect();
        let sql = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({}) ON CONFLICT ({}) DO UPDATE SET {}",
            shape.table,
            shape.names(),
            arrays(shape.columns),
            shape.key_names(),
            set.join(", ")
        );
        self.change(&sql, arguments).map(drop)
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        let session: &dyn Session = self;
        let sql = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = ?";
        session.all(sql, &[Value::text(SCHEMA.name)], |row| row.get(0))
    }

    /// A reader sees the rows of the merchant that it names, and none if it names none.
    fn create(&self, shape: &Shape) -> Result<(), StoreError> {
        let table = &shape.table;
        if self.tables()?.iter().any(|known| known == table) {
            return Ok(());
        }
        let columns: Vec<_> =
            shape.columns.iter().map(|(name, of)| format!("{name} {}", written(*of))).collect();
        self.simple(&format!(
            "CREATE TABLE {table} ({}, PRIMARY KEY ({}));
             ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY one_merchant ON {table} FOR SELECT TO loyalnest_reader
                 USING (merchant = decode(current_setting('loyalnest.merchant', true), 'hex'));
             GRANT SELECT ON {table} TO loyalnest_reader",
            columns.join(", "),
            shape.key_names()
        ))
    }

    /// The server also looks at the table, which is new and full as a rule.
    fn index(&self, shape: &Shape) -> Result<(), StoreError> {
        let (session, table): (&dyn Session, _) = (self, &shape.table);
        let sql = "SELECT count(*) FROM pg_indexes WHERE schemaname = ? AND tablename = ?";
        let known =
            session.one(sql, &[Value::text(SCHEMA.name), Value::text(&**table)], |row| row.get::<u64>(0))?;
        // One is the key's.
        if known > shape.indexes.len() as u64 {
            return Ok(());
        }
        let mut sql = String::new();
        for (number, columns) in shape.indexes.iter().enumerate() {
            let index = format!("{table}_by_{number}");
            sql.push_str(&format!("CREATE INDEX IF NOT EXISTS {index} ON {table} ({columns});"));
        }
        self.simple(&format!("{sql} ANALYZE {table}"))
    }

    fn drop_table(&self, table: &str) -> Result<(), StoreError> {
        self.simple(&format!("DROP TABLE IF EXISTS {table}"))
    }
}

impl Client {
    fn stream(&self, sql: &str, arguments: PgArguments, on_row: OnRow<'_>) -> Result<(), StoreError> {
        self.wait(async |connection| {
            let mut found = query_with(sql, arguments).fetch(connection);
            while let Some(row) = found.try_next().await? {
                if let Err(error) = on_row(&row) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    fn change(&self, sql: &str, arguments: PgArguments) -> Result<u64, StoreError> {
        self.wait(async |connection| {
            Ok(query_with(sql, arguments).execute(connection).await?.rows_affected())
        })
    }
}

fn too_long() -> sqlx::Error {
    sqlx::Error::InvalidArgument("a value is too long for a row".to_owned())
}

/// `?` for values becomes `$1`, `$2` and so on. No statement has a question mark elsewhere.
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (part, number) in parts.zip(1..) {
        // Writing into a string does not fail.
        let _ = write!(numbered, "${number}{part}");
    }
    numbered
}

/// One array for each of these columns.
fn arrays(columns: &[NamedColumn]) -> String {
    let array = |((_, of), number): (&NamedColumn, i32)| match of.kind {
        Kind::Integer => format!("${number}::bigint[]"),
        Kind::Text => format!("${number}::text[]"),
        Kind::Bytes => format!("${number}::bytea[]"),
    };
    columns.iter().zip(1..).map(array).collect::<Vec<_>>().join(", ")
}

fn add(arguments: &mut PgArguments, value: &Value) -> Result<(), StoreError> {
    let added = match value.borrowed() {
        ValueRef::Null => arguments.add(None::<&str>),
        ValueRef::Integer(number) => arguments.add(number),
        ValueRef::Text(text) => arguments.add(text),
        ValueRef::Bytes(bytes) => arguments.add(bytes),
    };
    added.map_err(StoreError::of_cell)
}

/// The values of one column, as an array.
fn add_all<'a>(
    arguments: &mut PgArguments,
    kind: Kind,
    values: impl Iterator<Item = Option<&'a Value>>,
) -> Result<(), StoreError> {
    let values = values.map(|value| value.map_or(ValueRef::Null, Value::borrowed));
    let added = match kind {
        Kind::Integer => arguments.add(values.map(|value| value.integer().ok()).collect::<Vec<_>>()),
        Kind::Text => arguments.add(values.map(|value| value.text().ok()).collect::<Vec<_>>()),
        Kind::Bytes => arguments.add(values.map(|value| value.bytes().ok()).collect::<Vec<_>>()),
    };
    added.map_err(StoreError::of_cell)
}

/// A column's type in Postgres' words. Texts are compared byte by byte, as in every other store.
const fn written(column: ColumnType) -> &'static str {
    match (column.kind, column.nullable) {
        (Kind::Integer, false) => "BIGINT NOT NULL",
        (Kind::Integer, true) => "BIGINT",
        (Kind::Text, false) => "TEXT COLLATE \"C\" NOT NULL",
        (Kind::Text, true) => "TEXT COLLATE \"C\"",
        (Kind::Bytes, false) => "BYTEA NOT NULL",
        (Kind::Bytes, true) => "BYTEA",
    }
}

/// The server's numbers of the types that come out of a read store.
const BIGINT: Oid = Oid(20);
const TEXT: Oid = Oid(25);
const BYTEA: Oid = Oid(17);

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
            Some(BIGINT) => {
                let bytes = bytes.try_into().map_err(StoreError::of_cell)?;
                Ok(ValueRef::Integer(i64::from_be_bytes(bytes)))
            }
            _ => Err(StoreError::misread("a number, a text or bytes")),
        }
    }
}
