//! The generations of a projection's table in one file: which are there, which is served, and how one goes.
use std::{borrow::Cow, collections::HashMap};

use crate::{
    Definition, Error, StoreError, Value,
    column::{Column as _, ColumnType, Kind},
    session::{Session, Typed as _},
    table::Shape,
};

/// Which generation of each projection is served.
pub(crate) const LIVE: Shape = Shape {
    table: Cow::Borrowed("projection_live"),
    columns: &[
        ("name", ColumnType::of(Kind::Text)),
        ("generation", ColumnType::of(Kind::Integer)),
        ("version", ColumnType::of(Kind::Integer)),
    ],
    key_len: 1,
    indexes: &[],
    subject: None,
};

/// Under which name the events of a table wait that is not served.
pub(crate) fn parked_beside(name: &str, generation: u32) -> String {
    format!("{name}/{generation}")
}

/// All generations of the projection's table that the store holds, oldest first.
pub(crate) fn all(session: &dyn Session, name: &str) -> Result<Vec<u32>, StoreError> {
    let number = |table: &String| table.strip_prefix(name)?.strip_prefix('_')?.parse::<u32>().ok();
    let mut generations: Vec<u32> = session.tables()?.iter().filter_map(number).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// The served generation of every projection, with the version of the projection that it is of.
pub(crate) fn stored_of_all(session: &dyn Session) -> Result<HashMap<String, (u32, u32)>, StoreError> {
    let sql = "SELECT name, generation, version FROM projection_live";
    let all = session.all(sql, &[], |row| Ok((row.get::<String>(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(all.into_iter().collect())
}

/// The served generation, for a program that knows its version.
pub(crate) fn served(session: &dyn Session, definition: &Definition) -> Result<u32, Error> {
    known(definition, stored(session, definition.name)?)
}

/// The generation of what is stored: another program's table may have other columns, or the same ones with another
/// meaning.
pub(crate) fn known(definition: &Definition, stored: Option<(u32, u32)>) -> Result<u32, Error> {
    let (generation, found) = stored.ok_or(StoreError::Missing)?;
    if found == definition.version { Ok(generation) } else { Err(other_version(definition, found)) }
}

/// Whether this program knows the version of what is served for each of these.
pub(crate) fn check<'a>(
    session: &dyn Session,
    mut definitions: impl Iterator<Item = &'a Definition>,
) -> Result<(), Error> {
    let stored = stored_of_all(session)?;
    definitions.try_for_each(|one| known(one, stored.get(one.name).copied()).map(drop))
}

/// Another program built what is served.
pub(crate) const fn other_version(definition: &Definition, found: u32) -> Error {
    Error::OtherVersion { projection: definition.name, found, known: definition.version }
}

/// The served generation with the version of the projection that it is of; nothing if none was ever built.
pub(crate) fn stored(session: &dyn Session, name: &str) -> Result<Option<(u32, u32)>, StoreError> {
    let sql = "SELECT generation, version FROM projection_live WHERE name = ?";
    session.first(sql, &[Value::text(name)], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// From now on, this generation is served, as of the projection's version.
pub(crate) fn serve(
    session: &dyn Session,
    definition: &Definition,
    generation: u32,
) -> Result<(), StoreError> {
    let row = vec![Value::text(definition.name), generation.store(), definition.version.store()];
    session.upsert(&LIVE, &mut std::iter::once(row))
}

/// Serves `next` instead of `served`; what waits goes with its table. A newer program's table is left as it is.
pub(crate) fn swap(
    session: &dyn Session,
    definition: &Definition,
    served: u32,
    next: u32,
) -> Result<(), Error> {
    let name = definition.name;
    self::served(session, definition)?;
    rename_parked(session, name, &parked_beside(name, served))?;
    rename_parked(session, &parked_beside(name, next), name)?;
    Ok(serve(session, definition, next)?)
}

fn rename_parked(session: &dyn Session, from: &str, to: &str) -> Result<(), StoreError> {
    let values = [Value::text(to), Value::text(from)];
    session.execute("UPDATE parked SET projection = ? WHERE projection = ?", &values).map(drop)
}

/// Drops a generation that is not served, with its checkpoints and what waits for it.
pub(crate) fn forget(session: &dyn Session, name: &str, generation: u32) -> Result<(), StoreError> {
    session.drop_table(&format!("{name}_{generation}"))?;
    let values = [Value::text(name), generation.store()];
    session.execute("DELETE FROM checkpoint WHERE projection = ? AND generation = ?", &values)?;
    session.execute("DELETE FROM erased WHERE projection = ? AND generation = ?", &values)?;
    let beside = [Value::text(parked_beside(name, generation))];
    session.execute("DELETE FROM parked WHERE projection = ?", &beside).map(drop)
}

/// Drops what is newer than the served generation: what an unfinished rebuild built, or what a rollback left.
pub(crate) fn forget_newer(session: &dyn Session, name: &str, served: u32) -> Result<(), StoreError> {
    let newer = all(session, name)?.into_iter().filter(|generation| *generation > served);
    newer.into_iter().try_for_each(|generation| forget(session, name, generation))
}

/// Drops everything of a projection.
pub(crate) fn forget_all(session: &dyn Session, name: &str) -> Result<(), StoreError> {
    for generation in all(session, name)? {
        forget(session, name, generation)?;
    }
    let values = [Value::text(name)];
    session.execute("DELETE FROM checkpoint WHERE projection = ?", &values)?;
    session.execute("DELETE FROM parked WHERE projection = ?", &values).map(drop)
}
