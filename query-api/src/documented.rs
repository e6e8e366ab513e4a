//! What every read may answer instead, and what it may be asked for, as the OpenAPI document tells it: said once.
use std::collections::BTreeMap;

use event_schemas::CustomerId;
use serde::Deserialize;
use utoipa::{
    IntoParams, IntoResponses,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

/// The problems of every read of a shop.
pub(crate) enum Problems {}

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[
            ("400", "invalid-parameter"),
            ("401", "unauthenticated"),
            ("409", "other-history"),
            ("503", "not-caught-up, projections-stopped"),
        ])
    }
}

/// Those of a read of one customer.
pub(crate) enum CustomerProblems {}

impl IntoResponses for CustomerProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = Problems::responses();
        all.append(&mut documented(&[("404", "customer-not-found")]));
        all
    }
}

/// Each status with the codes that it may have.
fn documented(codes: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let problem = |(status, codes): &(&str, &str)| {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
        let response = ResponseBuilder::new().description(*codes).content("application/problem+json", body);
        ((*status).to_owned(), RefOr::T(response.build()))
    };
    codes.iter().map(problem).collect()
}

/// How fresh the answer must be.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Fresh {
    /// The `position` of an earlier answer: this one must not be older.
    pub(crate) min_position: Option<String>,
}

/// Which page of what one customer has.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CustomerPage {
    /// The customer.
    #[param(value_type = uuid::Uuid)]
    pub(crate) customer_id: CustomerId,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Items per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    pub(crate) min_position: Option<String>,
}
