//! Deliveries repeated, shuffled, late and at once end in the balances of a plain model that saw each once, in order.
use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use proptest::{collection::vec, prelude::*, test_runner::Config};
use serde_json::{Value, json};

use super::{
    Post, Stack,
    payloads::{OrderBody, customer, order, refund},
};

const SHOP: &str = "demo-1.myshopify.com";

/// One order's life.
#[derive(Clone, Debug)]
struct Life {
    customer: u64,
    /// Whether it is a guest's, whose customer verifies the address sooner or later.
    as_guest: bool,
    cents: u32,
    /// What it costs after an edit, if there is one.
    edited_cents: Option<u32>,
    starts_unpaid: bool,
    /// Percent of the lowest price; together at most 100.
    refunds: Vec<u32>,
    /// Whether the first refund comes embedded in the last state, and whether only there.
    embeds: bool,
    only_embeds: bool,
    cancelled: bool,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (
        1..4_u64,
        any::<bool>(),
        0..20_000_u32,
        prop::option::of(0..20_000_u32),
        any::<[bool; 4]>(),
        vec(1..50_u32, 0..3),
    )
        .prop_map(
            |(
                customer,
                as_guest,
                cents,
                edited_cents,
                [starts_unpaid, embeds, only_embeds, cancelled],
                refunds,
            )| Life {
                customer,
                as_guest,
                cents,
                edited_cents,
                starts_unpaid,
                refunds,
                embeds,
                only_embeds,
                cancelled: cancelled && cents % 3 == 0,
            },
        );
    vec(life, 1..6)
}

fn amount(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

impl Life {
    fn refunded_cents(&self) -> Vec<u32> {
        let lowest = self.edited_cents.map_or(self.cents, |edited| edited.min(self.cents));
        self.refunds.iter().map(|percent| lowest * percent / 100).collect()
    }

    /// What it is worth in the end, said plainly.
    fn points(&self) -> i64 {
        let price = self.edited_cents.unwrap_or(self.cents);
        let left = price - self.refunded_cents().iter().sum::<u32>();
        if self.cancelled { 0 } else { i64::from(left / 100) }
    }

    fn body(&self, id: u64, cents: u32, minute: u64) -> OrderBody {
        let body = order(SHOP, id).costing(&amount(cents)).updated(minute);
        if self.as_guest {
            body.of_guest(&format!("person-{}@example.com", self.customer))
        } else {
            body.of_customer(self.customer)
        }
    }

    fn deliveries(&self, id: u64) -> Vec<(&'static str, Value)> {
        let mut states = Vec::new();
        if self.starts_unpaid {
            let unpaid = self.body(id, self.cents, 0).with("financial_status", json!("pending"));
            states.push(("orders/create", unpaid.0));
        }
        states.push(("orders/paid", self.body(id, self.cents, 1).0));
        if let Some(cents) = self.edited_cents {
            states.push(("orders/updated", self.body(id, cents, 2).0));
        }
        if self.cancelled {
            let last = self.body(id, self.edited_cents.unwrap_or(self.cents), 3);
            states.push(("orders/cancelled", last.with("cancelled_at", json!("2026-03-01T10:03:00Z")).0));
        }
        let refunds =
            (1..).zip(self.refunded_cents()).map(|(n, cents)| refund(id * 10 + n, id, &amount(cents)));
        let mut refunds: Vec<_> = refunds.collect();
        if let (true, Some(first), Some((_, last))) = (self.embeds, refunds.first(), states.last_mut()) {
            last["refunds"] = json!([first]);
            if self.only_embeds {
                refunds.remove(0);
            }
        }
        states.extend(refunds.into_iter().map(|body| ("refunds/create", body)));
        states
    }
}

/// Every delivery one to twenty times, in this order.
fn schedule(lives: &[Life], seed: &[prop::sample::Index]) -> Vec<Post> {
    let of_orders = (1..).zip(lives).flat_map(|(id, life)| life.deliveries(id));
    let people =
        (1..4).map(|id| ("customers/create", customer(id, &format!("person-{id}@example.com"), true)));
    let once: Vec<_> = of_orders.chain(people).collect();
    let mut posts = Vec::new();
    for (n, (topic, body)) in once.iter().enumerate() {
        let copies = 1 + seed[n % seed.len()].index(20);
        // Mostly few: what matters is that there are any, and where they fall.
        for copy in 0..copies.min(1 + n % 20) {
            posts.push(Post::new(SHOP, topic, &format!("w-{n}-{copy}"), body));
        }
    }
    for i in (1..posts.len()).rev() {
        posts.swap(i, seed[i % seed.len()].index(i + 1));
    }
    posts
}

proptest! {
    // A wrong balance is waited for in vain, so shrinking is kept short.
    #![proptest_config(Config { cases: 12, max_shrink_iters: 3, ..Config::default() })]

    #[test]
    fn any_delivery_of_the_same_facts_ends_in_the_same_balances(
        lives in lives(),
        seed in vec(any::<prop::sample::Index>(), 200),
        at_once in 1..64_usize,
    ) {
        let mut expected = BTreeMap::from([(1, 0), (2, 0), (3, 0)]);
        for life in &lives {
            *expected.entry(life.customer).or_insert(0) += life.points();
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let stack = Stack::start().await;
            let merchant = stack.bench.install(SHOP).await;
            stack.unthrottle(merchant).await;
            let posts = schedule(&lives, &seed);
            stream::iter(&posts).for_each_concurrent(at_once, |post| stack.post(post)).await;
            let counts = stack.worked_off().await;
            assert_eq!(counts.dead_lettered, 0);
            for (customer, points) in &expected {
                stack.balance_becomes(merchant, &customer.to_string(), *points).await;
            }
        });
    }
}
