//! GET /v1/api/users/get: a customer by our id, Shopify's id or e-mail address.
use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use event_schemas::CustomerId;
use http_edge::{Merchant, Problem, ProblemBody, Query, SHOPIFY_ID, shopify_id};
use privacy::{Kind, MerchantScope};
use projections::{
    customers::{self, Customer, Standing},
    gdpr_requests,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Reads,
    answers::time,
    documented::CustomerProblems,
    failure::{customer_not_found, of_keys, of_store, parameter},
    opened::{Field, RedactedBody, open},
};

/// Which customer: exactly one of the first three.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// Our id.
    #[param(value_type = Option<uuid::Uuid>)]
    customer_id: Option<CustomerId>,
    /// Shopify's id.
    shopify_customer_id: Option<String>,
    /// E-mail address.
    email: Option<String>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A customer. Of an erased one only the id, the status and the redaction are left.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserBody {
    #[schema(format = Uuid)]
    customer_id: String,
    /// `active`, `disabled` or `deleted` at Shopify, `merged` into another customer, or `redacted`.
    status: &'static str,
    /// Who lives on, if the customer was merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    into: Option<String>,
    #[serde(flatten)]
    profile: Option<ProfileBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redaction: Option<RedactedBody>,
}

/// What is known of the person.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProfileBody {
    shopify_customer_id: Option<String>,
    email: Option<String>,
    /// Whether Shopify has verified the address.
    email_verified: bool,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    /// `customer`, `order` or `api`.
    registered_by: &'static str,
    #[schema(format = DateTime)]
    registered_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A customer by our id, Shopify's id or e-mail address.
#[utoipa::path(
    get,
    path = "/v1/api/users/get",
    operation_id = "user",
    tag = "users",
    params(Params),
    security(("merchant" = [])),
    responses(
        (status = 200, body = UserBody),
        CustomerProblems,
        (status = 409, description = "ambiguous: several customers have the address; other-history", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn user(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<UserBody>, Problem> {
    let demanded = params.min_position.as_deref();
    let body = match (params.customer_id, &params.shopify_customer_id, &params.email) {
        (Some(customer), None, None) => find(&reads, scope, customer, demanded).await?,
        (None, Some(id), None) => {
            let id = shopify_id(id).ok_or_else(|| parameter("shopify_customer_id", SHOPIFY_ID))?;
            let entry = reads.keys.find(scope.merchant(), Kind::ShopifyCustomer, &id).await;
            let entry = entry.map_err(|error| of_keys(&error))?.ok_or_else(customer_not_found)?;
            find(&reads, scope, CustomerId(entry.id), demanded).await?.filter(is_active)
        }
        (None, None, Some(email)) => by_email(&reads, scope, email, demanded).await?,
        _ => {
            let expected = "expected exactly one of customer_id, shopify_customer_id and email";
            return Err(parameter("customer_id", expected));
        }
    };
    body.map(Json).ok_or_else(customer_not_found)
}

async fn find(
    reads: &Reads,
    scope: MerchantScope,
    customer: CustomerId,
    demanded: Option<&str>,
) -> Result<Option<UserBody>, Problem> {
    reads.fresh(reads.partition_of(scope, customer.0), demanded).await?;
    let row = customers::find(&reads.store, scope, customer).await.map_err(|error| of_store(&error))?;
    match row {
        Some(row) => opened(reads, scope, &row).await.map(Some),
        None => Ok(None),
    }
}

/// The directory remembers every address that anybody ever had, so the newest profile decides.
async fn by_email(
    reads: &Reads,
    scope: MerchantScope,
    email: &str,
    demanded: Option<&str>,
) -> Result<Option<UserBody>, Problem> {
    let mut customers = BTreeSet::new();
    for kind in [Kind::Email, Kind::VerifiedEmail] {
        let entries = reads.keys.find_all(scope.merchant(), kind, email).await;
        let entries = entries.map_err(|error| of_keys(&error))?;
        customers.extend(entries.into_iter().map(|entry| CustomerId(entry.id)));
    }
    let mut matching = Vec::new();
    for customer in customers {
        let body = find(reads, scope, customer, demanded).await?;
        // Who was merged may have the address of the one who lives on.
        matching.extend(body.filter(|body| has_email(body, email) && body.into.is_none()));
    }
    if matching.len() > 1 {
        return Err(Problem::conflict("ambiguous", "Several customers have this e-mail address")
            .field("email", "expected an address that one customer has; ask by customer_id"));
    }
    Ok(matching.pop())
}

fn has_email(body: &UserBody, email: &str) -> bool {
    let plain = |address: &str| address.trim().to_lowercase();
    let known = body.profile.as_ref().and_then(|profile| profile.email.as_deref());
    known.is_some_and(|known| plain(known) == plain(email))
}

fn is_active(body: &UserBody) -> bool {
    body.profile.is_some()
}

async fn opened(reads: &Reads, scope: MerchantScope, row: &Customer) -> Result<UserBody, Problem> {
    let closed = [
        (row.address("shopify_customer_id"), row.shopify_customer_id.as_ref()),
        (row.address("email"), row.email.as_ref()),
        (row.address("first_name"), row.first_name.as_ref()),
        (row.address("last_name"), row.last_name.as_ref()),
        (row.address("phone"), row.phone.as_ref()),
    ];
    let mut body = body(row, open(&reads.keys, closed).await?);
    // Of whom nothing was known but that they were there, no field tells; the request does.
    if let (Some(redaction), Some(request)) = (&mut body.redaction, row.redacted_by)
        && redaction.certificate.is_none()
    {
        let request =
            gdpr_requests::find(&reads.store, scope, request).await.map_err(|error| of_store(&error))?;
        redaction.certificate = request.and_then(|request| request.certified()).map(|one| one.id.to_string());
    }
    Ok(body)
}

fn body(row: &Customer, fields: [Field; 5]) -> UserBody {
    let customer_id = row.customer.to_string();
    let erased = (row.standing == Standing::Redacted).then_some(None);
    if let Some(certificate) = shredded(&fields).or(erased) {
        let redaction = Some(RedactedBody::new(certificate));
        return UserBody { customer_id, status: "redacted", into: None, profile: None, redaction };
    }
    let [shopify_customer_id, email, first_name, last_name, phone] = fields.map(Field::text);
    let profile = ProfileBody {
        shopify_customer_id,
        email,
        email_verified: row.email_verified,
        first_name,
        last_name,
        phone,
        registered_by: row.registered_by.as_str(),
        registered_at: time(row.registered_at),
        updated_at: time(row.updated_at),
    };
    UserBody {
        customer_id,
        status: row.standing.as_str(),
        into: row.merged_into.map(|customer| customer.to_string()),
        profile: Some(profile),
        redaction: None,
    }
}

/// One key seals all fields, so one that is shredded speaks for all.
fn shredded(fields: &[Field]) -> Option<Option<String>> {
    fields.iter().find_map(|field| match field {
        Field::Shredded { certificate } => Some(certificate.clone()),
        Field::Absent | Field::Clear(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        MerchantId, Sealed, Timestamp,
        customer::RegisteredBy,
        sample::{CUSTOMER, ENTRY},
    };
    use projections::{Json, Origin};

    use super::*;

    #[test]
    fn of_an_erased_customer_only_the_certificate_is_left() {
        let sealed = || Some(Sealed(vec![1]));
        let row = Customer {
            merchant: MerchantId(ENTRY.0),
            customer: CUSTOMER,
            shopify_customer_id: None,
            email: sealed(),
            first_name: sealed(),
            last_name: None,
            phone: None,
            origin: Json(Origin { record: ENTRY.0, index: 0, version: 1, event_type: 201 }),
            email_verified: true,
            registered_by: RegisteredBy::Customer,
            standing: Standing::Active,
            merged_into: None,
            redacted_by: None,
            registered_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        let shredded = || Field::Shredded { certificate: Some("certificate 7".to_owned()) };
        let body = body(&row, [Field::Absent, shredded(), shredded(), Field::Absent, Field::Absent]);
        let expected = serde_json::json!({
            "customer_id": CUSTOMER.to_string(),
            "status": "redacted",
            "redaction": { "redacted": true, "certificate": "certificate 7" },
        });
        assert_eq!(serde_json::to_value(body).unwrap(), expected);
    }
}
