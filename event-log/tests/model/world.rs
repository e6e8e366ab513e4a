//! The world of the model: one partition, its nodes and its clients, and what can happen to them next.

use event_log::{Class, WriterId};

use crate::{
    arena::{Arena, CheckpointId, LogNode, RecordId, Verdict},
    rules::Rule,
};

/// The most nodes, commands, records under way, and records of one writer without an answer.
const NODES: usize = 3;
const COMMANDS: usize = 3;
const FLIGHT: usize = 8;
pub(crate) const PENDING: usize = 2;

/// Something an owner does wrong. What readers do wrong is a [`Rule`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// Answers as soon as the record was sent.
    AcknowledgeOnSend,
    /// Answers on the delivery report alone.
    AcknowledgeOnReport,
    /// Answers a repeated command from its speculative state.
    AnswerDuplicateFromSpeculation,
    /// Takes a command in doubt for rejected, without a claim.
    GuessAfterDoubt,
    /// Uses one writer id for all claims.
    ReuseWriterId,
    /// Uses one writer id for all claims, and recognises its record by term and height.
    ReuseWriterIdMatchByPlace,
    /// Answers a rejection from its state, without a record.
    RejectAtOnce,
    /// After a doubt, writes its old answers again instead of deciding anew.
    ResendAfterDoubt,
    /// Does not look at the last record read again.
    SkipRecheck,
    /// Looks at the last record admitted again, not at the last one read.
    RecheckLastAdmitted,
    /// Resumes from position and head alone.
    ForgetTermOnResume,
}

/// What there is, what may go wrong, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    /// How often each node may claim; one that may not only reads.
    pub(crate) claims: &'static [u8],
    /// The balance before the first command.
    pub(crate) opening: i8,
    /// What each command changes the balance by; it may not fall below zero.
    pub(crate) changes: &'static [i8],
    /// How many records owners may append in all.
    pub(crate) appends: u8,
    pub(crate) duplicates: u8,
    pub(crate) crashes: u8,
    pub(crate) shrinks: u8,
    pub(crate) rule: Rule,
    pub(crate) bug: Option<Bug>,
}

impl Config {
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn reuses_writer_id(&self) -> bool {
        self.has(Bug::ReuseWriterId) || self.has(Bug::ReuseWriterIdMatchByPlace)
    }

    pub(crate) fn arena(&self) -> Arena {
        Arena::new(self.class, self.rule, self.opening, self.changes)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub(crate) enum Phase {
    #[default]
    Idle,
    Claiming,
    Owner,
    /// Found that history changed; stopped for good.
    Halted,
}

/// A record sent and not answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) record: RecordId,
    pub(crate) reported: bool,
}

/// A process, or what is left of it: its checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Node {
    pub(crate) phase: Phase,
    pub(crate) claims: u8,
    pub(crate) checkpoint: CheckpointId,
    /// The last record read, skipped or not.
    pub(crate) read_position: u8,
    pub(crate) read_record: RecordId,
    /// Where it was when it began to claim.
    pub(crate) claimed_from: CheckpointId,
    pub(crate) claim: Pending,
    pub(crate) speculative: CheckpointId,
    /// Oldest first; the rest is empty.
    pub(crate) pending: [Pending; PENDING],
    /// Answers in doubt, for [`Bug::ResendAfterDoubt`].
    pub(crate) kept: [RecordId; PENDING],
    /// It read something that is not in the log any more.
    pub(crate) lost: bool,
}

impl Node {
    pub(crate) fn waits_for(&self, arena: &Arena, command: u8) -> bool {
        let mut waiting = self.pending.iter().filter(|pending| pending.record != 0);
        waiting.any(|pending| arena.says(pending.record).is_some_and(|(known, _)| known == command))
    }

    /// Gives up what it owned or tried to own; a new reader will start at the checkpoint.
    pub(crate) fn step_down(&mut self, arena: &Arena, cut: Option<u8>) {
        self.phase = Phase::Idle;
        self.claim = Pending::default();
        self.claimed_from = 0;
        self.speculative = 0;
        self.pending = Default::default();
        self.read_position = arena.position(self.checkpoint);
        self.read_record = arena.record_at(self.checkpoint);
        // Who only skipped what is lost has nothing to find.
        self.lost &= cut.is_some_and(|len| self.read_position > len);
    }
}

/// All that the clients of one command know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Client {
    pub(crate) asked: bool,
    pub(crate) told: u8,
    /// The commands answered before this one was first asked, as bits.
    pub(crate) before: u8,
}

impl Client {
    pub(crate) fn was_told(self, verdict: Verdict) -> bool {
        self.told & verdict as u8 != 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    pub(crate) log: LogNode,
    /// Sent, and not landed for the last time; sorted. What stays here for ever is lost.
    pub(crate) flight: [RecordId; FLIGHT],
    pub(crate) nodes: [Node; NODES],
    pub(crate) clients: [Client; COMMANDS],
    pub(crate) appends: u8,
    pub(crate) duplicates: u8,
    pub(crate) crashes: u8,
    pub(crate) shrinks: u8,
    /// How long the log was after it shrank.
    pub(crate) cut: Option<u8>,
    /// What went wrong on the way here, as bits.
    pub(crate) flaws: u16,
}

/// What can happen next. Losing a record, or pausing a node, is that nothing more of it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// A node reads to the end and sends a claim.
    Claim { node: usize },
    /// A client asks, or asks again.
    Ask { node: usize, command: u8 },
    /// A record comes to the store, and may come again; its sender may hear of it.
    Land { slot: usize, report: bool, again: bool },
    /// A node reads to the end.
    Fetch { node: usize },
    /// A node waits no longer for what it sent.
    TimeOut { node: usize },
    /// A process ends; the next one has its checkpoint, or starts from the beginning.
    Crash { node: usize, forget: bool },
    /// The log loses its end.
    Shrink { len: u8 },
}

impl World {
    pub(crate) fn start(config: &Config) -> Self {
        let mut nodes = [Node::default(); NODES];
        for (node, claims) in nodes.iter_mut().zip(config.claims) {
            node.claims = *claims;
        }
        Self {
            log: 0,
            flight: [0; FLIGHT],
            nodes,
            clients: [Client::default(); COMMANDS],
            appends: config.appends,
            duplicates: config.duplicates,
            crashes: config.crashes,
            shrinks: config.shrinks,
            cut: None,
            flaws: 0,
        }
    }

    /// What can happen; some of it changes nothing.
    pub(crate) fn actions(&self, config: &Config, arena: &Arena) -> Vec<Action> {
        let mut actions = Vec::with_capacity(32);
        for (node, it) in self.nodes.iter().enumerate().take(config.claims.len()) {
            self.actions_of(config, node, it, &mut actions);
        }
        for (slot, record) in self.flight.iter().enumerate() {
            let first_such = slot == 0 || self.flight[slot - 1] != *record;
            if *record == 0 || !first_such {
                continue;
            }
            for report in [false, true] {
                if report && !self.nodes.iter().any(|node| node.expects(*record)) {
                    continue;
                }
                actions.push(Action::Land { slot, report, again: false });
                if self.duplicates > 0 {
                    actions.push(Action::Land { slot, report, again: true });
                }
            }
        }
        if self.shrinks > 0 {
            actions.extend((0..arena.log(self.log).len).map(|len| Action::Shrink { len }));
        }
        actions
    }

    fn actions_of(&self, config: &Config, node: usize, it: &Node, actions: &mut Vec<Action>) {
        let only_reads = config.claims[node] == 0;
        let reads_back = it.phase == Phase::Owner && config.class == Class::Open;
        if (only_reads && it.phase == Phase::Idle) || reads_back || it.phase == Phase::Claiming {
            actions.push(Action::Fetch { node });
        }
        // Of nodes that are alike the first goes first: any other order is the same under other names.
        let goes_first = |other: usize| {
            config.claims[other] == config.claims[node] && self.nodes[other].claims == config.claims[node]
        };
        if it.phase == Phase::Idle && it.claims > 0 && !(0..node).any(goes_first) {
            actions.push(Action::Claim { node });
        }
        if it.phase == Phase::Owner && it.pending[PENDING - 1].record == 0 {
            actions.extend((0..config.changes.len() as u8).map(|command| Action::Ask { node, command }));
        }
        if it.phase == Phase::Claiming || it.pending[0].record != 0 {
            actions.push(Action::TimeOut { node });
        }
        let remembers = it.phase != Phase::Idle || it.checkpoint != 0;
        if self.crashes > 0 && it.phase != Phase::Halted && remembers {
            actions.extend([false, true].map(|forget| Action::Crash { node, forget }));
        }
    }

    /// Puts a record under way.
    pub(crate) fn send(&mut self, record: RecordId) {
        let free = self.flight.iter_mut().find(|slot| **slot == 0);
        *free.expect("no more is sent than the configuration allows") = record;
        self.flight.sort_unstable();
    }

    pub(crate) fn tell(&mut self, command: u8, verdict: Verdict) {
        self.clients[usize::from(command)].told |= verdict as u8;
    }

    /// The commands that were answered, as bits.
    pub(crate) fn answered(&self) -> u8 {
        let answered = self.clients.iter().enumerate().filter(|(_, client)| client.told != 0);
        answered.fold(0, |bits, (command, _)| bits | 1 << command)
    }

    /// A writer nobody else is; unless that is the bug.
    pub(crate) fn writer_id(&self, config: &Config, node: usize) -> WriterId {
        let attempt = config.claims[node] - self.nodes[node].claims;
        let id = if config.reuses_writer_id() { 1 } else { 16 * (node as u8 + 1) + attempt };
        WriterId::from_bytes([id; 16])
    }
}

impl Node {
    fn expects(&self, record: RecordId) -> bool {
        let unreported = |pending: &Pending| pending.record == record && !pending.reported;
        unreported(&self.claim) || self.pending.iter().any(unreported)
    }
}
