//! What each action does: the owner's half of the contract, step by step, and the store's.

use event_log::{Admission, Class, Kind};

use crate::{
    arena::{Arena, CheckpointId, RecordId, Verdict},
    properties::Violation,
    search::Seen,
    world::{Action, Bug, Config, Node, PENDING, Pending, Phase, World},
};

/// One step of one world.
pub(crate) struct Step<'a> {
    pub(crate) config: &'a Config,
    pub(crate) arena: &'a mut Arena,
    pub(crate) seen: &'a mut Seen,
    pub(crate) world: World,
}

/// What a fetch gave a node.
#[derive(Default)]
struct Fetched {
    /// Own records read back as admitted, or orphaned.
    own: Vec<RecordId>,
    orphaned: bool,
    fenced: bool,
    admitted: bool,
}

impl Step<'_> {
    pub(crate) fn take(mut self, action: Action) -> World {
        match action {
            Action::Claim { node } => self.claim(node),
            Action::Ask { node, command } => self.ask(node, command),
            Action::Land { slot, report, again } => self.land(slot, report, again),
            Action::Fetch { node } => self.fetch(node),
            Action::TimeOut { node } => self.time_out(node),
            Action::Crash { node, forget } => self.crash(node, forget),
            Action::Shrink { len } => self.shrink(len),
        }
        self.world
    }

    fn node(&mut self, node: usize) -> &mut Node {
        &mut self.world.nodes[node]
    }

    fn step_down(&mut self, node: usize) {
        self.world.nodes[node].step_down(self.arena, self.world.cut);
    }

    fn claim(&mut self, node: usize) {
        let from = self.world.nodes[node].checkpoint;
        self.read(node);
        if self.world.nodes[node].phase == Phase::Halted {
            return;
        }
        let writer = self.world.writer_id(self.config, node);
        let record = self.arena.claim(self.world.nodes[node].checkpoint, writer);
        let it = self.node(node);
        it.claims -= 1;
        it.phase = Phase::Claiming;
        it.claimed_from = from;
        it.claim = Pending { record, reported: false };
        self.world.send(record);
    }

    fn ask(&mut self, node: usize, command: u8) {
        let it = self.world.nodes[node];
        let speculative = self.arena.account(it.speculative);
        let known = speculative.outcome(command);
        let verdict = known.unwrap_or_else(|| speculative.decide(self.arena.change(command)));
        let at_once = known.is_none() && verdict == Verdict::Rejected && self.config.has(Bug::RejectAtOnce);
        if known.is_none() && !at_once && self.world.appends == 0 {
            return;
        }
        let answered = self.world.answered();
        let client = &mut self.world.clients[usize::from(command)];
        if !client.asked {
            client.asked = true;
            client.before = answered;
        }
        if known.is_some() {
            let waits = it.waits_for(self.arena, command);
            // From memory, an owner that cannot know of the loss yet may give an answer that was true.
            if !it.lost && (!waits || self.config.has(Bug::AnswerDuplicateFromSpeculation)) {
                self.tell(command, verdict);
            }
        } else if at_once {
            self.tell(command, verdict);
        } else {
            self.append(node, command, verdict);
            if self.config.has(Bug::AcknowledgeOnSend) {
                self.tell(command, verdict);
            }
        }
    }

    fn append(&mut self, node: usize, command: u8, verdict: Verdict) {
        let speculative = self.world.nodes[node].speculative;
        let record = self.arena.answer(speculative, command, verdict);
        let (_, after) = self.arena.admit(speculative, record, 0);
        let it = self.node(node);
        it.speculative = after;
        let free = it.pending.iter_mut().find(|pending| pending.record == 0);
        *free.expect("an owner with room was asked") = Pending { record, reported: false };
        self.world.appends -= 1;
        self.world.send(record);
    }

    fn land(&mut self, slot: usize, report: bool, again: bool) {
        let record = self.world.flight[slot];
        if again {
            self.world.duplicates -= 1;
        } else {
            self.world.flight[slot] = 0;
            self.world.flight.sort_unstable();
        }
        let head = self.arena.state(self.arena.log(self.world.log).straight).head;
        let stored = match self.config.class {
            Class::Open => true,
            Class::Conditional => self.arena.frame(record).prev == head,
        };
        if stored {
            self.world.log = self.arena.append(self.world.log, record);
        }
        for node in 0..self.config.claims.len() {
            if !report {
                continue;
            } else if stored {
                self.report(node, record);
            } else {
                self.refuse(node, record);
            }
        }
    }

    /// The store says that it is durable.
    fn report(&mut self, node: usize, record: RecordId) {
        let it = self.node(node);
        it.claim.reported |= it.claim.record == record;
        let pending = it.pending.iter_mut().find(|pending| pending.record == record);
        let Some(pending) = pending else { return };
        pending.reported = true;
        if self.config.class == Class::Conditional && self.world.nodes[node].pending[0].record == record {
            // The committed transaction is the read-back.
            let position = self.arena.log(self.world.log).len;
            let (_, after) = self.arena.admit(self.world.nodes[node].checkpoint, record, position);
            let it = self.node(node);
            (it.checkpoint, it.read_position, it.read_record) = (after, position, record);
            self.must_not_go_on(node);
            self.answer_first(node);
        } else if self.config.has(Bug::AcknowledgeOnReport)
            && let Some((command, verdict)) = self.arena.says(record)
        {
            self.tell(command, verdict);
        }
    }

    /// A conditional store says that the head is another one: of a newer term, or of the own one.
    fn refuse(&mut self, node: usize, record: RecordId) {
        let it = self.world.nodes[node];
        let is_own = |pending: &Pending| pending.record == record;
        if it.claim.record == record && it.phase == Phase::Claiming {
            self.step_down(node);
        } else if it.pending.iter().any(is_own) {
            let ours = self.arena.state(it.speculative).number;
            let stored = self.arena.state(self.arena.log(self.world.log).straight).number;
            if stored > ours { self.fenced(node) } else { self.doubt(node) }
        }
    }

    fn fetch(&mut self, node: usize) {
        let fetched = self.read(node);
        match self.world.nodes[node].phase {
            Phase::Claiming => self.look_for_claim(node),
            Phase::Owner => self.look_for_own(node, &fetched),
            Phase::Idle | Phase::Halted => {}
        }
    }

    /// Reads to the end. What does not fit halts the node, and nothing of the fetch is handed out.
    fn read(&mut self, node: usize) -> Fetched {
        let mut fetched = Fetched::default();
        let mut it = self.world.nodes[node];
        let (log, len) = (self.world.log, self.arena.log(self.world.log).len);
        let (position, record) = match self.config.has(Bug::RecheckLastAdmitted) {
            true => (self.arena.position(it.checkpoint), self.arena.record_at(it.checkpoint)),
            false => (it.read_position, it.read_record),
        };
        let still_there = position == 0 || self.arena.at(log, position) == record;
        if !still_there && !self.config.has(Bug::SkipRecheck) {
            self.halt(node);
            return Fetched::default();
        }
        let term = self.arena.state(it.speculative).term();
        for position in it.read_position + 1..=len {
            let record = self.arena.at(log, position);
            (it.read_position, it.read_record) = (position, record);
            let (verdict, after) = self.arena.admit(it.checkpoint, record, position);
            it.checkpoint = after;
            match verdict {
                Admission::Admitted => {
                    let frame = self.arena.frame(record);
                    fetched.admitted = true;
                    fetched.fenced |= frame.kind == Kind::Claim && frame.term != term;
                    if frame.term == term && !fetched.fenced {
                        fetched.own.push(record);
                    }
                }
                Admission::Stale => self.seen.stale = true,
                Admission::Orphan => {
                    self.seen.orphan = true;
                    fetched.orphaned = true;
                }
                Admission::Diverged(_) => {
                    self.halt(node);
                    return Fetched::default();
                }
            }
        }
        self.world.nodes[node] = it;
        if fetched.admitted {
            self.must_not_go_on(node);
        }
        fetched
    }

    /// Serves once the own claim is durable and admitted, and the old checkpoint still stands.
    fn look_for_claim(&mut self, node: usize) {
        let it = self.world.nodes[node];
        let own = self.arena.frame(it.claim.record).term;
        let state = self.arena.state(it.checkpoint);
        if state.number < own.number || (state.term() == own && !it.claim.reported) {
            return;
        }
        if state.term() != own {
            self.seen.tie |= state.number == own.number;
            return self.step_down(node);
        }
        let (position, record) =
            (self.arena.position(it.claimed_from), self.arena.record_at(it.claimed_from));
        if position > 0 && self.arena.at(self.world.log, position) != record {
            return self.halt(node);
        }
        let speculative = self.arena.speculative(it.checkpoint);
        let it = self.node(node);
        it.phase = Phase::Owner;
        it.claim = Pending::default();
        it.claimed_from = 0;
        it.speculative = speculative;
        for record in std::mem::take(&mut it.kept) {
            if record != 0
                && self.world.appends > 0
                && let Some((command, verdict)) = self.arena.says(record)
            {
                self.append(node, command, verdict);
            }
        }
    }

    fn look_for_own(&mut self, node: usize, fetched: &Fetched) {
        for record in &fetched.own {
            let first = self.world.nodes[node].pending[0];
            if first.record != 0 && first.reported && self.is_same(first.record, *record) {
                self.answer_first(node);
            }
        }
        if fetched.fenced {
            self.fenced(node);
        } else if fetched.orphaned {
            self.doubt(node);
        }
    }

    fn is_same(&self, sent: RecordId, read: RecordId) -> bool {
        let (one, other) = (self.arena.frame(sent), self.arena.frame(read));
        let same_place = one.term == other.term && one.height == other.height;
        sent == read || (same_place && self.config.has(Bug::ReuseWriterIdMatchByPlace))
    }

    fn answer_first(&mut self, node: usize) {
        let it = self.node(node);
        let record = it.pending[0].record;
        it.pending.rotate_left(1);
        it.pending[PENDING - 1] = Pending::default();
        if let Some((command, verdict)) = self.arena.says(record) {
            self.tell(command, verdict);
        }
    }

    fn tell(&mut self, command: u8, verdict: Verdict) {
        self.seen.accepted |= verdict == Verdict::Accepted;
        self.seen.rejected |= verdict == Verdict::Rejected;
        self.world.tell(command, verdict);
    }

    /// Whoever read what is lost must find that out before it admits more; unless the very same records came again.
    fn must_not_go_on(&mut self, node: usize) {
        let it = &mut self.world.nodes[node];
        let position = self.arena.position(it.checkpoint);
        if it.lost && it.checkpoint != self.arena.log(self.arena.prefix(self.world.log, position)).straight {
            self.world.flaws |= Violation::ShrinkMissed.bit();
        }
        it.lost = false;
    }

    fn fenced(&mut self, node: usize) {
        self.seen.fenced = true;
        self.step_down(node);
    }

    /// The commands are kept by their clients: asked again, they are found in the state or decided anew.
    fn doubt(&mut self, node: usize) {
        self.seen.doubt = true;
        let it = self.world.nodes[node];
        if self.config.has(Bug::ResendAfterDoubt) {
            self.node(node).kept = it.pending.map(|pending| pending.record);
        }
        if self.config.has(Bug::GuessAfterDoubt) {
            let unanswered = it.pending.iter().filter(|pending| pending.record != 0);
            for command in unanswered.filter_map(|pending| self.arena.says(pending.record)).map(|says| says.0)
            {
                let found = self.arena.account(it.checkpoint).outcome(command);
                self.world.tell(command, found.unwrap_or(Verdict::Rejected));
            }
        }
        self.step_down(node);
    }

    fn time_out(&mut self, node: usize) {
        match self.world.nodes[node].phase {
            Phase::Owner => self.doubt(node),
            _ => self.step_down(node),
        }
    }

    fn halt(&mut self, node: usize) {
        self.seen.found_shrunk |= self.world.cut.is_some();
        let Node { checkpoint, .. } = self.world.nodes[node];
        self.world.nodes[node] = Node { phase: Phase::Halted, checkpoint, ..Node::default() };
    }

    fn crash(&mut self, node: usize, forget: bool) {
        self.world.crashes -= 1;
        let checkpoint = self.world.nodes[node].checkpoint;
        let resumed = match forget {
            true => 0,
            false if self.config.has(Bug::ForgetTermOnResume) => self.arena.without_term(checkpoint),
            false => checkpoint,
        };
        self.seen.resumed |= resumed > 0;
        self.resume(node, resumed);
    }

    fn resume(&mut self, node: usize, checkpoint: CheckpointId) {
        let it = &mut self.world.nodes[node];
        it.kept = Default::default();
        it.checkpoint = checkpoint;
        it.step_down(self.arena, self.world.cut);
    }

    /// Answers that history does not hold any more bind nobody; who had read them must find out.
    fn shrink(&mut self, len: u8) {
        let world = &mut self.world;
        world.shrinks -= 1;
        world.cut = Some(len);
        world.log = self.arena.prefix(world.log, len);
        for node in &mut world.nodes {
            node.lost = node.read_position > len && node.phase != Phase::Halted;
        }
        let account = self.arena.account(self.arena.log(world.log).straight);
        let mut kept = 0;
        for (command, client) in world.clients.iter_mut().enumerate() {
            if account.outcome(command as u8).is_some() {
                kept |= 1 << command;
            } else {
                client.told = 0;
            }
        }
        for client in &mut world.clients {
            client.before &= kept;
        }
    }
}
