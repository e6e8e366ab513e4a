//! From a checkpoint, or from the beginning, to a claimed partition: every record behind it is taken in before anything
//! is served.
use std::time::Duration;

use event_log::{AdmittedRecord, Covering, FETCH_RECORDS_MAX, Log, Position, Reader, Writer};
use tokio::time::Instant;

use super::{
    Keeping, StartError,
    snapshots::Cover,
    state::{Folded, StateError},
    tiers::Limits,
};
use crate::{clock::Clock, planted::marked::Bug};

/// Who stands by saves the state this often, if anything changed.
const STAND_BY_SAVES_EVERY: Duration = Duration::from_secs(30);

/// After so many records there is a look whether memory is short.
const LOOK_RECORDS: usize = 16_384;

/// So many records at most are taken in between two saves, each of which may write most of what the one before did.
const ROUND_RECORDS: usize = 8 * LOOK_RECORDS;

/// A claimed partition, and how many records were taken in for it.
pub(crate) struct Claimed {
    pub(crate) folded: Folded,
    pub(crate) writer: Writer,
    pub(super) records: u64,
}

/// Claims a partition: from what a stand-by made of it, from its snapshots if they fit the log, and otherwise from its
/// beginning.
pub(super) async fn claim(
    log: &Log,
    number: u16,
    keeping: Option<&Keeping>,
    distrusted: bool,
    stood_by: Option<Following>,
    clock: Option<&Clock>,
) -> Result<Claimed, StartError> {
    let following = match stood_by {
        Some(following) => following,
        None => Following::begin(log, number, keeping, distrusted).await?,
    };
    match following.claim(clock).await {
        Err(error) if is_about_snapshots(&error) && keeping.is_some() => {
            tell_misfit(number, &error);
            Following::begin(log, number, keeping, true).await?.claim(clock).await
        }
        claimed => claimed,
    }
}

fn tell_misfit(number: u16, error: &StartError) {
    tracing::warn!(
        partition = number,
        error = error as &dyn std::error::Error,
        "The snapshots of partition {number} do not fit the log; they are dropped and the log is read"
    );
}

/// Whether what was folded over the snapshots is not what they say. That the log is not the one that they were taken of is
/// another matter: its records are gone, and nobody may go on as if they had never been.
fn is_about_snapshots(error: &StartError) -> bool {
    match error {
        StartError::Log(error) => matches!(error, event_log::Error::Owner { .. }),
        StartError::State(_) => true,
        StartError::Keys(_) | StartError::Nodes(_) | StartError::Clock(_) | StartError::Ended => false,
    }
}

/// A partition that is read and folded by who may come to own it.
pub(super) struct Following {
    log: Log,
    number: u16,
    folded: Folded,
    covering: Covering,
    reader: Reader,
    /// How many records were taken in since it was last asked.
    records: u64,
    /// How many since it was last looked whether memory is short.
    unlooked: usize,
    saved: Instant,
}

impl Following {
    /// From the snapshots if they fit the log, and otherwise from the beginning, to the end of the log.
    pub(super) async fn begin(
        log: &Log,
        number: u16,
        keeping: Option<&Keeping>,
        distrusted: bool,
    ) -> Result<Self, StartError> {
        let start = log.covering_start(number).map_err(StartError::Log)?;
        let Some(keeping) = keeping else {
            return Self::over(log, Folded::new(log.clone(), number, Limits::NONE), start).await;
        };
        let fresh = || Folded::new(log.clone(), number, keeping.limits(log.partitions()));
        let kept = keeping.snapshots.of(number);
        let cover = match distrusted {
            false => kept.cover().await.ok().flatten(),
            true => None,
        };
        if let Some(cover) = cover {
            let folded = fresh().over(keeping.snapshots.of(number), Some(&cover));
            match Self::over(log, folded, cover.covering).await {
                Err(error) if is_about_snapshots(&error) => tell_misfit(number, &error),
                following => return following,
            }
        }
        match kept.clear().await {
            Ok(()) => Self::over(log, fresh().over(kept, None), start).await,
            Err(error) => {
                tracing::warn!(
                    partition = number,
                    error = &error as &dyn std::error::Error,
                    "Partition {number} has no snapshots: all its state stays in memory"
                );
                Self::over(log, Folded::new(log.clone(), number, Limits::NONE), start).await
            }
        }
    }

    async fn over(log: &Log, folded: Folded, covering: Covering) -> Result<Self, StartError> {
        let number = covering.checkpoint.partition;
        let reader = log.reader(number, Some(covering.checkpoint)).map_err(StartError::Log)?;
        let (log, saved) = (log.clone(), Instant::now());
        let mut following = Self { log, number, folded, covering, reader, records: 0, unlooked: 0, saved };
        while following.advance().await? {}
        Ok(following)
    }

    /// Takes in what stands next in the log; `false` at its end.
    pub(super) async fn advance(&mut self) -> Result<bool, StartError> {
        let batch = self.reader.next(FETCH_RECORDS_MAX).await.map_err(StartError::Log)?.records;
        for record in &batch {
            admit(&mut self.folded, record).await?;
        }
        self.records += batch.len() as u64;
        self.covering.follow(&batch, self.reader.checkpoint()).map_err(StartError::Log)?;
        self.unlooked += batch.len();
        if self.unlooked >= LOOK_RECORDS {
            self.unlooked = 0;
            let is_pressed = !self.folded.cool();
            if is_pressed || self.folded.unsaved_records() >= ROUND_RECORDS {
                self.save().await?;
            }
        }
        Ok(!batch.is_empty())
    }

    /// Returns when there may be more. Loses nothing if dropped.
    pub(super) async fn changed(&mut self) -> Result<(), StartError> {
        self.reader.changed().await.map_err(StartError::Log)
    }

    /// Saves what it knows now and then, so that a start reads little too. Only for who stands by.
    pub(super) async fn save_if_due(&mut self) -> Result<(), StartError> {
        if self.folded.unsaved_records() > 0 && self.saved.elapsed() >= STAND_BY_SAVES_EVERY {
            self.save().await?;
        }
        Ok(())
    }

    /// Up to where it has read.
    pub(super) fn position(&self) -> Position {
        self.reader.position()
    }

    /// From now on records count as read to take over.
    pub(super) fn count_anew(&mut self) {
        self.records = 0;
    }

    async fn claim(mut self, clock: Option<&Clock>) -> Result<Claimed, StartError> {
        while self.advance().await? {}
        if let Some(clock) = clock {
            clock.agrees_with(self.folded.recorded_at()).await.map_err(StartError::Clock)?;
        }
        // What is written meanwhile, up to the own claim, is little.
        let mut late = Vec::new();
        let take = |record: &AdmittedRecord| {
            late.push(record.clone());
            Ok(())
        };
        let writer = self.log.claim_from(self.number, self.covering, take).await.map_err(StartError::Log)?;
        for record in &late {
            admit(&mut self.folded, record).await?;
        }
        Ok(Claimed { folded: self.folded, writer, records: self.records + late.len() as u64 })
    }

    /// Saves what was taken in so far, so that a long log needs no more memory than the limits say.
    async fn save(&mut self) -> Result<(), StartError> {
        self.saved = Instant::now();
        save(&mut self.folded, &self.covering).await
    }
}

async fn admit(folded: &mut Folded, record: &AdmittedRecord) -> Result<(), StartError> {
    if Bug::LeftUnfolded.strikes_record(record) {
        return Ok(());
    }
    folded.admit(record).await.map_err(|error| match error {
        StateError::Unfit(source) => {
            let AdmittedRecord { partition, position, .. } = *record;
            StartError::Log(event_log::Error::Owner { partition, position, source })
        }
        other => StartError::State(other.into()),
    })
}

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
