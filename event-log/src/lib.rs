//! A hash-chained, partitioned log of opaque records: one contract over stores as different as SQLite and Kafka.
//!
//! # The contract
//!
//! A log has a fixed number of partitions. Each is a history of its own: records in order, each bound to all before it
//! by a rolling hash. The log sees bytes, keys and positions; what a record says is its owner's business.
//!
//! **One writer at a time.** [`Log::claim`] reads a partition to its end and puts a claim there. It returns a
//! [`Writer`] once the claim is durable and was read back as admitted. The claim of a newer writer fences all older
//! ones, even paused ones that wake up late: their records are never admitted by anybody.
//!
//! **Append.** [`Writer::append`] sends a record and returns at once. Its [`Pending`] resolves, in order of the calls,
//! when the record is history: durable, and admitted. Otherwise the writer stops, for one of three reasons:
//! [`Stopped::Fenced`] (somebody newer owns the partition), [`Stopped::Doubt`] (what became of the unanswered records is
//! unknown: claim again and look), [`Stopped::Diverged`] (history changed). An answer is never guessed.
//!
//! **Read.** Every [`Reader`] admits records by the same pure rule ([`admit`]), so readers of one log agree, from
//! whatever [`Checkpoint`] they resume. On an open store they skip and count what is stale, orphaned or undecodable;
//! on a conditional store none of that can be honest, and is [`Diverged`]. Who reads a whole log takes a [`Sweeper`]: all
//! partitions in one pass, each judged as its own reader would.
//!
//! **History that shrank or changed** is never passed over in silence. Each fetch looks at the last record read again;
//! each append of a conditional store looks at the last record stored again; a checkpoint holds the whole state. What
//! does not fit is [`Diverged`], with partition and position, for ever. What no checkpoint remembers any more (a lost
//! suffix that nobody read) only a witness outside the log can show.
//!
//! **Birth.** A log is made by `init` only, with a random [`LogId`] that whoever depends on it should remember. A claim
//! never makes one.
//!
//! **Merchants.** Each commit and outcome also carries its merchant's own chain ([`MerchantHeads`]), so that one
//! merchant's history can be proven complete without showing another's.
//!
//! A new store implements [`Backend`] and passes the conformance suite; nothing else changes.

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("planted-bugs must never be part of a release build");

mod admit;
mod backend;
mod backends;
mod bytes_reader;
mod chance;
mod checkpoint;
mod claim;
mod columns;
#[cfg(test)]
mod conformance;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faulty;
mod frame;
mod genesis;
mod hash;
mod ids;
mod log;
mod merchant;
mod missing;
mod mutation;
#[cfg(feature = "planted-bugs")]
mod planted;
mod progress;
mod reader;
mod resolve;
mod sweep;
mod token;
#[cfg(test)]
mod torture;
mod writer;

pub use admit::{Admission, State, admit};
pub use backend::{
    Asked, Backend, Delivery, Ends, Entry, Fetched, Last, Producer, StoreHead, Stored, Sweep, Swept, Tail,
};
#[cfg(feature = "kafka")]
pub use backends::kafka;
#[cfg(feature = "postgres")]
pub use backends::postgres;
pub use backends::{memory, sqlite};
pub use checkpoint::{Checkpoint, Covering};
pub use columns::{Columns, Shown, ShownEvent};
pub use error::{AppendError, BoxError, Diverged, Error, Fault, Reason, Stopped};
pub use frame::{BODY_LEN_MAX, FRAME_LEN, Frame, Kind, Record, Undecodable};
pub use genesis::{Class, Genesis, REFERENCE_ROUTE};
pub use hash::Hash;
pub use ids::{LogId, Position, Term, WriterId};
pub use log::{Log, Timing};
pub use merchant::{MerchantHead, MerchantHeads};
pub use reader::{AdmittedRecord, Batch, FETCH_RECORDS_MAX, Reader, Skipped};
pub use sweep::{Span, Sweeper};
pub use token::{NotAPosition, PositionToken};
pub use writer::{Appended, NewKind, NewRecord, Pending, Watch, Writer};
