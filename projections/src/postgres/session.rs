//! A transaction on Postgres: bulk reads by arrays of keys, bulk writes by COPY and by arrays of columns.
use group_commit::postgres::Client;
use sqlx::{Arguments as _, postgres::PgArguments};

use super::{SCHEMA, copy};
use crate::{
    StoreError, Value, ValueRef,
    column::{ColumnType, Kind},
    session::{OnRow, Rows, Session, Typed as _},
    table::{NamedColumn, Shape},
};

/// So many new rows are worth a COPY, which costs two more round trips than an insert.
const COPY_ROWS_MIN: usize = 64;
/// So many bytes of a COPY are sent at once.
const COPY_BYTES: usize = 256 * 1024;

impl Session for Client {
    fn base(&self) -> &dyn group_commit::Session {
        self
    }

    fn rows_at(&self, shape: &Shape, keys: &[&[Value]], on_row: OnRow<'_>) -> Result<(), StoreError> {
        let (names, table, key) = (shape.names(), &shape.table, shape.key());
        if let [one] = keys {
            let matches: Vec<_> = key.iter().map(|(name, _)| format!("{name} = ?")).collect();
            let sql = format!("SELECT {names} FROM {table} WHERE {}", matches.join(" AND "));
            return (self as &dyn Session).each(&sql, one, on_row);
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
        let over =
            if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
        let sql = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({}) ON CONFLICT ({}) DO {over}",
            shape.table,
            shape.names(),
            arrays(shape.columns),
            shape.key_names()
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

fn too_long() -> sqlx::Error {
    sqlx::Error::InvalidArgument("a value is too long for a row".to_owned())
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
