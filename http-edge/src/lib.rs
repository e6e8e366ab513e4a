//! What the write and the read API share at the edge: problems, request ids, authentication, strict input.
mod auth;
mod context;
mod input;
mod json;
mod middleware;
mod problem;

pub use auth::{Auth, Merchant, Operator, WithAuth};
pub use context::RequestContext;
pub use input::{BODY_LEN_MAX, Body, DEPTH_MAX, Path, Query, SHOPIFY_ID, read_value, shopify_id};
pub use json::{Malformed, check_json, read_json};
pub use middleware::finish;
pub use problem::{FieldError, Problem, ProblemBody};
