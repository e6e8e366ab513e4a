//! What a server must promise to whoever keeps there what cannot be made again.
use sqlx::{PgConnection, Row as _};

/// The oldest server that has all we ask for.
const VERSION_MIN: i32 = 130_000;

/// Whether the server is the primary and durable, or what to change. The connection stays durable, whatever becomes the
/// server's default.
pub(crate) async fn promised(connection: &mut PgConnection) -> sqlx::Result<Result<(), String>> {
    let settings = "SELECT pg_is_in_recovery(), current_setting('server_version_num')::integer, current_setting('fsync'),
        current_setting('synchronous_commit'), current_setting('synchronous_standby_names')";
    let row = sqlx::query(settings).fetch_one(&mut *connection).await?;
    let (is_standby, version): (bool, i32) = (row.try_get(0)?, row.try_get(1)?);
    let (fsync, synchronous): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
    let has_standbys = !row.try_get::<&str, _>(4)?.trim().is_empty();
    if is_standby {
        return Ok(Err("the server is a standby; name the primary".to_owned()));
    }
    if version < VERSION_MIN {
        return Ok(Err(format!("the server's version is {version}; use PostgreSQL 13 or newer")));
    }
    if fsync != "on" {
        return Ok(Err(format!("the server's setting fsync is {fsync}; set it to on")));
    }
    let wanted: &[&str] =
        if has_standbys { &["on", "remote_apply"] } else { &["on", "remote_apply", "remote_write", "local"] };
    if !wanted.contains(&synchronous) {
        return Ok(Err(format!("the server's setting synchronous_commit is {synchronous}; set it to on")));
    }
    let pin = "SELECT set_config('synchronous_commit', $1, false)";
    sqlx::query(pin).bind(synchronous).execute(&mut *connection).await?;
    Ok(Ok(()))
}
