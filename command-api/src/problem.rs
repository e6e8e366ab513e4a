//! Rejections, faults and conflicts as problems: which status each has, exhaustively.
use axum::http::StatusCode;
use domain::{Rejection, redemption::NotRedeemable};
use http_edge::Problem;

use crate::{clock::NotMoved, commands::Unavailable, requests::is_erased};

/// A rejection as the caller sees it.
#[must_use]
pub fn rejected(rejection: &Rejection) -> Problem {
    let problem = Problem::new(status(rejection), rejection.code(), rejection.title());
    match rejection {
        Rejection::InsufficientPoints { needed, available } => {
            problem.detail(format!("{needed} points are needed, {available} can be spent"))
        }
        Rejection::AccountMerged { into } => {
            problem.detail(format!("the account of customer {into} goes on"))
        }
        Rejection::ActionLimitReached { limit, per } => {
            problem.detail(format!("the action earns {limit} times per {}", per.as_str()))
        }
        Rejection::RedemptionNotCancellable { reason: Some(reason) } if reason.as_str() == "code-used" => {
            problem.detail("code-used: an order used the code, so its discount was had")
        }
        Rejection::RedemptionNotCancellable { reason: Some(status) } => {
            problem.detail(format!("expected a redemption that is completed, this one is {status}"))
        }
        Rejection::InvalidSetting { pointer, expected } => problem.field(pointer, expected.as_str()),
        Rejection::CurrencyMismatch { expected, .. } => problem.detail(format!("expected {expected}")),
        Rejection::TooManyLots { max } => {
            problem.field("/points", format!("expected points that come from at most {max} awards"))
        }
        Rejection::TransferToSelf => problem.field("/to_customer_id", "expected another customer"),
        _ => problem,
    }
}

const fn status(rejection: &Rejection) -> StatusCode {
    match rejection {
        Rejection::UnknownMerchant
        | Rejection::UnknownOrder
        | Rejection::UnknownRedemption
        | Rejection::UnknownReward
        | Rejection::LotUnknown
        | Rejection::TransferUnknown
        | Rejection::UnknownRequest => StatusCode::NOT_FOUND,
        Rejection::InsufficientPoints { .. }
        | Rejection::TooManyLots { .. }
        | Rejection::SettingsChanged
        | Rejection::SourceConflict
        | Rejection::ShopExists
        | Rejection::OrderHasCustomer
        | Rejection::ReservationEnded
        | Rejection::PointsNotSpent
        | Rejection::RedemptionNotCancellable { .. }
        | Rejection::RedemptionEnded
        | Rejection::CodeNotIssued
        | Rejection::AccountFrozen
        | Rejection::AccountMerged { .. }
        | Rejection::AccountRedacted
        | Rejection::ShopRedacted
        | Rejection::StepTooEarly
        | Rejection::RequestEnded
        | Rejection::TransferEnded
        | Rejection::ActionLimitReached { .. }
        | Rejection::ActionNotConfigured
        | Rejection::RewardRetired => StatusCode::CONFLICT,
        Rejection::PointsOverflow
        | Rejection::AmountOverflow
        | Rejection::PointsNotPositive
        | Rejection::AdjustmentZero
        | Rejection::InvalidSetting { .. }
        | Rejection::MergeToSelf
        | Rejection::TransferToSelf
        | Rejection::InvalidExpiry
        | Rejection::InvalidBenefit
        | Rejection::InvalidSequence
        | Rejection::CurrencyMismatch { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Rejection::WrongStream => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The points buy no whole discount.
#[must_use]
pub fn not_redeemable(not: &NotRedeemable) -> Problem {
    let text = not.to_string();
    Problem::unprocessable(not.code(), "These points give no whole discount")
        .detail(text.clone())
        .field("/points", text)
}

/// The customer was erased.
pub(crate) fn account_redacted() -> Problem {
    Problem::conflict("account-redacted", "The customer was erased")
}

/// The whole shop was erased.
pub(crate) fn shop_redacted() -> Problem {
    rejected(&Rejection::ShopRedacted)
}

/// Whether it says that a customer, or the whole shop, was erased.
pub(crate) fn is_of_erased(problem: &Problem) -> bool {
    [Rejection::AccountRedacted, Rejection::ShopRedacted].iter().any(|erased| problem.code() == erased.code())
}

/// The key store failed a request.
pub(crate) fn key_fault(error: &privacy::Error) -> Problem {
    match error {
        privacy::Error::Redacted { .. } | privacy::Error::Erased { .. } => account_redacted(),
        privacy::Error::ShopErased { .. } => shop_redacted(),
        privacy::Error::Unavailable(_) => {
            Problem::unavailable("keys-unavailable", "The key store cannot be reached").fault(error)
        }
        privacy::Error::Damaged { .. } => broken("key-damaged", "A key does not open", error),
        privacy::Error::KeyMissing { .. } => broken("key-missing", "A key is missing", error),
        other => Problem::internal(other),
    }
}

/// 500 that names the key, by random ids.
fn broken(code: &'static str, title: &'static str, error: &privacy::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code, title).detail(error.to_string()).fault(error)
}

/// This node has not read as far as to know the shop, or not at all.
pub(crate) fn shop_not_loaded() -> Problem {
    Problem::unavailable("shop-not-loaded", "This node has not heard of the shop yet")
}

/// work.db failed a request.
pub(crate) fn work_fault(error: &group_commit::Fault) -> Problem {
    Problem::unavailable("store-unavailable", "The store cannot be reached").fault(error)
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        match &unavailable {
            Unavailable::Overloaded => Self::unavailable("overloaded", "Too much is waiting"),
            Unavailable::NotOwned => Self::unavailable("not-owned", "The partition changes hands"),
            Unavailable::Stopped => Self::unavailable("partition-stopped", "The partition is stopped"),
            Unavailable::KeysAway => Self::unavailable("keys-unavailable", "The key store cannot be reached"),
            Unavailable::AggregateParked => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "aggregate-parked",
                "The account is parked after a fault",
            ),
            Unavailable::RecordTooLarge { .. } => {
                Self::unprocessable("record-too-large", "What this comes to is more than one record holds")
                    .detail(unavailable.to_string())
            }
            Unavailable::Fault(cause) => {
                of_keys(&**cause).map_or_else(|| Self::internal(&**cause), key_fault)
            }
        }
    }
}

/// Whether a fault goes back to an erased person, or shop.
pub(crate) fn erased(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    of_keys(cause).is_some_and(is_erased)
}

/// The word of the key store that a fault goes back to.
pub(crate) fn of_keys<'a>(
    cause: &'a (dyn std::error::Error + Send + Sync + 'static),
) -> Option<&'a privacy::Error> {
    let first: &(dyn std::error::Error + 'static) = cause;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref())
}

impl From<NotMoved> for Problem {
    fn from(not_moved: NotMoved) -> Self {
        match not_moved {
            NotMoved::Production => Self::new(
                StatusCode::FORBIDDEN,
                "not-in-production",
                "The clock can be moved in development mode only",
            ),
            NotMoved::Backward => Self::unprocessable("clock-goes-forward", "The clock never goes back")
                .field("/now", "expected a time after the clock's"),
            NotMoved::Store(fault) => work_fault(&fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::Points;

    use super::*;

    #[test]
    fn a_rejection_keeps_its_code_and_gets_its_status() {
        let short = Rejection::InsufficientPoints { needed: Points(11), available: Points(10) };
        for (rejection, status) in [
            (short, 409),
            (Rejection::SourceConflict, 409),
            (Rejection::ShopExists, 409),
            (Rejection::PointsOverflow, 422),
            (Rejection::UnknownRedemption, 404),
        ] {
            let problem = rejected(&rejection);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, rejection.code()));
        }
    }

    #[test]
    fn a_fault_of_the_keys_says_whether_somebody_was_erased_or_which_key_is_broken() {
        let (merchant, subject) =
            (event_schemas::MerchantId(uuid::Uuid::nil()), event_schemas::sample::CUSTOMER);
        let faults = [
            (privacy::Error::Redacted { merchant, subject }, 409, "account-redacted"),
            (privacy::Error::ShopErased { merchant }, 409, "shop-redacted"),
            (privacy::Error::KeyMissing { merchant, what: "of it".to_owned() }, 500, "key-missing"),
            (privacy::Error::Damaged { what: "it".to_owned() }, 500, "key-damaged"),
            (privacy::Error::OtherLog, 500, "internal-error"),
        ];
        for (source, status, code) in faults {
            let problem = key_fault(&source);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
            let sealing = event_schemas::personal::SealError { field: "email", source: source.into() };
            let problem = Problem::from(Unavailable::fault(sealing));
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }
}
