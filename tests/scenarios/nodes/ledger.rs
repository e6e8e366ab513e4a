//! What the audit log has under each key beside what was answered under it: how a sum came to be another one.
//!
//! Requests carry their key as their id too, and that is in every record that they cause, whichever node made it.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::Shop;

/// What is said of a request, by its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) key: &'a str,
    pub(super) what: &'static str,
    /// What it moves if it is accepted.
    pub(super) points: i64,
    /// Status and body, if there was an answer.
    pub(super) answer: Option<(u16, &'a str)>,
}

impl Told<'_> {
    /// What it moved, by its answer.
    pub(super) fn moved(&self) -> i64 {
        if matches!(self.answer, Some((200, _))) { self.points } else { 0 }
    }
}

/// What the log has under one key.
#[derive(Default)]
struct Recorded {
    moved: i64,
    accepted: usize,
    /// Accepted by the account, and asked for by no policy.
    awards: usize,
    reserved: bool,
    /// What was reserved is spent or given back.
    settled: bool,
    records: Vec<String>,
}

impl Recorded {
    fn add(&mut self, item: &Value) {
        let text = |field: &str| item[field].as_str().unwrap_or_default();
        let mut did = Vec::new();
        for event in item["events"].as_array().into_iter().flatten() {
            let (name, points) = (event["type"].as_str().unwrap_or_default(), event["points"].as_i64());
            self.moved += points.unwrap_or(0);
            self.reserved |= name == "points-reserved";
            self.settled |= matches!(name, "points-redeemed" | "points-reservation-released");
            did.push(points.map_or_else(|| name.to_owned(), |points| format!("{name} {points}")));
        }
        if text("outcome") == "accepted" {
            self.accepted += 1;
            self.awards += usize::from(text("topic") == "points" && item["caused_by"].is_null());
        }
        let [topic, outcome, reason, record] = ["topic", "outcome", "reason", "record_id"].map(text);
        self.records.push(format!("{topic} {outcome} ({}) {reason} {record}", did.join(", ")));
    }
}

/// Everything the audit log has of a customer, by key.
async fn recorded(shop: &Shop, customer: &str) -> Result<BTreeMap<String, Recorded>, String> {
    let (mut all, mut cursor) = (BTreeMap::<String, Recorded>::new(), None::<String>);
    loop {
        let mut parameters = vec![("customer_id", customer), ("limit", "200")];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = shop.ask("/admin/logs", &parameters).await;
        if page.status != 200 {
            return Err(format!("the audit log answers {} {}", page.status, page.text));
        }
        let page = page.json();
        for item in page["items"].as_array().into_iter().flatten() {
            let key = item["correlation_id"].as_str().unwrap_or_default();
            all.entry(key.to_owned()).or_default().add(item);
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// How what was answered differs from what is in the log; nothing if it does not.
fn verdict(told: Option<&Told<'_>>, answered: i64, recorded: &Recorded) -> Option<&'static str> {
    let moves = recorded.moved != 0 || recorded.reserved;
    let answer = told.map(|told| told.answer.map(|(status, _)| status));
    match answer {
        None => moves.then_some("given up: nobody knows of it"),
        Some(None) => moves.then_some("given up: done and never answered"),
        Some(Some(200)) if recorded.moved == answered => None,
        Some(Some(200)) if recorded.accepted == 0 => Some("lost acknowledgement"),
        Some(Some(200)) if recorded.awards > 1 => Some("double award"),
        Some(Some(200)) if recorded.reserved && !recorded.settled => Some("pending, counted as spent"),
        Some(Some(200)) if recorded.moved == 0 => Some("accepted, and nothing followed"),
        Some(Some(200)) => Some("another sum"),
        Some(Some(_)) => moves.then_some("wrong answer: refused and done"),
    }
}

/// The keys under which the log differs from what was answered.
fn differing(told: &[Told<'_>], recorded: &BTreeMap<String, Recorded>) -> Vec<String> {
    let mut answered = BTreeMap::<&str, (Told<'_>, i64)>::new();
    for one in told {
        answered.entry(one.key).or_insert((*one, 0)).1 += one.moved();
    }
    let nothing = Recorded::default();
    let keys: BTreeSet<&str> = answered.keys().copied().chain(recorded.keys().map(String::as_str)).collect();
    let line = |key: &str| {
        let (told, points) = answered.get(key).map_or((None, 0), |(told, points)| (Some(told), *points));
        let recorded = recorded.get(key).unwrap_or(&nothing);
        let verdict = verdict(told, points, recorded)?;
        let said = told.map_or_else(
            || "in no journal".to_owned(),
            |told| match told.answer {
                Some((status, body)) => format!("{} of {} got {status} {body}", told.what, told.points),
                None => format!("{} of {} UNANSWERED", told.what, told.points),
            },
        );
        let (moved, records) = (recorded.moved, recorded.records.join("; "));
        Some(format!("{verdict}: {key}: {said}; answered {points}, in the log {moved}: {records}"))
    };
    keys.into_iter().filter_map(line).collect()
}

/// Where the points of a person come from, as far as the log and the answers differ.
pub(super) async fn explained(
    shop: &Shop,
    customer: &str,
    told: &[Told<'_>],
    violations: &[String],
) -> Vec<String> {
    let balance = shop.balance(customer).await;
    let parked = &shop.door.queues().await["parked_tasks"];
    let answered: i64 = told.iter().map(Told::moved).sum();
    let recorded = recorded(shop, customer).await;
    let logged = recorded.as_ref().map_or(0, |all| all.values().map(|one| one.moved).sum::<i64>());
    let first = format!(
        "answered {answered}, in the log {logged}, {balance:?}; parked tasks: {parked}; violations: {violations:?}"
    );
    let more = recorded.map_or_else(|failed| vec![failed], |recorded| differing(told, &recorded));
    [vec![first], more].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(outcome: &str, events: &Value) -> Value {
        json!({"topic": "points", "outcome": outcome, "record_id": "r", "events": events})
    }

    /// What is said of one key with this answer and these records.
    fn said(points: i64, answer: Option<u16>, records: &[Value]) -> String {
        let mut recorded = Recorded::default();
        records.iter().for_each(|record| recorded.add(record));
        let told = Told { key: "k", what: "/redeem", points, answer: answer.map(|status| (status, "")) };
        differing(&[told], &BTreeMap::from([("k".to_owned(), recorded)])).concat()
    }

    #[test]
    fn each_way_in_which_log_and_answers_differ_has_its_name() {
        let earned = record("accepted", &json!([{"type": "points-earned", "points": 44}]));
        let observed = record("accepted", &json!([{"type": "order-observed"}]));
        let reserved = record("accepted", &json!([{"type": "points-reserved"}]));
        let mut redeemed = record("accepted", &json!([{"type": "points-redeemed", "points": -44}]));
        redeemed["caused_by"] = json!("e");
        let refused = record("rejected", &json!([]));
        for (points, answer, records, name) in [
            (44, Some(200), vec![], "lost acknowledgement"),
            (44, Some(200), vec![refused.clone()], "lost acknowledgement"),
            (44, Some(200), vec![earned.clone(), earned.clone()], "double award"),
            (44, Some(200), vec![observed.clone()], "accepted, and nothing followed"),
            (45, Some(200), vec![earned.clone()], "another sum"),
            (44, Some(409), vec![earned.clone()], "wrong answer"),
            (44, None, vec![earned.clone()], "given up"),
            (-44, None, vec![reserved.clone()], "given up"),
            (-44, Some(200), vec![reserved.clone()], "pending"),
        ] {
            let said = said(points, answer, &records);
            assert!(said.starts_with(name), "{name}: {said}");
        }
        for (points, answer, records) in [
            (44, Some(200), vec![earned.clone()]),
            (-44, Some(200), vec![reserved, redeemed]),
            (44, Some(409), vec![refused]),
            (44, None, vec![]),
        ] {
            assert_eq!(said(points, answer, &records), "");
        }
        let mut unknown = Recorded::default();
        unknown.add(&earned);
        let said = differing(&[], &BTreeMap::from([("k".to_owned(), unknown)])).concat();
        assert!(said.starts_with("given up: nobody knows of it"), "{said}");
    }
}
