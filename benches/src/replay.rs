//! Reading history back: chain and events of a whole log on one thread, beside a bare loop over the same bytes.
use std::{thread, time::Instant};

use anyhow::{Context as _, anyhow};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use event_log::{FRAME_LEN, Log, Record};
use event_schemas::record::Body;

use crate::{
    history,
    measure::{Bench, Row},
    rounds::{interleaved, rate},
};

/// So many records lie in memory for the bare loop; its rate does not depend on how many.
const RESIDENT_MAX: usize = 250_000;

/// Every record admitted and every event decoded.
pub(crate) async fn with_chain(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let history = bench.history().await?;
    let log = history.log()?;
    let mut resident = Vec::new();
    history::read(&log, |record| {
        if resident.len() < RESIDENT_MAX && !record.body.is_empty() {
            resident.push(Record::encode(record.frame, &record.body).bytes);
        }
        Ok(())
    })
    .await?;
    let ours = async || on_one_thread(|| replay(&log)).await;
    let found = interleaved(bench.size.rounds, ours, async || on_one_thread(|| bare(&resident)).await);
    Ok(vec![Row::beside(format!("{} records", history.records), found.await?)])
}

/// On a thread of its own with a runtime of its own, while nothing else runs here.
async fn on_one_thread(work: impl Fn() -> anyhow::Result<u64> + Send + Sync) -> anyhow::Result<u64> {
    tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            scope.spawn(work).join().map_err(|_| anyhow!("the measuring thread panicked"))?
        })
    })
}

fn replay(log: &Log) -> anyhow::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (started, mut count) = (Instant::now(), 0);
        history::read(log, |record| {
            if !record.body.is_empty() {
                Body::decode(&record.body)?;
                count += 1;
            }
            Ok(())
        })
        .await?;
        Ok(rate(count, started.elapsed()))
    })
}

fn bare(records: &[Bytes]) -> anyhow::Result<u64> {
    let (started, mut folded) = (Instant::now(), 0_u8);
    for record in records {
        // What the hash is cannot be foreseen, so neither it nor the decoding can be left out by the compiler.
        folded ^= digest(&SHA256, record).as_ref()[0];
        Body::decode(record.get(FRAME_LEN..).context("a record has a frame")?)?;
    }
    std::hint::black_box(folded);
    Ok(rate(records.len(), started.elapsed()))
}
