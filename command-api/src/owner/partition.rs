//! A claimed partition: its state, and the hand that appends to it.
use std::fmt;

use domain::StreamRef;
use event_log::{Covering, Log, NewKind, NewRecord, PositionToken, Watch};
use event_schemas::{MerchantId, StreamType, Timestamp, record::Meta};
use privacy::KeyStore;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{due::DueStream, state::Folded};
use crate::{
    clock::Clock,
    commands::Outcome,
    planted::{Hand, Writer},
};

/// A stream as the state knows it: another merchant's id is simply an unknown stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    pub(crate) merchant: MerchantId,
    pub(crate) stream_type: StreamType,
    pub(crate) id: Uuid,
}

impl StreamKey {
    pub(crate) fn new(merchant: MerchantId, stream: StreamRef) -> Self {
        Self { merchant, stream_type: stream.stream_type, id: stream.id }
    }

    pub(super) fn of(due: &DueStream) -> Self {
        Self::new(due.merchant, due.stream)
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.merchant, self.stream_type.number(), self.id)
    }
}

/// The first outcome of a command key, for ever.
#[derive(Clone, Debug)]
pub(crate) struct First {
    pub(crate) outcome: Outcome,
    /// Where its record stands; absent until it is admitted.
    pub(crate) at: Option<PositionToken>,
}

/// A partition that this process owns.
pub(crate) struct Partition {
    pub(crate) folded: Folded,
    pub(crate) keys: KeyStore,
    writer: Writer,
    clock: Clock,
}

impl Partition {
    pub(crate) fn new(folded: Folded, writer: event_log::Writer, keys: KeyStore, clock: Clock) -> Self {
        Self { folded, keys, writer: Writer::new(writer), clock }
    }

    /// The time for the next record; never before the record ahead of it.
    pub(crate) fn stamp(&mut self) -> Timestamp {
        self.folded.stamp(self.clock.now())
    }

    /// The time by the owner's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn log(&self) -> &Log {
        self.folded.log()
    }

    pub(crate) fn number(&self) -> u16 {
        self.folded.partition()
    }

    /// Hands a command's record to the log.
    pub(crate) fn append(
        &mut self,
        merchant: MerchantId,
        stream: StreamRef,
        body: Vec<u8>,
        kind: NewKind,
    ) -> Result<Hand, event_log::AppendError> {
        self.writer.append(NewRecord {
            kind,
            merchant: merchant.bytes(),
            route: stream.route.into_bytes(),
            stream: stream.id.into_bytes(),
            key_count: self.keys.insert_count(),
            body: body.into(),
        })
    }

    /// The covering checkpoint right behind what was handed over so far, once all of it is admitted.
    pub(super) fn covering_of_sent(&self) -> oneshot::Receiver<Covering> {
        self.writer.covering_of_sent()
    }

    /// Tells what is admitted to whoever looks on.
    pub(super) fn watch(&self) -> Option<Watch> {
        self.writer.watch()
    }

    /// What is admitted so far, whatever else was handed over.
    #[cfg(test)]
    pub(super) fn covering(&self) -> Option<Covering> {
        self.writer.covering()
    }

    /// Hands a record to the log that says nothing; once it is admitted, all before it is.
    pub(crate) fn append_barrier(&mut self) -> Result<Hand, event_log::AppendError> {
        self.writer.append(NewRecord::barrier(self.keys.insert_count()))
    }
}

/// The meta of a command's record.
pub(crate) fn meta(envelope: &crate::commands::Envelope, first_version: u64, recorded_at: Timestamp) -> Meta {
    Meta {
        record: event_schemas::RecordId(crate::chance::id()),
        stream_type: envelope.stream.stream_type,
        first_version,
        occurred_at: envelope.occurred_at.min(recorded_at),
        recorded_at,
        correlation: envelope.origin.correlation,
        trace: envelope.origin.trace,
        causation: envelope.origin.causation,
        actor: envelope.origin.actor,
        command: envelope.key,
        content: envelope.content,
    }
}
