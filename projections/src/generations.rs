//! The generations of a projection's table in one file: which are there, which is served, and how one goes.
use rusqlite::{Connection, params};

use crate::Definition;

/// Under which name the events of a table wait that is not served.
pub(crate) fn parked_beside(name: &str, generation: u32) -> String {
    format!("{name}/{generation}")
}

/// All generations of the projection's table that the file holds, oldest first.
pub(crate) fn all(connection: &Connection, name: &str) -> rusqlite::Result<Vec<u32>> {
    let mut select = connection.prepare_cached("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let tables = select.query_map([], |row| row.get::<_, String>(0))?;
    let mut generations = Vec::new();
    for table in tables {
        let table = table?;
        let number = table.strip_prefix(name).and_then(|rest| rest.strip_prefix('_'));
        generations.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    generations.sort_unstable();
    Ok(generations)
}

/// The served generation.
pub(crate) fn served(connection: &Connection, name: &str) -> rusqlite::Result<u32> {
    let mut select = connection.prepare_cached("SELECT generation FROM projection_live WHERE name = ?")?;
    select.query_row([name], |row| row.get(0))
}

/// From now on, this generation is served, as of the projection's version.
pub(crate) fn serve(
    connection: &Connection,
    definition: &Definition,
    generation: u32,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO projection_live (name, generation, version) VALUES (?, ?, ?)",
            params![definition.name, generation, definition.version],
        )
        .map(drop)
}

/// Serves `next` instead of `served`; what waits goes with its table.
pub(crate) fn swap(
    connection: &Connection,
    definition: &Definition,
    served: u32,
    next: u32,
) -> rusqlite::Result<()> {
    let name = definition.name;
    rename_parked(connection, name, &parked_beside(name, served))?;
    rename_parked(connection, &parked_beside(name, next), name)?;
    serve(connection, definition, next)
}

fn rename_parked(connection: &Connection, from: &str, to: &str) -> rusqlite::Result<()> {
    connection.execute("UPDATE parked SET projection = ? WHERE projection = ?", [to, from]).map(drop)
}

/// Drops a generation that is not served, with its checkpoints and what waits for it.
pub(crate) fn forget(connection: &Connection, name: &str, generation: u32) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("DROP TABLE IF EXISTS {name}_{generation};"))?;
    connection.execute(
        "DELETE FROM checkpoint WHERE projection = ? AND generation = ?",
        params![name, generation],
    )?;
    connection.execute("DELETE FROM parked WHERE projection = ?", [parked_beside(name, generation)]).map(drop)
}

/// Drops what is newer than the served generation: what an unfinished rebuild built, or what a rollback left.
pub(crate) fn forget_newer(connection: &Connection, name: &str, served: u32) -> rusqlite::Result<()> {
    let newer = all(connection, name)?.into_iter().filter(|generation| *generation > served);
    newer.into_iter().try_for_each(|generation| forget(connection, name, generation))
}

/// Drops everything of a projection.
pub(crate) fn forget_all(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    for generation in all(connection, name)? {
        forget(connection, name, generation)?;
    }
    connection.execute("DELETE FROM checkpoint WHERE projection = ?", [name])?;
    connection.execute("DELETE FROM parked WHERE projection = ?", [name]).map(drop)
}
