//! All aggregates, one line each, behind one type: what a partition's owner holds, asks and feeds.
use event_schemas::{Event, StreamType};
use serde::{Deserialize, Serialize};

use crate::{
    Decider, Due, Rejection, customer, loyalty_order, merchant, points_account, pos_device, privacy_request,
    product, redemption, reward,
};

/// An event came to an aggregate of another type: the history is damaged or was read wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event {event} stands in a stream of type {}", .stream.name())]
pub struct Misplaced {
    /// The event's wire name.
    pub event: &'static str,
    /// The type of the aggregate's stream.
    pub stream: StreamType,
}

macro_rules! aggregates {
    ($( $(#[$doc:meta])* $name:ident => $module:ident; )*) => {
        /// The state of any aggregate.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Aggregate { $( $(#[$doc])* $name($module::State), )* }

        /// A command to any aggregate.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Command { $( $(#[$doc])* $name($module::Command), )* }

        $( impl From<$module::Command> for Command {
            fn from(command: $module::Command) -> Self {
                Self::$name(command)
            }
        } )*

        impl Aggregate {
            /// The state before anything happened.
            #[must_use]
            pub fn new(stream_type: StreamType) -> Self {
                match stream_type { $( StreamType::$name => Self::$name(<_>::default()), )* }
            }

            /// The type of stream that holds its events.
            #[must_use]
            pub const fn stream_type(&self) -> StreamType {
                match self { $( Self::$name(_) => <$module::State as Decider>::STREAM, )* }
            }

            /// The events that the command brings about; none if all is already so.
            ///
            /// # Errors
            /// The rejection, if the rules forbid the command; `WrongStream` if it is for another type of stream.
            pub fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
                match (self, command) {
                    $( (Self::$name(state), Command::$name(command)) => {
                        state.decide(command).map(|events| events.into_iter().map(Event::from).collect())
                    } )*
                    _ => Err(Rejection::WrongStream),
                }
            }

            /// Takes in what happened.
            ///
            /// # Errors
            /// `Misplaced` if the event is of another type of stream; the state is as before.
            pub fn evolve(&mut self, event: &Event) -> Result<(), Misplaced> {
                match (self, event) {
                    $( (Self::$name(state), Event::$name(event)) => {
                        state.evolve(event);
                        Ok(())
                    } )*
                    (other, _) => Err(Misplaced { event: event.name(), stream: other.stream_type() }),
                }
            }

            /// What it has to be asked for when its time comes; of each kind only the earliest counts.
            #[must_use]
            pub fn due(&self) -> Vec<Due> {
                match self { $( Self::$name(state) => state.due(), )* }
            }
        }

        impl Command {
            /// The type of stream that it is for.
            #[must_use]
            pub const fn stream_type(&self) -> StreamType {
                match self { $( Self::$name(_) => <$module::State as Decider>::STREAM, )* }
            }

            /// The command's name in kebab-case.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$name(command) => command.name(), )* }
            }
        }
    };
}

aggregates! {
    /// A shop and its programme.
    Merchant => merchant;
    /// A person at one shop.
    Customer => customer;
    /// An order, and what it comes to.
    LoyaltyOrder => loyalty_order;
    /// One customer's ledger.
    PointsAccount => points_account;
    /// One exchange of points for a reward.
    Redemption => redemption;
    /// What points can be exchanged for.
    Reward => reward;
    /// What a shop sells.
    Product => product;
    /// A till.
    PosDevice => pos_device;
    /// A request about a person's data, or a shop's.
    PrivacyRequest => privacy_request;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_another_type_of_stream_is_neither_decided_nor_taken_in() {
        let mut customer = Aggregate::new(StreamType::Customer);
        let open = Command::from(points_account::OpenAccount { sign_up: None });
        assert_eq!(customer.decide(&open), Err(Rejection::WrongStream));

        let opened = Aggregate::new(StreamType::PointsAccount).decide(&open).unwrap().remove(0);
        let misplaced = customer.evolve(&opened).unwrap_err();
        assert_eq!(
            misplaced.to_string(),
            "an event points-account-opened stands in a stream of type customer"
        );
        assert_eq!(customer, Aggregate::new(StreamType::Customer));
    }

    #[test]
    fn every_type_of_stream_has_its_aggregate() {
        for stream in (0..=u16::MAX).filter_map(StreamType::from_number) {
            assert_eq!(Aggregate::new(stream).stream_type(), stream);
        }
    }
}
