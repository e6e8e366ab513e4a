//! Specs that read as sentences: given what happened, when a command comes, then this follows.
use crate::{Decider, Rejection};

/// The command as it comes to the node that owns its stream, by way of another one: so every spec shows that it travels.
#[cfg(test)]
#[track_caller]
fn travelled<C>(command: C) -> C
where
    C: std::fmt::Debug + PartialEq + serde::Serialize + serde::de::DeserializeOwned,
{
    let sent = serde_json::to_vec(&command).unwrap();
    let received: C = serde_json::from_slice(&sent).unwrap();
    assert_eq!(received, command, "the command changed on its way");
    command
}

/// Outside this crate's own specs a command stays where it is.
#[cfg(not(test))]
const fn travelled<C>(command: C) -> C {
    command
}

/// The state after these events.
pub fn fold<A: Decider>(events: impl IntoIterator<Item = A::Event>) -> A {
    events.into_iter().fold(A::default(), |mut state, event| {
        state.evolve(&event);
        state
    })
}

/// The events of these commands, one after the other; those that are refused bring none.
pub fn played<A: Decider>(commands: impl IntoIterator<Item = A::Command>) -> Vec<A::Event> {
    let mut state = A::default();
    let mut history = Vec::new();
    for command in commands {
        for event in state.decide(&travelled(command)).unwrap_or_default() {
            state.evolve(&event);
            history.push(event);
        }
    }
    history
}

/// An aggregate with its history.
pub struct Given<A>(A);

/// Starts a spec from what happened before.
pub fn given<A: Decider>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given(fold(events))
}

impl<A: Decider> Given<A> {
    /// Decides the command.
    pub fn when(self, command: impl Into<A::Command>) -> When<A> {
        When(self.0.decide(&travelled(command.into())))
    }
}

/// What the command came to.
#[must_use = "a spec ends with what follows"]
pub struct When<A: Decider>(Result<Vec<A::Event>, Rejection>);

impl<A: Decider> When<A> {
    /// Asserts these events.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) {
        assert_eq!(self.0, Ok(events.into_iter().collect()));
    }

    /// Asserts the rejection.
    #[track_caller]
    pub fn then_rejected(self, rejection: Rejection) {
        assert_eq!(self.0, Err(rejection));
    }

    /// Asserts that all was already so.
    #[track_caller]
    pub fn then_unchanged(self) {
        self.then([]);
    }

    /// The events, for a closer look.
    #[track_caller]
    pub fn events(self) -> Vec<A::Event> {
        self.0.unwrap_or_else(|rejection| panic!("rejected: {}", rejection.code()))
    }
}
