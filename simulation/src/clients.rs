//! Those who ask: several at once, at random, again when there was no answer, and sometimes twice at once.
use std::time::Duration;

use rand::{Rng as _, seq::IndexedRandom as _};
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    journal::{Answer, Effect, Entry},
    shopify::{Asked, order, refund},
    system::System,
    world::World,
};

/// The shop and its customers.
pub(crate) struct People {
    pub(crate) token: String,
    pub(crate) merchant: Uuid,
    pub(crate) customers: Vec<Uuid>,
}

const CLIENTS: usize = 3;
/// Requests of one client in one life.
const REQUESTS: usize = 7;

/// Until every client has asked what it wanted.
pub(crate) async fn all(world: &World, system: &System, people: &People) {
    let clients = [0; CLIENTS].map(|_| client(world, system, people));
    let [first, second, third] = clients;
    tokio::join!(first, second, third, zombie(world, system));
    // What they set off may be under way when the crash comes.
    sleep(Duration::from_millis(world.draw(|rng| rng.random_range(0..1_000)))).await;
}

async fn client(world: &World, system: &System, people: &People) {
    for _ in 0..REQUESTS {
        sleep(Duration::from_millis(world.draw(|rng| rng.random_range(0..300)))).await;
        if world.draw(|rng| rng.random_ratio(1, 6)) {
            again(world, system).await;
        } else if let Some(entry) = next(world, people) {
            let index = world.journal.borrow().entries.len();
            world.journal.borrow_mut().entries.push(entry);
            if world.draw(|rng| rng.random_ratio(1, 8)) {
                tokio::join!(send(world, system, index), send(world, system, index));
            } else {
                send(world, system, index).await;
            }
        }
    }
}

/// Another process claims the partitions for a while, and the clock is moved.
async fn zombie(world: &World, system: &System) {
    let (comes, after_ms, stays_ms) =
        world.draw(|rng| (rng.random_ratio(1, 3), rng.random_range(0..3_000), rng.random_range(0..500)));
    sleep(Duration::from_millis(after_ms)).await;
    if comes {
        world.note("another process claims the partitions");
        let other = command_api::owner::start(&system.log, &system.keys, &system.clock).await;
        sleep(Duration::from_millis(stays_ms)).await;
        drop(other);
    } else {
        let to = event_schemas::Timestamp::from_micros(system.clock.now().micros() + 60_000_000);
        let moved = system.clock.advance_to(to).await;
        world.note(&format!("the clock was moved: {}", moved.is_ok()));
    }
}

/// Something asked before, answered or not.
async fn again(world: &World, system: &System) {
    let asked = world.journal.borrow().entries.len();
    if asked > 0 {
        let index = world.draw(|rng| rng.random_range(0..asked));
        send(world, system, index).await;
    }
}

/// Sends a request of the journal. Its first answer is kept; every later one must be the same.
pub(crate) async fn send(world: &World, system: &System, index: usize) -> bool {
    let asked = world.journal.borrow().entries[index].asked.clone();
    let answer = system.ask(&asked).await;
    world.note(&format!("{index} {} {} {}", asked.path(), answer.0, answer.1));
    if answer.0 >= 500 {
        return false;
    }
    let mut journal = world.journal.borrow_mut();
    let entry = &mut journal.entries[index];
    let first = entry.answer.get_or_insert_with(|| answer.clone()).clone();
    drop(journal);
    world.expect(is_same(&first, &answer), || {
        format!("request {index} to {} was answered {first:?}, and then {answer:?}", asked.path())
    });
    true
}

/// A problem carries the id of its request, which the same request repeats.
fn is_same(first: &Answer, answer: &Answer) -> bool {
    first == answer
}

fn next(world: &World, people: &People) -> Option<Entry> {
    let (buyer, kind, points) = world.draw(|rng| {
        (rng.random_range(0..people.customers.len()), rng.random_range(0..11), rng.random_range(1..200))
    });
    let (id, customer) = (world.id(), people.customers[buyer]);
    let command = |path: &str, body| Asked::command(&people.token, path, id, &body);
    let (asked, effect) = match kind {
        0..4 => {
            let number = world.draw(|rng| rng.random_range(1_000..1_000_000_000_u64));
            let body = order(number, buyer as u64 + 1, points);
            let effect = Effect::Order { buyer, order: number, dollars: points };
            (Asked::webhook("orders/paid", id, &body), effect)
        }
        4 => {
            let (number, dollars) = refundable(world)?;
            let body = refund(world.draw(|rng| rng.random_range(1..u64::MAX >> 12)), number, dollars);
            (Asked::webhook("refunds/create", id, &body), Effect::Refund { order: number })
        }
        5..7 => {
            let body = json!({
                "customer_id": customer, "points": points, "reason": "goodwill", "source_id": id.to_string()
            });
            (command("/v1/api/points/earn", body), Effect::Moves { buyer, points })
        }
        7 => {
            let points = if points % 2 == 0 { points } else { -points };
            let body = json!({"customer_id": customer, "points": points, "reason_code": "correction"});
            (command("/v1/api/points/adjust", body), Effect::Moves { buyer, points })
        }
        8..10 => {
            let body = json!({"customer_id": customer, "points": points});
            (command("/v1/api/points/redeem", body), Effect::Redeems { buyer, points })
        }
        _ => {
            let redemption = redeemed(world)?;
            let path = format!("/v1/api/points/redemptions/{redemption}/cancel");
            (command(&path, json!({})), Effect::Cancels { redemption })
        }
    };
    Some(Entry { asked, effect, answer: None })
}

/// An order that was sent and not refunded.
fn refundable(world: &World) -> Option<(u64, i64)> {
    let journal = world.journal.borrow();
    let orders = journal.entries.iter().filter_map(|entry| match entry.effect {
        Effect::Order { order, dollars, .. } => Some((order, dollars)),
        _ => None,
    });
    let open: Vec<_> = orders
        .filter(|(order, _)| !journal.has(|effect| effect == Effect::Refund { order: *order }))
        .collect();
    world.draw(|rng| open.choose(rng).copied())
}

fn redeemed(world: &World) -> Option<Uuid> {
    let journal = world.journal.borrow();
    let redeemed: Vec<_> = journal.entries.iter().filter_map(Entry::redemption).collect();
    world.draw(|rng| redeemed.choose(rng).copied())
}
