//! One projection with one generation of its table, and which generation is served as a transaction sees it.
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Definition, Error, StoreError, generations, session::Session, table::Shape};

/// One projection with a generation of its table; what is served, except where a shadow is built.
pub(crate) struct Live {
    pub(crate) definition: &'static Definition,
    pub(crate) generation: u32,
    /// Under which name its events wait: the projection's own, if it is served.
    pub(crate) parked_as: String,
    /// The table.
    pub(crate) shape: Shape,
}

impl Live {
    /// The served table.
    pub(crate) fn new(definition: &'static Definition, generation: u32) -> Self {
        let shape = (definition.shape)(format!("{}_{generation}", definition.name));
        Self { definition, generation, parked_as: definition.name.to_owned(), shape }
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
    ///
    /// # Errors
    /// Those of the store; [`Error::OtherVersion`].
    pub(crate) fn all(&self, session: &dyn Session) -> Result<Vec<Arc<Live>>, Error> {
        let stored = generations::stored_of_all(session)?;
        let of =
            |definition: &Definition| generations::known(definition, stored.get(definition.name).copied());
        self.0.iter().map(|known| current(known, of)).collect()
    }

    /// Those in these places of the registry.
    pub(crate) fn at(&self, session: &dyn Session, numbers: &[usize]) -> Result<Vec<Arc<Live>>, Error> {
        let all = self.all(session)?;
        Ok(numbers.iter().filter_map(|number| all.get(*number).cloned()).collect())
    }

    /// The one of this projection.
    pub(crate) fn of(&self, session: &dyn Session, name: &str) -> Result<Arc<Live>, Error> {
        let known = self.0.iter().find(|known| remembered(known).definition.name == name);
        current(known.ok_or(StoreError::Missing)?, |definition| generations::served(session, definition))
    }
}

fn remembered(known: &RwLock<Arc<Live>>) -> Arc<Live> {
    Arc::clone(&known.read().unwrap_or_else(PoisonError::into_inner))
}

fn current(
    known: &RwLock<Arc<Live>>,
    served: impl FnOnce(&Definition) -> Result<u32, Error>,
) -> Result<Arc<Live>, Error> {
    let live = remembered(known);
    let generation = served(live.definition)?;
    if live.generation == generation {
        return Ok(live);
    }
    let live = Arc::new(Live::new(live.definition, generation));
    *known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&live);
    Ok(live)
}
