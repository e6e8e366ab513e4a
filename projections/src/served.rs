//! The served tables at one moment: where they stand and what they come to, read without writing.
use event_log::Checkpoint;

#[cfg(feature = "postgres")]
use crate::postgres;
use crate::{
    Definition, Error, ReadAddress, TableDigest, all, digest::digest, fold::Standing, generations,
    live::Live, parked, session::Session, sqlite,
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
    /// It was built by another version of the projection: the next start replaces an older one, and refuses a newer one.
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

/// Looks at all projections of the store at one moment, beside whoever writes it.
///
/// # Errors
/// [`Error::Store`] if it cannot be read, [`Error::Log`] for a checkpoint that is none.
pub async fn served(address: &ReadAddress, partitions: u16) -> Result<Vec<Served>, Error> {
    let address = address.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let moment = match &address {
            ReadAddress::File(path) => sqlite::moment(path)?,
            #[cfg(feature = "postgres")]
            ReadAddress::Postgres(address) => postgres::moment(address)?,
        };
        all().iter().map(|definition| look(&*moment, definition, partitions)).collect()
    });
    looked.await.map_err(|_| Error::Closed)?
}

fn look(session: &dyn Session, definition: &'static Definition, partitions: u16) -> Result<Served, Error> {
    let state = match generations::stored(session, definition.name)? {
        None => ServedState::Absent,
        Some((generation, version)) if version == definition.version => {
            table(session, &Live::new(definition, generation), partitions)?
        }
        Some((_, found)) => ServedState::OtherVersion { found },
    };
    Ok(Served { name: definition.name, state })
}

fn table(session: &dyn Session, live: &Live, partitions: u16) -> Result<ServedState, Error> {
    let checkpoints = (0..partitions).map(|partition| Standing::look(session, partition)?.checkpoint(live));
    Ok(ServedState::Table {
        checkpoints: checkpoints.collect::<Result<_, Error>>()?,
        digest: digest(session, &live.shape)?,
        parked: parked::count(session, &live.parked_as)?,
    })
}
