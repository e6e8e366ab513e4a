//! Who is asking: a merchant's program or the operator, by bearer token.
use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use privacy::MerchantScope;

use crate::Problem;

/// Verifies tokens; the only way to a [`MerchantScope`].
pub trait Auth: Send + Sync {
    /// The merchant whose token this is.
    fn merchant(&self, token: &str) -> Option<MerchantScope>;
    /// Whether this is the operator's token.
    fn operator(&self, token: &str) -> bool;
}

/// A router state that knows how to verify tokens.
pub trait WithAuth {
    /// The verifier.
    fn auth(&self) -> &dyn Auth;
}

impl<T: WithAuth> WithAuth for Arc<T> {
    fn auth(&self) -> &dyn Auth {
        T::auth(self)
    }
}

/// The request comes with a merchant's token (`admin:full`).
#[derive(Clone, Copy, Debug)]
pub struct Merchant(pub MerchantScope);

/// The request comes with the operator's token.
#[derive(Clone, Copy, Debug)]
pub struct Operator;

impl<S: WithAuth + Sync> FromRequestParts<S> for Merchant {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let scope = bearer(parts).and_then(|token| state.auth().merchant(token));
        scope.map(Self).ok_or_else(|| unauthenticated("a merchant's token as `Authorization: Bearer …`"))
    }
}

impl<S: WithAuth + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let known = bearer(parts).is_some_and(|token| state.auth().operator(token));
        known
            .then_some(Self)
            .ok_or_else(|| unauthenticated("the operator's token as `Authorization: Bearer …`"))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthenticated(expected: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "The token is missing or not valid here")
        .field("Authorization", format!("expected {expected}"))
}
