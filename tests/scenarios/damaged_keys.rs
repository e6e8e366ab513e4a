//! A damaged key store: the rows that do not open are named, whoever hangs under them is answered with an error, and
//! everybody else is served.
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use uuid::Uuid;

use crate::harness::{Folder, Server, Shop, run};

/// The longest until the store was looked at, on a busy machine.
const LOOKED_WITHIN: Duration = Duration::from_secs(60);

/// Changes the row of a person's key while nobody has it open.
fn change(folder: &Folder, change: &str, customer: &str) {
    let keys = Connection::open(folder.data().join("keys.db")).unwrap();
    let id: Uuid = customer.parse().unwrap();
    assert_eq!(keys.execute(&format!("{change} WHERE subject = ?1"), [id.as_bytes()]).unwrap(), 1);
}

/// What `privacy status` says, with its exit code.
fn status(folder: &Folder, shop: &[&str]) -> (Option<i32>, Value) {
    let output = run(folder, &[&["privacy", "status", "--data", "data", "--json"], shop].concat(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// Waits until the store was looked at.
async fn until_degraded(shop: &Shop) -> Value {
    let begun = Instant::now();
    loop {
        let health = shop.door.get("/healthz").await.expect(200);
        if health["status"] == "degraded" {
            return health;
        }
        assert!(begun.elapsed() < LOOKED_WITHIN, "{health}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Catches: a health that knows only whether the store serves, a look that takes what is overwritten without a fence for
/// erased, a missing key that nobody notes, an erasure that waits for ever for a row that is not there.
#[tokio::test]
async fn a_damaged_and_a_missing_key_are_named_and_everybody_else_is_served() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let [damaged, missing, sound] = [shop.enrol().await, shop.enrol().await, shop.enrol().await];
    shop.door.until_idle().await;
    let (_, folder) = server.end_by("TERM");
    change(&folder, "UPDATE subject_key SET wrapped = zeroblob(length(wrapped))", &damaged);
    change(&folder, "DELETE FROM subject_key", &missing);

    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    let health = until_degraded(&shop).await.to_string();
    assert!(health.contains("2 keys do not open or are missing"), "{health}");
    shop.door.get("/readyz").await.expect(200);
    for (customer, code) in [(&damaged, "key-damaged"), (&missing, "key-missing")] {
        let answer = shop.ask("/v1/api/users/get", &[("customer_id", customer)]).await;
        assert_eq!(answer.json()["code"], code, "{}", answer.text);
        assert!(answer.status == 500 && answer.text.contains(customer.as_str()), "{}", answer.text);
    }
    let user = shop.ask("/v1/api/users/get", &[("customer_id", &sound)]).await.expect(200);
    assert!(user["email"].is_string(), "{user}");
    shop.earn(&sound, 5, "as ever").await.expect(200);
    let earned = shop.earn(&damaged, 5, "for nobody").await;
    assert_eq!((earned.status, &earned.json()["code"]), (500, &"key-damaged".into()), "{}", earned.text);

    let metrics = shop.door.get("/metrics").await.text;
    for line in ["keys_damaged 2", "keys_missing_total 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    for of in [&["--shop", shop.domain.as_str()][..], &[]] {
        let (code, told) = status(&folder, of);
        assert_eq!((code, &told["in_order"]), (Some(1), &Value::Bool(false)), "{told}");
        let keys = told["damaged_keys"].as_array().unwrap();
        let named = |customer: &str, fault: &str| {
            let is_it =
                |key: &&Value| key["whose"] == customer && key["kind"] == "subject" && key["fault"] == fault;
            keys.iter().filter(is_it).count() == 1
        };
        assert!(keys.len() == 2 && named(&damaged, "does-not-open") && named(&missing, "missing"), "{told}");
    }
    let earned = shop.earn(&missing, 5, "for nobody").await;
    assert_eq!((earned.status, &earned.json()["code"]), (500, &"key-missing".into()), "{}", earned.text);

    // Neither has anything that could be destroyed, and both are erased.
    for customer in [&damaged, &missing] {
        let redact = ["privacy", "redact", "--data", "data", "--shop", &shop.domain, "--customer", customer];
        let redacted = run(&folder, &redact, &[]);
        assert_eq!(redacted.status.code(), Some(0), "{}", String::from_utf8_lossy(&redacted.stderr));
        let user = shop.ask("/v1/api/users/get", &[("customer_id", customer)]).await.expect(200);
        assert_eq!(user["status"], "redacted", "{user}");
    }
    let elsewhere = Shop::open(&server).await;
    let (code, told) = status(&folder, &["--shop", elsewhere.domain.as_str()]);
    assert_eq!((code, told["damaged_keys"].as_array().map(Vec::len)), (Some(0), Some(0)), "{told}");
}
