//! From a checkpoint, or from the beginning, to a claimed partition: every record behind it is taken in before anything
//! is served.
use event_log::{AdmittedRecord, Covering, FETCH_RECORDS_MAX, Log, Writer};

use super::{
    Keeping, StartError,
    saver::ROUND_RECORDS,
    snapshots::Cover,
    state::{Folded, StateError},
    tiers::Limits,
};

/// A claimed partition, and how many records were taken in for it.
pub(crate) struct Claimed {
    pub(crate) folded: Folded,
    pub(crate) writer: Writer,
    pub(super) records: u64,
}

/// Claims a partition, from its snapshots if they fit the log, and otherwise from its beginning.
pub(super) async fn claim(
    log: &Log,
    number: u16,
    keeping: Option<&Keeping>,
    distrusted: bool,
) -> Result<Claimed, StartError> {
    let start = log.covering_start(number).map_err(StartError::Log)?;
    let Some(keeping) = keeping else {
        return follow(log, Folded::new(log.clone(), number, Limits::NONE), start).await;
    };
    let fresh = || Folded::new(log.clone(), number, keeping.limits(log.partitions()));
    let kept = keeping.snapshots.of(number);
    let cover = match distrusted {
        false => kept.cover().await.ok().flatten(),
        true => None,
    };
    if let Some(cover) = cover {
        let folded = fresh().over(keeping.snapshots.of(number), Some(&cover));
        match follow(log, folded, cover.covering).await {
            Err(error) if is_about_history(&error) => tracing::warn!(
                partition = number,
                error = &error as &dyn std::error::Error,
                "The snapshots of partition {number} do not fit the log; they are dropped and the log is read"
            ),
            claimed => return claimed,
        }
    }
    match kept.clear().await {
        Ok(()) => follow(log, fresh().over(kept, None), start).await,
        Err(error) => {
            tracing::warn!(
                partition = number,
                error = &error as &dyn std::error::Error,
                "Partition {number} has no snapshots: all its state stays in memory"
            );
            follow(log, Folded::new(log.clone(), number, Limits::NONE), start).await
        }
    }
}

/// Whether the log, or what was folded over the snapshots, is not what they say. Else trying again may help.
fn is_about_history(error: &StartError) -> bool {
    match error {
        StartError::Log(error) => {
            matches!(error, event_log::Error::Diverged(_) | event_log::Error::Owner { .. })
        }
        StartError::State(_) => true,
        StartError::Keys(_) | StartError::Nodes(_) | StartError::Ended => false,
    }
}

async fn follow(log: &Log, mut folded: Folded, from: Covering) -> Result<Claimed, StartError> {
    let mut covering = from;
    let number = covering.checkpoint.partition;
    let mut reader = log.reader(number, Some(covering.checkpoint)).map_err(StartError::Log)?;
    let mut records = 0_u64;
    loop {
        let batch = reader.next(FETCH_RECORDS_MAX).await.map_err(StartError::Log)?.records;
        if batch.is_empty() {
            break;
        }
        for record in &batch {
            admit(&mut folded, record).await?;
        }
        records += batch.len() as u64;
        covering.follow(&batch, reader.checkpoint()).map_err(StartError::Log)?;
        if folded.unsaved_records() >= ROUND_RECORDS {
            save(&mut folded, &covering).await?;
        }
    }
    // What is written meanwhile, up to the own claim, is little.
    let mut late = Vec::new();
    let take = |record: &AdmittedRecord| {
        late.push(record.clone());
        Ok(())
    };
    let writer = log.claim_from(number, covering, take).await.map_err(StartError::Log)?;
    for record in &late {
        admit(&mut folded, record).await?;
    }
    Ok(Claimed { folded, writer, records: records + late.len() as u64 })
}

async fn admit(folded: &mut Folded, record: &AdmittedRecord) -> Result<(), StartError> {
    folded.admit(record).await.map_err(|error| match error {
        StateError::Unfit(source) => {
            let AdmittedRecord { partition, position, .. } = *record;
            StartError::Log(event_log::Error::Owner { partition, position, source })
        }
        other => StartError::State(other.into()),
    })
}

/// Saves what was taken in so far, so that a long log needs no more memory than the limits say.
async fn save(folded: &mut Folded, covering: &Covering) -> Result<(), StartError> {
    if folded.kept().is_none() {
        return Ok(());
    }
    folded.begin_round(0);
    folded.pack(usize::MAX);
    let cover: Cover = folded.cover(covering.clone());
    let rows = folded.rows();
    if let Some(kept) = folded.kept() {
        let saved = kept.write(rows, cover).await;
        folded.round_ended(saved.is_ok());
        saved.map_err(|error| StartError::State(error.into()))?;
    }
    folded.cool();
    Ok(())
}
