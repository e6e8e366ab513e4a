//! What an auditor and a data team do with a log: verify its history, rebuild its read models. Nothing here serves
//! traffic or appends.
pub mod progress;
pub mod rebuild;
pub mod verify;

use event_log::{Log, Position};

/// About how many records there are: positions of a store in one file count over all partitions.
fn about(log: &Log) -> u64 {
    (0..log.partitions()).map(|partition| log.end(partition)).max().unwrap_or(Position::START).get()
}
