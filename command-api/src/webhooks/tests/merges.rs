//! Merges that contradict each other: one person goes on, whatever is told at the same time.
use super::{Post, Stack, payloads::merge};

const SHOP: &str = "demo-1.myshopify.com";

/// Catches: two merges at once of which each sees that the other one's person lives on, so that the two are a ring and no
/// order of either is ever settled. Tried: without the lock around the look and the merge, most of the pairs were rings.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn merges_into_each_other_leave_one_who_goes_on() {
    let stack = Stack::start().await;
    let shop = stack.bench.install(SHOP).await;
    stack.unthrottle(shop).await;
    let pairs: Vec<(u64, u64)> = (0..20).map(|pair| (100 + 2 * pair, 101 + 2 * pair)).collect();
    let both_ways = pairs.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]);
    let post =
        |(kept, gone)| Post::new(SHOP, "customers/merge", &format!("{gone}-into-{kept}"), &merge(kept, gone));
    let posts: Vec<_> = both_ways.map(post).collect();
    futures::future::join_all(posts.iter().map(|post| stack.post(post))).await;
    assert_eq!(stack.worked_off().await.dead_lettered, pairs.len() as u64);
    for (one, other) in pairs {
        let merged = [one, other].map(|id| id.to_string());
        let mut gone = 0;
        for id in &merged {
            gone += usize::from(stack.merged_into(shop, id).await.is_some());
        }
        assert_eq!(gone, 1, "{merged:?}");
    }
}
