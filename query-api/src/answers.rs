//! Shapes that several answers share.
use event_schemas::{Money, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// Money as a decimal text with all places of its currency.
#[derive(Serialize, ToSchema)]
pub(crate) struct MoneyBody {
    /// Such as `54.93`.
    #[schema(example = "54.93")]
    pub(crate) amount: String,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub(crate) currency: String,
}

impl From<Money> for MoneyBody {
    fn from(money: Money) -> Self {
        Self { amount: money.amount(), currency: money.currency.code().to_owned() }
    }
}

/// A time as RFC 3339 in UTC.
pub(crate) fn time(time: Timestamp) -> String {
    time.to_string()
}
