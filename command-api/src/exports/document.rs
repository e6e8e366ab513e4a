//! The files of an export, and the manifest that lists them with their digests and how far the log was read.
use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use event_log::{Checkpoint, LogId};
use event_schemas::{StreamType, Timestamp};
use privacy::{KeyStore, Kind};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Error, FILES, csv, gather::Told};
use crate::requests::{Kept, Redacted};

const FORMAT: &str = "loyalnest/export/1";
/// What else may be there of a person, and is not in the log.
const NOT_INCLUDED: &str = "sealed bodies of webhooks that are not worked off, or were given up";

/// One file and how many records it holds.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    records: usize,
}

/// What the files say of the whole.
pub(super) struct About<'a> {
    pub(super) kept: &'a Kept,
    pub(super) shop: Option<&'a str>,
    pub(super) log: LogId,
    pub(super) read: &'a [Checkpoint],
    pub(super) made_at: Timestamp,
    /// The person was erased: nothing else is said of them.
    pub(super) redacted: Option<Redacted>,
}

/// All files, the manifest first.
pub(super) async fn files(
    keys: &KeyStore,
    about: &About<'_>,
    mut told: Vec<Told>,
) -> Result<Vec<File>, Error> {
    if about.redacted.is_some() {
        told.clear();
    }
    let held = about.redacted.is_none() && !(about.kept.subjects.is_empty() && told.is_empty());
    told.sort_by_key(|told| (told.recorded_at, told.partition, told.position));
    let ledger: Vec<_> = told.iter().filter(|told| told.stream_type == StreamType::PointsAccount).collect();
    let (csv, rows) = csv::table(&ledger);
    let head = head(about, held);
    let data = data(keys, about, head.clone(), &told).await?;
    let files = vec![
        File { name: FILES[1], bytes: serde_json::to_vec_pretty(&data)?, records: told.len() },
        File { name: FILES[2], bytes: csv.into_bytes(), records: rows },
    ];
    let manifest = serde_json::to_vec_pretty(&manifest(about, head, &files))?;
    let manifest = File { name: FILES[0], bytes: manifest, records: files.len() };
    Ok(std::iter::once(manifest).chain(files).collect())
}

fn head(about: &About<'_>, held: bool) -> Map<String, Value> {
    let mut head = Map::new();
    let kept = about.kept;
    head.insert("format".to_owned(), json!(FORMAT));
    head.insert("request_id".to_owned(), json!(kept.request));
    head.insert("merchant_id".to_owned(), json!(kept.merchant));
    head.insert("shop_domain".to_owned(), json!(about.shop));
    head.insert("customer_ids".to_owned(), json!(kept.subjects));
    head.insert("made_at".to_owned(), json!(about.made_at));
    head.insert("held".to_owned(), json!(held));
    if let Some(redacted) = &about.redacted {
        head.insert("redacted".to_owned(), json!(true));
        head.insert("certificate".to_owned(), json!(redacted.certificate));
    }
    head
}

fn manifest(about: &About<'_>, mut manifest: Map<String, Value>, files: &[File]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|file| {
            let sha256 = hex::encode(digest(&SHA256, &file.bytes));
            json!({ "name": file.name, "bytes": file.bytes.len(), "records": file.records, "sha256": sha256 })
        })
        .collect();
    let read: Vec<_> = about
        .read
        .iter()
        .map(|at| {
            let head = at.state.head.to_string();
            json!({ "partition": at.partition, "position": at.position.get(), "head": head })
        })
        .collect();
    manifest.insert("files".to_owned(), json!(files));
    manifest.insert("log".to_owned(), json!({ "id": about.log.to_string(), "read_up_to": read }));
    manifest.insert("not_included".to_owned(), json!(NOT_INCLUDED));
    Value::Object(manifest)
}

async fn data(
    keys: &KeyStore,
    about: &About<'_>,
    mut data: Map<String, Value>,
    told: &[Told],
) -> Result<Value, Error> {
    let of = |stream_type| told.iter().filter(move |told| told.stream_type == stream_type);
    let by_stream = |stream_type| {
        let mut streams: BTreeMap<Uuid, Vec<&Told>> = BTreeMap::new();
        of(stream_type).for_each(|told| streams.entry(told.stream).or_default().push(told));
        streams
    };
    let people = by_stream(StreamType::Customer).into_iter().map(|(customer, history)| {
        json!({ "customer_id": customer, "profile": profile(&history), "history": history })
    });
    data.insert("customers".to_owned(), people.collect());
    let orders = by_stream(StreamType::LoyaltyOrder);
    let ids: Vec<_> = orders.keys().copied().collect();
    let revealed = keys.reveal_many(about.kept.merchant, Kind::Order, ids).await?;
    let orders = orders.into_iter().zip(revealed).map(|((order, history), shopify)| {
        json!({ "order_id": order, "shopify_order_id": shopify, "history": history })
    });
    data.insert("orders".to_owned(), orders.collect());
    let accounts = by_stream(StreamType::PointsAccount).into_iter().map(|(customer, history)| {
        let balances = history.iter().rev().find_map(|told| told.data.get("after"));
        json!({ "customer_id": customer, "balances": balances, "entries": history })
    });
    data.insert("points".to_owned(), accounts.collect());
    let redemptions = by_stream(StreamType::Redemption)
        .into_iter()
        .map(|(redemption, history)| json!({ "redemption_id": redemption, "history": history }));
    data.insert("redemptions".to_owned(), redemptions.collect());
    let requests = by_stream(StreamType::PrivacyRequest)
        .into_iter()
        .map(|(request, history)| json!({ "request_id": request, "history": history }));
    data.insert("privacy_requests".to_owned(), requests.collect());
    let entries = by_stream(StreamType::PosDevice)
        .into_iter()
        .map(|(device, history)| json!({ "device": device, "history": history }));
    data.insert("till_entries".to_owned(), entries.collect());
    data.insert("tills".to_owned(), json!(tills(told)));
    Ok(Value::Object(data))
}

/// What the newest message about a person says of them.
fn profile(history: &[&Told]) -> Option<Map<String, Value>> {
    const FIELDS: [&str; 6] =
        ["shopify_customer_id", "email", "email_verified", "first_name", "last_name", "phone"];
    let newest = history.iter().rev().find(|told| told.data.contains_key("profile"))?;
    let field = |name: &&str| newest.data.get(*name).map(|value| ((*name).to_owned(), value.clone()));
    Some(FIELDS.iter().filter_map(field).collect())
}

/// The tills at which something happened.
fn tills(told: &[Told]) -> BTreeSet<String> {
    fn look(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("device").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| look(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| look(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    told.iter().flat_map(|told| told.data.values()).for_each(|value| look(value, &mut found));
    found
}
