//! One projection with one generation of its table, and which generation is served as a transaction sees it.
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;

use crate::{Definition, generations, table::Statements};

/// One projection with a generation of its table; what is served, except where a shadow is built.
pub(crate) struct Live {
    pub(crate) definition: &'static Definition,
    pub(crate) generation: u32,
    /// The table's name.
    pub(crate) table: String,
    /// Under which name its events wait: the projection's own, if it is served.
    pub(crate) parked_as: String,
    pub(crate) statements: Statements,
}

impl Live {
    /// The served table.
    pub(crate) fn new(definition: &'static Definition, generation: u32) -> Self {
        let table = format!("{}_{generation}", definition.name);
        let statements = (definition.statements)(&table);
        Self { definition, generation, table, parked_as: definition.name.to_owned(), statements }
    }

    /// A table beside the served one.
    pub(crate) fn beside(definition: &'static Definition, generation: u32) -> Self {
        let parked_as = generations::parked_beside(definition.name, generation);
        Self { parked_as, ..Self::new(definition, generation) }
    }
}

/// The served tables in the order of [`crate::all`]. Only the store knows which generation is served, so whoever uses a
/// table asks in the transaction in which it does; the statements are remembered here.
pub(crate) struct LiveTables(Vec<RwLock<Arc<Live>>>);

impl LiveTables {
    pub(crate) fn new(tables: Vec<Live>) -> Self {
        Self(tables.into_iter().map(|table| RwLock::new(Arc::new(table))).collect())
    }

    /// All of them.
    pub(crate) fn all(&self, connection: &Connection) -> rusqlite::Result<Vec<Arc<Live>>> {
        self.0.iter().map(|known| served(connection, known)).collect()
    }

    /// Those in these places of the registry.
    pub(crate) fn at(&self, connection: &Connection, numbers: &[usize]) -> rusqlite::Result<Vec<Arc<Live>>> {
        let known = numbers.iter().filter_map(|number| self.0.get(*number));
        known.map(|known| served(connection, known)).collect()
    }

    /// The one of this projection.
    pub(crate) fn of(&self, connection: &Connection, name: &str) -> rusqlite::Result<Arc<Live>> {
        let known = self.0.iter().find(|known| remembered(known).definition.name == name);
        known.map_or(Err(rusqlite::Error::QueryReturnedNoRows), |known| served(connection, known))
    }
}

fn remembered(known: &RwLock<Arc<Live>>) -> Arc<Live> {
    Arc::clone(&known.read().unwrap_or_else(PoisonError::into_inner))
}

fn served(connection: &Connection, known: &RwLock<Arc<Live>>) -> rusqlite::Result<Arc<Live>> {
    let live = remembered(known);
    let generation = generations::served(connection, live.definition.name)?;
    if live.generation == generation {
        return Ok(live);
    }
    let live = Arc::new(Live::new(live.definition, generation));
    *known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&live);
    Ok(live)
}
