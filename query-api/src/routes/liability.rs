//! GET /v1/api/points/liability: what a shop's outstanding points would cost, with the formula.
use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use event_schemas::{Currency, Money, Points, points_account::Ledger};
use http_edge::{Merchant, Problem, ProblemBody, Query};
use projections::{merchants, points_liability, program_settings};
use serde::Serialize;
use utoipa::ToSchema;

use super::REFERENCE_PARTITION;
use crate::{
    Reads,
    answers::{MoneyBody, time},
    documented::{Fresh, Problems},
    failure::of_store,
};

/// What outstanding points would cost.
#[derive(Serialize, ToSchema)]
pub(crate) struct LiabilityBody {
    /// Points that may still be redeemed: `available`, `pending`, `reserved` and `in-transit`.
    outstanding: i64,
    /// Points for one major unit of discount, as the settings have it now.
    points_per_unit: u64,
    /// What all outstanding points would buy, rounded down.
    value: MoneyBody,
    /// How much of what ends is never redeemed; null as long as nothing ended.
    breakage: Option<BreakageBody>,
    /// How all of this is worked out.
    formula: String,
    /// The accounts of the double entry, signed: where points are and where they went with a plus, where they came from
    /// with a minus. They sum to zero.
    ledger: BTreeMap<&'static str, i64>,
    #[schema(format = DateTime)]
    as_of: String,
}

/// What of the points is never redeemed, going by those that ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct BreakageBody {
    /// A decimal text from 0 to 1, rounded down to four places.
    #[schema(example = "0.1250")]
    rate: String,
    /// `value` less that part, rounded down.
    value: MoneyBody,
}

/// What a shop's outstanding points would cost, told with the formula.
#[utoipa::path(
    get,
    path = "/v1/api/points/liability",
    operation_id = "points_liability",
    tag = "points",
    params(Fresh),
    security(("merchant" = [])),
    responses(
        (status = 200, body = LiabilityBody),
        Problems,
        (status = 404, description = "shop-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn liability(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Fresh>,
) -> Result<Json<LiabilityBody>, Problem> {
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    reads.settle(REFERENCE_PARTITION).await?;
    let failed = |error: projections::Error| of_store(&error);
    let not_found = || Problem::not_found("shop-not-found", "The shop has no settings");
    let shop = merchants::find(&reads.store, scope).await.map_err(failed)?.ok_or_else(not_found)?;
    let settings =
        program_settings::find(&reads.store, scope).await.map_err(failed)?.ok_or_else(not_found)?;
    let ledger: BTreeMap<Ledger, Points> =
        points_liability::find(&reads.store, scope).await.map_err(failed)?.into_iter().collect();
    let price =
        Price { currency: shop.currency, points_per_unit: settings.settings.0.redeem.points_per_unit };
    Ok(Json(body(&ledger, price, time((reads.now)()))))
}

/// What points buy.
#[derive(Clone, Copy)]
struct Price {
    currency: Currency,
    points_per_unit: u64,
}

impl Price {
    /// What `points × numerator ÷ denominator` points buy, rounded down once.
    fn of(self, points: i64, numerator: i64, denominator: i64) -> Money {
        let minor = i128::from(points) * i128::from(self.currency.minor_per_major()) * i128::from(numerator);
        let divisor = i128::from(self.points_per_unit) * i128::from(denominator);
        let minor = minor.checked_div(divisor).unwrap_or(0);
        Money { minor: i64::try_from(minor).unwrap_or(i64::MAX), currency: self.currency }
    }
}

fn body(ledger: &BTreeMap<Ledger, Points>, price: Price, as_of: String) -> LiabilityBody {
    let of = |account: Ledger| ledger.get(&account).map_or(0, |points| points.0);
    let held = [Ledger::Available, Ledger::Pending, Ledger::Reserved, Ledger::InTransit];
    let outstanding = held.into_iter().fold(0_i64, |sum, account| sum.saturating_add(of(account)));
    let (redeemed, expired) = (of(Ledger::Redeemed), of(Ledger::Expired));
    let ended = redeemed.saturating_add(expired);
    let breakage = (ended > 0).then(|| BreakageBody {
        rate: ten_thousandths(expired, ended),
        value: price.of(outstanding, redeemed, ended).into(),
    });
    let unit = price.currency.code();
    let mut formula = format!(
        "outstanding = available + pending + reserved + in-transit; value = outstanding / {} per {unit} 1; \
         debt is not set off",
        price.points_per_unit
    );
    formula.push_str(match &breakage {
        Some(_) => {
            "; breakage.rate = expired / (expired + redeemed); breakage.value = value x (1 - breakage.rate)"
        }
        None => "; breakage is unknown: no points were redeemed and none expired yet",
    });
    LiabilityBody {
        outstanding,
        points_per_unit: price.points_per_unit,
        value: price.of(outstanding, 1, 1).into(),
        breakage,
        formula,
        ledger: ledger.iter().map(|(account, points)| (account.as_str(), points.0)).collect(),
        as_of,
    }
}

/// `part ÷ whole` as a decimal text with four places, rounded down.
fn ten_thousandths(part: i64, whole: i64) -> String {
    let share = (i128::from(part) * 10_000).checked_div(i128::from(whole)).unwrap_or(0);
    format!("{}.{:04}", share / 10_000, share % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(points_per_unit: u64) -> Price {
        Price { currency: Currency::try_new("USD").unwrap(), points_per_unit }
    }

    #[test]
    fn points_are_worth_what_they_buy_and_breakage_is_told_once_something_ended() {
        let mut ledger = BTreeMap::from([
            (Ledger::Issued, Points(-1_000)),
            (Ledger::Available, Points(700)),
            (Ledger::Pending, Points(300)),
        ]);
        let fresh = body(&ledger, usd(100), String::new());
        assert_eq!((fresh.outstanding, fresh.value.amount.as_str()), (1_000, "10.00"));
        assert!(fresh.breakage.is_none() && fresh.formula.contains("breakage is unknown"));
        ledger.extend([
            (Ledger::Available, Points(100)),
            (Ledger::Redeemed, Points(450)),
            (Ledger::Expired, Points(150)),
        ]);
        let later = body(&ledger, usd(100), String::new());
        let breakage = later.breakage.unwrap();
        assert_eq!((later.outstanding, later.value.amount.as_str()), (400, "4.00"));
        assert_eq!((breakage.rate.as_str(), breakage.value.amount.as_str()), ("0.2500", "3.00"));
    }

    #[test]
    fn values_round_down_and_take_the_largest_numbers() {
        let ledger = BTreeMap::from([(Ledger::Available, Points(199))]);
        assert_eq!(body(&ledger, usd(300), String::new()).value.amount, "0.66");
        let ledger =
            BTreeMap::from([(Ledger::Available, Points(i64::MAX)), (Ledger::Expired, Points(i64::MAX))]);
        let largest = body(&ledger, usd(100), String::new());
        assert_eq!(largest.breakage.unwrap().rate, "1.0000");
        assert_eq!(largest.value.amount, "92233720368547758.07");
    }
}
