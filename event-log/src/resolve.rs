//! Answers the records of one writer, in order, when each is durable and admitted; or stops the writer.

use std::{collections::VecDeque, future::poll_fn, mem, pin::pin, sync::Arc, task::Poll};

use tokio::{
    select,
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    admit::State,
    backend::Delivery,
    checkpoint::Covering,
    error::{Error, Fault, Stopped},
    frame::{Frame, Kind},
    genesis::Class,
    hash::Hash,
    ids::{Position, Term},
    mutation::{Mutation, planted},
    reader::{AdmittedRecord, FETCH_RECORDS_MAX, Reader},
    writer::{Appended, Shared, doubt},
};

/// A record that was sent and not answered.
pub(crate) struct InFlight {
    pub(crate) frame: Frame,
    pub(crate) hash: Hash,
    /// The state once it is admitted.
    pub(crate) after: State,
    pub(crate) delivery: oneshot::Receiver<Delivery>,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Appended, Stopped>>,
}

/// What a writer hands to its task, in order.
pub(crate) enum Sent {
    Record(InFlight),
    /// Wants the owner's checkpoint behind everything before it.
    Mark(oneshot::Sender<Covering>),
}

/// The task behind a writer.
pub(crate) struct Resolver {
    partition: u16,
    term: Term,
    queue: mpsc::UnboundedReceiver<Sent>,
    /// On a conditional store the committed transaction is the read-back.
    read_back: Option<ReadBack>,
    shared: Arc<Shared>,
}

impl Resolver {
    pub(crate) fn new(queue: mpsc::UnboundedReceiver<Sent>, reader: Reader, shared: Arc<Shared>) -> Self {
        let (partition, state) = {
            let covering = shared.covering();
            (covering.checkpoint.partition, covering.checkpoint.state)
        };
        let term = state.term();
        let read_back = match state.class {
            Class::Conditional => None,
            Class::Open => {
                Some(ReadBack { partition, term, reader, own: VecDeque::new(), stop: None, is_old: false })
            }
        };
        Self { partition, term, queue, read_back, shared }
    }

    /// Ends when the writer is dropped and everything sent is answered, or when it has to stop.
    pub(crate) async fn run(mut self) {
        loop {
            match self.next().await {
                Ok(None) => return,
                Ok(Some(Sent::Mark(mark))) => drop(mark.send(self.shared.covering().clone())),
                Ok(Some(Sent::Record(mut record))) => match self.resolve(&mut record).await {
                    Ok(appended) => drop(record.answer.send(Ok(appended))),
                    Err(stopped) => return self.stop(stopped, Some(record)).await,
                },
                Err(stopped) => return self.stop(stopped, None).await,
            }
        }
    }

    /// The oldest record or mark without an answer. While there is none, an open store is watched for a newer claim.
    async fn next(&mut self) -> Result<Option<Sent>, Stopped> {
        loop {
            let Some(read_back) = &mut self.read_back else {
                return Ok(self.queue.recv().await);
            };
            if let Ok(record) = self.queue.try_recv() {
                return Ok(Some(record));
            }
            if let Some(stopped) = read_back.stop.take() {
                return Err(stopped);
            }
            select! {
                biased;
                record = self.queue.recv() => return Ok(record),
                read = read_back.read_when_changed() => read.map_err(|error| stopped_by(self.partition, error))?,
            }
        }
    }

    async fn resolve(&mut self, record: &mut InFlight) -> Result<Appended, Stopped> {
        let stored = match planted(Mutation::AcknowledgeBeforeDelivery) {
            true => Position::START,
            false => self.delivered(record).await?,
        };
        let position = match &mut self.read_back {
            Some(read_back) if !planted(Mutation::AcknowledgeBeforeReadBack) => {
                read_back.find(record).await?
            }
            _ => stored,
        };
        let mut covering = self.shared.covering();
        covering.checkpoint.state = record.after;
        covering.checkpoint.position = position;
        covering.checkpoint.hash = record.hash;
        covering.key_count = covering.key_count.max(record.frame.key_count);
        let followed = covering.merchants.follow(&record.frame, record.hash);
        followed.map_err(|reason| reason.at(self.partition, position))?;
        let State { height, head, .. } = record.after;
        Ok(Appended { position, height, head, hash: record.hash })
    }

    async fn delivered(&mut self, record: &mut InFlight) -> Result<Position, Stopped> {
        let partition = self.partition;
        let delivery = timeout_at(record.deadline, &mut record.delivery);
        let delivery = match &mut self.read_back {
            Some(read_back) if !planted(Mutation::AcknowledgeBeforeReadBack) => {
                read_back.read_until(delivery, record.hash).await?
            }
            _ => delivery.await,
        };
        let error = match delivery {
            Ok(Ok(Delivery::Stored(position))) => return Ok(position),
            Ok(Ok(Delivery::Refused { number })) if number > self.term.number => {
                return Err(Stopped::Fenced { partition, number });
            }
            Ok(Ok(Delivery::Diverged(reason))) => {
                let last = self.shared.covering().checkpoint.position;
                return Err(reason.at(partition, last).into());
            }
            // The head is of our own term: a record of ours before this one was lost.
            Ok(Ok(Delivery::Refused { .. })) => Error::Orphaned { partition },
            Ok(Ok(Delivery::Unknown(fault))) => Error::Storage(fault),
            Ok(Err(gone)) => Error::Storage(Fault::new("report what became of a record", gone)),
            Err(_) => Error::AppendTimedOut { partition },
        };
        Err(doubt(partition, error))
    }

    /// Refuses what is unanswered and what still comes.
    async fn stop(mut self, stopped: Stopped, unanswered: Option<InFlight>) {
        tracing::warn!(
            log.partition = self.partition,
            term.number = self.term.number,
            "The writer of partition {} in term {} stopped: {stopped}",
            self.partition,
            self.term.number,
        );
        // Before the queue is closed: whoever finds it closed finds the reason.
        drop(self.shared.stopped.set(stopped.clone()));
        self.queue.close();
        let mut next = unanswered.map(Sent::Record);
        while let Some(sent) = next {
            if let Sent::Record(record) = sent {
                drop(record.answer.send(Err(stopped.clone())));
            }
            next = self.queue.recv().await;
        }
    }
}

/// The writer's own reader.
struct ReadBack {
    partition: u16,
    term: Term,
    reader: Reader,
    /// Own records read back and not yet asked for, oldest first.
    own: VecDeque<Own>,
    /// What was read behind them and ends the writer's time.
    stop: Option<Stopped>,
    /// A report was waited for since the last fetch: the log is looked at once more before it is answered.
    is_old: bool,
}

/// A record of the writer's that was read back.
struct Own {
    hash: Hash,
    height: u64,
    position: Position,
}

impl ReadBack {
    /// Waits for a record's report, and reads meanwhile what need not be read later. It reads no more once it has read what
    /// ends the writer's time: a record that does not stand before that never counts.
    async fn read_until<T>(&mut self, report: impl Future<Output = T>, hash: Hash) -> Result<T, Stopped> {
        let mut report = pin!(report);
        if let Poll::Ready(report) = poll_fn(|context| Poll::Ready(report.as_mut().poll(context))).await {
            return Ok(report);
        }
        self.is_old = true;
        loop {
            if let Some(stopped) = &self.stop {
                let stands_before = self.own.iter().any(|own| own.hash == hash);
                return if stands_before { Ok(report.await) } else { Err(stopped.clone()) };
            }
            select! {
                biased;
                report = &mut report => return Ok(report),
                read = self.read_or_wait() => read.map_err(|error| stopped_by(self.partition, error))?,
            }
        }
    }

    /// Recognises the record by its hash: two records may have the same place, never the same bytes.
    async fn find(&mut self, record: &InFlight) -> Result<Position, Stopped> {
        let partition = self.partition;
        let timed_out = || doubt(partition, Error::AppendTimedOut { partition });
        if mem::take(&mut self.is_old) && self.stop.is_none() {
            let looks = timeout_at(record.deadline, self.read()).await;
            looks.map_err(|_| timed_out())?.map_err(|error| stopped_by(partition, error))?;
        }
        loop {
            while let Some(own) = self.own.pop_front() {
                let same_place = own.height == record.frame.height;
                if own.hash == record.hash || (same_place && planted(Mutation::ReadBackByPlace)) {
                    return Ok(own.position);
                }
            }
            if let Some(stopped) = self.stop.take() {
                return Err(stopped);
            }
            let read = timeout_at(record.deadline, self.read_or_wait()).await;
            read.map_err(|_| timed_out())?.map_err(|error| stopped_by(partition, error))?;
        }
    }

    async fn read_or_wait(&mut self) -> Result<(), Error> {
        if self.read().await? { Ok(()) } else { self.reader.changed().await }
    }

    async fn read_when_changed(&mut self) -> Result<(), Error> {
        self.reader.changed().await?;
        self.read().await.map(drop)
    }

    /// Whether anything was read. Dropping the future loses nothing.
    async fn read(&mut self) -> Result<bool, Error> {
        #[cfg(feature = "planted-bugs")]
        crate::planted::deaf().await;
        let batch = self.reader.next(FETCH_RECORDS_MAX).await?;
        let any = !batch.records.is_empty();
        for record in batch.records {
            if record.frame.kind != Kind::Claim {
                let AdmittedRecord { hash, position, .. } = record;
                self.own.push_back(Own { hash, height: record.frame.height, position });
            } else if record.frame.term != self.term {
                let number = record.frame.term.number;
                self.stop = Some(Stopped::Fenced { partition: self.partition, number });
                return Ok(true);
            }
        }
        // Only the current term can have orphans, and it is ours.
        if batch.skipped.orphans > 0 && self.stop.is_none() {
            self.stop = Some(doubt(self.partition, Error::Orphaned { partition: self.partition }));
            return Ok(true);
        }
        Ok(any)
    }
}

fn stopped_by(partition: u16, error: Error) -> Stopped {
    match error {
        Error::Diverged(diverged) => Stopped::Diverged(diverged),
        error => doubt(partition, error),
    }
}
