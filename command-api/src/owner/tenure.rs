//! One term of an owner: from its claim until its writer stops.
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use event_log::{Appended, PositionToken, Stopped};
use event_schemas::{CommandKey, Event, StreamType, catalogue::PrivacyRequestEvent};
use futures::FutureExt as _;
use tokio::sync::{Mutex, oneshot};

use super::{
    First,
    mailbox::{Message, Saving, Work},
    partition::{Partition, StreamKey},
    saver::{News, Saver},
    state::StateError,
};
use crate::{
    commands::{Answered, Envelope, Made, Outcome, Unavailable},
    cqrs::{self, Failure, Handed},
    planted::{self, Hand, marked::Bug},
};

/// A record on its way, and who waits for it to be admitted.
struct InFlight {
    hand: Hand,
    /// The command whose answer it is; a barrier is nobody's.
    command: Option<(StreamKey, CommandKey)>,
    waiting: Vec<Waiting>,
}

/// Somebody whose answer stands, once the record is admitted that it was attached to.
struct Waiting {
    message: Message,
    /// What came of the command, if it is about one that is known.
    decided: Option<Decided>,
}

struct Decided {
    outcome: Outcome,
    /// Where its record stands, if that is known yet.
    at: Option<PositionToken>,
    replayed: bool,
    made: Option<Made>,
}

/// Why a term ends before its owner does.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// What is known of a stream cannot be had. Nothing was decided without it.
    #[error("the state cannot be had")]
    State(#[from] StateError),
}

pub(super) struct Tenure {
    partition: Arc<Mutex<Partition>>,
    in_flight: VecDeque<InFlight>,
    /// Readings that no record sent after them has proved yet.
    unproved: Vec<Waiting>,
    /// Who wants the state saved.
    wishes: Vec<Saving>,
    parked: usize,
    /// Somebody asked to be forgotten since the last look.
    opened: bool,
}

impl Tenure {
    pub(super) fn new(partition: Partition) -> Self {
        let parked = partition.folded.parked();
        Self {
            partition: Arc::new(Mutex::new(partition)),
            in_flight: VecDeque::new(),
            unproved: Vec::new(),
            wishes: Vec::new(),
            parked,
            opened: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Whether a privacy request was opened since this was last asked; its record may still be on its way.
    pub(super) fn take_opened(&mut self) -> bool {
        std::mem::take(&mut self.opened)
    }

    /// Works off one message as far as it goes without waiting for the log.
    pub(super) async fn work(&mut self, mut message: Message) -> Result<(), Halt> {
        let known = match self.look_up(&mut message).await {
            Ok(known) => known,
            Err(error) => {
                self.unproved.push(Waiting { message, decided: None });
                return Err(error.into());
            }
        };
        let undecided = match &message.work {
            Work::Command(envelope, _) if known.is_none() => Some(envelope.clone()),
            _ => None,
        };
        match (undecided, message) {
            (Some(envelope), message) => self.decide(message, &envelope).await?,
            (None, Message { work: Work::Save(saving), .. }) => self.wishes.push(saving),
            (None, message) if matches!(message.work, Work::Due(_)) => {
                self.unproved.push(Waiting { message, decided: None });
            }
            (None, message) => self.show(message, known).await,
        }
        Ok(())
    }

    /// Gets ready what the message is about, and finds what came of its command if that is known.
    async fn look_up(&mut self, message: &mut Message) -> Result<Option<First>, StateError> {
        let stream = StreamKey::new(message.merchant, message.stream);
        let folded = &mut self.partition.lock().await.folded;
        let key = match &mut message.work {
            Work::Due(listing) => {
                listing.found = folded.due(&listing.query).await?;
                return Ok(None);
            }
            Work::Save(saving) => {
                for stream in &saving.renew {
                    folded.renew(StreamKey::new(message.merchant, *stream), stream.route).await?;
                }
                return Ok(None);
            }
            Work::Command(envelope, _) => Some(envelope.key),
            Work::Recall(key, _) => Some(*key),
            Work::Read(_) | Work::Glance(_) => None,
        };
        folded.wake(stream).await?;
        match key {
            Some(key) => folded.first(stream, key).await,
            None => Ok(None),
        }
    }

    /// Answers a message about what is known, as soon as its kind of answer may be given.
    async fn show(&mut self, mut message: Message, known: Option<First>) {
        let stream = StreamKey::new(message.merchant, message.stream);
        if let Err(unavailable) = look(&*self.partition.lock().await, stream, &mut message) {
            message.work.refuse(unavailable);
            return;
        }
        let is_placed = known.as_ref().is_some_and(|first| first.at.is_some());
        let decided = known.map(|First { outcome, at }| Decided {
            outcome,
            at,
            replayed: !message.resumed,
            made: None,
        });
        let (is_glance, is_command) =
            (matches!(message.work, Work::Glance(_)), matches!(message.work, Work::Command(..)));
        let waiting = Waiting { message, decided };
        if is_glance {
            finish(&*self.partition.lock().await, waiting, None);
        } else if is_command {
            self.after_in_flight(waiting, is_placed).await;
        } else {
            self.unproved.push(waiting);
        }
    }

    /// Lets the saver do what it can; whether there is anything that is not saved.
    pub(super) async fn save(&mut self, saver: &mut Saver) -> bool {
        saver.want(self.wishes.drain(..));
        let mut partition = self.partition.lock().await;
        saver.step(&mut partition, self.in_flight.len());
        partition.folded.kept().is_some() && partition.folded.unsaved_records() > 0
    }

    pub(super) async fn take(&mut self, saver: &mut Saver, news: News) {
        saver.take(&mut *self.partition.lock().await, news);
    }

    /// Saves everything, at a clean end. What cannot be saved is read from the log next time.
    pub(super) async fn save_all(&mut self, saver: &mut Saver) {
        let (done, mut saved) = oneshot::channel();
        self.wishes.push(Saving { renew: Vec::new(), done });
        loop {
            self.save(saver).await;
            if !matches!(saved.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
                return;
            }
            if !saver.has_work() {
                let news = saver.news().await;
                self.take(saver, news).await;
            }
        }
    }

    /// Decides a command that is not known yet. A panic parks its aggregate, and the partition lives on.
    async fn decide(&mut self, mut message: Message, envelope: &Arc<Envelope>) -> Result<(), Halt> {
        let stream = StreamKey::new(message.merchant, message.stream);
        let executed = AssertUnwindSafe(cqrs::execute(&self.partition, envelope)).catch_unwind().await;
        let Handed { hand, outcome, made } = match executed {
            Ok(Ok(handed)) => handed,
            Ok(Err(Failure::Stopped(stopped))) => {
                // Nothing of it was sent; it waits for the next claim with those that were.
                self.unproved.push(Waiting { message, decided: None });
                return Err(stopped.into());
            }
            Ok(Err(Failure::State(error))) => {
                self.unproved.push(Waiting { message, decided: None });
                return Err(error.into());
            }
            Ok(Err(Failure::Refused(unavailable))) => {
                if !matches!(unavailable, Unavailable::AggregateParked) {
                    self.recount().await;
                }
                message.work.refuse(unavailable);
                return Ok(());
            }
            Err(_) => {
                self.recount().await;
                tracing::error!(stream = %stream, command = envelope.command.name(),
                    "A {} panicked; the aggregate {stream} is parked", envelope.command.name());
                message.work.refuse(Unavailable::AggregateParked);
                return Ok(());
            }
        };
        self.opened |= stream.stream_type == StreamType::PrivacyRequest && made.as_ref().is_some_and(opens);
        metrics::counter!("commands_total", "command" => envelope.command.name(), "outcome" => word(&outcome))
            .increment(1);
        let is_early = planted::serves_revoked() && matches!(outcome, Outcome::Rejected(_))
            // Even a dishonest build is honest about shops: their answers wait for the record itself to be in force.
            || planted::acks_before_commit() && stream.stream_type != StreamType::Merchant;
        let mut waiting = std::mem::take(&mut self.unproved);
        let seen = look(&*self.partition.lock().await, stream, &mut message);
        match seen {
            Ok(()) => {
                let decided = Some(Decided { outcome, at: None, replayed: false, made });
                let answer = Waiting { message, decided };
                if Bug::AnsweredOnSending.strikes(&envelope.command) {
                    let at = self.made_up().await;
                    finish(&*self.partition.lock().await, answer, Some(at));
                } else {
                    waiting.push(answer);
                }
            }
            Err(unavailable) => message.work.refuse(unavailable),
        }
        if is_early {
            let at = self.made_up().await;
            let partition = self.partition.lock().await;
            waiting.drain(..).for_each(|waiting| finish(&partition, waiting, Some(at)));
        }
        self.in_flight.push_back(InFlight { hand, command: Some((stream, envelope.key)), waiting });
        Ok(())
    }

    /// Answers behind all records on their way; at once if there are none and the known outcome has its place. An
    /// outcome without one has to be proved like a reading.
    async fn after_in_flight(&mut self, waiting: Waiting, is_placed: bool) {
        match self.in_flight.back_mut() {
            Some(last) => last.waiting.push(waiting),
            None if is_placed => finish(&*self.partition.lock().await, waiting, None),
            None => self.unproved.push(waiting),
        }
    }

    /// Sends one barrier for all readings that no command proved.
    pub(super) async fn prove_reads(&mut self) -> Result<(), Halt> {
        if self.unproved.is_empty() {
            return Ok(());
        }
        match self.partition.lock().await.append_barrier() {
            Ok(hand) => {
                let waiting = std::mem::take(&mut self.unproved);
                self.in_flight.push_back(InFlight { hand, command: None, waiting });
                Ok(())
            }
            Err(event_log::AppendError::Stopped(stopped)) => Err(stopped.into()),
            Err(other) => {
                let why = Unavailable::fault(other);
                self.unproved.drain(..).for_each(|waiting| waiting.message.work.refuse(why.clone()));
                Ok(())
            }
        }
    }

    /// Waits for the oldest record to be admitted; for ever if there is none. It does nothing else, because it may be
    /// dropped at any await: whoever gets its answer calls [`Self::settle`], where nothing can be dropped.
    pub(super) async fn admitted(&mut self) -> Result<Appended, Stopped> {
        match self.in_flight.front_mut() {
            Some(oldest) => (&mut oldest.hand).await,
            None => std::future::pending().await,
        }
    }

    /// Answers those who wait for the oldest record, which is admitted, and for those behind it that are too: records
    /// come to be admitted in groups.
    pub(super) async fn settle(&mut self, mut appended: Appended) -> Result<(), Stopped> {
        let mut partition = self.partition.lock().await;
        while let Some(InFlight { command, waiting, .. }) = self.in_flight.pop_front() {
            let at = token(&partition, appended);
            partition.folded.settle(command.map(|(stream, key)| (stream, key, at)));
            waiting.into_iter().for_each(|waiting| finish(&partition, waiting, Some(at)));
            let next = self.in_flight.front_mut().and_then(|next| (&mut next.hand).now_or_never());
            let Some(next) = next.transpose()? else { break };
            appended = next;
        }
        Ok(())
    }

    /// Everybody who waits, in order; marked, so that an answer found after the next claim counts as their own.
    pub(super) fn abandon(self) -> Vec<Message> {
        let sent = self.in_flight.into_iter().flat_map(|record| record.waiting);
        let mark = |Waiting { mut message, decided }: Waiting| {
            message.resumed = message.resumed || decided.is_some_and(|decided| !decided.replayed);
            message
        };
        sent.chain(self.unproved).map(mark).collect()
    }

    async fn recount(&mut self) {
        self.parked = self.partition.lock().await.folded.parked();
    }

    /// The place that a dishonest build claims for a record it has not written.
    async fn made_up(&mut self) -> PositionToken {
        let partition = self.partition.lock().await;
        let position = partition.log().end(partition.number());
        PositionToken::new(partition.log().id(), partition.number(), position, event_log::Hash::ZERO)
    }
}

/// Lets the asker see the aggregate. Its view is foreign code too.
fn look(partition: &Partition, stream: StreamKey, message: &mut Message) -> Result<(), Unavailable> {
    let look = AssertUnwindSafe(|| partition.folded.see(stream, |aggregate| message.work.see(aggregate)));
    match catch_unwind(look) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Unavailable::AggregateParked),
        Err(_) => Err(Unavailable::fault("a view of an aggregate panicked")),
    }
}

/// Answers. `proof` is the record that was admitted after the message came in.
fn finish(partition: &Partition, Waiting { message, decided }: Waiting, proof: Option<PositionToken>) {
    let stream = StreamKey::new(message.merchant, message.stream);
    let answered = |key, Decided { outcome, at, replayed, made }: Decided| {
        let first = at.or_else(|| partition.folded.place(stream, key));
        let at = first.or(proof).ok_or(Unavailable::NotOwned)?;
        Ok(Answered { outcome, at, replayed, made })
    };
    match message.work {
        Work::Glance(asker) => asker.answer(Ok(())),
        Work::Read(asker) => asker.answer(proof.ok_or(Unavailable::NotOwned)),
        Work::Save(saving) => saving.finish(Err(Unavailable::NotOwned)),
        Work::Due(listing) => listing.finish(proof.map(drop).ok_or(Unavailable::NotOwned)),
        Work::Recall(key, asker) => asker.answer(decided.map(|decided| answered(key, decided)).transpose()),
        Work::Command(envelope, asker) => {
            let decided = decided.ok_or(Unavailable::NotOwned);
            asker.answer(decided.and_then(|decided| answered(envelope.key, decided)));
        }
    }
}

fn token(partition: &Partition, appended: Appended) -> PositionToken {
    PositionToken::new(partition.log().id(), partition.number(), appended.position, appended.head)
}

/// Whether it is the first record of its stream that asks for something.
fn opens(made: &Made) -> bool {
    let first = made.events.first();
    first.is_some_and(|event| {
        matches!(event, Event::PrivacyRequest(PrivacyRequestEvent::RedactionRequested(_)))
    })
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Unchanged => "unchanged",
        Outcome::Rejected(_) => "rejected",
    }
}
