//! The steps of a redaction, one after the other. Each can be repeated, and each ends in a record with a key of its own.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use aws_lc_rs::digest::{SHA256, digest};
use domain::{
    Aggregate, Command, StreamRef,
    customer::RedactCustomer,
    merchant::RedactShop,
    points_account::RedactAccount,
    privacy_request::{
        ExpireRecord, RecordDestruction, RecordFailure, RecordFence, RecordPurge, RecordVerification,
        Redaction,
    },
};
use event_log::PositionToken;
use event_schemas::{
    CommandKey, CorrelationId, CustomerId, Digest, MerchantId, RequestId, Timestamp,
    privacy_request::{RedactionScope, RedactionStep, Scanned, SubjectKeyDestroyed},
    record::{Actor, Trace},
};
use futures::future::try_join_all;
use privacy::Whom;
use uuid::Uuid;

use super::{
    Process,
    bugs::Bug,
    scan::Sought,
    setback::{Cause, Setback},
};
use crate::{
    commands::{Envelope, Lane, Origin, Outcome},
    planted,
};

/// A request that is seen through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) merchant: MerchantId,
    pub(super) id: RequestId,
    pub(super) stream: StreamRef,
}

impl Request {
    /// The key of the command that records a step, the same whoever records it.
    pub(super) fn key(&self, name: &str) -> CommandKey {
        CommandKey(Uuid::new_v5(&self.id.0, name.as_bytes()))
    }
}

/// Whom a redaction is about.
pub(super) fn whom(redaction: &Redaction) -> Whom {
    match redaction.requested.scope {
        RedactionScope::Customer => Whom::Person(redaction.requested.subjects.clone()),
        RedactionScope::Shop => Whom::Shop,
    }
}

impl Process {
    /// Does the step ahead; the redaction as it stands behind that, or nothing if there is nothing to do now.
    pub(super) async fn advance(
        &self,
        request: &Request,
        redaction: &Redaction,
    ) -> Result<Option<Redaction>, Setback> {
        let Some(step) = redaction.ahead() else { return self.expire(request).await };
        let failed = |cause: Cause| cause.at(step);
        let command: Command = match step {
            RedactionStep::Fence => self.fence(request, redaction).await.map_err(failed)?.into(),
            RedactionStep::Destroy => self.destroy(request, redaction).await.map_err(failed)?.into(),
            RedactionStep::Mark | RedactionStep::Purge => {
                let marked = self.mark(request, redaction).await;
                let marks = marked.map_err(|cause| cause.at(RedactionStep::Mark))?;
                planted::erasure_at("purge").await;
                let purged = self.purge(request, &whom(redaction), &marks).await.map_err(failed)?;
                planted::erasure_past("purge").await;
                RecordPurge { purged, at: self.now() }.into()
            }
            RedactionStep::Verify => {
                let scanned = self.verify(request, redaction).await.map_err(failed)?;
                RecordVerification { scanned, at: self.now() }.into()
            }
            RedactionStep::Certify => self.certify(request, redaction).await.map_err(failed)?.into(),
            RedactionStep::Finalize => match self.finalize(request, redaction).await.map_err(failed)? {
                Some(finalize) => finalize.into(),
                None => {
                    let epoch = redaction.destroyed.as_ref().map_or(0, |destroyed| destroyed.epoch);
                    self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(request.id, epoch);
                    return Ok(None);
                }
            },
        };
        let recorded = self.record(request, step, command).await.map_err(failed)?;
        if step == RedactionStep::Certify {
            metrics::counter!("redactions_completed_total").increment(1);
        }
        // What follows the final certificate has its time, and is asked for then.
        Ok(Some(recorded).filter(|_| step != RedactionStep::Finalize))
    }

    async fn fence(&self, request: &Request, redaction: &Redaction) -> Result<RecordFence, Cause> {
        planted::erasure_at("fence").await;
        let number = if planted::destroys_without_fence() {
            0
        } else {
            self.parts.keys.fence(request.merchant, &whom(redaction), request.id.0).await?.number
        };
        planted::erasure_past("fence").await;
        Ok(RecordFence { fence: number, at: self.now() })
    }

    /// Waits until nobody seals or opens any more, removes what only the directory's references find, and destroys.
    async fn destroy(&self, request: &Request, redaction: &Redaction) -> Result<RecordDestruction, Cause> {
        let whom = whom(redaction);
        let is_fenced = redaction.fenced.is_some() && !planted::destroys_without_fence();
        if is_fenced && !self.bugs.has(Bug::DestroysAtOnce) {
            // As it is numbered by now: a key store that was restored since counts its fences anew.
            let fenced = self.parts.keys.fence(request.merchant, &whom, request.id.0).await?;
            self.fences.passed(fenced.number).await?;
        }
        self.follow_merges(request, redaction).await?;
        self.purge_early(request, &whom, redaction.requested.requested_at).await?;
        planted::erasure_at("destroy").await;
        let destroyed = self.parts.keys.destroy(request.merchant, &whom, request.id.0).await?;
        planted::erasure_past("destroy").await;
        let privacy::Destroyed { keys, directory_rows, tombstones, epoch } = destroyed;
        let destroyed = SubjectKeyDestroyed { keys, directory_rows, tombstones, epoch, at: self.now() };
        Ok(RecordDestruction { destroyed })
    }

    /// Tells the streams of the people, or the shop's, and sees who turned out to be one of them; where they said so.
    async fn mark(&self, request: &Request, redaction: &Redaction) -> Result<Vec<PositionToken>, Cause> {
        let id = request.id;
        let marks: Vec<(StreamRef, Command)> = match redaction.requested.scope {
            RedactionScope::Shop => {
                vec![(StreamRef::merchant(request.merchant), RedactShop { request: id }.into())]
            }
            RedactionScope::Customer => {
                let of = |subject: CustomerId| {
                    let (customer, account) = (StreamRef::customer(subject), StreamRef::account(subject));
                    [
                        (customer, Command::from(RedactCustomer { request: id })),
                        (account, RedactAccount { request: id }.into()),
                    ]
                };
                redaction.requested.subjects.iter().copied().flat_map(of).collect()
            }
        };
        planted::erasure_at("mark").await;
        let told = marks.into_iter().map(|(stream, command)| self.tell(request, stream, command));
        let told = try_join_all(told).await?;
        if !self.bugs.has(Bug::LooksForMergesOnce) {
            // Whoever brought an estate up to here found nobody who was marked, and left who it is from to this request.
            self.follow_merges(request, redaction).await?;
        }
        planted::erasure_past("mark").await;
        Ok(told)
    }

    async fn tell(
        &self,
        request: &Request,
        stream: StreamRef,
        command: Command,
    ) -> Result<PositionToken, Cause> {
        let name = format!("{}/{}", command.name(), stream.id);
        let envelope = self.envelope(request, stream, &name, command);
        let answered = self.parts.commander.send(envelope).await?;
        match answered.outcome {
            Outcome::Accepted | Outcome::Unchanged => Ok(answered.at),
            // A shop that never joined has no stream to tell.
            Outcome::Rejected(domain::Rejection::UnknownMerchant) => Ok(answered.at),
            Outcome::Rejected(why) => Err(Cause::new(why.code(), why.title())),
        }
    }

    /// Searches every partition that holds streams of the people. If something opens, what was put back since the
    /// destruction is destroyed again before the next try.
    async fn verify(&self, request: &Request, redaction: &Redaction) -> Result<Vec<Scanned>, Cause> {
        planted::erasure_at("verify").await;
        let mut searches: BTreeMap<u16, (StreamRef, Sought)> = BTreeMap::new();
        match redaction.requested.scope {
            RedactionScope::Shop => {
                for (partition, stream) in self.one_stream_each(request.merchant) {
                    searches.insert(partition, (stream, Sought::Shop(request.merchant)));
                }
            }
            RedactionScope::Customer => {
                for subject in &redaction.requested.subjects {
                    let stream = StreamRef::account(*subject);
                    let people = |(_, sought): &mut (StreamRef, Sought)| {
                        if let Sought::People(_, people) = sought {
                            people.insert(*subject);
                        }
                    };
                    searches
                        .entry(self.partition_of(request.merchant, stream))
                        .and_modify(people)
                        .or_insert_with(|| {
                            (stream, Sought::People(request.merchant, BTreeSet::from([*subject])))
                        });
                }
            }
        }
        let searches = searches
            .into_iter()
            .map(|(partition, (stream, sought))| self.scanner.scan(partition, stream, sought));
        let scanned = try_join_all(searches).await;
        planted::erasure_past("verify").await;
        if scanned.as_ref().is_err_and(Cause::opens)
            && let Err(error) =
                self.parts.keys.destroy(request.merchant, &whom(redaction), request.id.0).await
        {
            tracing::warn!(request = %request.id, error = &error as &dyn std::error::Error,
                "What opens is destroyed at the next try");
        }
        scanned
    }

    /// For each partition a stream of the shop that would be in it.
    fn one_stream_each(&self, merchant: MerchantId) -> BTreeMap<u16, StreamRef> {
        let mut found = BTreeMap::new();
        let partitions = usize::from(self.parts.log.partitions());
        for number in 0_u128.. {
            let stream = StreamRef::account(CustomerId(Uuid::from_u128(number)));
            found.entry(self.partition_of(merchant, stream)).or_insert(stream);
            if found.len() == partitions {
                break;
            }
        }
        found
    }

    /// Ends the record of a request whose time is over.
    async fn expire(&self, request: &Request) -> Result<Option<Redaction>, Setback> {
        let as_of = self.now();
        let expire = async {
            // Until its time comes the answer is that nothing changes, and a key keeps its first answer.
            self.record_as(request, &format!("expire/{as_of}"), ExpireRecord { as_of }).await?;
            self.forget_counts(request).await
        };
        expire.await.map(|()| None).map_err(|cause| cause.at(RedactionStep::Finalize))
    }

    /// Ends the record of a data request, which has no other step here, if its time is over.
    pub(super) async fn expire_data_request(&self, request: &Request) -> Result<(), Setback> {
        let now = self.now();
        let is_over = self.parts.commander.read(request.merchant, request.stream, move |asked| match asked {
            Aggregate::PrivacyRequest(asked) => asked.is_over(now) && !asked.expired(),
            _ => false,
        });
        if is_over.await.map_err(|unavailable| Cause::from(unavailable).at(RedactionStep::Finalize))? {
            self.expire(request).await?;
        }
        Ok(())
    }

    /// Records a step; the redaction behind it.
    async fn record(
        &self,
        request: &Request,
        step: RedactionStep,
        command: impl Into<Command>,
    ) -> Result<Redaction, Cause> {
        let recorded = planted::recorded(step);
        planted::erasure_at(recorded).await;
        let redaction = self.record_as(request, step.as_str(), command).await?;
        planted::erasure_past(recorded).await;
        redaction.ok_or_else(|| Cause::new("request-unknown", "the request is not known to its owner"))
    }

    pub(super) async fn record_as(
        &self,
        request: &Request,
        name: &str,
        command: impl Into<Command>,
    ) -> Result<Option<Redaction>, Cause> {
        let envelope = self.envelope(request, request.stream, name, command.into());
        let (answered, redaction) = self.parts.commander.ask(envelope, redaction_of).await?;
        match answered.outcome {
            Outcome::Accepted | Outcome::Unchanged => Ok(redaction),
            Outcome::Rejected(why) => Err(Cause::new(why.code(), why.title())),
        }
    }

    /// Tells people why a step takes so long, once for each reason.
    pub(super) async fn tell_failure(&self, request: &Request, setback: &Setback) {
        let Setback { step, reason, .. } = setback;
        let name = format!("failed/{}/{reason}", step.as_str());
        let failure = RecordFailure { step: *step, reason: reason.clone(), at: self.now() };
        if let Err(cause) = self.record_as(request, &name, failure).await {
            let setback = cause.at(*step);
            tracing::warn!(error = &setback as &dyn std::error::Error, "A failure could not be recorded");
        }
    }

    pub(super) fn envelope(
        &self,
        request: &Request,
        stream: StreamRef,
        name: &str,
        command: Command,
    ) -> Envelope {
        // Nothing of it is personal, and the shop's own key may be gone.
        let hash = digest(&SHA256, &[request.id.bytes().as_slice(), name.as_bytes()].concat());
        let content = Digest(hash.as_ref().first_chunk().copied().unwrap_or_default());
        Envelope {
            merchant: request.merchant,
            stream,
            command,
            key: request.key(name),
            content,
            occurred_at: self.now(),
            origin: Origin {
                actor: Actor::System,
                correlation: CorrelationId(request.id.0),
                trace: Trace::default(),
                causation: None,
            },
            lane: Lane::Interactive,
        }
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(super) fn partition_of(&self, merchant: MerchantId, stream: StreamRef) -> u16 {
        self.parts.log.partition_of(merchant.bytes(), stream.route.into_bytes())
    }
}

/// The redaction in a request's state.
pub(super) fn redaction_of(aggregate: &Aggregate) -> Option<Redaction> {
    match aggregate {
        Aggregate::PrivacyRequest(request) => request.redaction().cloned(),
        _ => None,
    }
}
