//! Shapes that several answers share.
use event_schemas::{Money, Timestamp, reward::Benefit};
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

/// What a reward gives.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum BenefitBody {
    /// This much off.
    FixedDiscount { amount: MoneyBody },
    /// A part of the order off, in percent.
    Percentage { percent: u8 },
    /// Shipping costs nothing.
    FreeShipping,
}

impl From<Benefit> for BenefitBody {
    fn from(benefit: Benefit) -> Self {
        match benefit {
            Benefit::FixedDiscount { amount } => Self::FixedDiscount { amount: amount.into() },
            Benefit::Percentage { percent } => Self::Percentage { percent },
            Benefit::FreeShipping => Self::FreeShipping,
        }
    }
}
