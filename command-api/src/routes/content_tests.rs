//! What the log keeps of the content of requests: enough to compare, and nothing that outlives the person.
use std::collections::HashSet;

use axum::http::StatusCode;
use event_log::{AdmittedRecord, Kind as RecordKind};
use event_schemas::{CustomerId, Digest, record::Body};
use serde_json::{Value, json};

use super::tests::Api;

fn award(customer: CustomerId, points: u32) -> Value {
    json!({"customer_id": customer, "points": points, "reason": "goodwill", "source_id": "ada@example.com"})
}

/// All digests of contents in the records of this person.
async fn digests(api: &Api, customer: CustomerId) -> HashSet<Digest> {
    let log = &api.bench.log;
    let mut found = HashSet::new();
    for partition in 0..log.partitions() {
        let records = log.reader(partition, None).unwrap().next(1_000).await.unwrap().records;
        let is_theirs = |record: &&AdmittedRecord| {
            record.frame.kind == RecordKind::Commit && record.frame.route == customer.bytes()
        };
        found.extend(
            records.iter().filter(is_theirs).map(|record| Body::decode(&record.body).unwrap().meta.content),
        );
    }
    found
}

/// Row 22 of the log's contract. Catches: a digest under the shop's key (or none), which an erasure would leave for
/// whoever guesses what was said.
#[tokio::test(flavor = "multi_thread")]
async fn contents_are_compared_by_digests_of_their_fields_under_the_persons_own_key() {
    let api = Api::start().await;
    let (ada, other) = (api.customer, api.bench.customer(api.merchant).await);
    let first = api.post("/v1/api/points/earn", award(ada, 5)).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(api.post("/v1/api/points/earn", award(other, 5)).await.status, StatusCode::OK);
    let again = api.post("/v1/api/points/earn", award(ada, 5)).await;
    assert_eq!((again.status, &again.body["entry_id"]), (StatusCode::OK, &first.body["entry_id"]));
    assert_eq!(api.post("/v1/api/points/earn", award(ada, 6)).await.code(), (409, "source-conflict"));

    let (of_ada, of_other) = (digests(&api, ada).await, digests(&api, other).await);
    let keys = &api.bench.keys;
    let said: [&[u8]; 3] = [b"ada@example.com", b"5", b"goodwill"];
    let plain = said.map(|said| keys.digest(api.merchant, "earn-points", said).unwrap());
    assert!(plain.iter().all(|digest| !of_ada.contains(digest)));
    // The same was asked for both, and nothing of it is the same.
    let sample: HashSet<_> = [event_schemas::sample::DIGEST].into();
    let shared: HashSet<_> = of_ada.intersection(&of_other).copied().collect();
    assert!(shared.is_subset(&sample), "{shared:?}");
    assert!(of_ada.len() > 1);
}

/// Catches: a digest of the batch as it was sent, which names several people and is under the shop's key.
#[tokio::test(flavor = "multi_thread")]
async fn a_tills_batch_leaves_no_digest_of_whom_it_names() {
    let api = Api::start().await;
    let device = uuid::Uuid::now_v7();
    let entry = json!({"sequence": 1, "type": "earn", "customer_id": api.customer, "points": 5,
        "occurred_at": "2026-01-01T00:00:00Z"});
    let batch = json!({"device_id": device, "entries": [entry]});
    assert_eq!(api.post("/v1/api/points/sync", batch.clone()).await.status, StatusCode::OK);
    let of_till = digests(&api, CustomerId(device)).await;
    let raw = api.bench.keys.digest(api.merchant, "pos-sync", batch.to_string().as_bytes()).unwrap();
    assert!(!of_till.is_empty() && !of_till.contains(&raw));
}
