//! What points buy: a whole number of minor units, or the nearest number of points that does.
use event_schemas::{Currency, Money, Points, merchant::Redeem, points::Overflow};

/// The points buy no whole discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match .next_lower {
    Some(points) => format!("these points give no whole discount; the next lower number that does is {points}"),
    None => format!("the least number of points that can be redeemed is {least}"),
})]
pub struct NotRedeemable {
    /// The next lower number of points that can be redeemed, if there is one.
    pub next_lower: Option<Points>,
    /// The least number of points that can be redeemed.
    pub least: Points,
}

impl NotRedeemable {
    /// Stable name in kebab-case.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "not-redeemable-amount"
    }
}

/// The discount that this many points buy.
///
/// # Errors
/// `NotRedeemable` if they are fewer than the programme allows, or do not come to at least one minor unit exactly.
pub fn quote(points: Points, redeem: &Redeem, currency: Currency) -> Result<Money, NotRedeemable> {
    let minor_per_major = i128::from(currency.minor_per_major());
    let points_per_unit = i128::from(redeem.points_per_unit.max(1));
    let step = points_per_unit / gcd(points_per_unit, minor_per_major);
    let least = (i128::from(redeem.min_points.max(1)) + step - 1) / step * step;
    // Beyond this the discount would not fit 64 bits.
    let most = i128::from(i64::MAX).min(i128::from(i64::MAX) * points_per_unit / minor_per_major);
    let asked = i128::from(points.0);
    let nearest = asked.min(most) / step * step;
    let discount = i64::try_from(asked * minor_per_major / points_per_unit);
    match discount {
        Ok(minor) if nearest == asked && asked >= least => Ok(Money { minor, currency }),
        _ => Err(NotRedeemable {
            next_lower: (nearest >= least).then(|| saturating(nearest)),
            least: saturating(least),
        }),
    }
}

/// What this many points come to at a till, where nobody asks first: the discount is rounded down.
///
/// # Errors
/// Overflow if that is beyond 64 bits of minor units.
pub fn worth(points: Points, redeem: &Redeem, currency: Currency) -> Result<Money, Overflow> {
    let points_per_unit = i128::from(redeem.points_per_unit.max(1));
    let minor = i128::from(points.0) * i128::from(currency.minor_per_major()) / points_per_unit;
    Ok(Money { minor: i64::try_from(minor).map_err(|_| Overflow)?, currency })
}

/// What a discount that a till gave costs: a part of a point counts as a whole one.
///
/// # Errors
/// Overflow if that is beyond 64 bits.
pub fn price(discount: Money, redeem: &Redeem) -> Result<Points, Overflow> {
    let minor_per_major = i128::from(discount.currency.minor_per_major());
    let parts = i128::from(discount.minor) * i128::from(redeem.points_per_unit.max(1));
    let points = (parts + minor_per_major - 1) / minor_per_major;
    i64::try_from(points).map(Points).map_err(|_| Overflow)
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn saturating(points: i128) -> Points {
    Points(i64::try_from(points).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(
        points: i64,
        points_per_unit: u64,
        min_points: u64,
        code: &str,
    ) -> Result<i64, (Option<i64>, i64)> {
        let redeem = Redeem { points_per_unit, min_points, reinstate_grace_days: 0 };
        quote(Points(points), &redeem, code.parse().unwrap())
            .map(|money| money.minor)
            .map_err(|no| (no.next_lower.map(|points| points.0), no.least.0))
    }

    #[test]
    fn points_that_come_to_whole_minor_units_can_be_redeemed() {
        assert_eq!(quoted(1, 100, 1, "USD"), Ok(1));
        assert_eq!(quoted(500, 100, 1, "USD"), Ok(500));
        assert_eq!(quoted(500, 100, 1, "JPY"), Ok(5));
        assert_eq!(quoted(3, 150, 1, "USD"), Ok(2));
        assert_eq!(quoted(1, 100, 1, "KWD"), Ok(10));
        assert_eq!(quoted(7, 1, 1, "USD"), Ok(700));
    }

    #[test]
    fn others_are_told_the_next_lower_number_that_can() {
        assert_eq!(quoted(550, 100, 1, "JPY"), Err((Some(500), 100)));
        assert_eq!(quoted(4, 150, 1, "USD"), Err((Some(3), 3)));
        assert_eq!(quoted(1001, 1000, 1, "USD"), Err((Some(1000), 10)));
    }

    #[test]
    fn below_the_least_number_there_is_no_lower_one() {
        assert_eq!(quoted(99, 100, 1, "JPY"), Err((None, 100)));
        assert_eq!(quoted(499, 100, 500, "USD"), Err((None, 500)));
        assert_eq!(quoted(501, 150, 500, "USD"), Ok(334));
        assert_eq!(quoted(500, 150, 500, "USD"), Err((None, 501)));
        assert_eq!(quoted(0, 100, 1, "USD"), Err((None, 1)));
        assert_eq!(quoted(-100, 100, 1, "USD"), Err((None, 1)));
    }

    #[test]
    fn the_largest_numbers_neither_overflow_nor_lie() {
        let most = i64::MAX / 1000;
        assert_eq!(quoted(i64::MAX, 1, 1, "KWD"), Err((Some(most), 1)));
        assert_eq!(quoted(most, 1, 1, "KWD"), Ok(most * 1000));
        assert_eq!(quoted(1, i64::MAX.unsigned_abs(), 1, "JPY"), Err((None, i64::MAX)));
    }

    #[test]
    fn a_till_rounds_to_the_programmes_advantage_both_ways() {
        let redeem = |points_per_unit| Redeem { points_per_unit, min_points: 1, reinstate_grace_days: 0 };
        let usd = |minor| Money { minor, currency: "USD".parse().unwrap() };
        for (points, points_per_unit, minor) in [(500, 100, 500), (4, 150, 2), (1, 1_000, 0)] {
            assert_eq!(worth(Points(points), &redeem(points_per_unit), usd(0).currency), Ok(usd(minor)));
        }
        for (minor, points_per_unit, points) in [(500, 100, 500), (2, 150, 3), (1, 150, 2)] {
            assert_eq!(price(usd(minor), &redeem(points_per_unit)), Ok(Points(points)));
        }
        assert_eq!(worth(Points(i64::MAX), &redeem(1), usd(0).currency), Err(Overflow));
        assert_eq!(price(usd(i64::MAX), &redeem(u64::MAX >> 1)), Err(Overflow));
    }

    #[test]
    fn the_message_names_the_number() {
        let redeem = Redeem { points_per_unit: 100, min_points: 1, reinstate_grace_days: 0 };
        let no = quote(Points(550), &redeem, "JPY".parse().unwrap()).unwrap_err();
        assert!(no.to_string().ends_with("is 500"), "{no}");
    }
}
