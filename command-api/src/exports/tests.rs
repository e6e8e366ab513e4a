//! Exports from the request to the last file, as a merchant's program has them.
use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use domain::Aggregate;
use event_schemas::{CustomerId, MerchantId, RequestId, Timestamp};
use group_commit::{Store, values};
use privacy::{RootKey, Whom};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{Exports, FILES, stored};
use crate::{
    testing::{Bench, ROOT, stores},
    upkeep::Upkeep,
};

const SHOP: &str = "demo-1.myshopify.com";
const MAIL: &str = "marker.mail@example.com";
const DAY_US: i64 = 86_400_000_000;

struct Api {
    bench: Bench,
    router: Router,
    exports: Exports,
    merchant: MerchantId,
}

impl Api {
    async fn start() -> Self {
        let bench = Bench::start().await;
        let (router, exports) = (bench.router(), Exports::new(&bench.parts()));
        let merchant = bench.install(SHOP).await;
        Self { bench, router, exports, merchant }
    }

    async fn call(
        &self,
        merchant: MerchantId,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> (StatusCode, Vec<u8>) {
        let token = self.bench.token(merchant);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/api/{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response =
            self.router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, bytes) = self.call(self.merchant, Method::POST, path, None, &body).await;
        (status.as_u16(), serde_json::from_slice(&bytes).unwrap())
    }

    async fn file(&self, request: &str, name: &str) -> (u16, Vec<u8>) {
        self.file_for(self.merchant, request, name).await
    }

    async fn file_for(&self, merchant: MerchantId, request: &str, name: &str) -> (u16, Vec<u8>) {
        let path = format!("privacy/requests/{request}/export/{name}");
        let (status, bytes) = self.call(merchant, Method::GET, &path, None, &json!({})).await;
        (status.as_u16(), bytes)
    }

    async fn json(&self, request: &str, name: &str) -> Value {
        let (status, bytes) = self.file(request, name).await;
        assert_eq!(status, 200, "{name}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn code(&self, request: &str, name: &str) -> (u16, String) {
        let (status, bytes) = self.file(request, name).await;
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
    }

    /// A customer with points, a note that looks like a formula, and a code.
    async fn ada(&self) -> CustomerId {
        let person =
            json!({"shopify_customer_id": "9007199254740993", "email": MAIL, "first_name": "MarkerFirst"});
        let (status, created) = self.post("users/create", person).await;
        assert_eq!(status, 201, "{created}");
        let customer: CustomerId = serde_json::from_value(created["customer_id"].clone()).unwrap();
        for (path, body) in [
            (
                "points/earn",
                json!({"customer_id": customer, "points": 500, "reason": "goodwill", "source_id": "marker-source"}),
            ),
            (
                "points/adjust",
                json!({"customer_id": customer, "points": -3, "reason_code": "correction", "public_note": "=HYPERLINK(\"marker-note\",\"x\")"}),
            ),
            ("points/redeem", json!({"customer_id": customer, "points": 200})),
        ] {
            let (status, answer) = self.post(path, body).await;
            assert_eq!(status, 200, "{path} {answer}");
        }
        self.bench.policies_idle().await;
        customer
    }

    async fn asked(&self, body: Value) -> String {
        let (status, asked) = self.post("privacy/export", body).await;
        assert_eq!((status, asked["status"].as_str()), (202, Some("requested")), "{asked}");
        asked["request_id"].as_str().unwrap().to_owned()
    }

    async fn delivered(&self, request: &str) -> bool {
        let kept = self.exports.requests.kept(request_id(request)).await.unwrap().unwrap();
        let delivered = self.bench.commander.read(kept.merchant, kept.stream(), |request| match request {
            Aggregate::PrivacyRequest(request) => request.data_request().unwrap().delivered_at.is_some(),
            other => panic!("{other:?}"),
        });
        delivered.await.unwrap()
    }

    async fn parts(&self) -> u64 {
        let count = "SELECT count(*) FROM export_part";
        self.bench.work.read(move |work| work.one(count, values![], |row| row.at(0))).await.unwrap()
    }
}

fn request_id(text: &str) -> RequestId {
    RequestId(Uuid::parse_str(text).unwrap())
}

/// Catches, tried: entries of tills left out, and what became of them.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn all_that_is_held_of_a_person_is_handed_over_sealed_until_it_is_fetched() {
    let api = Api::start().await;
    let customer = api.ada().await;
    let sold = |sequence, kind, points| {
        let at = "2026-01-01T10:00:00Z";
        json!({"sequence": sequence, "type": kind, "customer_id": customer, "points": points, "occurred_at": at})
    };
    let device = Uuid::now_v7();
    let batch = json!({"device_id": device, "entries": [sold(1, "earn", 5), sold(2, "redeem", 100_000)]});
    let (status, synced) = api.post("points/sync", batch).await;
    assert_eq!((status, &synced["entries"][1]["status"]), (200, &json!("rejected")), "{synced}");
    let request = api.asked(json!({ "customer_id": customer })).await;
    assert_eq!(api.code(&request, "data.json").await, (409, "export-not-ready".to_owned()));
    assert_eq!(api.exports.work_off().await.unwrap(), 1);
    assert_eq!(api.exports.work_off().await.unwrap(), 0);

    let manifest = api.json(&request, "manifest.json").await;
    assert_eq!((&manifest["held"], &manifest["customer_ids"]), (&json!(true), &json!([customer])));
    assert_eq!(manifest["log"]["read_up_to"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["log"]["read_up_to"][0]["head"].as_str().unwrap().len(), 64);
    for (n, name) in ["data.json", "entries.csv"].into_iter().enumerate() {
        assert!(!api.delivered(&request).await, "before {name}");
        let (status, bytes) = api.file(&request, name).await;
        let listed = &manifest["files"][n];
        assert_eq!(
            (status, listed["name"].as_str(), listed["bytes"].as_u64()),
            (200, Some(name), Some(bytes.len() as u64))
        );
        assert_eq!(listed["sha256"], hex::encode(digest(&SHA256, &bytes)));
    }
    assert!(api.delivered(&request).await);

    let data = api.json(&request, "data.json").await;
    let profile = &data["customers"][0]["profile"];
    assert_eq!((&profile["email"], &profile["first_name"]), (&json!(MAIL), &json!("MarkerFirst")));
    assert_eq!(profile["shopify_customer_id"], "9007199254740993");
    assert_eq!(data["points"][0]["balances"]["available"], 302);
    let till = &data["till_entries"][0];
    let became: Vec<_> = till["history"].as_array().unwrap().iter().map(|told| &told["event"]).collect();
    assert_eq!(till["device"], json!(device));
    assert_eq!(became, ["pos-entry-accepted", "pos-entry-accepted", "pos-entry-rejected"], "{till}");
    let texts = data.to_string();
    for told in ["marker-source", "marker-note", "points-redeemed", "LN-", "data-request-received"] {
        assert!(texts.contains(told), "{told} is not in {texts}");
    }
    assert!(!texts.contains("\"sealed\""), "{texts}");
    let (_, csv) = api.file(&request, "entries.csv").await;
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.contains("\"'=HYPERLINK(\"\"marker-note\"\",\"\"x\"\")\""), "{csv}");
    assert_eq!(manifest["files"][1]["records"].as_u64(), Some(csv.lines().count() as u64 - 1));
}

/// Catches, tried: entries that are known by the till and their number alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_till_of_another_shop_with_the_same_id_tells_is_in_nobodys_export() {
    let mut api = Api::start().await;
    let (device, other) = (Uuid::now_v7(), api.bench.install("b.myshopify.com").await);
    let mut people = Vec::new();
    // Whichever shop is read first, a number that it took is refused by the other one.
    for (shop, refused) in [(api.merchant, 2), (other, 1)] {
        api.merchant = shop;
        let (customer, bystander) = (api.ada().await, api.bench.customer(shop).await);
        let entries = [1, 2].map(|sequence| {
            let (kind, points) = if sequence == refused { ("redeem", 100_000) } else { ("earn", 5) };
            let at = "2026-01-01T10:00:00Z";
            json!({"sequence": sequence, "type": kind, "customer_id": customer, "points": points, "occurred_at": at})
        });
        let (status, synced) =
            api.post("points/sync", json!({"device_id": device, "entries": entries})).await;
        assert_eq!(status, 200, "{synced}");
        people.push((shop, refused, customer, bystander));
    }
    for (n, (shop, refused, customer, _)) in people.iter().enumerate() {
        // The same pass reads the other shop too, for somebody whom no till knows.
        let (other, _, _, bystander) = people[1 - n];
        api.merchant = other;
        api.asked(json!({ "customer_id": bystander })).await;
        api.merchant = *shop;
        let request = api.asked(json!({ "customer_id": customer })).await;
        assert_eq!(api.exports.work_off().await.unwrap(), 2);
        let data = api.json(&request, "data.json").await;
        let history = data["till_entries"][0]["history"].as_array().unwrap();
        let told = history.iter().filter(|told| told["event"] == "pos-entry-rejected");
        let told: Vec<_> = told.map(|told| &told["data"]["sequence"]).collect();
        assert_eq!(told, [&json!(refused)], "{data}");
    }
}

/// Catches: files in clear; and files that outlive their time or can be had by another shop.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn an_export_is_its_shops_alone_and_is_gone_after_a_week() {
    let api = Api::start().await;
    let customer = api.ada().await;
    let request = api.asked(json!({ "customer_id": customer })).await;
    api.exports.work_off().await.unwrap();
    for file in std::fs::read_dir(api.bench.folder.path()).unwrap() {
        let path = file.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).to_lowercase();
        for marker in ["marker", "9007199254740993"] {
            assert!(!text.contains(marker), "{marker} stands in {}", path.display());
        }
    }
    let other = api.bench.install("demo-2.myshopify.com").await;
    for (merchant, request, name) in [
        (other, request.as_str(), "data.json"),
        (api.merchant, &Uuid::nil().to_string(), "data.json"),
        (api.merchant, request.as_str(), "keys.db"),
    ] {
        assert_eq!(api.file_for(merchant, request, name).await.0, 404, "{request} {name}");
    }
    assert!(api.parts().await >= FILES.len() as u64);
    let later = Timestamp::from_micros(api.bench.clock.now().micros() + 8 * DAY_US);
    api.bench.clock.advance_to(later).await.unwrap();
    assert_eq!(api.code(&request, "data.json").await, (410, "export-expired".to_owned()));
    Upkeep::new(&api.bench.parts()).tick(later).await.unwrap();
    assert_eq!(api.parts().await, 0);
    assert_eq!(api.code(&request, "data.json").await, (410, "export-expired".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn an_export_goes_with_its_person_and_one_asked_for_later_says_so() {
    let api = Api::start().await;
    let customer = api.ada().await;
    let made = api.asked(json!({ "customer_id": customer })).await;
    api.exports.work_off().await.unwrap();
    let waiting = api.asked(json!({ "email": MAIL })).await;
    let (status, redacted) = api.post("privacy/redact", json!({ "customer_id": customer })).await;
    assert_eq!((status, &redacted["held"]), (202, &json!(true)), "{redacted}");
    let erasure = request_id(redacted["request_id"].as_str().unwrap());
    api.bench.erase(api.merchant, erasure, &BTreeSet::from([customer])).await;
    assert_eq!(api.parts().await, 0);
    for name in FILES {
        assert_eq!(api.code(&made, name).await, (410, "subject-erased".to_owned()));
    }
    // The one that waited says that she is erased, with the certificate, and nothing else.
    assert_eq!(api.exports.work_off().await.unwrap(), 0);
    let (certificate, whom) = (Uuid::now_v7().to_string(), Whom::Person(vec![customer]));
    api.bench.keys.certify(api.merchant, &whom, &certificate).await.unwrap();
    assert_eq!(Exports::new(&api.bench.parts()).work_off().await.unwrap(), 1);
    let data = api.json(&waiting, "data.json").await;
    assert_eq!((&data["held"], &data["points"]), (&json!(false), &json!([])));
    assert_eq!((&data["redacted"], &data["certificate"]), (&json!(true), &json!(certificate)));

    // Also when the request is long forgotten.
    let later = Timestamp::from_micros(api.bench.clock.now().micros() + 140 * DAY_US);
    api.bench.clock.advance_to(later).await.unwrap();
    let upkeep = Upkeep::new(&api.bench.parts());
    upkeep.tick(later).await.unwrap();
    assert!(api.exports.requests.kept(erasure).await.unwrap().is_none());
    let (status, answer) = api.post("privacy/export", json!({ "customer_id": customer })).await;
    assert_eq!((status, &answer["status"]), (200, &json!("redacted")));
    assert_eq!(answer["redaction"], json!({ "redacted": true, "certificate": certificate }));
    for who in [json!({ "email": MAIL }), json!({ "shopify_customer_id": "9007199254740993" })] {
        let unknown = api.asked(who).await;
        api.exports.work_off().await.unwrap();
        assert_eq!(api.json(&unknown, "manifest.json").await["held"], false);
    }
    // Asked again, she is certified again.
    let (status, again) = api.post("privacy/redact", json!({ "customer_id": customer })).await;
    assert_eq!((status, &again["held"]), (202, &json!(true)));
}

/// Catches, tried: `keep` without the round, which leaves files of an erased person behind.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn what_was_gathered_before_a_purge_is_not_kept_after_it() {
    let api = Api::start().await;
    let customer = api.ada().await;
    let request = request_id(&api.asked(json!({ "customer_id": customer })).await);
    let merchant = api.merchant;
    let waiting = api.bench.work.read(stored::waiting).await.unwrap();
    let round = waiting[0].round;
    let kept = api.bench.work.run(move |work| {
        stored::purge(work, merchant, Some(&[customer]), &[])?;
        let prepared = stored::Prepared {
            files: 3,
            bytes: 9,
            manifest: event_schemas::Digest([0; 16]),
            at: Timestamp::EPOCH,
        };
        let parts = [stored::Part { name: FILES[1], number: 0, sealed: vec![1] }];
        stored::keep(work, request, round, prepared, None, &parts)
    });
    assert!(!kept.await.unwrap());
    assert_eq!(api.parts().await, 0);
}

/// Catches: an export whose files are kept and that nobody records after a crash.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn an_export_that_a_crash_left_unrecorded_is_recorded_as_it_was_made() {
    let api = Api::start().await;
    let customer = api.ada().await;
    let request = api.asked(json!({ "customer_id": customer })).await;
    api.exports.work_off().await.unwrap();
    let before = api.file(&request, "manifest.json").await;
    let undone = "UPDATE export SET status = 'made', expires_at = 0";
    api.bench.work.run(move |work| work.execute(undone, values![])).await.unwrap();
    assert_eq!(api.code(&request, "manifest.json").await.0, 409);
    api.exports.work_off().await.unwrap();
    assert_eq!(api.file(&request, "manifest.json").await, before);
}

/// Catches: an error of one that ends the pass for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_whose_key_is_damaged_holds_up_nobody_else() {
    const DAMAGE: &str = "UPDATE subject_key SET wrapped = zeroblob(length(wrapped)) WHERE subject = ?1";
    let api = Api::start().await;
    let ada = api.ada().await;
    let (_, bob) =
        api.post("users/create", json!({"shopify_customer_id": "3", "email": "bob@example.com"})).await;
    // The oldest is the one that fails.
    let first = api.asked(json!({ "customer_id": ada })).await;
    let second = api.asked(json!({ "customer_id": bob["customer_id"] })).await;
    let file = api.bench.folder.path().join("keys.db");
    Store::open_file(&file, "", "")
        .unwrap()
        .run(move |keys| keys.execute(DAMAGE, values![&ada.bytes()]))
        .await
        .unwrap();
    // Another handle, which remembers nothing from before.
    let (log, root) = (*api.bench.log.id().as_bytes(), RootKey::from_bytes(ROOT));
    let (keys, _) = stores(api.bench.folder.path(), &root, log).await;
    let exports = Exports::new(&crate::policies::Parts { keys, ..api.bench.parts() });
    assert_eq!(exports.work_off().await.unwrap(), 1);
    assert_eq!(api.code(&first, "data.json").await, (409, "export-not-ready".to_owned()));
    assert_eq!(api.json(&second, "manifest.json").await["held"], true);
    assert!(exports.aside.has(request_id(&first)) && !exports.aside.has(request_id(&second)));
    // Who still has the key makes it: nothing is lost, it waits.
    assert_eq!(api.exports.work_off().await.unwrap(), 1);
    assert_eq!(api.json(&first, "manifest.json").await["held"], true);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn what_is_wrong_with_a_request_is_named_and_what_is_not_known_is_certified() {
    let api = Api::start().await;
    let customer = api.ada().await;
    for path in ["privacy/redact", "privacy/export"] {
        for (body, pointer) in [
            (json!({}), "/customer_id"),
            (json!({"customer_id": customer, "email": MAIL}), "/customer_id"),
            (json!({"shopify_customer_id": "1.5"}), "/shopify_customer_id"),
            (json!({"shopify_customer_id": "0"}), "/shopify_customer_id"),
            (json!({"email": "nobody"}), "/email"),
        ] {
            let (status, problem) = api.post(path, body).await;
            assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (422, Some(pointer)), "{problem}");
        }
        let (status, _) = api.post(path, json!({"customer_id": customer, "phone": "+1"})).await;
        assert!(status == 400 || status == 422, "{status}");
        // Nobody, and somebody of another shop: the answer tells nothing of them apart.
        let other = api
            .bench
            .install(if path.ends_with("export") { "c.myshopify.com" } else { "b.myshopify.com" })
            .await;
        let theirs = api.bench.customer(other).await;
        for who in [
            json!({"customer_id": Uuid::now_v7()}),
            json!({"customer_id": theirs}),
            json!({"email": "x@example.com"}),
        ] {
            let (status, asked) = api.post(path, who).await;
            assert_eq!((status, &asked["held"]), (202, &json!(false)), "{asked}");
        }
        let body = json!({ "customer_id": customer });
        let ask = || api.call(api.merchant, Method::POST, path, Some("key-1"), &body);
        if path == "privacy/redact" {
            let (first, again) = (ask().await, ask().await);
            assert_eq!((first.0.as_u16(), &first.1), (202, &again.1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn an_address_of_several_people_is_erased_for_all_and_shown_to_none() {
    let api = Api::start().await;
    let ada = api.ada().await;
    let (_, twin) = api.post("users/create", json!({"shopify_customer_id": "2", "email": MAIL})).await;
    let twin: CustomerId = serde_json::from_value(twin["customer_id"].clone()).unwrap();
    assert_ne!(ada, twin);
    let body = json!({ "email": MAIL });
    let keyed = async |path| {
        let (status, body) = api.call(api.merchant, Method::POST, path, Some("by-mail"), &body).await;
        (status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, refused) = keyed("privacy/export").await;
    assert_eq!((status, refused["code"].as_str()), (409, Some("ambiguous")));
    // Of the refused call nothing is kept, so the key is free; of two at once one request is kept, with its call.
    let ((status, asked), again) = tokio::join!(keyed("privacy/redact"), keyed("privacy/redact"));
    assert_eq!((status, &asked["request_id"]), (202, &again.1["request_id"]), "{asked}");
    let reused = keyed("privacy/export").await.1;
    assert_eq!(reused["code"], "idempotency-key-reused");
    let request = request_id(asked["request_id"].as_str().unwrap());
    let kept = api.exports.requests.kept(request).await.unwrap().unwrap();
    assert_eq!(kept.subjects.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([ada, twin]));
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn who_was_erased_joins_again_only_when_asked_for_and_as_somebody_new() {
    let api = Api::start().await;
    let ada = api.ada().await;
    let (_, asked) = api.post("privacy/redact", json!({ "customer_id": ada })).await;
    let request = request_id(asked["request_id"].as_str().unwrap());
    api.bench.erase(api.merchant, request, &BTreeSet::from([ada])).await;
    let again = json!({"shopify_customer_id": "9007199254740993", "email": MAIL});
    let (status, refused) = api.post("users/create", again.clone()).await;
    assert_eq!((status, refused["code"].as_str()), (409, Some("account-redacted")));
    let mut again = again;
    again["rejoin"] = json!(true);
    let (status, created) = api.post("users/create", again).await;
    assert_eq!(status, 201, "{created}");
    let new: CustomerId = serde_json::from_value(created["customer_id"].clone()).unwrap();
    assert_ne!(new, ada);
    assert_eq!(api.bench.balances(api.merchant, new).await.available.0, 0);
}

#[cfg(feature = "postgres")]
mod on_postgres {
    //! The same with keys and exports in a Postgres.
    crate::testing::again_on_postgres! {
        super::all_that_is_held_of_a_person_is_handed_over_sealed_until_it_is_fetched,
        super::an_export_goes_with_its_person_and_one_asked_for_later_says_so,
        super::what_was_gathered_before_a_purge_is_not_kept_after_it,
        super::an_export_that_a_crash_left_unrecorded_is_recorded_as_it_was_made,
        super::who_was_erased_joins_again_only_when_asked_for_and_as_somebody_new,
    }
}
