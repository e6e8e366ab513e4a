//! POST /v1/api/points/freeze and unfreeze: an account is stopped for what people and programs ask of it, and goes on.
use axum::{extract::State, response::Response};
use domain::{
    Command, StreamRef,
    points_account::{FreezeAccount, UnfreezeAccount},
};
use event_schemas::{Code, CustomerId, Digest, MerchantId, Personal};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Account, Caller, canonical, change_account, check_note};
use crate::{app::App, idempotency::IdempotencyKey};

const FREEZE: &str = "/v1/api/points/freeze";
const UNFREEZE: &str = "/v1/api/points/unfreeze";

/// An account to freeze.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Freeze {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// Kebab-case, up to 64 characters.
    #[schema(value_type = String)]
    reason_code: Code,
    /// What only staff may read.
    internal_note: Option<String>,
}

/// An account to let go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unfreeze {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// Kebab-case, up to 64 characters.
    #[schema(value_type = String)]
    reason_code: Code,
}

/// Freeze an account: redemptions, awards by programs, actions, transfers and tills are refused from now on.
#[utoipa::path(
    post, path = FREEZE, tag = "points", request_body = Freeze,
    responses(
        (status = 200, body = Account),
        (status = 404, body = ProblemBody, description = "`customer-not-found`"),
        (status = 409, body = ProblemBody, description = "`account-merged`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn freeze(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Freeze>,
) -> Result<Response, Problem> {
    check_note("/internal_note", body.internal_note.as_ref())?;
    let note = body.internal_note.as_deref().unwrap_or_default();
    let fields = canonical(&[body.reason_code.as_str().as_bytes(), note.as_bytes()]);
    let request = Request { app: &app, merchant: scope.merchant(), customer: body.customer_id, context };
    let content = request.content("freeze-account", &fields).await?;
    let command = FreezeAccount { reason: body.reason_code, note: body.internal_note.map(Personal::Clear) };
    request.send(key, FREEZE, &raw, command, content).await
}

/// Let a frozen account go on.
#[utoipa::path(
    post, path = UNFREEZE, tag = "points", request_body = Unfreeze,
    responses(
        (status = 200, body = Account),
        (status = 404, body = ProblemBody, description = "`customer-not-found`"),
        (status = 409, body = ProblemBody, description = "`account-merged`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn unfreeze(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Unfreeze>,
) -> Result<Response, Problem> {
    let request = Request { app: &app, merchant: scope.merchant(), customer: body.customer_id, context };
    let content = request.content("unfreeze-account", body.reason_code.as_str().as_bytes()).await?;
    request.send(key, UNFREEZE, &raw, UnfreezeAccount { reason: body.reason_code }, content).await
}

struct Request<'a> {
    app: &'a App,
    merchant: MerchantId,
    customer: CustomerId,
    context: RequestContext,
}

impl Request<'_> {
    async fn content(&self, purpose: &str, fields: &[u8]) -> Result<Digest, Problem> {
        self.app.known_customer(self.merchant, self.customer).await?;
        self.app.subject_digest(self.merchant, self.customer, purpose, fields)
    }

    async fn send(
        &self,
        key: IdempotencyKey,
        path: &str,
        raw: &[u8],
        command: impl Into<Command>,
        content: Digest,
    ) -> Result<Response, Problem> {
        let Self { app, merchant, customer, context } = *self;
        let attempt = app.idempotency.begin(merchant, key, path, raw).await?;
        let attempt = app.idempotency.keep(attempt.about([customer])).await?;
        let caller = Caller { merchant, context, occurred_at: app.clock.now() };
        let stream = StreamRef::account(customer);
        change_account(app, customer, caller.envelope(stream, attempt.command, command, content)).await
    }
}
