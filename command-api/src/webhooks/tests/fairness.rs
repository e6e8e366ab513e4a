//! One merchant's backlog is its own affair, also across a restart.
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};

use super::{Post, Stack, payloads::order};

const SLOW: &str = "demo-1.myshopify.com";
const QUICK: &str = "demo-2.myshopify.com";

async fn backlog(stack: &Stack, count: u64) {
    let posts = stream::iter(1..=count).map(|id| async move {
        stack
            .post(&Post::new(SLOW, "orders/create", &format!("w-{id}"), &order(SLOW, id).of_customer(7).0))
            .await;
    });
    posts.buffer_unordered(256).collect::<Vec<_>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_open_deliveries_of_a_throttled_merchant_delay_another_by_less_than_a_second() {
    let stack = Stack::start().await;
    let (slow, quick) = (stack.bench.install(SLOW).await, stack.bench.install(QUICK).await);
    stack.throttle(slow, 1, 1).await;
    backlog(&stack, 10_000).await;
    assert!(stack.counts().await.pending > 9_000);
    let start = Instant::now();
    stack.post(&Post::new(QUICK, "orders/create", "q", &order(QUICK, 1).of_customer(7).0)).await;
    stack.balance_becomes(quick, "7", 20).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_restart_takes_up_what_was_open_and_a_raised_rate_works_it_off_at_once() {
    let stack = Stack::start().await;
    let slow = stack.bench.install(SLOW).await;
    stack.throttle(slow, 1, 1).await;
    backlog(&stack, 30).await;
    assert!(stack.counts().await.pending > 20);
    // The first one's workers are still there: two at once on a row must do no harm either.
    let restarted = Stack::over(stack.bench);
    restarted.unthrottle(slow).await;
    restarted.balance_becomes(slow, "7", 600).await;
    assert_eq!(restarted.worked_off().await.dead_lettered, 0);
}
