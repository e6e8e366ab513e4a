//! What must be true in every state: of what clients were told, of the history, and of who reads it.

use crate::{
    arena::{Account, Arena, Verdict},
    world::{Phase, World},
};

/// What a guarantee of the log looks like when it is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub(crate) enum Violation {
    /// A client was told that its command is accepted, and history does not say so.
    LostAcknowledgement = 1,
    /// A client was told one thing and history says the other, or it was told both.
    TwoAnswers = 2,
    /// A client was told a rejection that is older than what was acknowledged before it asked.
    StaleRejection = 4,
    /// Something acknowledged before a command was asked stands behind it.
    OutOfOrder = 8,
    /// History holds two records for one key.
    TwoOutcomes = 16,
    /// An admitted outcome is wrong after the records before it: points spent twice, or refused for nothing.
    WrongDecision = 32,
    /// An admitted record was written after another history than the one it stands in.
    OtherHistory = 64,
    /// A reader has another state than one who read from the beginning.
    ReadersDisagree = 128,
    /// A reader stopped although nothing was lost.
    FalseHalt = 256,
    /// After history was lost, who could have known admitted or acknowledged more.
    ShrinkMissed = 512,
}

impl Violation {
    pub(crate) const ALL: [Self; 10] = [
        Self::LostAcknowledgement,
        Self::TwoAnswers,
        Self::StaleRejection,
        Self::OutOfOrder,
        Self::TwoOutcomes,
        Self::WrongDecision,
        Self::OtherHistory,
        Self::ReadersDisagree,
        Self::FalseHalt,
        Self::ShrinkMissed,
    ];

    pub(crate) fn bit(self) -> u16 {
        self as u16
    }
}

/// All that is wrong in a state, as bits.
pub(crate) fn violations(arena: &Arena, world: &World) -> u16 {
    let log = arena.log(world.log);
    let mut found = log.flaws | world.flaws;
    let intact = world.cut.is_none();
    if intact && log.diverged {
        found |= Violation::FalseHalt.bit();
    }
    for node in &world.nodes {
        let position = arena.position(node.checkpoint);
        let straight = arena.log(arena.prefix(world.log, position)).straight;
        if !node.lost && node.phase != Phase::Halted && node.checkpoint != straight {
            found |= Violation::ReadersDisagree.bit();
        }
        if intact && node.phase == Phase::Halted {
            found |= Violation::FalseHalt.bit();
        }
    }
    let account = arena.account(log.straight);
    for command in 0..world.clients.len() as u8 {
        found |= answers(arena, world, account, command);
    }
    found
}

/// What is wrong with the answers to one command.
fn answers(arena: &Arena, world: &World, account: &Account, command: u8) -> u16 {
    let client = world.clients[usize::from(command)];
    let (accepted, rejected) = (client.was_told(Verdict::Accepted), client.was_told(Verdict::Rejected));
    let mut found = 0;
    if accepted && rejected {
        found |= Violation::TwoAnswers.bit();
    }
    if !accepted && !rejected {
        return found;
    }
    let violation = match account.outcome(command) {
        None if accepted => Some(Violation::LostAcknowledgement),
        None => {
            (!was_ever_right(arena, account, command, client.before)).then_some(Violation::StaleRejection)
        }
        Some(Verdict::Accepted) if rejected => Some(Violation::TwoAnswers),
        Some(Verdict::Rejected) if accepted => Some(Violation::TwoAnswers),
        Some(verdict) if stands_before(account, command) & client.before != client.before => {
            Some(if verdict == Verdict::Rejected { Violation::StaleRejection } else { Violation::OutOfOrder })
        }
        Some(_) => None,
    };
    found | violation.map_or(0, Violation::bit)
}

/// The commands whose outcome stands before that of `command`, as bits.
fn stands_before(account: &Account, command: u8) -> u8 {
    let before = account.outcomes.iter().take_while(|(known, _)| *known != command);
    before.fold(0, |bits, (known, _)| bits | 1 << known)
}

/// Whether a rejection without a record was right at some moment after all that had been acknowledged.
fn was_ever_right(arena: &Arena, account: &Account, command: u8, acknowledged: u8) -> bool {
    let mut balance = account.balance;
    for (known, verdict) in &account.outcomes {
        if *verdict == Verdict::Accepted {
            balance -= arena.change(*known);
        }
    }
    let mut past = Account { balance, outcomes: Vec::new() };
    let mut seen = 0;
    let right = |past: &Account, seen: u8| {
        seen & acknowledged == acknowledged && past.decide(arena.change(command)) == Verdict::Rejected
    };
    for (known, verdict) in &account.outcomes {
        if right(&past, seen) {
            return true;
        }
        seen |= 1 << known;
        if *verdict == Verdict::Accepted {
            past.balance += arena.change(*known);
        }
    }
    right(&past, seen)
}
