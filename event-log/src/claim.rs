//! Taking a partition over: read to the end, put a claim there, and serve only once it is read back as admitted.

use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    admit::{State, admit},
    backend::{Delivery, Entry, Producer, StoreHead},
    chance::with_rng,
    checkpoint::Covering,
    error::{BoxError, Error, Fault},
    frame::{Frame, Kind, Record},
    hash::Hash,
    ids::{Term, WriterId},
    log::Log,
    mutation::{Mutation, planted},
    reader::{AdmittedRecord, Batch, FETCH_RECORDS_MAX, Reader},
    writer::{Appended, Writer},
};

const BACK_OFF_MS: u64 = 20;
const BACK_OFF_MAX_MS: u64 = 1_000;

/// A partition being read and claimed. What `covering` says has gone to the owner.
struct Claiming<'a, F> {
    log: &'a Log,
    reader: Reader,
    covering: Covering,
    on_record: F,
    own: Option<Appended>,
}

enum Attempt {
    Won(Box<dyn Producer>, Appended),
    /// Stale, refused, unknown or out of time: another attempt with a fresh writer may win.
    Lost(Option<Fault>),
}

pub(crate) async fn claim<F>(log: &Log, partition: u16, from: Covering, on_record: F) -> Result<Writer, Error>
where
    F: FnMut(&AdmittedRecord) -> Result<(), BoxError> + Send,
{
    let checkpoint = from.checkpoint;
    let reader = log.reader(partition, Some(checkpoint))?;
    let mut claiming = Claiming { log, reader, covering: from, on_record, own: None };
    claiming.catch_up().await?;
    let (producer, claimed) = claiming.until_won().await?;
    log.reader(partition, Some(checkpoint))?.next(1).await?;
    Ok(Writer::start(log, producer, claimed, claiming.covering, claiming.reader))
}

impl<F> Claiming<'_, F>
where
    F: FnMut(&AdmittedRecord) -> Result<(), BoxError> + Send,
{
    async fn until_won(&mut self) -> Result<(Box<dyn Producer>, Appended), Error> {
        let timing = self.log.timing();
        let deadline = Instant::now() + timing.claim_timeout;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt_deadline = deadline.min(Instant::now() + timing.append_timeout);
            let source = match self.attempt(attempt_deadline).await? {
                Attempt::Won(producer, claimed) => return Ok((producer, claimed)),
                Attempt::Lost(source) => source,
            };
            if Instant::now() >= deadline {
                let partition = self.covering.checkpoint.partition;
                return Err(Error::ClaimTimedOut { partition, attempts, source });
            }
            sleep(back_off(attempts)).await;
            self.catch_up().await?;
        }
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<Attempt, Error> {
        let partition = self.covering.checkpoint.partition;
        let state = self.reader.checkpoint().state;
        let claim = self.next_claim(&state);
        let Some(mut producer) = self.log.backend().producer(partition).await? else {
            return Err(Error::ReadOnly);
        };
        let mut after = state;
        admit(&mut after, &claim);
        let entry = Entry { record: claim.clone(), before: (&state).into(), after: StoreHead::from(&after) };
        let won = match timeout_at(deadline, producer.send(entry)).await {
            Ok(Ok(Delivery::Stored(_))) if planted(Mutation::ClaimWithoutReadBack) => {
                self.own = Some(Appended::new(self.reader.position(), &claim, &after));
                self.covering.checkpoint.state = after;
                true
            }
            Ok(Ok(Delivery::Stored(_))) => self.read_back(&claim, deadline).await?,
            Ok(Ok(Delivery::Unknown(fault))) => return Ok(Attempt::Lost(Some(fault))),
            Ok(Ok(Delivery::Diverged(reason))) => {
                return Err(self.reader.stop(reason.at(partition, self.reader.position())).into());
            }
            Ok(Ok(Delivery::Refused { .. }) | Err(_)) | Err(_) => false,
        };
        match self.own.take() {
            Some(claimed) if won => Ok(Attempt::Won(producer, claimed)),
            _ => Ok(Attempt::Lost(None)),
        }
    }

    /// A number that is used up stays as it is: such a partition cannot be claimed any more.
    fn next_claim(&self, state: &State) -> Record {
        let writer = match planted(Mutation::ReuseWriterId) {
            true => WriterId::from_bytes([1; 16]),
            false => WriterId::random(),
        };
        let frame = Frame {
            kind: Kind::Claim,
            term: Term { number: state.number.saturating_add(1), writer },
            seq: 0,
            height: state.height.saturating_add(1),
            prev: state.head,
            merchant: [0; 16],
            merchant_seq: 0,
            merchant_prev: Hash::ZERO,
            route: [0; 16],
            stream: [0; 16],
            key_count: self.covering.key_count,
        };
        Record::encode(frame, &[])
    }

    /// Reads on until the claim is admitted, or another one took its number.
    async fn read_back(&mut self, claim: &Record, deadline: Instant) -> Result<bool, Error> {
        loop {
            let Ok(batch) = timeout_at(deadline, self.reader.next(FETCH_RECORDS_MAX)).await else {
                return Ok(false);
            };
            let batch = batch?;
            let at_end = batch.records.is_empty();
            self.take(&batch, Some(claim.hash))?;
            let state = self.reader.checkpoint().state;
            if state.number >= claim.frame.term.number {
                return Ok(state.term() == claim.frame.term);
            }
            if at_end && timeout_at(deadline, self.reader.changed()).await.is_err() {
                return Ok(false);
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Error> {
        loop {
            let batch = self.reader.next(FETCH_RECORDS_MAX).await?;
            if batch.records.is_empty() {
                return Ok(());
            }
            self.take(&batch, None)?;
        }
    }

    fn take(&mut self, batch: &Batch, own_claim: Option<Hash>) -> Result<(), Error> {
        for record in &batch.records {
            let AdmittedRecord { partition, position, .. } = *record;
            let followed = self.covering.merchants.follow(&record.frame, record.hash);
            followed.map_err(|reason| self.reader.stop(reason.at(partition, position)))?;
            self.covering.key_count = self.covering.key_count.max(record.frame.key_count);
            (self.on_record)(record).map_err(|source| Error::Owner { partition, position, source })?;
            let same_place = record.frame.kind == Kind::Claim && planted(Mutation::ReadBackByPlace);
            if own_claim == Some(record.hash) || (own_claim.is_some() && same_place) {
                let AdmittedRecord { height, hash, head, .. } = *record;
                self.own = Some(Appended { position, height, head, hash });
            }
        }
        self.covering.checkpoint = self.reader.checkpoint();
        Ok(())
    }
}

/// Random, so that two claimers do not meet again and again.
fn back_off(attempts: u32) -> Duration {
    let longest_ms = BACK_OFF_MAX_MS.min(BACK_OFF_MS << attempts.min(10));
    Duration::from_millis(with_rng(|rng| rng.random_range(BACK_OFF_MS / 2..=longest_ms)))
}
