//! One stream in memory: its aggregate, how many events it has, and where its answers stand.
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::{Aggregate, Due};
use event_log::{AdmittedRecord, BoxError, Position};
use event_schemas::{
    CommandKey, Event, MerchantId,
    record::{Answer, Body},
};
use uuid::Uuid;

use super::{
    answers::Answers,
    packed::{PackError, VARINT_MAX, pack, put_varint, take_varint, unpack},
    partition::StreamKey,
};
use crate::commands::Outcome;

/// A record that contradicts the state it is folded into.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("the stream has {have} events, and the record says its first would be number {found}")]
    Version { have: u64, found: u64 },
    #[error("the rejection in the record cannot be read")]
    Rejection(#[source] serde_json::Error),
}

/// One stream, ready for commands.
pub(crate) struct Stream {
    /// Absent while a command is at work on it. If that command broke it, it stays absent: the aggregate is parked.
    pub(super) aggregate: Option<Aggregate>,
    /// How many events it has.
    pub(super) version: u64,
    pub(super) answers: Answers,
    /// Its records that are on their way: their answers have no place yet.
    pub(super) in_flight: u32,
    /// Used since the last look.
    pub(super) used: bool,
    /// Bytes that it had when it was last packed.
    pub(super) weight: usize,
    /// How often it was looked at since it was used.
    pub(super) idle: usize,
    /// Counted among the heavy ones.
    pub(super) is_heavy: bool,
    /// How many records its row in the snapshots leaves to its tail.
    pub(super) tail: usize,
}

/// The stream that an admitted record belongs to.
pub(super) fn stream_of(record: &AdmittedRecord, body: &Body) -> StreamKey {
    StreamKey {
        merchant: MerchantId::from_bytes(record.frame.merchant),
        stream_type: body.meta.stream_type,
        id: Uuid::from_bytes(record.frame.stream),
    }
}

/// What came of a record's command.
pub(super) fn outcome(answer: &Answer) -> Result<Outcome, BoxError> {
    Ok(match answer {
        Answer::Events(_) => Outcome::Accepted,
        Answer::Unchanged => Outcome::Unchanged,
        Answer::Rejected(json) => Outcome::Rejected(serde_json::from_str(json).map_err(Unfit::Rejection)?),
    })
}

impl Stream {
    /// Before its first record.
    pub(super) fn new(key: StreamKey) -> Self {
        Self {
            aggregate: Some(Aggregate::new(key.stream_type)),
            version: 0,
            answers: Answers::default(),
            in_flight: 0,
            used: true,
            weight: 0,
            idle: 0,
            is_heavy: false,
            tail: 0,
        }
    }

    /// Whether nothing was ever asked of it.
    pub(super) fn is_unknown(&self) -> bool {
        self.version == 0 && self.in_flight == 0 && self.answers.is_empty()
    }

    /// What it is due for. A parked one is not listed: nobody could work it off.
    pub(super) fn due(&self) -> Vec<Due> {
        self.aggregate.as_ref().map(Aggregate::due).unwrap_or_default()
    }

    /// Takes in one of its records.
    pub(super) fn fold(&mut self, key: StreamKey, body: &Body, at: Position) -> Result<(), BoxError> {
        let Body { meta, answer } = body;
        if meta.first_version != self.version + 1 {
            return Err(Unfit::Version { have: self.version, found: meta.first_version }.into());
        }
        outcome(answer)?;
        if let Answer::Events(events) = answer {
            self.evolve(key, events)?;
        }
        self.answers.insert(meta.command, at);
        Ok(())
    }

    /// A panic parks the aggregate, here too: otherwise one poisonous record would keep the partition down for ever.
    fn evolve(&mut self, key: StreamKey, events: &[Event]) -> Result<(), BoxError> {
        self.version += events.len() as u64;
        let Some(mut aggregate) = self.aggregate.take() else { return Ok(()) };
        let evolved = catch_unwind(AssertUnwindSafe(|| {
            events.iter().try_for_each(|event| aggregate.evolve(event))?;
            Ok::<_, domain::Misplaced>(aggregate)
        }));
        match evolved {
            Ok(aggregate) => self.aggregate = Some(aggregate?),
            Err(_) => {
                tracing::error!(stream = %key, "Folding stream {key} panicked; its aggregate is parked");
            }
        }
        Ok(())
    }

    /// Notes where one of its records was admitted.
    pub(super) fn settle(&mut self, command: CommandKey, at: Position) {
        self.answers.insert(command, at);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The state without the answers, some of which may still be on their way; none if it is parked.
    pub(super) fn pack_state(&mut self) -> Option<Result<PackedState, PackError>> {
        let mut state = Vec::with_capacity(self.weight + self.weight / 4);
        let packed = pack(self.aggregate.as_ref()?, &mut state);
        self.weight = state.len();
        Some(packed.map(|()| PackedState { version: self.version, state }))
    }

    /// What [`PackedState::with`] wrote.
    pub(super) fn unpack(bytes: &[u8]) -> Result<Self, PackError> {
        let mut rest = bytes;
        let version = take_varint(&mut rest)?;
        let answers = Answers::unpack(&mut rest)?;
        let weight = rest.len();
        let aggregate = Some(unpack(&mut rest)?);
        if !rest.is_empty() {
            return Err(PackError::cut());
        }
        let (used, is_heavy) = (true, false);
        Ok(Self { aggregate, version, answers, in_flight: 0, used, weight, idle: 0, is_heavy, tail: 0 })
    }
}

/// A stream's state as it was at some moment.
pub(super) struct PackedState {
    version: u64,
    state: Vec<u8>,
}

impl PackedState {
    /// With the answers to all its records: version, answers, state.
    pub(super) fn with(&self, answers: &Answers) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.state.len() + answers.packed_len_max() + VARINT_MAX);
        put_varint(&mut bytes, self.version);
        answers.pack(&mut bytes);
        bytes.extend_from_slice(&self.state);
        bytes
    }
}
