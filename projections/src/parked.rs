//! Sequences that wait: a stream whose event a projection could not take, and all that came after it.
use std::{borrow::Cow, collections::HashMap};

use event_log::{AdmittedRecord, Frame, Position};
use event_schemas::{StreamType, record};

use crate::{
    StoreError, Value,
    column::{Column as _, ColumnType, Kind},
    erasure::{self, Shops},
    live::Live,
    recorded::{Item, Place, items_of},
    session::{Cells, Session, Typed as _},
    table::Shape,
};

/// The events that wait.
pub(crate) const PARKED: Shape = Shape {
    table: Cow::Borrowed("parked"),
    columns: &[
        ("projection", ColumnType::of(Kind::Text)),
        ("merchant", ColumnType::of(Kind::Bytes)),
        ("stream_type", ColumnType::of(Kind::Integer)),
        ("stream", ColumnType::of(Kind::Bytes)),
        ("version", ColumnType::of(Kind::Integer)),
        ("part", ColumnType::of(Kind::Integer)),
        ("position", ColumnType::of(Kind::Integer)),
        ("route", ColumnType::of(Kind::Bytes)),
        ("event_index", ColumnType::of(Kind::Integer)),
        ("body", ColumnType::of(Kind::Bytes)),
        ("reason", ColumnType { nullable: true, ..ColumnType::of(Kind::Text) }),
    ],
    key_len: 5,
    indexes: &[],
    subject: None,
};

/// How many events of each projection wait; none of those that are not there.
pub(crate) fn counts(session: &dyn Session) -> Result<HashMap<String, u64>, StoreError> {
    let sql = "SELECT projection, count(*) FROM parked GROUP BY projection";
    let counts = session.all(sql, &[], |row| Ok((row.get::<String>(0)?, row.get::<u64>(1)?)))?;
    Ok(counts.into_iter().collect())
}

/// Events of this projection that wait.
pub(crate) fn count(session: &dyn Session, projection: &str) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM parked WHERE projection = ?";
    session.one(sql, &[Value::text(projection)], |row| row.get(0))
}

/// Whether the stream waits already, so that this event must queue behind.
pub(crate) fn holds(
    session: &dyn Session,
    projection: &str,
    frame: &Frame,
    stream_type: StreamType,
) -> Result<bool, StoreError> {
    let sql = "SELECT event_index FROM parked WHERE projection = ? AND merchant = ? AND stream_type = ? AND stream = ?
         LIMIT 1";
    let values =
        [Value::text(projection), Value::Id(frame.merchant), stream_type.store(), Value::Id(frame.stream)];
    Ok(session.first(sql, &values, |row| row.get::<u16>(0))?.is_some())
}

/// Parks one event. The first of a sequence has the reason; those behind it have none.
pub(crate) fn park(
    session: &dyn Session,
    projection: &str,
    record: &AdmittedRecord,
    item: &Item,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let frame = &record.frame;
    let row = vec![
        Value::text(projection),
        Value::Id(frame.merchant),
        item.stream_type.store(),
        Value::Id(frame.stream),
        item.version.store(),
        record.partition.store(),
        record.position.get().store(),
        Value::Id(frame.route),
        item.index.store(),
        Value::Bytes(record.body.to_vec()),
        reason.map_or(Value::Null, Value::text),
    ];
    session.upsert(&PARKED, &mut std::iter::once(row))
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
pub(crate) fn retry(session: &dyn Session, live: &Live) -> Result<u64, StoreError> {
    let projection = live.definition.name;
    let shops = erasure::shops(session)?.of(live);
    let mut stuck = None;
    for waiting in all(session, projection)? {
        let stream = (waiting.place.merchant, waiting.stream_type, waiting.place.stream);
        if stuck == Some(stream) {
            continue;
        }
        match apply(session, live, &waiting, &shops)? {
            Ok(()) => settle(session, projection, &waiting, None)?,
            Err(reason) => {
                settle(session, projection, &waiting, Some(&reason))?;
                stuck = Some(stream);
            }
        }
    }
    count(session, projection)
}

fn all(session: &dyn Session, projection: &str) -> Result<Vec<Waiting>, StoreError> {
    let sql =
        "SELECT merchant, stream_type, stream, version, part, position, route, event_index, body FROM parked
         WHERE projection = ? ORDER BY merchant, stream_type, stream, version";
    session.all(sql, &[Value::text(projection)], waiting)
}

fn waiting(row: &dyn Cells) -> Result<Waiting, StoreError> {
    let place = Place {
        merchant: row.get(0)?,
        stream: row.get(2)?,
        route: row.get(6)?,
        partition: row.get(4)?,
        position: Position::new(row.get(5)?),
    };
    let (stream_type, version, index) = (row.get(1)?, row.get(3)?, row.get(7)?);
    Ok(Waiting { place, stream_type, version, index, body: row.get(8)? })
}

/// An inner error says why the event is still poison.
fn apply(
    session: &dyn Session,
    live: &Live,
    waiting: &Waiting,
    shops: &Shops,
) -> Result<Result<(), String>, StoreError> {
    let items = match items_of(waiting.place, &waiting.body) {
        Ok(items) => items,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Some(item) = items.into_iter().find(|item| item.index == waiting.index) else {
        return Ok(Err("the record has no such event".to_owned()));
    };
    let mut folding = (live.definition.folding)();
    folding.expect(&item.content);
    folding.load(session, &live.shape)?;
    if let Err(reason) = folding.take(0, &item.content) {
        return Ok(Err(reason));
    }
    folding.save(session, &live.shape, shops).map(Ok)
}

/// Takes the event off the table, or writes down why it is still there.
fn settle(
    session: &dyn Session,
    projection: &str,
    waiting: &Waiting,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    const EVENT: &str =
        "WHERE projection = ? AND merchant = ? AND stream_type = ? AND stream = ? AND version = ?";
    let Waiting { place: Place { merchant, stream, .. }, stream_type, version, .. } = waiting;
    let mut values = vec![
        Value::text(projection),
        Value::Id(*merchant),
        stream_type.store(),
        Value::Id(*stream),
        version.store(),
    ];
    let sql = match reason {
        None => format!("DELETE FROM parked {EVENT}"),
        Some(reason) => {
            values.insert(0, Value::text(reason));
            format!("UPDATE parked SET reason = ? {EVENT}")
        }
    };
    session.execute(&sql, &values).map(drop)
}

/// Takes the ciphertexts out of what waits of these streams' events: of a shop, or of the people by whom they are routed.
/// The rest of the events stays, so that their sequence can be tried again.
pub(crate) fn scrub(
    session: &dyn Session,
    projection: &str,
    merchant: [u8; 16],
    people: Option<&[[u8; 16]]>,
) -> Result<(), StoreError> {
    for waiting in of_merchant(session, projection, merchant)? {
        if people.is_some_and(|people| !people.contains(&waiting.place.route)) {
            continue;
        }
        // A body that nobody can read shows nothing either way, and stays what it is.
        let Ok(Some(body)) = record::without_sealed(&waiting.body) else { continue };
        let sql = "UPDATE parked SET body = ? WHERE projection = ? AND merchant = ? AND stream_type = ? AND stream = ?
             AND version = ?";
        let values = [
            Value::Bytes(body),
            Value::text(projection),
            Value::Id(merchant),
            waiting.stream_type.store(),
            Value::Id(waiting.place.stream),
            waiting.version.store(),
        ];
        session.execute(sql, &values)?;
    }
    Ok(())
}

/// How many events that wait of these streams hold something sealed.
pub(crate) fn sealed(
    session: &dyn Session,
    projection: &str,
    merchant: [u8; 16],
    people: Option<&[[u8; 16]]>,
) -> Result<u64, StoreError> {
    let all = of_merchant(session, projection, merchant)?;
    let theirs = all.iter().filter(|one| people.is_none_or(|people| people.contains(&one.place.route)));
    let sealed = theirs.filter(|one| matches!(record::without_sealed(&one.body), Ok(Some(_))));
    Ok(sealed.count() as u64)
}

fn of_merchant(
    session: &dyn Session,
    projection: &str,
    merchant: [u8; 16],
) -> Result<Vec<Waiting>, StoreError> {
    let sql =
        "SELECT merchant, stream_type, stream, version, part, position, route, event_index, body FROM parked
         WHERE projection = ? AND merchant = ?";
    session.all(sql, &[Value::text(projection), Value::Id(merchant)], waiting)
}
