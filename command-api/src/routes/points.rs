//! Points by hand: earn, adjust, redeem, cancel a redemption.
pub(super) mod adjust;
pub(super) mod cancel;
pub(super) mod earn;
pub(super) mod redeem;

use axum::{http::StatusCode, response::Response};
use domain::{
    Aggregate, StreamRef,
    points_account::{self, Entry},
};
use event_schemas::{EntryId, MerchantId};
use http_edge::Problem;

use super::replies::{Movement, marked, reply};
use crate::{
    app::App,
    commands::{Answered, Envelope, Outcome},
    idempotency::Attempt,
    problem::rejected,
};

/// Finds the entry that a command made, in the state behind it.
trait Find: Fn(&points_account::State) -> Option<Entry> + Send + 'static {}
impl<F: Fn(&points_account::State) -> Option<Entry> + Send + 'static> Find for F {}

fn entry_in(find: impl Find) -> impl Fn(&Aggregate) -> Option<Entry> + Send + 'static {
    move |aggregate| match aggregate {
        Aggregate::PointsAccount(account) => find(account),
        _ => None,
    }
}

/// The first answer to a request that was kept before, if its command was decided then. What the request would be
/// checked against may have changed since, so this comes before all such checks.
async fn first_answer(
    app: &App,
    merchant: MerchantId,
    stream: StreamRef,
    attempt: &Attempt,
    find: impl Find,
) -> Result<Option<Response>, Problem> {
    if !attempt.known {
        return Ok(None);
    }
    let first = app.commander.recall(merchant, stream, attempt.command, entry_in(find)).await?;
    first.map(|(answered, entry)| answer(&answered, entry)).transpose()
}

/// Sends a command to an account and answers with the entry that `find` finds behind it.
async fn move_points(app: &App, envelope: Envelope, find: impl Find) -> Result<Response, Problem> {
    let (answered, entry) = app.commander.ask(envelope, entry_in(find)).await?;
    answer(&answered, entry)
}

fn answer(answered: &Answered, entry: Option<Entry>) -> Result<Response, Problem> {
    if let Outcome::Rejected(rejection) = &answered.outcome {
        return Ok(marked(rejected(rejection), answered.replayed));
    }
    let entry = entry.ok_or_else(|| Problem::internal(&NoEntry))?;
    let movement = Movement {
        entry_id: entry.entry,
        points: entry.points,
        balance: entry.after.into(),
        position: answered.at.to_string(),
    };
    Ok(reply(StatusCode::OK, movement, answered.replayed))
}

#[derive(Debug, thiserror::Error)]
#[error("the account was changed, but it has no entry for it")]
struct NoEntry;

/// Fields in a fixed order, each with its length before it, for a digest of a command's content.
fn canonical(fields: &[&[u8]]) -> Vec<u8> {
    let framed = |field: &&[u8]| [&(field.len() as u64).to_be_bytes()[..], field].concat();
    fields.iter().flat_map(framed).collect()
}

fn entry(attempt: &Attempt) -> EntryId {
    EntryId(attempt.minted)
}
