//! The policies beside the aggregates: each does what follows from every event, at once or whenever it gets to it.
use std::collections::VecDeque;

use domain::{
    Aggregate, Command, Effect, IfRefused, Reaction, Rejection, StreamRef, points_account::Awaited, policies,
};
use event_schemas::{Event, EventId};

use super::shop::Shop;

/// When policies act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// After each command, to the end.
    AtOnce,
    /// Now and then, each at its own pace; the number starts its chance.
    Late(u64),
    /// The same, and what an ended account turned away is sent on at once: a mistake.
    LateAndHasty(u64),
}

/// A step, of a policy by its place, because of what happened to a stream.
type Step = (usize, StreamRef, Reaction);

/// What policies have not done yet.
#[derive(Debug)]
pub(super) struct Processes {
    pace: Pace,
    chance: u64,
    /// For each policy, by its place, in the order in which it happened.
    told: VecDeque<(usize, EventId, StreamRef, Event)>,
    /// Steps that wait for an estate, and those that wait behind them: of the same policy and stream.
    stuck: VecDeque<Step>,
}

impl Processes {
    pub(super) const fn new(pace: Pace) -> Self {
        let chance = match pace {
            Pace::AtOnce => 1,
            Pace::Late(seed) | Pace::LateAndHasty(seed) => seed | 1,
        };
        Self { pace, chance, told: VecDeque::new(), stuck: VecDeque::new() }
    }

    pub(super) fn are_late(&self) -> bool {
        self.pace != Pace::AtOnce
    }

    pub(super) fn tell(&mut self, id: EventId, stream: StreamRef, event: &Event) {
        self.told.extend((0..policies().len()).map(|policy| (policy, id, stream, event.clone())));
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        usize::try_from(self.chance % end.max(1) as u64).unwrap()
    }

    /// The next thing told: a policy takes a stream's events in order, and nothing else has one.
    fn next(&mut self) -> Option<(usize, EventId, StreamRef, Event)> {
        let any = match self.pace {
            Pace::AtOnce => 0,
            Pace::Late(_) | Pace::LateAndHasty(_) => self.below(self.told.len()),
        };
        let (policy, _, stream, _) = self.told.get(any)?;
        let first = self.told.iter().position(|(by, _, of, _)| (by, of) == (policy, stream))?;
        self.told.remove(first)
    }
}

impl Shop<'_> {
    /// Lets the policies do some of what is told, or all of it.
    pub(super) fn go_on(&mut self) {
        let steps = match self.processes.pace {
            Pace::AtOnce => return self.finish(),
            Pace::Late(_) | Pace::LateAndHasty(_) => self.processes.below(8),
        };
        for _ in 0..steps {
            self.step();
        }
    }

    /// Lets the policies come to their end.
    pub(super) fn finish(&mut self) {
        while !self.processes.told.is_empty() {
            self.step();
        }
        for _ in 0..self.processes.stuck.len() {
            self.retry();
        }
        if !self.processes.told.is_empty() {
            return self.finish();
        }
        assert!(
            self.processes.stuck.is_empty(),
            "what waits for an estate gets it: {:?}",
            self.processes.stuck
        );
    }

    fn step(&mut self) {
        if self.processes.below(4) == 0 {
            self.retry();
        }
        let Some((policy, id, stream, event)) = self.processes.next() else { return };
        for reaction in (policies()[policy].react)(id, stream, &event) {
            let is_behind = self.processes.stuck.iter().any(|(by, of, _)| (*by, *of) == (policy, stream));
            if is_behind || !self.perform(&reaction) {
                self.processes.stuck.push_back((policy, stream, reaction));
            }
        }
    }

    /// Tries the first of them again; where it still has to wait, so do those behind it.
    fn retry(&mut self) {
        let Some((policy, stream, reaction)) = self.processes.stuck.pop_front() else { return };
        if !self.perform(&reaction) {
            let stuck = std::mem::take(&mut self.processes.stuck);
            let (behind, others): (Vec<_>, Vec<_>) =
                stuck.into_iter().partition(|(by, of, _)| (*by, *of) == (policy, stream));
            self.processes.stuck.extend(others);
            self.processes.stuck.push_back((policy, stream, reaction));
            self.processes.stuck.extend(behind);
        }
    }

    /// Whether it need not wait.
    fn perform(&mut self, reaction: &Reaction) -> bool {
        // Codes are issued by a step of the program, and made void by nobody.
        let Effect::Command { stream, command, if_refused } = &reaction.effect else { return true };
        let goes_on = !matches!(if_refused, IfRefused::Park);
        match (self.send_on(*stream, command.clone(), goes_on), if_refused) {
            (None, _) => false,
            (Some(Ok(_)), _) => true,
            (Some(Err(why)), IfRefused::GoOnOr(instead)) => {
                let mut command = instead.command.clone();
                command.because(&why);
                match self.send_on(instead.stream, command, true) {
                    None => false,
                    Some(sent) => {
                        assert!(sent.is_ok(), "what is sent instead is not refused: {sent:?}");
                        true
                    }
                }
            }
            (Some(Err(why)), _) => panic!("a process sent what is refused: {why}, {reaction:?}"),
        }
    }

    /// Sends a command, also to where its account was merged into; none if it has to wait there.
    fn send_on(
        &mut self,
        mut stream: StreamRef,
        mut command: Command,
        goes_on: bool,
    ) -> Option<Result<usize, Rejection>> {
        self.complete(&mut command);
        let mut awaited = Awaited::default();
        loop {
            match self.send(stream, &command) {
                Err(Rejection::AccountMerged { into }) if goes_on => {
                    awaited.expect(stream.subject()?);
                    stream = StreamRef::account(into);
                    if !matches!(self.processes.pace, Pace::LateAndHasty(_)) {
                        awaited = match self.aggregate(stream) {
                            Some(Aggregate::PointsAccount(account)) => awaited.beyond(account)?,
                            _ => return None,
                        };
                    }
                }
                answer => return Some(answer),
            }
        }
    }
}
