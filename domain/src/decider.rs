//! What an aggregate is: a state, a decision about a command, and what an event makes of the state.
use std::fmt::Debug;

use event_schemas::StreamType;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Due, Rejection};

/// An aggregate's rules. All functions are pure, so the same history always gives the same state and answers.
pub trait Decider: Default {
    /// The type of stream that holds its events.
    const STREAM: StreamType;
    /// What it can be asked; it travels to the node that owns the stream.
    type Command: Debug + PartialEq + Serialize + DeserializeOwned;
    /// What can have happened to it.
    type Event: Clone + Debug + PartialEq;

    /// The events that the command brings about; none if all is already so.
    ///
    /// # Errors
    /// The rejection, if the rules forbid the command. It is an answer, not a fault.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Rejection>;

    /// Takes in what happened. Exhaustive in every aggregate: a state has an opinion on each of its events.
    fn evolve(&mut self, event: &Self::Event);

    /// What it has to be asked for when its time comes; of each kind only the earliest counts. It follows from the state
    /// alone, and it is asked after every command, so it must not walk a long state.
    fn due(&self) -> Vec<Due> {
        Vec::new()
    }
}

/// Lists an aggregate's commands, one line each: type, name, and the file that decides it.
macro_rules! commands {
    ($aggregate:ident { $( $command:ident = $name:literal in $file:ident; )* }) => {
        /// What the aggregate can be asked.
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub enum Command { $( #[doc = $name] $command($command), )* }

        impl Command {
            /// The command's name in kebab-case.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$command(_) => $name, )* }
            }
        }

        $(
            impl From<$command> for Command {
                fn from(command: $command) -> Self {
                    Self::$command(command)
                }
            }

            impl From<$command> for crate::Command {
                fn from(command: $command) -> Self {
                    Self::$aggregate(command.into())
                }
            }
        )*

        fn dispatch(state: &State, command: &Command) -> Result<Vec<Event>, crate::Rejection> {
            match command { $( Command::$command(command) => $file::decide(state, command), )* }
        }
    };
}

pub(crate) use commands;
