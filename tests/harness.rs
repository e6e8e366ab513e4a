//! What the scenarios stand on: the executable as a child process, a typed client, waiting, seeded randomness.
mod answer;
mod canary;
mod delivery;
mod disk;
mod door;
mod feed;
mod hold;
mod job;
#[cfg(feature = "postgres")]
mod nodes;
mod process;
mod seed;
#[cfg(all(feature = "kafka", feature = "postgres"))]
mod server;
mod shop;
mod trace;

pub(crate) use answer::Answer;
pub(crate) use canary::{Marker, Markers, files};
pub(crate) use delivery::{Outcome, Webhook};
pub(crate) use disk::{Disk, Loss};
pub(crate) use door::Door;
pub(crate) use feed::{Feed, Heard};
pub(crate) use hold::Hold;
#[cfg(feature = "postgres")]
pub(crate) use job::program_of_postgres;
pub(crate) use job::{Job, refused, run};
#[cfg(feature = "postgres")]
pub(crate) use nodes::{Nodes, SESSION, partitions};
pub(crate) use process::{
    EXECUTABLE, Folder, PATIENCE, Server, Spoken, interrupted_start, shared, shell, signal,
};
pub(crate) use seed::Seed;
#[cfg(all(feature = "kafka", feature = "postgres"))]
pub(crate) use server::OwnServer;
pub(crate) use shop::{Balance, Shop};
pub(crate) use trace::{Event, events};
