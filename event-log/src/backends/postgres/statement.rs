//! What is asked of the tables: each function is one statement, and so one round trip and one moment.

use bytes::Bytes;
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::{columns::Cells, group::Run};
use crate::{
    backend::{Fetched, Last, StoreHead, Stored, cut},
    frame::{BODY_LEN_MAX, FRAME_LEN},
    hash::Hash,
    ids::Position,
};

/// Moves each head from exactly where its writer saw it, if the last record is still what the head says, and stores the
/// records of the heads that moved.
///
/// Heads are locked in order, so that two nodes never wait for each other. What a statement sees besides the heads is of
/// the moment before it waited for them; that does no harm, because a head that has moved meanwhile is not the one seen.
/// The constant is what the hash of a record begins with.
const APPEND: &str = r"
WITH locked AS MATERIALIZED (
    SELECT part FROM loyalnest_log.head WHERE part = ANY ($1) ORDER BY part FOR UPDATE
), moved AS (
    UPDATE loyalnest_log.head SET term = new.term, height = new.height, hash = new.hash, record = new.record
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bytea[],
            $8::bytea[]) AS new (part, seen_term, seen_height, seen_hash, term, height, hash, record),
        locked
    WHERE locked.part = new.part AND head.part = new.part
        AND head.term = new.seen_term AND head.height = new.seen_height AND head.hash = new.seen_hash
        AND (head.height = 0 OR EXISTS (
            SELECT FROM loyalnest_log.log AS last WHERE last.part = head.part AND last.position = head.height
                AND head.record = sha256('\x6576656e742d6c6f67207265636f7264203100'::bytea
                    || int8send(octet_length(last.frame)::bigint + octet_length(last.body))
                    || last.frame || last.body)))
    RETURNING head.part
), stored AS (
    INSERT INTO loyalnest_log.log (part, position, frame, body, aggregate_type, aggregate_id, first_sequence,
        event_types, event_versions, json_starts, metadata)
    SELECT part, position, frame, body, aggregate_type, aggregate_id, first_sequence,
        event_types::text[], event_versions::integer[], json_starts::integer[], metadata::json
    FROM unnest($9::integer[], $10::bigint[], $11::bytea[], $12::bytea[], $13::text[], $14::text[], $15::bigint[],
            $16::text[], $17::text[], $18::text[], $19::text[])
        AS new (part, position, frame, body, aggregate_type, aggregate_id, first_sequence,
            event_types, event_versions, json_starts, metadata)
    WHERE part IN (SELECT part FROM moved)
)
SELECT part FROM moved";

/// Stores the runs whose conditions hold; their partitions.
pub(super) async fn append(connection: &mut PgConnection, runs: &[Run]) -> sqlx::Result<Vec<u16>> {
    let each_run =
        |of: &dyn Fn(&Run) -> u64| runs.iter().map(|run| number(of(run))).collect::<sqlx::Result<Vec<i64>>>();
    let parts: Vec<i32> = runs.iter().map(|run| i32::from(run.partition)).collect();
    let hashes =
        |of: fn(&Run) -> &Hash| runs.iter().map(move |run| &of(run).as_bytes()[..]).collect::<Vec<_>>();
    let statement = sqlx::query_scalar::<_, i32>(APPEND)
        .bind(parts)
        .bind(each_run(&|run| run.before.number)?)
        .bind(each_run(&|run| run.before.height)?)
        .bind(hashes(|run| &run.before.hash))
        .bind(each_run(&|run| run.after.number)?)
        .bind(each_run(&|run| run.after.height)?)
        .bind(hashes(|run| &run.after.hash))
        .bind(hashes(|run| &run.last_record));
    let jobs = || runs.iter().flat_map(|run| run.jobs.iter().map(|job| (run.partition, job)));
    let positions =
        jobs().map(|(_, job)| number(job.entry.after.height)).collect::<sqlx::Result<Vec<i64>>>()?;
    let bytes =
        |of: fn(&Bytes) -> &[u8]| jobs().map(|(_, job)| of(&job.entry.record.bytes)).collect::<Vec<_>>();
    let texts =
        |of: fn(&Cells) -> &str| jobs().map(|(_, job)| job.cells.as_ref().map(of)).collect::<Vec<_>>();
    let stored = statement
        .bind(jobs().map(|(partition, _)| i32::from(partition)).collect::<Vec<_>>())
        .bind(positions)
        .bind(bytes(|bytes| &bytes[..FRAME_LEN]))
        .bind(bytes(|bytes| &bytes[FRAME_LEN..]))
        .bind(texts(|cells| &cells.aggregate_type))
        .bind(texts(|cells| &cells.aggregate_id))
        .bind(jobs().map(|(_, job)| job.cells.as_ref().map(|cells| cells.first_sequence)).collect::<Vec<_>>())
        .bind(texts(|cells| &cells.event_types))
        .bind(texts(|cells| &cells.event_versions))
        .bind(texts(|cells| &cells.json_starts))
        .bind(texts(|cells| &cells.metadata))
        .fetch_all(connection)
        .await?;
    stored.into_iter().map(partition).collect()
}

/// A head, and the record that should be its last.
pub(super) struct Found {
    pub(super) partition: u16,
    pub(super) head: StoreHead,
    /// Hash of the last record, as the head has it.
    pub(super) record: Hash,
    pub(super) last: Option<Vec<u8>>,
}

const HEADS: &str = "
SELECT head.part, head.term, head.height, head.hash, head.record, last.frame || last.body
FROM loyalnest_log.head LEFT JOIN loyalnest_log.log AS last ON last.part = head.part AND last.position = head.height
WHERE head.part = ANY ($1)";

/// Where these partitions end.
pub(super) async fn heads(
    connection: &mut PgConnection,
    partitions: impl Iterator<Item = u16>,
) -> sqlx::Result<Vec<Found>> {
    let parts: Vec<i32> = partitions.map(i32::from).collect();
    let rows = sqlx::query(HEADS).bind(parts).fetch_all(connection).await?;
    let found = |row: &PgRow| {
        Ok(Found {
            partition: partition(row.try_get(0)?)?,
            head: StoreHead {
                number: natural(row.try_get(1)?)?,
                height: natural(row.try_get(2)?)?,
                hash: Hash::from_bytes(row.try_get(3)?),
            },
            record: Hash::from_bytes(row.try_get(4)?),
            last: row.try_get(5)?,
        })
    };
    rows.iter().map(found).collect()
}

/// The head, which has no position, and the records from the last one read on.
pub(super) const PAGE: &str = "
SELECT NULL::bigint AS position, hash AS frame, NULL::bytea AS body, term, height
FROM loyalnest_log.head WHERE part = $1
UNION ALL
(SELECT position, frame, body, NULL, NULL FROM (
    SELECT position, frame, body, sum(octet_length(body)) OVER (ORDER BY position) - octet_length(body) AS before
    FROM loyalnest_log.log WHERE part = $1 AND position >= $2 ORDER BY position LIMIT $3) AS page
 WHERE before < $4)";

/// A page has no more bytes in its bodies than this, but for its last record: it must come within the time for one, and two
/// records of any length are in it.
pub(super) const PAGE_BYTES: usize = 2 * BODY_LEN_MAX;

/// Reads a page: what stands at `after`, and at most `max_records` behind it. They share one allocation.
pub(super) fn page(rows: &[PgRow], after: Position, max_records: usize) -> sqlx::Result<Fetched> {
    let (mut head, mut records) = (None, Vec::with_capacity(rows.len()));
    for row in rows {
        match row.try_get::<Option<i64>, _>(0)? {
            Some(position) => records.push((natural(position)?, row)),
            None => {
                head = Some(StoreHead {
                    number: natural(row.try_get(3)?)?,
                    height: natural(row.try_get(4)?)?,
                    hash: Hash::from_bytes(row.try_get(1)?),
                });
            }
        }
    }
    // The halves of a union come in any order, by what the standard promises.
    records.sort_unstable_by_key(|(position, _)| *position);
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(records.len()));
    let mut in_bodies = 0;
    for (position, row) in &records {
        let body: &[u8] = row.try_get(2)?;
        in_bodies += body.len();
        bytes.extend_from_slice(row.try_get(1)?);
        bytes.extend_from_slice(body);
        ends.push((Position::new(*position), bytes.len()));
    }
    let mut records: Vec<Stored> = cut(bytes, ends).collect();
    let last = match records.first() {
        Some(first) if first.position == after => Last::Bytes(records.remove(0).bytes),
        _ => Last::Absent,
    };
    records.truncate(max_records);
    let is_whole = records.len() < max_records && in_bodies < PAGE_BYTES;
    let head = if is_whole { head } else { None };
    Ok(Fetched { last, records, head })
}

/// Where each partition ends.
pub(super) const ENDS: &str = "SELECT part, height FROM loyalnest_log.head";

/// Reads a row of the ends.
pub(super) fn end(row: &PgRow) -> sqlx::Result<(u16, Position)> {
    Ok((partition(row.try_get(0)?)?, Position::new(natural(row.try_get(1)?)?)))
}

pub(super) fn number(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn natural(number: i64) -> sqlx::Result<u64> {
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn partition(number: i32) -> sqlx::Result<u16> {
    u16::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}
