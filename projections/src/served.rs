//! The served tables at one moment: where they stand and what they come to, read without writing.
use std::path::Path;

use event_log::Checkpoint;
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    Definition, Error, TableDigest, all, digest::digest, fold::checkpoint, live::Live, parked,
    store::open_reader,
};

/// One projection's served table.
#[derive(Clone, Debug)]
pub struct Served {
    /// The projection.
    pub name: &'static str,
    /// What is served.
    pub state: ServedState,
}

/// What a read store serves for a projection.
#[derive(Clone, Debug)]
pub enum ServedState {
    /// It has never been built.
    Absent,
    /// It was built by another version of the projection, which the next start replaces.
    OtherVersion {
        /// The version that built it.
        found: u32,
    },
    /// A table of this version.
    Table {
        /// Where it stands, by partition; nothing at the beginning.
        checkpoints: Vec<Option<Checkpoint>>,
        /// What it comes to.
        digest: TableDigest,
        /// Events that wait.
        parked: u64,
    },
}

impl Served {
    /// Where the table stands in a partition; nothing if there is no table, or at the beginning.
    #[must_use]
    pub fn checkpoint(&self, partition: u16) -> Option<&Checkpoint> {
        match &self.state {
            ServedState::Table { checkpoints, .. } => checkpoints.get(usize::from(partition))?.as_ref(),
            ServedState::Absent | ServedState::OtherVersion { .. } => None,
        }
    }
}

/// Looks at all projections of the file in one read transaction, beside whoever writes it.
///
/// # Errors
/// [`Error::Store`] if the file cannot be read, [`Error::Log`] for a checkpoint that is none.
pub fn served(path: &Path, partitions: u16) -> Result<Vec<Served>, Error> {
    let connection = open_reader(path)?;
    let transaction = connection.unchecked_transaction()?;
    all().iter().map(|definition| look(&transaction, definition, partitions)).collect()
}

fn look(connection: &Connection, definition: &'static Definition, partitions: u16) -> Result<Served, Error> {
    let stored = connection
        .query_row(
            "SELECT generation, version FROM projection_live WHERE name = ?",
            [definition.name],
            |row| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?)),
        )
        .optional()?;
    let state = match stored {
        None => ServedState::Absent,
        Some((generation, version)) if version == definition.version => {
            table(connection, &Live::new(definition, generation), partitions)?
        }
        Some((_, found)) => ServedState::OtherVersion { found },
    };
    Ok(Served { name: definition.name, state })
}

fn table(connection: &Connection, live: &Live, partitions: u16) -> Result<ServedState, Error> {
    let stored = (0..partitions).map(|partition| checkpoint(connection, live, partition));
    let checkpoints = stored
        .map(|bytes| Ok(bytes?.map(|bytes| Checkpoint::from_bytes(&bytes)).transpose()?))
        .collect::<Result<_, Error>>()?;
    Ok(ServedState::Table {
        checkpoints,
        digest: digest(connection, &live.statements)?,
        parked: parked::count(connection, &live.parked_as)?,
    })
}
