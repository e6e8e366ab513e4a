//! Runs the process managers of `domain::policies()`: tails every partition and sends what their events set off.
//!
//! Command keys follow from event and step, so a step that is repeated (after a crash, or because a request ran it
//! inline already) finds its first outcome and has no second effect.
mod complete;
mod parked;
mod perform;
mod tail;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{StreamRef, policies};
use event_log::{Log, PositionToken};
use event_schemas::{CorrelationId, EventId, MerchantId, Timestamp, record::Trace};
use group_commit::Store;
use privacy::KeyStore;

use crate::{
    clock::Clock,
    commands::{Commander, Made},
    issuer::Issuers,
    nodes::{Proposed, is_proposed},
    shops::Shops,
};
pub(crate) use complete::expiry;
use parked::Parked;
pub use parked::{NoPlace, NotParked, ParkedStep, Place, Retried};
use perform::Patience;

/// What policies work with.
#[derive(Clone)]
pub struct Parts {
    /// The log they tail.
    pub log: Log,
    /// Where their commands go.
    pub commander: Commander,
    /// Settings.
    pub shops: Shops,
    /// Time, for tasks that get stuck.
    pub clock: Clock,
    /// The outside's names of orders.
    pub keys: KeyStore,
    /// Their progress, and the tasks that are stuck.
    pub work: Store,
    /// Who makes discount codes.
    pub issuers: Issuers,
}

/// Policies cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error("the log cannot be read")]
    Log(#[from] event_log::Error),
    /// work.db.
    #[error("the progress of the policies cannot be read")]
    Store(#[from] group_commit::Fault),
}

/// How far one policy is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The policy.
    pub name: &'static str,
    /// 0 exactly when everything is worked off; else an upper bound.
    pub lag_events: u64,
}

/// The running policies.
#[derive(Clone)]
pub struct Policies {
    parts: Parts,
    /// The partitions that are followed here; all if no other node follows any.
    share: Option<Proposed>,
    parked: Parked,
    /// Position up to which everything is worked off, by partition.
    done: Arc<[AtomicU64]>,
    /// Partitions that are not followed any more.
    halted: Arc<Mutex<Vec<u16>>>,
}

/// A record whose events may set something off.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// The shop.
    pub merchant: MerchantId,
    /// The record's stream.
    pub stream: StreamRef,
    /// When it happened in business.
    pub occurred_at: Timestamp,
    /// When the record was written.
    pub recorded_at: Timestamp,
    /// What the request behind it is known by.
    pub correlation: CorrelationId,
    /// The request's trace context.
    pub trace: Trace,
}

/// What following a record came to.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// Whether this very call saw everything through; else somebody else is at it.
    pub complete: bool,
    /// The newest position, in the partition it started from, of all that was set off.
    pub at: PositionToken,
}

impl Policies {
    /// Starts one tail per partition, each from where it stopped. They end with the runtime.
    ///
    /// # Errors
    /// [`Error`]: the log or work.db cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, Error> {
        Self::start_among(parts, None).await
    }

    /// The same as one of several nodes: it follows the partitions of its share, as long as they are in it. What another
    /// node may have done already is done again without effect.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start_among(parts: Parts, share: Option<Proposed>) -> Result<Self, Error> {
        let policies = Self { share: share.clone(), ..Self::still(parts).await? };
        for partition in 0..policies.parts.log.partitions() {
            match share.clone() {
                None => {
                    let mut tail = tail::Tail::open(policies.clone(), partition).await?;
                    tokio::spawn(async move { tail.run().await });
                }
                Some(share) => drop(tokio::spawn(tail::follow(policies.clone(), partition, share))),
            }
        }
        tokio::spawn(policies.clone().retry_parked());
        Ok(policies)
    }

    /// Policies that do what they are told to, and nothing by themselves.
    pub(crate) async fn still(parts: Parts) -> Result<Self, Error> {
        let parked = Parked::open(parts.work.clone()).await?;
        let done = (0..parts.log.partitions()).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { parts, share: None, parked, done, halted: Arc::default() })
    }

    /// Whether the policies of this partition run here.
    fn is_here(&self, partition: u16) -> bool {
        is_proposed(self.share.as_ref(), partition)
    }

    /// How far each policy is behind the log, in the partitions that are followed here.
    #[must_use]
    pub fn lag(&self) -> Vec<Lag> {
        let behind = |(partition, done): (u16, &AtomicU64)| {
            self.parts.log.end(partition).get().saturating_sub(done.load(Ordering::Acquire))
        };
        let here = (0..).zip(self.done.iter()).filter(|(partition, _)| self.is_here(*partition));
        let lag_events = here.map(behind).sum();
        policies().iter().map(|policy| Lag { name: policy.name, lag_events }).collect()
    }

    /// The partitions that are not followed any more until somebody looks, for a probe.
    #[must_use]
    pub fn stopped_partitions(&self) -> Vec<u16> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many steps are stuck.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.parked.count()
    }

    /// Does now, within a request, what a record just made sets off; the tail will find it done. `at` is the record's
    /// place. It never fails: what it cannot do, or not soon, is left to the tail.
    pub async fn follow(&self, cause: Cause, made: Made, at: PositionToken) -> Followed {
        let mut followed = Followed { complete: true, at };
        let mut open = VecDeque::from([(cause, made)]);
        while let Some((cause, made)) = open.pop_front() {
            for (index, event) in (0..).zip(made.events.iter()) {
                let id = EventId { record: made.record, index };
                for policy in policies() {
                    for reaction in (policy.react)(id, cause.stream, event) {
                        // A step counts on those before it.
                        let Ok(performed) = self.perform(&cause, id, reaction, Patience::Short).await else {
                            followed.complete = false;
                            break;
                        };
                        let Some((stream, answered)) = performed else { continue };
                        if answered.at.partition() == at.partition()
                            && answered.at.position() > followed.at.position()
                        {
                            followed.at = answered.at;
                        }
                        followed.complete &= !answered.replayed;
                        open.extend(answered.made.map(|made| (Cause { stream, ..cause }, made)));
                    }
                }
            }
        }
        followed
    }
}
