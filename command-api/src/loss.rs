//! After the log lost records: what the store of the inbox remembers of it, and how whoever worked behind the loss begins
//! again.
use event_log::Checkpoint;
use group_commit::{Fault, Store, values};

/// The store of the inbox cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It failed.
    #[error(transparent)]
    Store(#[from] Fault),
    /// What stands there is no checkpoint.
    #[error(transparent)]
    Log(#[from] event_log::Error),
}

/// How far the policies have come in each partition, one after the other.
///
/// # Errors
/// [`Error`].
pub async fn remembered(work: &Store) -> Result<Vec<Checkpoint>, Error> {
    let stored = work.read(|work| {
        work.all("SELECT checkpoint FROM policy_progress", values![], |row| row.at::<Vec<u8>>(0))
    });
    let read = |bytes: &Vec<u8>| Ok(Checkpoint::from_bytes(bytes)?);
    stored.await?.iter().map(read).collect()
}

/// Everything that was done once is done again, in one transaction; what the log still has is found done. What a lost
/// record set off, or where it was set off from, nobody can tell any more, so it is all of it:
///
/// * Policies follow every partition from its beginning, and park again what gets stuck again.
/// * Deliveries whose bodies are still there are worked off again; gives their number.
/// * Answers that said more than their record are composed anew, and the daily jobs look again.
///
/// # Errors
/// [`Fault`].
pub async fn begin_again(work: &Store) -> Result<u64, Fault> {
    const REOPEN: &str = "UPDATE inbox SET status = 'accepted', reason = NULL, position = NULL, attempts = 0, \
        next_attempt = 0 WHERE status = 'processed' AND seq IN (SELECT seq FROM inbox_body)";
    const FORGET: [&str; 4] = [
        "DELETE FROM policy_progress",
        "DELETE FROM parked_task",
        "UPDATE idempotency SET answer = NULL",
        "DELETE FROM daily_run",
    ];
    let reopened = work.run(|work| {
        for forget in FORGET {
            work.execute(forget, values![])?;
        }
        work.execute(REOPEN, values![])
    });
    reopened.await
}
