//! Requests about a person's data. They are never told as done: each is parked, in sight, until it can be carried out.
use super::{
    fields::{Flaw, Object, Unusable},
    plan::{ShopFacts, Translated},
};

pub(super) fn erasure(_: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    Err(Unusable::new("erasure", Flaw::AwaitsNewerProgram))
}

pub(super) fn data_request(_: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    Err(Unusable::new("data-request", Flaw::AwaitsNewerProgram))
}
