//! What records keep of the bodies that they came from.
use event_log::Kind as RecordKind;
use event_schemas::record::Body;

use super::{Post, Stack, payloads::order};

const SHOP: &str = "demo-1.myshopify.com";

/// Row 22 of the log's contract. Catches: a guest's body, with the address in it, digested under the shop's key, which an
/// erasure leaves.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_guests_body_the_log_keeps_no_digest_that_tells_the_address() {
    let stack = Stack::start().await;
    let shop = stack.bench.install(SHOP).await;
    let body = order(SHOP, 1).of_guest("ada@example.com").0;
    stack.post(&Post::new(SHOP, "orders/create", "w-1", &body)).await;
    stack.worked_off().await;
    let told = stack.bench.keys.digest(shop, "webhook", body.to_string().as_bytes()).unwrap();
    let log = &stack.bench.log;
    let mut seen = 0;
    for partition in 0..log.partitions() {
        for record in log.reader(partition, None).unwrap().next(1_000).await.unwrap().records {
            if matches!(record.frame.kind, RecordKind::Commit | RecordKind::Outcome) {
                seen += 1;
                assert_ne!(Body::decode(&record.body).unwrap().meta.content, told);
            }
        }
    }
    assert!(seen > 1, "the order has a record");
}
