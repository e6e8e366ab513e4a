//! What the snapshots do not have yet: streams that changed, and those of the round that is being saved.
//!
//! A round is all that changed until the moment it began. Its streams are packed as they were at that moment, each at the
//! latest before it changes again; it is written once every record that was on its way at that moment is admitted, so
//! that nothing but admitted state is ever saved.
use std::collections::HashMap;

use domain::Due;
use event_log::{Position, PositionToken};
use event_schemas::CommandKey;
use uuid::Uuid;

use super::{
    due::{DueIndex, DueQuery, DueStream},
    partition::StreamKey,
    snapshots::Row,
    stream::Stream,
    tiers::{Form, Tiers},
};

/// A state of so many bytes is written anew only when it has gathered [`TAIL_MAX`] records. Tests come there sooner.
const LARGE_BYTES: usize = if cfg!(test) { 256 } else { 32 * 1024 };

/// The longest tail of a large stream.
const TAIL_MAX: usize = if cfg!(test) { 12 } else { 4_096 };

/// One record more for each of these bytes: to write them costs about as much as to read that record again.
const BYTES_A_RECORD: usize = 512;

fn tail_max(stream: &Stream) -> usize {
    TAIL_MAX.max(stream.weight / BYTES_A_RECORD)
}

/// What changed in one stream.
struct Change {
    route: Uuid,
    /// What it is due for now.
    due: Vec<Due>,
    /// Its records, as far as they are admitted.
    positions: Vec<Position>,
    /// All of it is written, however large it is.
    whole: bool,
}

/// A stream of a round.
struct Saving {
    change: Change,
    form: Saved,
}

/// How far a stream of a round is packed.
enum Saved {
    /// It is as it was when the round began, so it can be packed at any time before it changes.
    NotYet,
    /// All of it, until it is handed over to be written.
    Whole(Option<Form>),
    /// Its records are added to its tail.
    Tail,
}

struct Round {
    streams: HashMap<StreamKey, Saving>,
    unpacked: Vec<StreamKey>,
    /// Records that were on their way when it began, and still are.
    awaited: usize,
}

/// The streams that changed since they were saved.
#[derive(Default)]
pub(super) struct Unsaved {
    changes: HashMap<StreamKey, Change>,
    records: usize,
    round: Option<Round>,
    /// What they are due for; what the others are due for is in the snapshots.
    due: DueIndex,
}

impl Unsaved {
    /// How many records changed something since the last round began.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// Whether everything that was on its way when the round began is admitted.
    pub(super) fn is_settled(&self) -> bool {
        self.round.as_ref().is_none_or(|round| round.awaited == 0)
    }

    /// Whether the snapshots do not have the stream as it is.
    pub(super) fn has(&self, key: &StreamKey) -> bool {
        self.changes.contains_key(key)
            || self.round.as_ref().is_some_and(|round| round.streams.contains_key(key))
    }

    pub(super) fn due(&self, query: &DueQuery) -> Vec<DueStream> {
        self.due.find(query)
    }

    /// Notes that a stream changed, by a record on its way or by an admitted one.
    pub(super) fn change(&mut self, key: StreamKey, route: Uuid, due: Vec<Due>, at: Option<Position>) {
        self.records += 1;
        let saving = self.round.as_ref().and_then(|round| round.streams.get(&key));
        let before = self.changes.get(&key).or(saving.map(|saving| &saving.change));
        let before = before.map_or(&[][..], |change| &change.due);
        if before != due {
            let before = before.to_vec();
            self.due.replace(key, route, &before, &due);
        }
        let change = self.changes.entry(key).or_insert_with(|| Change {
            route,
            due: Vec::new(),
            positions: Vec::new(),
            whole: false,
        });
        change.due = due;
        change.positions.extend(at);
    }

    /// Has the next round write all of a stream that changed, whatever the round under way writes of it.
    pub(super) fn write_whole(&mut self, key: StreamKey) {
        if let Some(change) = self.changes.get_mut(&key) {
            change.whole = true;
        }
    }

    /// Notes that the oldest record on its way is admitted; a barrier changed no stream.
    pub(super) fn settle(&mut self, changed: Option<(StreamKey, CommandKey, PositionToken)>) {
        let round = self.round.as_mut().filter(|round| round.awaited > 0);
        let of_round = round.map(|round| {
            round.awaited -= 1;
            &mut round.streams
        });
        let Some((key, command, at)) = changed else { return };
        match of_round {
            Some(streams) => {
                let Some(saving) = streams.get_mut(&key) else { return };
                saving.change.positions.push(at.position());
                if let Saved::Whole(Some(Form::State(_, answers))) = &mut saving.form {
                    answers.insert(command, at.position());
                }
            }
            None => {
                if let Some(change) = self.changes.get_mut(&key) {
                    change.positions.push(at.position());
                }
            }
        }
    }

    /// Begins a round over all that changed. `in_flight` records, the oldest first, are on their way.
    pub(super) fn begin(&mut self, tiers: &Tiers, in_flight: usize) {
        self.records = 0;
        let changes = std::mem::take(&mut self.changes);
        let mut unpacked = Vec::with_capacity(changes.len());
        let streams = changes.into_iter().map(|(key, change)| {
            let stream = tiers.peek(key);
            let is_large = stream.is_some_and(|stream| {
                !change.whole
                    && stream.weight >= LARGE_BYTES
                    && stream.tail + change.positions.len() + in_flight < tail_max(stream)
            });
            let form = if is_large { Saved::Tail } else { Saved::NotYet };
            if !is_large {
                unpacked.push(key);
            }
            (key, Saving { change, form })
        });
        let streams = streams.collect();
        self.round = Some(Round { streams, unpacked, awaited: in_flight });
    }

    /// A planted bug: as if nothing were on its way.
    #[cfg(test)]
    pub(super) fn await_nothing(&mut self) {
        if let Some(round) = &mut self.round {
            round.awaited = 0;
        }
    }

    /// Packs a stream of the round before it changes.
    pub(super) fn before_change(&mut self, tiers: &mut Tiers, key: StreamKey) {
        let Some(saving) = self.round.as_mut().and_then(|round| round.streams.get_mut(&key)) else { return };
        if matches!(saving.form, Saved::NotYet) {
            // One that is parked, or has no packed form, is what the log says of it.
            saving.form = tiers.form(key).map_or(Saved::Tail, |form| Saved::Whole(Some(form)));
        }
    }

    /// Packs up to this many streams of the round; `false` if there are more.
    pub(super) fn pack(&mut self, tiers: &mut Tiers, streams_max: usize) -> bool {
        for _ in 0..streams_max {
            let Some(key) = self.round.as_mut().and_then(|round| round.unpacked.pop()) else { return true };
            self.before_change(tiers, key);
        }
        self.round.as_ref().is_none_or(|round| round.unpacked.is_empty())
    }

    /// Hands the rows of the round over. Everything that it waits for has come, and all of it is packed.
    pub(super) fn rows(&mut self) -> Vec<Row> {
        let streams = self.round.iter_mut().flat_map(|round| &mut round.streams);
        let row = |(key, Saving { change, form }): (&StreamKey, &mut Saving)| Row {
            key: *key,
            route: change.route,
            state: if let Saved::Whole(whole) = form { whole.take() } else { None },
            positions: change.positions.clone(),
            due: change.due.clone(),
        };
        streams.map(row).collect()
    }

    /// Ends the round: its streams are saved.
    pub(super) fn saved(&mut self, tiers: &mut Tiers) {
        for (key, Saving { change, form }) in self.round.take().into_iter().flat_map(|round| round.streams) {
            if let Some(stream) = tiers.live(key) {
                let is_tail = matches!(form, Saved::Tail | Saved::NotYet);
                stream.tail = if is_tail { stream.tail + change.positions.len() } else { 0 };
            }
            if !self.changes.contains_key(&key) {
                self.due.replace(key, change.route, &change.due, &[]);
            }
        }
    }

    /// Ends the round: nothing was saved, so its streams count as changed again.
    pub(super) fn failed(&mut self) {
        for (key, Saving { change, .. }) in self.round.take().into_iter().flat_map(|round| round.streams) {
            self.records += 1;
            match self.changes.get_mut(&key) {
                Some(newer) => {
                    newer.positions.splice(0..0, change.positions);
                    newer.whole |= change.whole;
                }
                None => drop(self.changes.insert(key, change)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::StreamRef;
    use event_log::{Class, memory};

    use super::*;
    use crate::{
        commands::Outcome,
        owner::{catch_up::Claimed, state::Folded},
        testing::Bench,
    };

    /// A round packed a large stream, somebody is forgotten in it, and only then the round ends. Catches, tried: a mark in
    /// the stream itself, which the end of the round took back, so that the old state stayed in the file.
    #[tokio::test]
    async fn a_stream_that_forgets_somebody_while_a_round_is_written_is_written_whole_by_the_next() {
        let log = memory::init(1, Class::Conditional);
        let bench = Bench::over(log.clone()).await;
        let merchant = bench.install("demo-1.myshopify.com").await;
        let customer = bench.customer(merchant).await;
        for _ in 0..20 {
            bench.earn(merchant, customer, 1).await;
        }
        let stream = StreamRef::account(customer);
        let key = StreamKey::new(merchant, stream);
        let Claimed { mut folded, .. } = crate::owner::claim(&log).await;
        let saves_whole = |folded: &mut Folded| {
            folded.begin_round(0);
            folded.pack(usize::MAX);
            folded.rows().iter().any(|row| row.key == key && row.state.is_some())
        };
        assert!(saves_whole(&mut folded), "nothing was saved of it before");
        folded.renew(key, stream.route).await.unwrap();
        folded.round_ended(true);
        assert!(saves_whole(&mut folded), "it forgot somebody");
        let (aggregate, _) = folded.take(key).unwrap();
        folded.put_back(key, stream.route, aggregate, 0, CommandKey(Uuid::now_v7()), Outcome::Unchanged);
        folded.round_ended(true);
        assert!(!saves_whole(&mut folded), "it is large");
    }
}
