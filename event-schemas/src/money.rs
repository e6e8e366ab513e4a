//! Money in integer minor units with its ISO 4217 currency, and the exact earn rate.
use std::{borrow::Cow, fmt, str::FromStr};

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Points, points::Overflow};

/// An ISO 4217 currency that has minor units (a number of places, perhaps 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// Why a text is not money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a currency of ISO 4217 with minor units.
    #[error("expected a three-letter ISO 4217 currency code")]
    Currency,
    /// Not a plain decimal number.
    #[error("expected a decimal number such as 54.93, without exponent")]
    Number,
    /// More places than the currency has.
    #[error("expected at most {places} decimal places")]
    TooPrecise {
        /// Places the currency has.
        places: u32,
    },
    /// Beyond 64 bits of minor units.
    #[error("expected an amount within 64 bits of minor units")]
    TooLarge,
}

/// Why a text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a decimal number from 0 to 1000000 with at most six places, without exponent")]
pub struct NotARate;

impl Currency {
    /// The currency with this three-letter code, in capitals.
    pub fn try_new(code: &str) -> Result<Self, Invalid> {
        iso_currency::Currency::from_code(code)
            .filter(|known| known.exponent().is_some())
            .map(Self)
            .ok_or(Invalid::Currency)
    }

    /// Decimal places of the minor unit: JPY 0, USD 2, KWD 3.
    #[must_use]
    pub fn places(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Minor units in one major unit.
    #[must_use]
    pub fn minor_per_major(self) -> i64 {
        10_i64.pow(self.places())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in the minor units of its currency, such as 5493 for USD 54.93.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// The amount in minor units.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// Nothing, in this currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Reads a decimal text such as `54.93`. Zeros behind the last place are accepted, other digits are not.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, Invalid> {
        let scaled = scaled(text, currency.places())?;
        Ok(Self { minor: scaled, currency })
    }

    /// The amount as a decimal text with all places of its currency.
    #[must_use]
    pub fn amount(self) -> String {
        unscaled(self.minor, self.currency.places() as usize)
    }
}

/// Points per major unit of a currency, exact to six decimal places; written as a decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    millionths: i64,
}

impl Rate {
    /// No points.
    pub const ZERO: Self = Self { millionths: 0 };

    /// One point per major unit.
    pub const ONE: Self = Self { millionths: 1_000_000 };

    /// Reads a decimal text from `0` to `1000000` with at most six places.
    pub fn parse(text: &str) -> Result<Self, NotARate> {
        let millionths = scaled(text, 6).map_err(|_| NotARate)?;
        (0..=1_000_000_000_000).contains(&millionths).then_some(Self { millionths }).ok_or(NotARate)
    }

    /// `floor(amount × rate)`; nothing for an amount below zero.
    pub fn points_for(self, amount: Money) -> Result<Points, Overflow> {
        let product = i128::from(amount.minor.max(0)) * i128::from(self.millionths);
        let points = product / (i128::from(amount.currency.minor_per_major()) * 1_000_000);
        i64::try_from(points).map(Points).map_err(|_| Overflow)
    }

    /// What a bonus adds: `floor(amount × rate × (multiplier − 1))`; nothing for an amount below zero.
    pub fn bonus_for(self, multiplier: Self, amount: Money) -> Result<Points, Overflow> {
        let factor = i128::from(self.millionths) * i128::from((multiplier.millionths - 1_000_000).max(0));
        let product = i128::from(amount.minor.max(0)).checked_mul(factor).ok_or(Overflow)?;
        let points = product / (i128::from(amount.currency.minor_per_major()) * 1_000_000_000_000);
        i64::try_from(points).map(Points).map_err(|_| Overflow)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = unscaled(self.millionths, 6);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn scaled(text: &str, places: u32) -> Result<i64, Invalid> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-') {
        return Err(Invalid::Number);
    }
    let decimal = Decimal::from_str_exact(text).map_err(|_| Invalid::Number)?.normalize();
    if decimal.scale() > places {
        return Err(Invalid::TooPrecise { places });
    }
    let factor = 10_i128.pow(places - decimal.scale());
    let minor = decimal.mantissa().checked_mul(factor).ok_or(Invalid::TooLarge)?;
    i64::try_from(minor).map_err(|_| Invalid::TooLarge)
}

fn unscaled(minor: i64, places: usize) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", minor.unsigned_abs(), width = places + 1);
    let (major, rest) = digits.split_at(digits.len() - places);
    if places == 0 { format!("{sign}{major}") } else { format!("{sign}{major}.{rest}") }
}

macro_rules! as_text {
    ($name:ident, $parse:path, $error:ty, $description:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                $parse(&text).map_err(D::Error::custom)
            }
        }

        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                $parse(text)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description })
            }
        }

        impl crate::personal::Plain for $name {}
    };
}

as_text!(Currency, Currency::try_new, Invalid, "ISO 4217 code");
as_text!(Rate, Rate::parse, NotARate, "Points per major unit, a decimal text with at most six places");

impl crate::personal::Plain for Money {}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::try_new(code).unwrap()
    }

    #[test]
    fn amounts_are_read_and_written_with_the_places_of_their_currency() {
        for (text, code, minor, written) in [
            ("54.93", "USD", 5493, "54.93"),
            ("54.9", "USD", 5490, "54.90"),
            ("1000", "JPY", 1000, "1000"),
            ("1000.00", "JPY", 1000, "1000"),
            ("1.234", "KWD", 1234, "1.234"),
            ("-0.05", "EUR", -5, "-0.05"),
        ] {
            let money = Money::parse(text, currency(code)).unwrap();
            assert_eq!((money.minor, money.amount().as_str()), (minor, written), "{text} {code}");
        }
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused() {
        for (text, code, why) in [
            ("10.999", "USD", Invalid::TooPrecise { places: 2 }),
            ("0.5", "JPY", Invalid::TooPrecise { places: 0 }),
            ("1e3", "USD", Invalid::Number),
            ("", "USD", Invalid::Number),
            ("1,5", "USD", Invalid::Number),
            ("NaN", "USD", Invalid::Number),
            ("99999999999999999999", "USD", Invalid::TooLarge),
        ] {
            assert_eq!(Money::parse(text, currency(code)), Err(why), "{text} {code}");
        }
        assert_eq!(Currency::try_new("usd"), Err(Invalid::Currency));
        assert_eq!(Currency::try_new("XXX"), Err(Invalid::Currency));
    }

    #[test]
    fn a_rate_floors_once_over_the_whole_amount() {
        let rate = Rate::parse("1.5").unwrap();
        assert_eq!(rate.points_for(Money::parse("54.93", currency("USD")).unwrap()), Ok(Points(82)));
        assert_eq!(rate.points_for(Money::parse("1001", currency("JPY")).unwrap()), Ok(Points(1501)));
        assert_eq!(rate.points_for(Money { minor: -1, currency: currency("USD") }), Ok(Points(0)));
        assert_eq!(
            rate.bonus_for(Rate::parse("2.5").unwrap(), Money { minor: 5493, currency: currency("USD") }),
            Ok(Points(123))
        );
        assert_eq!(
            rate.bonus_for(Rate::ONE, Money { minor: 5493, currency: currency("USD") }),
            Ok(Points(0))
        );
        for text in ["-1", "1000000.1", "1e3", "0.0000001", ""] {
            assert_eq!(Rate::parse(text), Err(NotARate), "{text}");
        }
        assert_eq!(rate.to_string(), "1.5");
        assert_eq!(Rate::ONE.to_string(), "1");
    }
}
