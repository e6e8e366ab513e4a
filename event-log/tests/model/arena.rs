//! Records, checkpoints and logs by small numbers, so that a state of the model is small and cheap to compare.
//! The real `admit` and `Checkpoint` make every one of them, once; the same question gets the remembered answer.

use std::collections::HashMap;

use event_log::{
    Admission, Checkpoint, Class, Frame, Genesis, Hash, Kind, LogId, Position, Record, State, Term, WriterId,
};

use crate::{properties::Violation, rules::Rule};

/// A record; 0 is none.
pub(crate) type RecordId = u32;
/// A checkpoint; 0 is the start.
pub(crate) type CheckpointId = u32;
/// A whole log, as its last record and the log before it; 0 is empty.
pub(crate) type LogNode = u32;

/// What a command came to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Verdict {
    Accepted = 1,
    Rejected = 2,
}

/// What an owner folds from admitted records.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) balance: i8,
    /// Every command's first outcome, in the order of history.
    pub(crate) outcomes: Vec<(u8, Verdict)>,
}

impl Account {
    pub(crate) fn outcome(&self, command: u8) -> Option<Verdict> {
        self.outcomes.iter().find(|(known, _)| *known == command).map(|(_, verdict)| *verdict)
    }

    pub(crate) fn decide(&self, change: i8) -> Verdict {
        if self.balance + change < 0 { Verdict::Rejected } else { Verdict::Accepted }
    }
}

struct Written {
    record: Record,
    says: Option<(u8, Verdict)>,
}

struct Known {
    checkpoint: Checkpoint,
    account: Account,
}

/// A log as its readers find it.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    parent: LogNode,
    pub(crate) record: RecordId,
    pub(crate) len: u8,
    /// Where a reader is that reads it from the beginning.
    pub(crate) straight: CheckpointId,
    /// That reader diverged.
    pub(crate) diverged: bool,
    /// That reader passed over a record of a term that it never saw claimed.
    passed_unclaimed: bool,
    /// What is wrong with the history it admitted, as bits.
    pub(crate) flaws: u16,
}

pub(crate) struct Arena {
    rule: Rule,
    changes: &'static [i8],
    records: Vec<Written>,
    record_ids: HashMap<Hash, RecordId>,
    checkpoints: Vec<Known>,
    checkpoint_ids: HashMap<Vec<u8>, CheckpointId>,
    logs: Vec<Log>,
    log_ids: HashMap<(LogNode, RecordId), LogNode>,
    admissions: HashMap<(CheckpointId, RecordId, u8), (Admission, CheckpointId)>,
}

impl Arena {
    pub(crate) fn new(class: Class, rule: Rule, opening: i8, changes: &'static [i8]) -> Self {
        let genesis = Genesis { log_id: LogId::from_bytes([1; 16]), hash_version: 1, partitions: 1, class };
        let log = Log {
            parent: 0,
            record: 0,
            len: 0,
            straight: 0,
            diverged: false,
            passed_unclaimed: false,
            flaws: 0,
        };
        let mut arena = Self {
            rule,
            changes,
            records: Vec::new(),
            record_ids: HashMap::new(),
            checkpoints: Vec::new(),
            checkpoint_ids: HashMap::new(),
            logs: vec![log],
            log_ids: HashMap::new(),
            admissions: HashMap::new(),
        };
        let account = Account { balance: opening, outcomes: Vec::new() };
        arena.know(Checkpoint::start(&genesis, 0), account);
        arena
    }

    pub(crate) fn change(&self, command: u8) -> i8 {
        self.changes[usize::from(command)]
    }

    pub(crate) fn record(&self, id: RecordId) -> &Record {
        &self.records[id as usize - 1].record
    }

    pub(crate) fn frame(&self, id: RecordId) -> &Frame {
        &self.record(id).frame
    }

    /// The command that a record answers, and how.
    pub(crate) fn says(&self, id: RecordId) -> Option<(u8, Verdict)> {
        self.records[id as usize - 1].says
    }

    pub(crate) fn checkpoint(&self, id: CheckpointId) -> &Checkpoint {
        &self.checkpoints[id as usize].checkpoint
    }

    pub(crate) fn position(&self, id: CheckpointId) -> u8 {
        self.checkpoint(id).position.get() as u8
    }

    /// The record that stands at a checkpoint; 0 at the start.
    pub(crate) fn record_at(&self, id: CheckpointId) -> RecordId {
        self.record_ids.get(&self.checkpoint(id).hash).copied().unwrap_or(0)
    }

    pub(crate) fn state(&self, id: CheckpointId) -> &State {
        &self.checkpoint(id).state
    }

    pub(crate) fn account(&self, id: CheckpointId) -> &Account {
        &self.checkpoints[id as usize].account
    }

    pub(crate) fn log(&self, node: LogNode) -> &Log {
        &self.logs[node as usize]
    }

    /// The log when it was `len` long.
    pub(crate) fn prefix(&self, mut node: LogNode, len: u8) -> LogNode {
        while self.log(node).len > len {
            node = self.log(node).parent;
        }
        node
    }

    /// What stands at a position (from 1); 0 if nothing does.
    pub(crate) fn at(&self, node: LogNode, position: u8) -> RecordId {
        if position > self.log(node).len { 0 } else { self.log(self.prefix(node, position)).record }
    }

    /// The claim that follows a state.
    pub(crate) fn claim(&mut self, after: CheckpointId, writer: WriterId) -> RecordId {
        let state = *self.state(after);
        let term = Term { number: state.number + 1, writer };
        self.write(Frame { seq: 0, ..frame(Kind::Claim, term, &state) }, None)
    }

    /// The record that answers a command after a speculative state.
    pub(crate) fn answer(&mut self, after: CheckpointId, command: u8, verdict: Verdict) -> RecordId {
        let kind = match verdict {
            Verdict::Accepted => Kind::Commit,
            Verdict::Rejected => Kind::Outcome,
        };
        let state = *self.state(after);
        self.write(frame(kind, state.term(), &state), Some((command, verdict)))
    }

    fn write(&mut self, frame: Frame, says: Option<(u8, Verdict)>) -> RecordId {
        let body = says.map(|(command, verdict)| [command, verdict as u8]);
        let record = Record::encode(frame, body.as_ref().map_or(&[], |body| body.as_slice()));
        let next = self.records.len() as RecordId + 1;
        let id = *self.record_ids.entry(record.hash).or_insert(next);
        if id == next {
            self.records.push(Written { record, says });
        }
        id
    }

    /// Judges a record at a position, as a reader at a checkpoint does.
    pub(crate) fn admit(
        &mut self,
        at: CheckpointId,
        id: RecordId,
        position: u8,
    ) -> (Admission, CheckpointId) {
        if let Some(known) = self.admissions.get(&(at, id, position)) {
            return *known;
        }
        let mut checkpoint = *self.checkpoint(at);
        let Written { record, says } = &self.records[id as usize - 1];
        let (hash, says) = (record.hash, *says);
        let verdict = self.rule.admit(&mut checkpoint.state, record);
        let mut after = at;
        if verdict == Admission::Admitted {
            checkpoint.position = Position::new(u64::from(position));
            checkpoint.hash = if position == 0 { Hash::ZERO } else { hash };
            let account = self.evolve(self.account(at).clone(), says);
            after = self.know(checkpoint, account);
        }
        self.admissions.insert((at, id, position), (verdict, after));
        (verdict, after)
    }

    /// The state of a checkpoint without its place, to build speculation on.
    pub(crate) fn speculative(&mut self, at: CheckpointId) -> CheckpointId {
        let checkpoint = Checkpoint { position: Position::START, hash: Hash::ZERO, ..*self.checkpoint(at) };
        self.know(checkpoint, self.account(at).clone())
    }

    /// A checkpoint that kept the place and the head, and forgot the term.
    pub(crate) fn without_term(&mut self, at: CheckpointId) -> CheckpointId {
        let Checkpoint { state, .. } = *self.checkpoint(at);
        let state = State { number: 0, writer: WriterId::NOBODY, seq: 0, ..state };
        self.know(Checkpoint { state, ..*self.checkpoint(at) }, self.account(at).clone())
    }

    fn evolve(&self, mut account: Account, says: Option<(u8, Verdict)>) -> Account {
        let Some((command, verdict)) = says else { return account };
        if verdict == Verdict::Accepted {
            account.balance += self.change(command);
        }
        if account.outcome(command).is_none() {
            account.outcomes.push((command, verdict));
        }
        account
    }

    /// A checkpoint as it is stored and loaded again. Its head binds the history, and so the account.
    fn know(&mut self, checkpoint: Checkpoint, account: Account) -> CheckpointId {
        let bytes = checkpoint.to_bytes();
        let next = self.checkpoints.len() as CheckpointId;
        let checkpoint = Checkpoint::from_bytes(&bytes).expect("a checkpoint survives storage");
        let id = *self.checkpoint_ids.entry(bytes).or_insert(next);
        if id == next {
            self.checkpoints.push(Known { checkpoint, account });
        }
        id
    }

    /// The log with one record more.
    pub(crate) fn append(&mut self, node: LogNode, id: RecordId) -> LogNode {
        if let Some(known) = self.log_ids.get(&(node, id)) {
            return *known;
        }
        let log = *self.log(node);
        let mut next = Log { parent: node, record: id, len: log.len + 1, ..log };
        if !log.diverged {
            let (verdict, straight) = self.admit(log.straight, id, next.len);
            next.straight = straight;
            self.judge(&log, id, verdict, &mut next);
        }
        self.logs.push(next);
        let added = self.logs.len() as LogNode - 1;
        self.log_ids.insert((node, id), added);
        added
    }

    /// What the record makes of the history before it.
    fn judge(&self, before: &Log, id: RecordId, verdict: Admission, next: &mut Log) {
        let (state, account, frame) =
            (self.state(before.straight), self.account(before.straight), self.frame(id));
        match verdict {
            Admission::Diverged(_) => next.diverged = true,
            Admission::Stale | Admission::Orphan => {
                let unclaimed = frame.term.number >= state.number && frame.term != state.term();
                next.passed_unclaimed |= frame.kind != Kind::Claim && unclaimed;
            }
            Admission::Admitted => {
                if before.passed_unclaimed {
                    next.flaws |= Violation::ShrinkMissed.bit();
                }
                if frame.kind != Kind::Claim && frame.prev != state.head {
                    next.flaws |= Violation::OtherHistory.bit();
                }
                let Some((command, verdict)) = self.says(id) else { return };
                if account.outcome(command).is_some() {
                    next.flaws |= Violation::TwoOutcomes.bit();
                } else if account.decide(self.change(command)) != verdict {
                    next.flaws |= Violation::WrongDecision.bit();
                }
            }
        }
    }
}

fn frame(kind: Kind, term: Term, after: &State) -> Frame {
    let nobody = [0; 16];
    Frame {
        kind,
        term,
        seq: after.seq + 1,
        height: after.height + 1,
        prev: after.head,
        merchant: nobody,
        merchant_seq: 0,
        merchant_prev: Hash::ZERO,
        route: nobody,
        stream: nobody,
        key_count: 0,
    }
}
