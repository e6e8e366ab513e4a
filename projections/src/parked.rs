//! Sequences that wait: a stream whose event a projection could not take, and all that came after it.
use event_log::{AdmittedRecord, Frame, Position};
use event_schemas::StreamType;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    live::Live,
    projection::ApplyError,
    recorded::{Item, Place, items_of},
};

/// Events of this projection that wait.
pub(crate) fn count(connection: &Connection, projection: &str) -> rusqlite::Result<u64> {
    let mut select = connection.prepare_cached("SELECT count(*) FROM parked WHERE projection = ?")?;
    select.query_row([projection], |row| row.get(0))
}

/// Whether the stream waits already, so that this event must queue behind.
pub(crate) fn holds(
    connection: &Connection,
    projection: &str,
    frame: &Frame,
    stream_type: StreamType,
) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(
        "SELECT 1 FROM parked WHERE projection = ? AND merchant = ? AND stream_type = ? AND stream = ? LIMIT 1",
    )?;
    let values = params![projection, frame.merchant, stream_type.number(), frame.stream];
    Ok(select.query_row(values, |_| Ok(())).optional()?.is_some())
}

/// Parks one event. The first of a sequence has the reason; those behind it have none.
pub(crate) fn park(
    connection: &Connection,
    projection: &str,
    record: &AdmittedRecord,
    item: &Item,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO parked (projection, merchant, stream_type, stream, version, part, position,
            route, event_index, body, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let frame = &record.frame;
    insert.execute(params![
        projection,
        frame.merchant,
        item.stream_type.number(),
        frame.stream,
        item.version,
        record.partition,
        record.position.get(),
        frame.route,
        item.index,
        &record.body[..],
        reason,
    ])?;
    Ok(())
}

/// One parked event as it stands in its table.
struct Waiting {
    place: Place,
    stream_type: u16,
    version: u64,
    index: u16,
    body: Vec<u8>,
}

/// Tries the projection's sequences again, each from its first event on, until one still cannot be taken.
/// Returns how many events still wait.
pub(crate) fn retry(connection: &Connection, live: &Live) -> rusqlite::Result<u64> {
    let projection = live.definition.name;
    let mut stuck = None;
    for waiting in all(connection, projection)? {
        let stream = (waiting.place.merchant, waiting.stream_type, waiting.place.stream);
        if stuck == Some(stream) {
            continue;
        }
        match apply(connection, live, &waiting) {
            Ok(()) => settle(connection, projection, &waiting, None)?,
            Err(ApplyError::Poison(reason)) => {
                settle(connection, projection, &waiting, Some(&reason))?;
                stuck = Some(stream);
            }
            Err(ApplyError::Store(error)) => return Err(error),
        }
    }
    count(connection, projection)
}

fn all(connection: &Connection, projection: &str) -> rusqlite::Result<Vec<Waiting>> {
    let mut select = connection.prepare_cached(
        "SELECT merchant, stream_type, stream, version, part, position, route, event_index, body FROM parked
         WHERE projection = ? ORDER BY merchant, stream_type, stream, version",
    )?;
    let rows = select.query_map([projection], |row| {
        let place = Place {
            merchant: row.get(0)?,
            stream: row.get(2)?,
            route: row.get(6)?,
            partition: row.get(4)?,
            position: Position::new(row.get(5)?),
        };
        Ok(Waiting {
            place,
            stream_type: row.get(1)?,
            version: row.get(3)?,
            index: row.get(7)?,
            body: row.get(8)?,
        })
    })?;
    rows.collect()
}

fn apply(connection: &Connection, live: &Live, waiting: &Waiting) -> Result<(), ApplyError> {
    let items =
        items_of(waiting.place, &waiting.body).map_err(|error| ApplyError::Poison(error.to_string()))?;
    match items.into_iter().find(|item| item.index == waiting.index) {
        Some(item) => (live.definition.apply)(connection, &live.statements, &item.content),
        None => Err(ApplyError::Poison("the record has no such event".to_owned())),
    }
}

/// Takes the event off the table, or writes down why it is still there.
fn settle(
    connection: &Connection,
    projection: &str,
    waiting: &Waiting,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    const EVENT: &str =
        "WHERE projection = ?1 AND merchant = ?2 AND stream_type = ?3 AND stream = ?4 AND version = ?5";
    let Waiting { place: Place { merchant, stream, .. }, stream_type, version, .. } = waiting;
    match reason {
        None => connection.prepare_cached(&format!("DELETE FROM parked {EVENT}"))?.execute(params![
            projection,
            merchant,
            stream_type,
            stream,
            version
        ])?,
        Some(reason) => connection
            .prepare_cached(&format!("UPDATE parked SET reason = ?6 {EVENT}"))?
            .execute(params![projection, merchant, stream_type, stream, version, reason])?,
    };
    Ok(())
}
