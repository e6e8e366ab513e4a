//! Points by hand: earn, act, adjust, redeem and undo that, transfer, freeze, extend; and what a cart would earn.
pub(super) mod actions;
pub(super) mod adjust;
pub(super) mod cancel;
pub(super) mod earn;
pub(super) mod expiry;
mod former;
pub(super) mod freeze;
pub(super) mod redeem;
pub(super) mod simulate;
pub(super) mod transfer;

use axum::{http::StatusCode, response::Response};
use domain::{
    Aggregate, Command, StreamRef,
    points_account::{self, Entry},
};
use event_schemas::{
    CommandKey, CustomerId, Digest, EntryId, MerchantId, Timestamp, points_account::Balances, record::Actor,
};
use http_edge::{Problem, RequestContext};
use serde::Serialize;
use utoipa::ToSchema;

use super::replies::{Balance, Movement, marked, reply};
use crate::{
    app::{App, origin},
    commands::{Answered, Envelope, Lane, Outcome},
    idempotency::Attempt,
    policies::Cause,
    problem::rejected,
};

/// The longest note that goes with a command, in characters.
const NOTE_LEN_MAX: usize = 1_000;

/// Who asks, at which shop, and when it happened.
#[derive(Clone, Copy)]
struct Caller {
    merchant: MerchantId,
    context: RequestContext,
    occurred_at: Timestamp,
}

impl Caller {
    fn envelope(
        self,
        stream: StreamRef,
        key: CommandKey,
        command: impl Into<Command>,
        content: Digest,
    ) -> Envelope {
        Envelope {
            merchant: self.merchant,
            stream,
            command: command.into(),
            key,
            content,
            occurred_at: self.occurred_at,
            origin: origin(self.context, Actor::Merchant),
            lane: Lane::Interactive,
        }
    }

    /// What a record of this request sets off has it as its cause.
    fn cause(self, app: &App, stream: StreamRef) -> Cause {
        Cause {
            merchant: self.merchant,
            stream,
            occurred_at: self.occurred_at,
            recorded_at: app.clock.now(),
            correlation: self.context.correlation,
            trace: self.context.trace,
        }
    }
}

/// An account after a command that has no entry on the statement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// `open` or `frozen`.
    status: &'static str,
    #[serde(flatten)]
    balance: Balance,
    /// Opaque; a query may ask for at least this position.
    position: String,
}

/// Sends a command to an account and answers with the account behind it.
async fn change_account(app: &App, customer: CustomerId, envelope: Envelope) -> Result<Response, Problem> {
    let look = |aggregate: &Aggregate| match aggregate {
        Aggregate::PointsAccount(account) => (account.frozen(), account.balances()),
        _ => (false, Balances::default()),
    };
    let (answered, (frozen, balances)) = app.commander.ask(envelope, look).await?;
    if let Outcome::Rejected(rejection) = &answered.outcome {
        return Ok(marked(rejected(rejection), answered.replayed));
    }
    let account = Account {
        customer_id: customer,
        status: if frozen { "frozen" } else { "open" },
        balance: balances.into(),
        position: answered.at.to_string(),
    };
    Ok(reply(StatusCode::OK, account, answered.replayed))
}

fn check_note(pointer: &'static str, note: Option<&String>) -> Result<(), Problem> {
    let too_long = note.is_some_and(|note| note.chars().count() > NOTE_LEN_MAX);
    if too_long { Err(Problem::invalid_field(pointer, "expected at most 1000 characters")) } else { Ok(()) }
}

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
pub(super) fn canonical(fields: &[&[u8]]) -> Vec<u8> {
    let framed = |field: &&[u8]| [&(field.len() as u64).to_be_bytes()[..], field].concat();
    fields.iter().flat_map(framed).collect()
}

fn entry(attempt: &Attempt) -> EntryId {
    EntryId(attempt.minted)
}
