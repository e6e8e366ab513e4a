//! The key store's count against the highest count that a record saw: a store behind the log has lost keys.
use std::path::Path;

use event_log::Log;
use rusqlite::{Connection, OpenFlags};

use super::{
    Check, Fault, KeysAt, Outcome, Report,
    history::{History, Seen},
};

/// Asks the store without its root key and without writing, beside whoever has it open.
pub(super) fn check(keys: &KeysAt, log: &Log, history: &History, report: &mut Report) {
    let counted = match keys {
        KeysAt::File(path) if !path.exists() => {
            let reason = format!("there is no key store at {}", path.display());
            return report.set(Check::KeyCount, Outcome::Skipped { reason });
        }
        KeysAt::File(path) => read(path).map_err(|error| unread(&error)),
        KeysAt::Asked(ask) => ask().map_err(|reason| format!("the key store could not be asked: {reason}")),
    };
    let (count, log_id) = match counted {
        Ok(counted) => counted,
        Err(reason) => return report.set(Check::KeyCount, Outcome::Unable { reason }),
    };
    let Seen { key_count, partition, position } = history.highest_key_count();
    let fault = |reason| Fault { check: Check::KeyCount, partition, position, reason };
    if log_id != log.id().as_bytes()[..] {
        let reason = "the key store belongs to another log".to_owned();
        report.found(Fault { partition: None, position: None, ..fault(reason) });
    } else if count < key_count {
        report.found(fault(format!("the record saw {key_count} inserts, the key store has counted {count}")));
    } else {
        report.set(Check::KeyCount, Outcome::Passed);
    }
}

fn unread(error: &rusqlite::Error) -> String {
    if half_written(error) {
        "a crash left the key store in the middle of a write; the next start undoes that, then it can be read"
            .to_owned()
    } else {
        format!("the key store could not be read: {error}")
    }
}

/// Its journal must be rolled back first, and whoever only reads does not do that.
fn half_written(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|failure| failure.extended_code);
    code == Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
}

fn read(path: &Path) -> rusqlite::Result<(u64, Vec<u8>)> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.query_row("SELECT insert_count, log_id FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))
}
