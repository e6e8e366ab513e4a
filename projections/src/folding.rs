//! The rows of one table that a batch touches: loaded all at once, folded in memory, written all at once.
use std::{
    collections::HashMap,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    OfRecords, Projection, StoreError, Unfoldable, Value,
    erasure::Shops,
    projection::sample_of,
    recorded::Content,
    session::Session,
    table::{Row, Shape},
};

/// One projection's work on a batch. Every item is expected before anything is loaded, and taken in that order, unless
/// it waits behind others.
pub(crate) trait Folding: Send {
    /// Notes which rows the next item touches.
    fn expect(&mut self, content: &Content);

    /// Loads all rows that were noted.
    fn load(&mut self, session: &dyn Session, shape: &Shape) -> Result<(), StoreError>;

    /// Folds an item, counted from 0. An error says why it is poison; then nothing of it is kept.
    fn take(&mut self, item: usize, content: &Content) -> Result<(), String>;

    /// Writes what has changed; of an erased shop without what is sealed.
    fn save(&mut self, session: &dyn Session, shape: &Shape, erased: &Shops) -> Result<(), StoreError>;
}

/// For a projection that folds events.
pub(crate) struct Events<P: Projection> {
    /// By key, the place among `rows`.
    places: HashMap<Vec<Value>, usize>,
    rows: Vec<Slot<P::Row>>,
    /// By item.
    changes: Vec<Touches<P>>,
}

/// The rows that an item touches, each with what it does to it, or why it is poison.
type Touches<P> = Result<Vec<(usize, <P as Projection>::Change)>, String>;

struct Slot<R> {
    row: Option<R>,
    is_stored: bool,
    is_changed: bool,
}

impl<P: Projection> Default for Events<P> {
    fn default() -> Self {
        Self { places: HashMap::new(), rows: Vec::new(), changes: Vec::new() }
    }
}

impl<P: Projection> Events<P> {
    fn touches(&mut self, content: &Content) -> Touches<P> {
        match content {
            Content::Event(event) => {
                let touched = guarded(|| Ok(P::touches(event)))?;
                Ok(touched.into_iter().map(|(key, change)| (self.place(key.0), change)).collect())
            }
            Content::Unreadable { event_type, reason } => {
                let is_touched = sample_of(*event_type).is_some_and(|sample| !P::touches(&sample).is_empty());
                if is_touched { Err(reason.clone()) } else { Ok(Vec::new()) }
            }
            Content::Record(_) => Ok(Vec::new()),
        }
    }

    fn place(&mut self, key: Vec<Value>) -> usize {
        let next = self.rows.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.rows.push(Slot { row: None, is_stored: false, is_changed: false });
        }
        place
    }
}

impl<P: Projection> Folding for Events<P> {
    fn expect(&mut self, content: &Content) {
        let touches = self.touches(content);
        self.changes.push(touches);
    }

    fn load(&mut self, session: &dyn Session, shape: &Shape) -> Result<(), StoreError> {
        if self.places.is_empty() {
            return Ok(());
        }
        let Self { places, rows, .. } = self;
        // Neighbours in the table are asked for one after the other.
        let mut keys: Vec<&[Value]> = places.keys().map(Vec::as_slice).collect();
        keys.sort_unstable();
        session.rows_at(shape, &keys, &mut |found| {
            let row = P::Row::read(found)?;
            let slot =
                places.get(&row.key()).and_then(|place| rows.get_mut(*place)).ok_or(StoreError::Missing)?;
            *slot = Slot { row: Some(row), is_stored: true, is_changed: false };
            Ok(())
        })
    }

    /// Folds all touched rows, and only then keeps them.
    fn take(&mut self, item: usize, content: &Content) -> Result<(), String> {
        let Some(touches) = self.changes.get_mut(item) else { return Ok(()) };
        let touches = mem::replace(touches, Ok(Vec::new()))?;
        let Content::Event(event) = content else { return Ok(()) };
        let mut after = Vec::with_capacity(touches.len());
        for (place, change) in touches {
            let before = self.rows.get(place).and_then(|slot| slot.row.clone());
            after.push((place, guarded(|| P::fold(before, event, change))?));
        }
        for (place, row) in after {
            if let Some(slot) = self.rows.get_mut(place) {
                slot.row = Some(row);
                slot.is_changed = true;
            }
        }
        Ok(())
    }

    fn save(&mut self, session: &dyn Session, shape: &Shape, erased: &Shops) -> Result<(), StoreError> {
        let changed = |is_stored: bool| {
            let slots = self.rows.iter().filter(move |slot| slot.is_changed && slot.is_stored == is_stored);
            slots.filter_map(|slot| slot.row.as_ref().map(|row| erased.without_sealed(shape, row.values())))
        };
        if changed(false).next().is_some() {
            session.insert(shape, &mut changed(false))?;
        }
        if changed(true).next().is_some() {
            session.upsert(shape, &mut changed(true))?;
        }
        Ok(())
    }
}

/// For a projection that keeps a row of every record; single events are nothing to it.
pub(crate) struct Records<P: OfRecords> {
    rows: Vec<P::Row>,
}

impl<P: OfRecords> Default for Records<P> {
    fn default() -> Self {
        Self { rows: Vec::new() }
    }
}

impl<P: OfRecords> Folding for Records<P> {
    fn expect(&mut self, _: &Content) {}

    fn load(&mut self, _: &dyn Session, _: &Shape) -> Result<(), StoreError> {
        Ok(())
    }

    fn take(&mut self, _: usize, content: &Content) -> Result<(), String> {
        if let Content::Record(record) = content {
            self.rows.push(guarded(|| Ok(P::row(record)))?);
        }
        Ok(())
    }

    /// No record comes twice, so none of the rows is there.
    fn save(&mut self, session: &dyn Session, shape: &Shape, _: &Shops) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        session.insert(shape, &mut self.rows.iter().map(Row::values))
    }
}

/// A fold that panics is poison too: the mistake is in the event or in the fold, not in the store.
fn guarded<T>(fold: impl FnOnce() -> Result<T, Unfoldable>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(fold)) {
        Ok(folded) => folded.map_err(|Unfoldable(reason)| reason),
        Err(_) => Err("the fold panicked".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_that_panics_is_poison() {
        let answer = guarded(|| -> Result<(), Unfoldable> { panic!("planted") });
        assert_eq!(answer, Err("the fold panicked".to_owned()));
    }
}
