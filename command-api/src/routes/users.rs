//! POST /v1/api/users/create: a person joins by the merchant's own call.
use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Aggregate, StreamRef,
    customer::{Profile, RegisterCustomer},
};
use event_schemas::{CustomerId, MerchantId, Personal, customer::RegisteredBy, record::Actor};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext, SHOPIFY_ID, shopify_id};
use privacy::{Kind, Reference};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::{App, origin},
    commands::{Envelope, Lane, Outcome},
    idempotency::{Attempt, IdempotencyKey},
    policies::Cause,
    problem::{key_fault, rejected},
    routes::replies::{marked, reply},
};

const PATH: &str = "/v1/api/users/create";
const TEXT_LEN_MAX: usize = 255;
/// Merges in a row; more would be a circle.
const MERGES_MAX: usize = 100;

/// A person. With a Shopify id that is known already, nothing changes and its customer is answered, or who they were
/// merged into.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    /// Shopify's customer id as digits.
    shopify_customer_id: Option<String>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    /// Joins somebody who was erased and joins again by their own will: as somebody new, of whom nothing is known. Without
    /// it, an id that belonged to an erased person is refused.
    #[serde(default)]
    rejoin: bool,
}

/// A customer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Created {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
}

/// Register a customer.
#[utoipa::path(
    post, path = PATH, tag = "users", request_body = Create,
    responses(
        (status = 201, body = Created),
        (status = 409, body = ProblemBody, description = "`account-redacted`, or `shop-redacted`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Create>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    app.living_shop(merchant).await?;
    let body = checked(body)?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    let minted = CustomerId(attempt.minted);
    let attempt = app.idempotency.keep(attempt.about([minted])).await?;
    if let Some(id) = body.shopify_customer_id.as_ref().filter(|_| body.rejoin) {
        let unburied = app.keys.unbury(merchant, Kind::ShopifyCustomer, id.as_str()).await;
        unburied.map_err(|error| key_fault(&error))?;
    }
    let found = find_or_mint(&app, merchant, &body, &attempt).await?;
    let customer = who_lives_on(&app, merchant, found, &attempt).await?;
    app.idempotency.turned_out(&attempt, customer).await?;
    let profile = profile(&app, merchant, customer, body)?;
    let stream = StreamRef::customer(customer);
    let occurred_at = app.clock.now();
    let envelope = Envelope {
        merchant,
        stream,
        content: profile.digest,
        command: RegisterCustomer { registered_by: RegisteredBy::Api, profile }.into(),
        key: attempt.command,
        occurred_at,
        origin: origin(context, Actor::Merchant),
        lane: Lane::Interactive,
    };
    let answered = app.commander.send(envelope).await?;
    if let Outcome::Rejected(rejection) = &answered.outcome {
        return Ok(marked(rejected(rejection), answered.replayed));
    }
    if let Some(made) = answered.made {
        // So that the account is open when the answer is there.
        let RequestContext { correlation, trace } = context;
        app.policies
            .follow(
                Cause { merchant, stream, occurred_at, recorded_at: occurred_at, correlation, trace },
                made,
                answered.at,
            )
            .await;
    }
    Ok(reply(StatusCode::CREATED, Created { customer_id: customer }, answered.replayed))
}

fn checked(mut body: Create) -> Result<Create, Problem> {
    if let Some(id) = &mut body.shopify_customer_id {
        *id = shopify_id(id).ok_or_else(|| Problem::invalid_field("/shopify_customer_id", SHOPIFY_ID))?;
    }
    let address = |email: &String| {
        email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
    };
    if !body.email.as_ref().is_none_or(address) {
        return Err(Problem::invalid_field("/email", "expected an e-mail address"));
    }
    for (pointer, text) in
        [("/email", &body.email), ("/first_name", &body.first_name), ("/last_name", &body.last_name)]
    {
        if text.as_ref().is_some_and(|text| text.chars().count() > TEXT_LEN_MAX) {
            return Err(Problem::invalid_field(pointer, "expected at most 255 characters"));
        }
    }
    Ok(body)
}

/// The customer's id, with all that leads to it in the directory and the key that seals it; durable when it returns.
async fn find_or_mint(
    app: &App,
    merchant: MerchantId,
    body: &Create,
    attempt: &Attempt,
) -> Result<CustomerId, Problem> {
    let proposed = attempt.minted;
    let subject = Some(CustomerId(proposed));
    let shopify = body.shopify_customer_id.as_deref().map(|id| (Kind::ShopifyCustomer, id));
    let email = body.email.as_deref().map(|email| (Kind::Email, email));
    let references: Vec<_> = shopify
        .into_iter()
        .chain(email)
        .map(|(kind, text)| Reference::new(kind, text.to_owned(), proposed, subject))
        .collect();
    let entries = app.keys.resolve_many(merchant, references).await.map_err(|error| key_fault(&error))?;
    let customer = CustomerId(entries.first().map_or(proposed, |entry| entry.id));
    app.keys.ensure_subject(merchant, customer).await.map_err(|error| key_fault(&error))?;
    Ok(customer)
}

/// Whom the customer turned out to be; but a request that was answered before is about the same one as then.
async fn who_lives_on(
    app: &App,
    merchant: MerchantId,
    found: CustomerId,
    attempt: &Attempt,
) -> Result<CustomerId, Problem> {
    let stream = StreamRef::customer;
    if attempt.known
        && app.commander.recall(merchant, stream(found), attempt.command, |_| ()).await?.is_some()
    {
        return Ok(found);
    }
    let merged_into = |aggregate: &Aggregate| match aggregate {
        Aggregate::Customer(state) => state.merged_into(),
        _ => None,
    };
    let mut customer = found;
    for _ in 0..MERGES_MAX {
        match app.commander.glance(merchant, stream(customer), merged_into).await? {
            Some(into) => customer = into,
            None => break,
        }
    }
    Ok(customer)
}

fn profile(app: &App, merchant: MerchantId, customer: CustomerId, body: Create) -> Result<Profile, Problem> {
    let Create { shopify_customer_id, email, first_name, last_name, .. } = body;
    // As the webhook workers write it, so that a message that says the same changes nothing.
    let fields = [&shopify_customer_id, &email, &first_name, &last_name, &None];
    let fields = serde_json::to_vec(&fields).map_err(|error| Problem::internal(&error))?;
    let address = email.as_deref().map(|email| Kind::Email.normalised(email).into_owned());
    let email_digest =
        address.map(|address| app.subject_digest(merchant, customer, "email", address.as_bytes()));
    Ok(Profile {
        email_digest: email_digest.transpose()?,
        digest: app.subject_digest(merchant, customer, "profile", &fields)?,
        shopify_customer_id: shopify_customer_id.map(Personal::Clear),
        email: email.map(Personal::Clear),
        email_verified: false,
        first_name: first_name.map(Personal::Clear),
        last_name: last_name.map(Personal::Clear),
        phone: None,
    })
}
