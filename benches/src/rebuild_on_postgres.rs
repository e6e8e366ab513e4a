//! Building all read models anew in a Postgres, beside a raw COPY of the same rows into the same tables.
use std::time::{Duration, Instant};

use anyhow::ensure;
use event_log::Log;
use futures::TryStreamExt as _;
use projections::ReadStore;
use sqlx::{Connection as _, Executor as _, PgConnection, raw_sql};

use crate::{
    measure::{Bench, Row, Server},
    rounds::{interleaved, rate},
};

/// The store's own schema, and that of the peer.
const SCHEMA: &str = "loyalnest_read";
const PLAIN: &str = "plain";

/// Both make the tables with their keys, fill them, and then make the other indexes.
pub(crate) async fn all(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let url = bench.server(Server::Postgres)?;
    let log = bench.history().await?.log()?;
    let (rows, _) = rebuild(&log, url).await?;
    let tables = Table::read_all(url).await?;
    let ours = async || {
        let (rows, took) = rebuild(&log, url).await?;
        Ok(rate(rows, took))
    };
    let peer = async || Ok(rate(rows, copy(&tables, url).await?));
    let found = interleaved(bench.size.rounds, ours, peer).await?;
    Ok(vec![Row::beside(format!("{rows} rows in {} tables", tables.len()), found)])
}

/// How many rows all new tables have at the end of the log, and how long that took.
async fn rebuild(log: &Log, url: &str) -> anyhow::Result<(usize, Duration)> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(raw_sql(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))).await?;
    let store = ReadStore::open_at(&url.parse()?).await?;
    let started = Instant::now();
    let shadow = store.shadow(|_| true).await?;
    shadow.fold_to_end(log, &mut |_| ()).await?;
    let took = started.elapsed();
    ensure!(shadow.parked().await?.iter().all(|(_, parked)| *parked == 0), "events were parked");
    let rows: u64 = shadow.digests().await?.iter().map(|(_, digest)| digest.rows).sum();
    Ok((usize::try_from(rows)?, took))
}

/// A new table with rows in it, as the server gives it away.
struct Table {
    name: String,
    /// The statements of its key and of its other indexes.
    indexes: Vec<String>,
    /// Its rows in the format of COPY.
    rows: Vec<u8>,
}

impl Table {
    async fn read_all(url: &str) -> anyhow::Result<Vec<Self>> {
        let mut connection = PgConnection::connect(url).await?;
        let names = format!(
            "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename LIKE '%\\_2'"
        );
        let names: Vec<String> = sqlx::query_scalar(&names).fetch_all(&mut connection).await?;
        let mut tables = Vec::new();
        for name in names {
            let indexes = format!(
                "SELECT indexdef FROM pg_indexes WHERE schemaname = '{SCHEMA}' AND tablename = '{name}' ORDER BY indexname"
            );
            let indexes: Vec<String> = sqlx::query_scalar(&indexes).fetch_all(&mut connection).await?;
            let elsewhere = |index: String| index.replace(&format!("ON {SCHEMA}."), &format!("ON {PLAIN}."));
            let indexes = indexes.into_iter().map(elsewhere).collect();
            let copy = format!("COPY {SCHEMA}.{name} TO STDOUT (FORMAT BINARY)");
            let mut copied = connection.copy_out_raw(&copy).await?;
            let mut rows = Vec::new();
            while let Some(bytes) = copied.try_next().await? {
                rows.extend_from_slice(&bytes);
            }
            drop(copied);
            tables.push(Self { name, indexes, rows });
        }
        Ok(tables)
    }
}

/// How long it takes to make and fill the same tables.
async fn copy(tables: &[Table], url: &str) -> anyhow::Result<Duration> {
    let mut connection = PgConnection::connect(url).await?;
    let fresh = format!("DROP SCHEMA IF EXISTS {PLAIN} CASCADE; CREATE SCHEMA {PLAIN}");
    connection.execute(raw_sql(&fresh)).await?;
    let started = Instant::now();
    for Table { name, indexes, rows } in tables {
        let (keys, others): (Vec<_>, Vec<_>) = indexes.iter().partition(|index| index.contains(" UNIQUE "));
        let create = format!("CREATE TABLE {PLAIN}.{name} (LIKE {SCHEMA}.{name})");
        connection.execute(raw_sql(&create)).await?;
        for key in keys {
            connection.execute(raw_sql(key)).await?;
        }
        let mut copying =
            connection.copy_in_raw(&format!("COPY {PLAIN}.{name} FROM STDIN (FORMAT BINARY)")).await?;
        for bytes in rows.chunks(256 * 1024) {
            copying.send(bytes).await?;
        }
        copying.finish().await?;
        for index in others {
            connection.execute(raw_sql(index)).await?;
        }
        connection.execute(raw_sql(&format!("ANALYZE {PLAIN}.{name}"))).await?;
    }
    Ok(started.elapsed())
}
