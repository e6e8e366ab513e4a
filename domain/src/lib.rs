//! The rules of the loyalty programme as pure functions: what a command does to a stream, and what an event sets off.
//!
//! Deliberately absent: clocks, randomness, I/O, `await`. Time and ids come in with the command.
pub mod aggregates;
pub mod customer;
pub mod decider;
pub mod due;
pub mod loyalty_order;
pub mod merchant;
pub mod planted;
pub mod points_account;
pub mod policies;
pub mod pos_device;
pub mod privacy_request;
pub mod product;
pub mod redemption;
pub mod rejection;
pub mod reward;
pub mod testing;

mod enrolment;
mod merge_process;
mod order_settlement;
mod pos_process;
mod redemption_process;
mod transfer_process;

pub use aggregates::{Aggregate, Command, Misplaced};
pub use decider::Decider;
pub use due::{Due, DueKind};
pub use event_schemas::StreamRef;
pub use policies::{Effect, IfRefused, Instead, Policy, Reaction, policies};
pub use rejection::{REJECTIONS, Rejection, RejectionKind};
