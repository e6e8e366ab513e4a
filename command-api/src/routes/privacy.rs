//! Requests about a person's data by the merchant's own call: to forget them, or to hand over what is held; and the files
//! of what is handed over.
use axum::{
    extract::State,
    http::{
        HeaderName, StatusCode,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use domain::Aggregate;
use event_schemas::{
    CertificateId, CustomerId, MerchantId, RequestId, Timestamp, privacy_request::RequestSource,
    record::Actor,
};
use http_edge::{Body, Merchant, Path, Problem, ProblemBody, RequestContext, SHOPIFY_ID, shopify_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::{App, origin},
    commands::{Lane, Outcome},
    exports::{Error, FILES, Fetched},
    idempotency::{Attempt, IdempotencyKey, reused},
    problem::{key_fault, rejected, work_fault},
    requests::{Asking, Kept, Named, NotTaken, Taken},
    routes::replies::{marked, reply},
    webhooks::translate::Private,
};

const REDACT: &str = "/v1/api/privacy/redact";
const EXPORT: &str = "/v1/api/privacy/export";
const TEXT_LEN_MAX: usize = 255;

/// A person, by exactly one of these.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Who {
    /// The customer's id.
    #[schema(value_type = Option<String>, format = Uuid)]
    customer_id: Option<CustomerId>,
    /// Shopify's customer id as digits.
    shopify_customer_id: Option<String>,
    /// An e-mail address. To forget means everybody who has it; what is held is handed over only if one person has it.
    email: Option<String>,
}

/// A request that is recorded. What becomes of it says `GET /v1/api/privacy/requests/{id}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Requested {
    #[schema(value_type = String, format = Uuid)]
    request_id: RequestId,
    /// `requested`: it is recorded, and will be carried out even if this process dies now.
    status: &'static str,
    /// Whether anything is held of the person. If not, that is what is certified, or handed over.
    held: bool,
    /// When it has to be done.
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Timestamp>,
}

/// A person who was erased: there is nothing to hand over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlreadyRedacted {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// `redacted`.
    status: &'static str,
    redaction: Redaction,
}

/// The proof of an erasure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Redaction {
    redacted: bool,
    /// The certificate's id, once there is one.
    #[schema(value_type = Option<String>)]
    certificate: Option<CertificateId>,
}

/// Forget a person.
///
/// Everybody who turned out to be the same person is forgotten with them. A person of whom nothing is held is certified as
/// that; so is one of another shop.
#[utoipa::path(
    post, path = REDACT, tag = "privacy", request_body = Who,
    responses(
        (status = 202, body = Requested, description = "It is recorded"),
        (status = 401, body = ProblemBody, description = "No merchant's token"),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn redact(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(who, raw): Body<Who>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    app.shop(merchant)?;
    let named = named(who)?;
    let attempt = app.idempotency.begin(merchant, key, REDACT, &raw).await?;
    let asking = asking(&app, merchant, &attempt, context);
    let taken = app.requests.redact(&asking, &named).await?;
    answer(&app, taken).await
}

/// Ask for what is held of a person.
///
/// The files can be had for seven days once they are made. An address that several people have is refused, because what is
/// held of one must not be shown to another.
#[utoipa::path(
    post, path = EXPORT, tag = "privacy", request_body = Who,
    responses(
        (status = 200, body = AlreadyRedacted, description = "The person was erased"),
        (status = 202, body = Requested, description = "It is recorded"),
        (status = 401, body = ProblemBody, description = "No merchant's token"),
        (status = 409, body = ProblemBody, description = "`ambiguous`: several people have the address"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn export(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(who, raw): Body<Who>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    app.shop(merchant)?;
    let named = named(who)?;
    if let Some(customer_id) = named.customer
        && let Some(redacted) =
            app.requests.redacted(merchant, customer_id).await.map_err(|error| key_fault(&error))?
    {
        let redaction = Redaction { redacted: true, certificate: redacted.certificate };
        let redacted = AlreadyRedacted { customer_id, status: "redacted", redaction };
        return Ok(reply(StatusCode::OK, redacted, false));
    }
    let attempt = app.idempotency.begin(merchant, key, EXPORT, &raw).await?;
    let asking = asking(&app, merchant, &attempt, context);
    let taken = app.requests.export(&asking, &named).await?;
    answer(&app, taken).await
}

/// Fetch a file of what is handed over.
#[utoipa::path(
    get, path = "/v1/api/privacy/requests/{id}/export/{file}", tag = "privacy",
    params(
        ("id" = String, Path, description = "The request"),
        ("file" = String, Path, description = "`manifest.json`, `data.json` or `entries.csv`"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 401, body = ProblemBody, description = "No merchant's token"),
        (status = 404, body = ProblemBody, description = "This shop has no such data request, or it has no such file"),
        (status = 409, body = ProblemBody, description = "`export-not-ready`: it is being made"),
        (status = 410, body = ProblemBody, description = "`export-expired`, or `subject-erased`")
    )
)]
pub(crate) async fn file(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    Path((id, file)): Path<(RequestId, String)>,
) -> Result<Response, Problem> {
    let place = FILES.iter().position(|name| *name == file).ok_or_else(|| {
        Problem::not_found("file-not-found", "An export has no such file")
            .detail("expected manifest.json, data.json or entries.csv")
    })?;
    let gone = |code, title| Err(Problem::new(StatusCode::GONE, code, title));
    let origin = origin(context, Actor::Merchant);
    match app.exports.fetch(scope.merchant(), id, place, origin).await? {
        Fetched::File(bytes) => Ok(download(FILES[place], bytes)),
        Fetched::Unknown => {
            Err(Problem::not_found("request-not-found", "This shop has no such data request"))
        }
        Fetched::NotYet => Err(Problem::conflict("export-not-ready", "The export is being made")),
        Fetched::Expired => gone("export-expired", "The export could be had for seven days"),
        Fetched::Erased => gone("subject-erased", "The person was erased, and the export with them"),
    }
}

fn download(name: &str, bytes: Vec<u8>) -> Response {
    let kind = if name.ends_with(".csv") { "text/csv; charset=utf-8" } else { "application/json" };
    let headers: [(HeaderName, String); 3] = [
        (CONTENT_TYPE, kind.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, bytes).into_response()
}

fn named(who: Who) -> Result<Named, Problem> {
    let Who { customer_id, shopify_customer_id, email } = who;
    let given = [customer_id.is_some(), shopify_customer_id.is_some(), email.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(Problem::invalid_field(
            "/customer_id",
            "expected exactly one of customer_id, shopify_customer_id and email",
        ));
    }
    let shopify = shopify_customer_id.map(|id| {
        let id = shopify_id(&id).ok_or_else(|| Problem::invalid_field("/shopify_customer_id", SHOPIFY_ID));
        id.map(Private)
    });
    let email = email.map(|email| {
        let is_address =
            email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        let fits = email.chars().count() <= TEXT_LEN_MAX;
        let address = (is_address && fits).then_some(Private(email));
        address.ok_or_else(|| {
            Problem::invalid_field("/email", "expected an e-mail address of at most 255 characters")
        })
    });
    Ok(Named {
        customer: customer_id,
        shopify: shopify.transpose()?,
        email: email.transpose()?,
        ..Named::default()
    })
}

/// The same at every repetition under one idempotency key.
fn asking(app: &App, merchant: MerchantId, attempt: &Attempt, context: RequestContext) -> Asking {
    Asking {
        merchant,
        request: RequestId(attempt.minted),
        source: RequestSource::Merchant,
        key: attempt.command,
        origin: origin(context, Actor::Merchant),
        lane: Lane::Interactive,
        at: app.clock.now(),
        call: attempt.kept_as(),
    }
}

async fn answer(app: &App, Taken { kept, answered }: Taken) -> Result<Response, Problem> {
    if let Outcome::Rejected(rejection) = &answered.outcome {
        return Ok(marked(rejected(rejection), answered.replayed));
    }
    let due_at = due_at(app, &kept).await?;
    let held = !kept.subjects.is_empty() || !app.requests.orders_named::<NotTaken>(&kept).await?.is_empty();
    let requested = Requested { request_id: kept.request, status: "requested", held, due_at };
    Ok(reply(StatusCode::ACCEPTED, requested, answered.replayed))
}

async fn due_at(app: &App, kept: &Kept) -> Result<Option<Timestamp>, Problem> {
    let due_at = app.commander.read(kept.merchant, kept.stream(), |request| match request {
        Aggregate::PrivacyRequest(request) => {
            let redaction = request.redaction().map(|redaction| redaction.requested.due_at);
            redaction.or(request.data_request().map(|request| request.received.due_at))
        }
        _ => None,
    });
    Ok(due_at.await?)
}

impl From<NotTaken> for Problem {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Ambiguous => Self::conflict("ambiguous", "Several customers have this e-mail address")
                .field("/email", "name the customer by an id"),
            NotTaken::KeyReused => reused(),
            NotTaken::Command(error) => error.into(),
            NotTaken::Keys(error) => key_fault(&error),
            NotTaken::Work(error) => work_fault(&error),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Keys(error) => key_fault(&error),
            Error::Store(error) => work_fault(&error),
            Error::Command(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}
