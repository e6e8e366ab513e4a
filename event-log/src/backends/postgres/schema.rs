//! The tables of a log in Postgres, and what a server must promise before it may hold them.

use postgres_store::{Address, Schema};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::{
    error::{Error, Fault},
    genesis::{Class, Genesis},
    hash::{HASH_VERSION, Hash},
    ids::LogId,
};

/// `head` says where each partition ends: its term, how many records there are, the chain's head, and the hash of the
/// last record. A record's position is its height, so the row that fences writers also counts them: there are no holes.
///
/// `log` keeps frame and body apart, exactly as hashed, and beside them what may be shown of a record: `json_starts` says
/// where in the body each event's JSON begins, so that the view holds no second copy of it. It shows the JSON under the
/// event's type, as serde writes an enum.
const FIRST: &str = r#"
CREATE TABLE genesis (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    log_id bytea NOT NULL, hash_version integer NOT NULL, partitions integer NOT NULL
);
CREATE TABLE head (
    part integer PRIMARY KEY, term bigint NOT NULL, height bigint NOT NULL, hash bytea NOT NULL, record bytea NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE log (
    part integer NOT NULL, position bigint NOT NULL, first_sequence bigint,
    frame bytea NOT NULL, body bytea NOT NULL, aggregate_type text, aggregate_id text COLLATE "C",
    event_types text[], event_versions integer[], json_starts integer[], metadata json,
    PRIMARY KEY (part, position)
);
ALTER TABLE log ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX log_aggregate ON log (aggregate_id) WHERE aggregate_id IS NOT NULL;
CREATE VIEW events AS SELECT
    log.aggregate_type, log.aggregate_id, log.first_sequence + event.number - 1 AS sequence,
    event.event_type, event.version::text AS event_version,
    json_build_object(event.event_type, convert_from(substr(log.body, event.start + 1,
        coalesce(log.json_starts[event.number + 1], octet_length(log.body)) - event.start), 'UTF8')::json) AS payload,
    log.metadata
FROM log CROSS JOIN LATERAL unnest(log.event_types, log.event_versions, log.json_starts)
    WITH ORDINALITY AS event (event_type, version, start, number)
WHERE log.aggregate_id IS NOT NULL;
"#;

/// The namespace of the log's tables.
const SCHEMA: Schema = Schema { name: "loyalnest_log", steps: &[FIRST] };

/// Who asks, in the server's list of connections.
const APPLICATION: &str = "loyalnest log";

/// A connection to a server that keeps what it says is committed.
pub(super) async fn connect(address: &Address) -> Result<PgConnection, Error> {
    let mut connection = match address.connect_to_keep(APPLICATION).await {
        Ok(connection) => connection,
        Err(postgres_store::Error::Unsafe { server, reason }) => {
            return Err(Error::Unusable { place: server, reason });
        }
        Err(error) => return Err(Fault::new("connect", error).into()),
    };
    let planned = plan_once(&mut connection).await;
    planned.map_err(|error| Fault::new("set up the connection", address.explain(error)))?;
    Ok(connection)
}

/// Each of our statements has one good plan, by the primary keys: planning it anew takes longer than doing it, and
/// statistics from when the tables were small make it a bad one.
pub(super) async fn plan_once(connection: &mut PgConnection) -> sqlx::Result<()> {
    let settings = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";
    connection.execute(settings).await.map(drop)
}

/// Brings the tables up to date, or makes them.
pub(super) async fn migrate(address: &Address, connection: &mut PgConnection) -> Result<(), Error> {
    Ok(SCHEMA
        .migrate(address, connection)
        .await
        .map_err(|error| Fault::new("bring the schema up to date", error))?)
}

/// Writes the birth certificate and all heads; false, and nothing, if there is one.
pub(super) async fn create(connection: &mut PgConnection, genesis: &Genesis) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    let born = sqlx::query(
        "INSERT INTO loyalnest_log.genesis (log_id, hash_version, partitions) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
    );
    let born = born.bind(&genesis.log_id.as_bytes()[..]).bind(i32::from(genesis.hash_version));
    if born.bind(i32::from(genesis.partitions)).execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let parts: Vec<i32> = (0..genesis.partitions).map(i32::from).collect();
    let heads: Vec<Hash> = (0..genesis.partitions).map(|partition| genesis.state(partition).head).collect();
    let heads: Vec<&[u8]> = heads.iter().map(|head| &head.as_bytes()[..]).collect();
    sqlx::query(
        "INSERT INTO loyalnest_log.head SELECT part, 0, 0, hash, $3 FROM unnest($1::integer[], $2::bytea[]) AS h (part, hash)",
    )
    .bind(parts)
    .bind(heads)
    .bind(&Hash::ZERO.as_bytes()[..])
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Whether there are tables; without them nothing may be asked of them.
pub(super) async fn exists(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass('loyalnest_log.genesis') IS NOT NULL").fetch_one(connection).await
}

/// The birth certificate, or what is wrong with it; nothing before `init` came to its end.
pub(super) async fn genesis(
    connection: &mut PgConnection,
) -> sqlx::Result<Option<Result<Genesis, &'static str>>> {
    let found = sqlx::query("SELECT log_id, hash_version, partitions FROM loyalnest_log.genesis");
    let Some(row) = found.fetch_optional(connection).await? else { return Ok(None) };
    let (hash_version, partitions): (i32, i32) = (row.try_get(1)?, row.try_get(2)?);
    let log_id = LogId::from_bytes(row.try_get(0)?);
    Ok(Some(match (u8::try_from(hash_version), u16::try_from(partitions)) {
        (Ok(hash_version), _) if hash_version != HASH_VERSION => {
            Err("its hashes are of another version; start the program that wrote it")
        }
        (Ok(hash_version), Ok(partitions)) if partitions > 0 => {
            Ok(Genesis { log_id, hash_version, partitions, class: Class::Conditional })
        }
        _ => Err("its genesis says what no log says"),
    }))
}

/// Whether this user may append.
pub(super) async fn may_write(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let asked = "SELECT has_table_privilege('loyalnest_log.head', 'UPDATE') AND has_table_privilege('loyalnest_log.log', 'INSERT')
        AND current_setting('transaction_read_only') = 'off'";
    sqlx::query_scalar(asked).fetch_one(connection).await
}
