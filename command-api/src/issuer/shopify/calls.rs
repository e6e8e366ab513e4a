//! The three calls to the Admin API: their GraphQL, their variables, and what an answer means.
use event_schemas::{Code, Timestamp, reward::Benefit};
use serde_json::{Value, json};

use super::client::Failure;
use crate::issuer::Worth;

/// One call. Its answer is read from `data`.
pub(super) trait Call: Sync {
    type Answer;
    fn query(&self) -> &'static str;
    fn variables(&self) -> Value;
    fn answer(&self, data: &Value) -> Result<Self::Answer, Failure>;
}

/// Makes a discount with one code that one order can use.
pub(super) struct Create<'a> {
    pub(super) title: &'a str,
    pub(super) code: &'a str,
    pub(super) worth: Worth,
    /// From when on it is good no more.
    pub(super) until: Option<Timestamp>,
}

/// What came of a create.
pub(super) enum Made {
    Done,
    /// There is a discount with this code already.
    Taken,
    /// Shopify will never make it, for this reason.
    Refused(Code),
}

const CREATE_BASIC: &str = "mutation LoyalNestCreate($discount: DiscountCodeBasicInput!) {
  made: discountCodeBasicCreate(basicCodeDiscount: $discount) {
    codeDiscountNode { id }
    userErrors { code field message }
  }
}";

const CREATE_FREE_SHIPPING: &str = "mutation LoyalNestCreate($discount: DiscountCodeFreeShippingInput!) {
  made: discountCodeFreeShippingCreate(freeShippingCodeDiscount: $discount) {
    codeDiscountNode { id }
    userErrors { code field message }
  }
}";

impl Call for Create<'_> {
    type Answer = Made;

    fn query(&self) -> &'static str {
        match self.worth.benefit {
            Benefit::FixedDiscount { .. } | Benefit::Percentage { .. } => CREATE_BASIC,
            Benefit::FreeShipping => CREATE_FREE_SHIPPING,
        }
    }

    fn variables(&self) -> Value {
        let mut discount = json!({
            "title": self.title,
            "code": self.code,
            "startsAt": self.worth.from,
            "endsAt": self.until,
            "usageLimit": 1,
            "appliesOncePerCustomer": true,
            "context": { "all": "ALL" },
        });
        let off = |value: Value| json!({ "value": value, "items": { "all": true } });
        match self.worth.benefit {
            Benefit::FixedDiscount { amount } => {
                let amount = json!({ "amount": amount.amount(), "appliesOnEachItem": false });
                discount["customerGets"] = off(json!({ "discountAmount": amount }));
            }
            Benefit::Percentage { percent } => {
                discount["customerGets"] = off(json!({ "percentage": fraction(percent) }));
            }
            Benefit::FreeShipping => discount["destination"] = json!({ "all": true }),
        }
        json!({ "discount": discount })
    }

    fn answer(&self, data: &Value) -> Result<Made, Failure> {
        let made = &data["made"];
        match user_errors(made)?.as_slice() {
            [] if made["codeDiscountNode"]["id"].is_string() => Ok(Made::Done),
            [] => Err(Failure::Unreadable),
            errors if errors.contains(&"INTERNAL_ERROR") => Err(Failure::TryAgain),
            errors if errors.contains(&"TAKEN") => Ok(Made::Taken),
            [first, ..] => Ok(Made::Refused(reason(first))),
        }
    }
}

/// Finds the discount that has a code.
pub(super) struct FindByCode<'a> {
    pub(super) code: &'a str,
}

/// A discount.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) title: String,
    /// Orders that used it.
    pub(super) used: u64,
}

impl Call for FindByCode<'_> {
    type Answer = Option<Found>;

    fn query(&self) -> &'static str {
        "query LoyalNestFind($code: String!) {
  found: codeDiscountNodeByCode(code: $code) {
    id
    codeDiscount {
      ... on DiscountCodeBasic { title asyncUsageCount }
      ... on DiscountCodeFreeShipping { title asyncUsageCount }
    }
  }
}"
    }

    fn variables(&self) -> Value {
        json!({ "code": self.code })
    }

    fn answer(&self, data: &Value) -> Result<Option<Found>, Failure> {
        match data.get("found") {
            Some(Value::Null) => Ok(None),
            Some(found) => {
                let id = found["id"].as_str().ok_or(Failure::Unreadable)?.to_owned();
                // A kind of discount that we never make has no title here, so it is not ours.
                let title = found["codeDiscount"]["title"].as_str().unwrap_or_default().to_owned();
                let used = found["codeDiscount"]["asyncUsageCount"].as_u64().unwrap_or_default();
                Ok(Some(Found { id, title, used }))
            }
            None => Err(Failure::Unreadable),
        }
    }
}

/// Makes a discount void.
pub(super) struct Deactivate<'a> {
    pub(super) id: &'a str,
}

impl Call for Deactivate<'_> {
    type Answer = ();

    fn query(&self) -> &'static str {
        "mutation LoyalNestVoid($id: ID!) {
  voided: discountCodeDeactivate(id: $id) {
    codeDiscountNode { id }
    userErrors { code field message }
  }
}"
    }

    fn variables(&self) -> Value {
        json!({ "id": self.id })
    }

    fn answer(&self, data: &Value) -> Result<(), Failure> {
        match user_errors(&data["voided"])?.first() {
            None => Ok(()),
            Some(&"INTERNAL_ERROR") => Err(Failure::TryAgain),
            Some(code) => Err(Failure::NotVoided(reason(code))),
        }
    }
}

/// The codes of a mutation's user errors. Their messages may quote what was sent, so they are not kept.
fn user_errors(answered: &Value) -> Result<Vec<&str>, Failure> {
    let errors = answered["userErrors"].as_array().ok_or(Failure::Unreadable)?;
    Ok(errors.iter().map(|error| error["code"].as_str().unwrap_or("UNKNOWN")).collect())
}

/// 15 percent as the JSON number 0.15.
fn fraction(percent: u8) -> Value {
    let digits = format!("{}.{:02}", percent / 100, percent % 100);
    digits.parse().map_or(Value::Null, Value::Number)
}

/// `VALUE_OUTSIDE_RANGE` as `shopify-value-outside-range`.
fn reason(code: &str) -> Code {
    let kebab = format!("shopify-{}", code.to_ascii_lowercase().replace('_', "-"));
    Code::try_new(kebab).unwrap_or_else(|_| Code::fixed("shopify-refused"))
}
