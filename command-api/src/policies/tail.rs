//! Tails one partition for all policies: streams side by side, the records of one stream in order.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use domain::{Policy, Reaction, StreamRef, policies};
use event_log::{AdmittedRecord, BoxError, Checkpoint, Kind, Reader};
use event_schemas::{
    Event, EventId, MerchantId,
    record::{Answer, Body},
};
use futures::StreamExt as _;
use group_commit::{Session, StoreError, values};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Cause, Error, Policies,
    perform::{Patience, Trouble},
};
use crate::{
    nodes::{self, Proposed},
    planted,
};

/// Records of one batch; all are worked off before the next.
const BATCH_MAX: usize = 512;
/// Streams worked on at once.
const STREAMS_MAX: usize = 64;
/// How often progress is written at most. What is lost is done again without effect.
const WRITE_EVERY: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

const SAVE: &str = "INSERT INTO policy_progress(policy, partition, checkpoint) VALUES (?1, ?2, ?3)
    ON CONFLICT(policy, partition) DO UPDATE SET checkpoint = excluded.checkpoint";

pub(super) struct Tail {
    policies: Policies,
    partition: u16,
    reader: Reader,
    /// Up to there everything is worked off.
    done: Checkpoint,
    written: Checkpoint,
    written_at: Instant,
}

/// A decoded record that has events.
pub(super) struct Caused {
    pub(super) cause: Cause,
    pub(super) events: Vec<(EventId, Event)>,
    pub(super) record: AdmittedRecord,
}

impl Tail {
    /// Opens it where the policy that is furthest behind stopped; a policy without progress starts at the beginning.
    pub(super) async fn open(policies: Policies, partition: u16) -> Result<Self, Error> {
        let stored = policies.parts.work.read(move |work| progress(work, partition)).await?;
        let mut furthest_behind = None;
        for policy in domain::policies() {
            let Some(bytes) = stored.get(policy.name) else {
                furthest_behind = None;
                break;
            };
            let checkpoint = Checkpoint::from_bytes(bytes)?;
            furthest_behind = match furthest_behind {
                Some(other) if position(&other) <= position(&checkpoint) => Some(other),
                _ => Some(checkpoint),
            };
        }
        let reader = policies.parts.log.reader(partition, furthest_behind)?;
        let written = reader.checkpoint();
        policies.note(partition, &reader);
        Ok(Self { policies, partition, reader, done: written, written, written_at: Instant::now() })
    }

    /// Follows the partition until it must stop for good.
    pub(super) async fn run(&mut self) {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(error) if is_final(&error) => return self.policies.halt(self.partition, &*error),
                Err(error) => pause(self.partition, &*error).await,
            }
        }
    }

    /// Works off the next batch, or waits for one.
    async fn step(&mut self) -> Result<(), BoxError> {
        let batch = self.reader.next(BATCH_MAX).await?;
        if batch.records.is_empty() {
            self.policies.note(self.partition, &self.reader);
            self.done = self.reader.checkpoint();
            if let Ok(changed) = tokio::time::timeout(WRITE_EVERY, self.reader.changed()).await {
                changed?;
            }
            return self.write().await;
        }
        let mut streams: BTreeMap<(MerchantId, Uuid), Vec<Caused>> = BTreeMap::new();
        for record in batch.records {
            if let Some(caused) = decode(record)? {
                streams.entry((caused.cause.merchant, caused.cause.stream.id)).or_default().push(caused);
            }
        }
        if planted::saves_progress_first() {
            self.save(self.reader.checkpoint()).await?;
        }
        let policies = &self.policies;
        futures::stream::iter(streams.into_values())
            .for_each_concurrent(STREAMS_MAX, |records| async move {
                for caused in records {
                    policies.work_off(&caused).await;
                }
            })
            .await;
        self.policies.note(self.partition, &self.reader);
        self.done = self.reader.checkpoint();
        self.write().await
    }

    /// Writes progress, if there is any and the last time is long enough ago.
    async fn write(&mut self) -> Result<(), BoxError> {
        let checkpoint = self.done;
        if checkpoint == self.written || self.written_at.elapsed() < WRITE_EVERY {
            return Ok(());
        }
        self.save(checkpoint).await
    }

    async fn save(&mut self, checkpoint: Checkpoint) -> Result<(), BoxError> {
        let (partition, bytes) = (self.partition, checkpoint.to_bytes());
        self.policies
            .parts
            .work
            .run(move |work| {
                let written = progress(work, partition)?;
                policies()
                    .iter()
                    .filter(|policy| is_ahead(&checkpoint, written.get(policy.name)))
                    .try_for_each(|policy| {
                        work.execute(SAVE, values![policy.name, partition, &bytes]).map(drop)
                    })
            })
            .await?;
        (self.written, self.written_at) = (checkpoint, Instant::now());
        Ok(())
    }
}

/// How far each policy has come, as it is stored.
fn progress(work: &dyn Session, partition: u16) -> Result<HashMap<String, Vec<u8>>, StoreError> {
    let sql = "SELECT policy, checkpoint FROM policy_progress WHERE partition = ?1";
    let rows = work.all(sql, values![partition], |row| Ok((row.at(0)?, row.at(1)?)))?;
    Ok(rows.into_iter().collect())
}

/// Progress goes forward only, whoever else had the partition meanwhile.
fn is_ahead(checkpoint: &Checkpoint, written: Option<&Vec<u8>>) -> bool {
    let written = written.and_then(|bytes| Checkpoint::from_bytes(bytes).ok());
    written.is_none_or(|written| position(&written) < position(checkpoint))
}

/// Follows the partition whenever it is in this node's share; another node may have gone on with it meanwhile.
pub(super) async fn follow(policies: Policies, partition: u16, mut share: Proposed) {
    loop {
        nodes::until_proposed(&mut share, partition).await;
        let mut tail = match policies.take_up(partition).await {
            Ok(tail) => tail,
            Err(error) if is_final(&error) => return policies.halt(partition, &*error),
            Err(error) => {
                pause(partition, &*error).await;
                continue;
            }
        };
        tokio::select! {
            biased;
            () = tail.run() => return,
            () = nodes::until_withdrawn(Some(&mut share), partition) => {}
        }
        if tail.done != tail.written
            && let Err(error) = tail.save(tail.done).await
        {
            tracing::warn!(partition, error = &*error as &dyn std::error::Error, "Progress is not saved");
        }
    }
}

async fn pause(partition: u16, error: &(dyn std::error::Error + Send + Sync + 'static)) {
    tracing::warn!(
        partition,
        error = error as &dyn std::error::Error,
        "Policies could not go on in partition {partition}; trying again"
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
}

impl Policies {
    /// Goes on where another node left off.
    async fn take_up(&self, partition: u16) -> Result<Tail, BoxError> {
        self.parked.refresh().await?;
        Tail::open(self.clone(), partition).await.map_err(|error| match error {
            Error::Log(error) => error.into(),
            Error::Store(fault) => fault.into(),
        })
    }

    /// Notes that nobody follows the partition here any more, until somebody looks.
    fn halt(&self, partition: u16, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).push(partition);
        metrics::gauge!("policies_halted", "partition" => partition.to_string()).set(1.0);
        tracing::error!(
            partition,
            error = error as &dyn std::error::Error,
            "ALARM: policies stopped in partition {partition}"
        );
    }

    fn note(&self, partition: u16, reader: &Reader) {
        if let Some(done) = self.done.get(usize::from(partition)) {
            // What it skipped is done too.
            done.store(reader.read_position().get(), Ordering::Release);
        }
    }

    /// Does all that one record sets off; what gets stuck is parked, so nothing is lost and nothing loops.
    async fn work_off(&self, caused: &Caused) {
        for (id, event) in &caused.events {
            for policy in policies() {
                for reaction in (policy.react)(*id, caused.cause.stream, event) {
                    self.see_through(policy, caused, *id, reaction).await;
                }
            }
        }
    }

    async fn see_through(&self, policy: &Policy, caused: &Caused, id: EventId, reaction: Reaction) {
        let mut pause = Duration::from_millis(10);
        loop {
            let performed = if self.parked.holds(policy.name, caused) {
                Err(Trouble::Stuck("queued-behind-a-stuck-step".to_owned()))
            } else {
                self.perform(&caused.cause, id, reaction.clone(), Patience::Short).await.map(drop)
            };
            let why = match performed {
                Ok(()) | Err(Trouble::Erased) => return,
                Err(Trouble::Later(why)) => why,
                Err(Trouble::Stuck(reason)) => {
                    let now = self.parts.clock.now();
                    match self.parked.park(policy.name, id, reaction.step, caused, reason, now).await {
                        Ok(()) => return,
                        Err(fault) => fault.into(),
                    }
                }
            };
            tracing::warn!(event.id = %id, step = reaction.step, error = &*why as &dyn std::error::Error,
                "Step {} of {} has to wait", reaction.step, policy.name);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

fn position(checkpoint: &Checkpoint) -> event_log::Position {
    checkpoint.position
}

/// The record's events, if it has any.
fn decode(record: AdmittedRecord) -> Result<Option<Caused>, BoxError> {
    if record.frame.kind != Kind::Commit {
        return Ok(None);
    }
    Ok(decode_body(&record.frame.merchant, &record.frame.stream, &record.frame.route, &record.body)?
        .map(|(cause, events)| Caused { cause, events, record }))
}

type Decoded = Option<(Cause, Vec<(EventId, Event)>)>;

pub(super) fn decode_body(
    merchant: &[u8; 16],
    stream: &[u8; 16],
    route: &[u8; 16],
    body: &[u8],
) -> Result<Decoded, BoxError> {
    let Body { meta, answer } = Body::decode(body)?;
    let Answer::Events(events) = answer else { return Ok(None) };
    let stream = StreamRef {
        stream_type: meta.stream_type,
        id: Uuid::from_bytes(*stream),
        route: Uuid::from_bytes(*route),
    };
    let cause = Cause {
        merchant: MerchantId::from_bytes(*merchant),
        stream,
        occurred_at: meta.occurred_at,
        recorded_at: meta.recorded_at,
        correlation: meta.correlation,
        trace: meta.trace,
    };
    let named = (0..).zip(events).map(|(index, event)| (EventId { record: meta.record, index }, event));
    Ok(Some((cause, named.collect())))
}

/// Whether reading again cannot help: another history, or a record that this program does not know.
fn is_final(error: &BoxError) -> bool {
    match error.downcast_ref::<event_log::Error>() {
        Some(error) => !matches!(error, event_log::Error::Storage(_)),
        None => error.downcast_ref::<group_commit::Fault>().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    async fn saved(policies: &Policies) -> event_log::Position {
        Tail::open(policies.clone(), 0).await.unwrap().done.position
    }

    /// Catches: a node that comes late and writes over what another one has done since (a plain upsert).
    #[tokio::test(flavor = "multi_thread")]
    async fn progress_goes_forward_only_whoever_saves_it() {
        let bench = Bench::with_still_policies().await;
        let mut early = Tail::open(bench.policies.clone(), 0).await.unwrap();
        bench.install("demo-1.myshopify.com").await;
        early.step().await.unwrap();
        early.save(early.done).await.unwrap();
        let mut late = Tail::open(bench.policies.clone(), 0).await.unwrap();
        bench.install("demo-2.myshopify.com").await;
        late.step().await.unwrap();
        late.save(late.done).await.unwrap();
        assert!(position(&early.done) < position(&late.done));
        early.save(early.done).await.unwrap();
        assert_eq!(saved(&bench.policies).await, position(&late.done));
    }

    #[cfg(feature = "postgres")]
    mod on_postgres {
        //! The same where several nodes share it.
        crate::testing::again_on_postgres! { super::progress_goes_forward_only_whoever_saves_it, }
    }
}
