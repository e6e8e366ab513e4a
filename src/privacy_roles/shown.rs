//! Requests as the server gives them, and how people read them.
use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// One request.
pub(super) struct Request(Value);

/// A key that does not open or is missing, as the server tells it.
pub(super) struct DamagedKey(Value);

/// Some requests.
pub(super) struct Requests(pub(super) Vec<Request>);

impl Request {
    pub(super) const fn new(value: Value) -> Self {
        Self(value)
    }

    pub(super) const fn value(&self) -> &Value {
        &self.0
    }

    /// Whether a certificate says that it is done.
    pub(super) fn is_certified(&self) -> bool {
        self.0["certificate"].is_object()
    }

    /// Whether files can be fetched.
    pub(super) fn is_exported(&self) -> bool {
        matches!(self.text("status"), "prepared" | "delivered")
    }

    /// Whether it is neither late nor failing. What is certified and fails is not final when it should be.
    fn is_in_order(&self, now: DateTime<Utc>) -> bool {
        let is_done = self.is_certified() || self.is_exported();
        let due: Option<DateTime<Utc>> = self.text("due_at").parse().ok();
        !self.0["failure"].is_object() && (is_done || due.is_none_or(|due| now < due))
    }

    /// A line for each step it took, and one for what holds it up.
    pub(super) fn news(&self) -> Vec<String> {
        let steps = self.0["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let line = |step: &Value| format!("  {:<12} {}", text(step, "step"), text(step, "at"));
        let mut lines: Vec<String> = steps.iter().map(line).collect();
        let failure = &self.0["failure"];
        if failure.is_object() {
            let (step, reason) = (text(failure, "step"), text(failure, "reason"));
            lines.push(format!("  held up      {step}: {reason}; the server goes on trying"));
        }
        lines
    }

    fn text(&self, field: &str) -> &str {
        text(&self.0, field)
    }
}

impl DamagedKey {
    pub(super) const fn new(value: Value) -> Self {
        Self(value)
    }

    pub(super) const fn value(&self) -> &Value {
        &self.0
    }

    pub(super) fn is_of(&self, merchant: &str) -> bool {
        text(&self.0, "merchant_id") == merchant
    }
}

impl fmt::Display for DamagedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [merchant, kind, whose, fault] =
            ["merchant_id", "kind", "whose", "fault"].map(|field| text(&self.0, field));
        write!(f, "key of {kind} {whose} of merchant {merchant}")?;
        if let Some(epoch) = self.0["epoch"].as_u64() {
            write!(f, " in epoch {epoch}")?;
        }
        writeln!(f, ": {fault}")
    }
}

impl Requests {
    pub(super) fn are_in_order(&self) -> bool {
        let now = Utc::now();
        self.0.iter().all(|request| request.is_in_order(now))
    }

    pub(super) fn values(&self) -> Vec<&Value> {
        self.0.iter().map(Request::value).collect()
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [id, kind, source, due] =
            ["request_id", "kind", "source", "due_at"].map(|field| self.text(field));
        let day = due.split('T').next().unwrap_or_default();
        // What only the answer to the asking is known of says neither.
        let what = if kind.is_empty() { String::new() } else { format!("{kind} asked for by {source}, ") };
        writeln!(f, "{id}  {what}due {day}: {}", self.text("status"))?;
        self.news().iter().try_for_each(|line| writeln!(f, "{line}"))?;
        let certificate = &self.0["certificate"];
        if certificate.is_object() {
            writeln!(f, "  certificate  {} ({})", text(certificate, "id"), text(certificate, "level"))?;
        }
        let expires = text(&self.0["export"], "expires_at");
        if !expires.is_empty() {
            writeln!(f, "  files        until {expires}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "Nobody asked to be forgotten, or for their data.");
        }
        self.0.iter().try_for_each(|request| write!(f, "{request}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redaction() -> Value {
        json!({
            "request_id": "01a1", "kind": "redaction", "scope": "customer", "source": "shopify", "status": "destroyed",
            "requested_at": "2026-03-01T10:00:00Z", "due_at": "2026-03-31T10:00:00Z",
            "steps": [
                {"step": "requested", "at": "2026-03-01T10:00:00Z"}, {"step": "fenced", "at": "2026-03-01T10:00:01Z"},
            ],
            "failure": {"step": "purge", "reason": "store-unavailable", "at": "2026-03-01T10:00:02Z"},
        })
    }

    #[test]
    fn a_request_is_shown_with_its_steps_what_holds_it_up_and_its_certificate() {
        let mut value = redaction();
        let shown = "01a1  redaction asked for by shopify, due 2026-03-31: destroyed\n  \
            requested    2026-03-01T10:00:00Z\n  fenced       2026-03-01T10:00:01Z\n  \
            held up      purge: store-unavailable; the server goes on trying\n";
        assert_eq!(Request::new(value.clone()).to_string(), shown);
        value["certificate"] = json!({"id": "01a2", "level": "live"});
        value.as_object_mut().unwrap().remove("failure");
        let shown = Request::new(value).to_string();
        assert!(shown.ends_with("  certificate  01a2 (live)\n") && !shown.contains("held up"), "{shown}");
        assert_eq!(Requests(Vec::new()).to_string(), "Nobody asked to be forgotten, or for their data.\n");
    }

    #[test]
    fn a_request_that_was_just_taken_is_shown_by_its_id() {
        let taken = json!({"request_id": "01a1", "status": "requested", "held": true, "due_at": "2026-03-31T10:00:00Z"});
        assert_eq!(Request::new(taken).to_string(), "01a1  due 2026-03-31: requested\n");
    }

    #[test]
    fn a_damaged_key_is_shown_with_its_shop_and_its_fault() {
        let key = json!({"merchant_id": "m", "kind": "subject", "whose": "01a3", "epoch": 7, "fault": "does-not-open"});
        let shown = "key of subject 01a3 of merchant m in epoch 7: does-not-open\n";
        assert_eq!(DamagedKey::new(key).to_string(), shown);
    }

    #[test]
    fn what_is_late_or_fails_is_not_in_order_until_it_is_done() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (early, late) = (at("2026-03-02T00:00:00Z"), at("2026-04-01T00:00:00Z"));
        let mut value = redaction();
        assert!(!Request::new(value.clone()).is_in_order(early), "it fails");
        value.as_object_mut().unwrap().remove("failure");
        assert!(Request::new(value.clone()).is_in_order(early));
        assert!(!Request::new(value.clone()).is_in_order(late));
        value["certificate"] = json!({"id": "01a2", "level": "live"});
        assert!(Request::new(value.clone()).is_in_order(late));
        value["failure"] = json!({"step": "finalize", "reason": "epoch-not-destroyed"});
        assert!(!Request::new(value).is_in_order(late), "it is not final");
    }
}
