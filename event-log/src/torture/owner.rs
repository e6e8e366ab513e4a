//! An owner that does what the contract asks of owners, or leaves one thing out.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    rc::Rc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{Command, Request, Verdict, World};
use crate::{
    AdmittedRecord, AppendError, Appended, BoxError, Error, Log, NewKind, NewRecord, Pending,
    REFERENCE_ROUTE, Stopped, Writer, faulty::Faulty,
};

/// What a careless owner does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OwnerBug {
    /// Answers a rejection from its own state, without a record.
    RejectAtOnce,
    /// Answers a known key before the record with its outcome is admitted.
    AnswerDuplicatesAtOnce,
    /// Takes a command in doubt for lost, and says so.
    GuessAfterDoubt,
    /// Decides a command in doubt again without looking whether it has its outcome.
    DecideAgainWithoutLooking,
}

/// The account and the outcome of every command, folded from records.
#[derive(Clone, Default)]
pub(super) struct Account {
    pub(super) balance: i64,
    pub(super) outcomes: HashMap<u64, Verdict>,
}

impl Account {
    pub(super) fn decide(&self, command: Command) -> Verdict {
        if self.balance + command.change < 0 { Verdict::Rejected } else { Verdict::Accepted }
    }

    pub(super) fn evolve(&mut self, command: Command, verdict: Verdict) {
        if verdict == Verdict::Accepted {
            self.balance += command.change;
        }
        self.outcomes.insert(command.id, verdict);
    }
}

/// What a record says; nothing for claims and barriers.
pub(super) fn decode(record: &AdmittedRecord) -> Option<(Command, Verdict)> {
    let verdict = match record.frame.kind {
        crate::Kind::Commit => Verdict::Accepted,
        crate::Kind::Outcome => Verdict::Rejected,
        crate::Kind::Claim | crate::Kind::Barrier => return None,
    };
    let (id, change) = record.body.split_at(8);
    let id = u64::from_be_bytes(id.try_into().unwrap());
    Some((Command { id, change: i64::from_be_bytes(change.try_into().unwrap()) }, verdict))
}

fn encode(command: Command, verdict: Verdict) -> NewRecord {
    let kind = match verdict {
        Verdict::Accepted => NewKind::Commit,
        Verdict::Rejected => NewKind::Outcome,
    };
    let body = [command.id.to_be_bytes(), command.change.to_be_bytes()].concat().into();
    NewRecord { kind, merchant: [1; 16], route: REFERENCE_ROUTE, stream: [2; 16], key_count: 0, body }
}

/// A record sent, and all who wait for it.
struct Waiting {
    command: Command,
    verdict: Verdict,
    pending: Pending,
    answers: Vec<oneshot::Sender<Verdict>>,
}

pub(super) struct Owner {
    world: Rc<World>,
    log: Log,
    requests: mpsc::UnboundedReceiver<Request>,
    rng: StdRng,
    speculative: Account,
    waiting: VecDeque<Waiting>,
    /// Commands kept over a doubt.
    kept: Vec<Request>,
}

impl Owner {
    pub(super) fn new(
        world: Rc<World>,
        log: Log,
        requests: mpsc::UnboundedReceiver<Request>,
        seed: u64,
    ) -> Self {
        let (speculative, rng) = (Account::default(), StdRng::seed_from_u64(seed));
        Self { world, log, requests, rng, speculative, waiting: VecDeque::new(), kept: Vec::new() }
    }

    /// Claims and serves, again and again, until the process dies.
    pub(super) async fn serve(mut self, process: &Faulty) {
        while !process.has_crashed() && !self.world.done.get() {
            let mut account = Account::default();
            let fold = |record: &AdmittedRecord| -> Result<(), BoxError> {
                if let Some((command, verdict)) = decode(record) {
                    account.evolve(command, verdict);
                }
                Ok(())
            };
            match self.log.claim(0, fold).await {
                Ok(mut writer) => {
                    self.speculative = account;
                    let stopped = self.own(&mut writer).await;
                    self.stop(stopped).await;
                }
                Err(Error::Diverged(diverged)) => return self.halt(&diverged.to_string()),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn own(&mut self, writer: &mut Writer) -> Stopped {
        let looks = self.world.bug != Some(OwnerBug::DecideAgainWithoutLooking);
        for request in std::mem::take(&mut self.kept) {
            if let Err(stopped) = self.take(writer, request, looks) {
                return stopped;
            }
        }
        loop {
            select! {
                biased;
                Some(request) = self.requests.recv() => {
                    if let Err(stopped) = self.take(writer, request, true) {
                        return stopped;
                    }
                }
                appended = first(&mut self.waiting) => match appended {
                    Ok(_) => self.answer_first(),
                    Err(stopped) => return stopped,
                },
            }
        }
    }

    fn take(&mut self, writer: &mut Writer, request: Request, looks: bool) -> Result<(), Stopped> {
        let Request { command, answer } = request;
        if let Some(verdict) = self.speculative.outcomes.get(&command.id).copied().filter(|_| looks) {
            let at_once = self.world.bug == Some(OwnerBug::AnswerDuplicatesAtOnce);
            match self.waiting.iter_mut().find(|waiting| waiting.command.id == command.id) {
                Some(waiting) if !at_once => waiting.answers.push(answer),
                _ => tell(answer, verdict),
            }
            return Ok(());
        }
        let verdict = self.speculative.decide(command);
        if verdict == Verdict::Rejected && self.world.bug == Some(OwnerBug::RejectAtOnce) {
            tell(answer, verdict);
            return Ok(());
        }
        match writer.append(encode(command, verdict)) {
            Ok(pending) => {
                self.speculative.evolve(command, verdict);
                self.waiting.push_back(Waiting { command, verdict, pending, answers: vec![answer] });
                Ok(())
            }
            Err(AppendError::Stopped(stopped)) => {
                self.kept.push(Request { command, answer });
                Err(stopped)
            }
            Err(refused) => panic!("{refused}"),
        }
    }

    fn answer_first(&mut self) {
        if let Some(waiting) = self.waiting.pop_front() {
            for answer in waiting.answers {
                tell(answer, waiting.verdict);
            }
        }
    }

    /// Fenced: nobody is answered. Doubt: the commands are kept until the next claim.
    async fn stop(&mut self, stopped: Stopped) {
        let waiting = std::mem::take(&mut self.waiting);
        match stopped {
            Stopped::Diverged(diverged) => self.halt(&diverged.to_string()),
            Stopped::Fenced { .. } => {
                self.kept.clear();
                sleep(Duration::from_millis(self.rng.random_range(50..1_500))).await;
            }
            Stopped::Doubt { .. } if self.world.bug == Some(OwnerBug::GuessAfterDoubt) => {
                let answers = waiting.into_iter().flat_map(|waiting| waiting.answers);
                answers.for_each(|answer| tell(answer, Verdict::Rejected));
            }
            Stopped::Doubt { .. } => {
                let requests = waiting.into_iter().flat_map(|Waiting { command, answers, .. }| {
                    answers.into_iter().map(move |answer| Request { command, answer })
                });
                self.kept.extend(requests);
            }
        }
    }

    /// Ends the run: nothing may be served from here on.
    fn halt(&self, why: &str) {
        self.world.halts.borrow_mut().push(why.to_owned());
        self.world.done.set(true);
    }
}

/// A client that does not wait any more asks again.
fn tell(answer: oneshot::Sender<Verdict>, verdict: Verdict) {
    answer.send(verdict).ok();
}

async fn first(waiting: &mut VecDeque<Waiting>) -> Result<Appended, Stopped> {
    match waiting.front_mut() {
        Some(waiting) => (&mut waiting.pending).await,
        None => pending().await,
    }
}
