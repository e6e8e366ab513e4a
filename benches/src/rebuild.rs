//! Building the table of balances anew from the log, beside raw inserts of the same rows in the same order.
use std::{collections::HashMap, path::Path, time::Instant};

use anyhow::{Context as _, ensure};
use event_log::{FETCH_RECORDS_MAX, Log};
use projections::{Projection as _, ReadStore, points_balance::PointsBalance};
use rusqlite::{Connection, params_from_iter, types::Value};

use crate::{
    history,
    measure::{Bench, Row},
    rounds::{interleaved, rate},
};

/// As the read store has them.
const PRAGMAS: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;";

/// One insert per event, as the fold also writes one row per event.
pub(crate) async fn points_balance(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let history = bench.history().await?;
    let log = history.log()?;
    let folder = bench.folder("rebuild-")?;
    let first = folder.path().join("first.db");
    rebuild(&log, &first).await?;
    let rows = Rows::read(&log, &first).await?;
    let ours = async || {
        let folder = bench.folder("rebuild-")?;
        Ok(rate(rows.order.len(), rebuild(&log, &folder.path().join("read.db")).await?))
    };
    let peer = async || {
        let folder = bench.folder("rebuild-")?;
        tokio::task::block_in_place(|| rows.insert(&folder.path().join("plain.db")))
    };
    let found = interleaved(bench.size.rounds, ours, peer).await?;
    Ok(vec![Row::beside(format!("{} events, {} rows", rows.order.len(), rows.rows.len()), found)])
}

/// How long it takes until the new table is at the end of the log.
async fn rebuild(log: &Log, file: &Path) -> anyhow::Result<std::time::Duration> {
    let store = ReadStore::open(file).await?;
    let shadow = store.shadow(|name| name == PointsBalance::NAME).await?;
    let started = Instant::now();
    shadow.fold_to_end(log, &mut |_| ()).await?;
    let took = started.elapsed();
    ensure!(shadow.parked().await?.iter().all(|(_, parked)| *parked == 0), "events were parked");
    shadow.serve(log, &mut |_| ()).await?;
    Ok(took)
}

/// The rows of the rebuilt table, and which of them each event of the log wrote.
struct Rows {
    /// The table's own statement, under its own name.
    create: String,
    table: String,
    rows: Vec<Vec<Value>>,
    order: Vec<usize>,
}

impl Rows {
    async fn read(log: &Log, file: &Path) -> anyhow::Result<Self> {
        let (create, table, rows) = read_table(file)?;
        let by_key: HashMap<_, _> = rows
            .iter()
            .enumerate()
            .map(|(place, row)| Ok((key(row)?, place)))
            .collect::<anyhow::Result<_>>()?;
        let mut order = Vec::new();
        history::read(log, |record| {
            // Claims and barriers are nobody's.
            if !record.body.is_empty() {
                let key = (record.frame.merchant.to_vec(), record.frame.stream.to_vec());
                order.push(*by_key.get(&key).context("an account without a row")?);
            }
            Ok(())
        })
        .await?;
        Ok(Self { create, table, rows, order })
    }

    fn insert(&self, file: &Path) -> anyhow::Result<u64> {
        let mut connection = Connection::open(file)?;
        connection.execute_batch(PRAGMAS)?;
        connection.execute_batch(&self.create)?;
        let places = vec!["?"; self.rows.first().map_or(0, Vec::len)].join(", ");
        let insert = format!("INSERT OR REPLACE INTO {} VALUES ({places})", self.table);
        let started = Instant::now();
        for batch in self.order.chunks(FETCH_RECORDS_MAX) {
            let transaction = connection.transaction()?;
            {
                let mut insert = transaction.prepare_cached(&insert)?;
                for row in batch.iter().filter_map(|place| self.rows.get(*place)) {
                    insert.execute(params_from_iter(row))?;
                }
            }
            transaction.commit()?;
        }
        Ok(rate(self.order.len(), started.elapsed()))
    }
}

/// The statement that made the served table, its name, and its rows.
fn read_table(file: &Path) -> anyhow::Result<(String, String, Vec<Vec<Value>>)> {
    let connection = Connection::open(file)?;
    let served = "SELECT name || '_' || generation FROM projection_live WHERE name = ?";
    let table: String = connection.query_row(served, [PointsBalance::NAME], |row| row.get(0))?;
    let create = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?";
    let create = connection.query_row(create, [&table], |row| row.get(0))?;
    let mut select = connection.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    let rows = rows.collect::<rusqlite::Result<_>>()?;
    Ok((create, table, rows))
}

/// Shop and customer, the first two columns.
fn key(row: &[Value]) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    match row {
        [Value::Blob(merchant), Value::Blob(customer), ..] => Ok((merchant.clone(), customer.clone())),
        _ => Err(anyhow::anyhow!("the table of balances begins with other columns")),
    }
}
