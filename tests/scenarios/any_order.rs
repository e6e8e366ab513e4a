//! Random shops whose deliveries come repeated, shuffled, late and at once, while people redeem and are merged, end in the
//! balances of a plain model.
use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng as _, seq::SliceRandom as _};
use serde_json::json;

use crate::{
    harness::{Folder, Seed, Server, Shop},
    shopify::{Line, Order, Person, Refund, line, merge, order, person, refund},
};

const SHOPS: usize = 3;
const ORDERS: usize = 30;
const AT_ONCE: usize = 12;

/// One order: its versions, its refunds, and what they come to in the end.
struct Story {
    id: u64,
    buyer: usize,
    deliveries: Vec<(&'static str, Vec<u8>)>,
    /// Minor units that earn when all is known; nothing if it does not qualify.
    earning: i64,
    standing: &'static str,
}

/// The people of a shop, and whether Shopify has verified their address.
fn people(seed: &mut Seed) -> Vec<Person> {
    (0..8).map(|_| if seed.one_in(3) { person().unverified() } else { person() }).collect()
}

/// Lines with prices, at least `least` in all.
fn lines(seed: &mut Seed, least: i64) -> Vec<Line> {
    let count = seed.rng.random_range(1..4);
    let mut lines: Vec<_> = (0..count)
        .map(|_| {
            let made = line(seed.rng.random_range(1_00..90_00), seed.rng.random_range(1..4));
            let made = made.clone().discount(seed.rng.random_range(0..=made.price / 2));
            if seed.one_in(6) { made.gift_card() } else { made }
        })
        .collect();
    lines.push(line(least.max(1_00), 1));
    lines
}

fn eligible(lines: &[Line]) -> i64 {
    lines.iter().filter(|line| !line.gift_card).map(Line::subtotal).sum()
}

fn story(seed: &mut Seed, shop: &Shop, people: &[Person]) -> Story {
    let buyer = seed.rng.random_range(0..people.len());
    let ada = &people[buyer];
    let is_guests = seed.one_in(4);
    let first = order().by_guest(&ada.email);
    let first = if is_guests { first } else { first.by(ada) };
    let refundable = lines(seed, 0);
    let backs = refunds(seed, &first, &refundable);
    let refunded: i64 = backs.iter().map(|(_, earning)| earning).sum();

    // Versions with rising times; a customer, once there, stays, and so does the price of what comes back.
    let mut versions = vec![first.clone().edited(refundable.clone()).status("pending")];
    for minute in 1..=seed.rng.random_range(1..4) {
        let before = versions.last().unwrap().clone();
        let edited = refundable.iter().cloned().chain(lines(seed, 0));
        let version = if seed.one_in(3) { before.edited(edited) } else { before };
        versions.push(version.paid().at(minute));
    }
    if is_guests && seed.one_in(2) {
        versions.push(versions.last().unwrap().clone().by(ada).at(10));
    }
    let mut last = versions.last().unwrap().clone().at(20);
    for (back, _) in &backs {
        if seed.one_in(2) {
            last = last.refunded_by(back);
        }
    }
    let cancelled = seed.one_in(8);
    versions.push(if cancelled { last.cancelled() } else { last });

    let newest = versions.last().unwrap();
    let claimed = !is_guests || ada.verified || versions.iter().any(Order::has_customer);
    let left = (eligible(&newest.lines) - refunded).max(0);
    let standing = match (cancelled, claimed, left, backs.is_empty()) {
        (true, ..) => "cancelled",
        (_, false, ..) => "waiting guest",
        (_, _, 0, false) => "refunded",
        _ => "qualified",
    };
    let earning = if standing == "qualified" { left } else { 0 };
    let mut deliveries: Vec<_> =
        versions.iter().map(|version| ("orders/updated", version.body(shop))).collect();
    deliveries.extend(backs.iter().map(|(back, _)| ("refunds/create", back.body(shop))));
    Story { id: first.id, buyer, deliveries, earning, standing }
}

/// Refunds of some of these lines, each with the part of it that had earned.
fn refunds(seed: &mut Seed, order: &Order, lines: &[Line]) -> Vec<(Refund, i64)> {
    let mut backs = Vec::new();
    for line in lines {
        if seed.one_in(3) {
            let part = if seed.one_in(2) { line.subtotal() } else { line.subtotal() / 3 };
            let earning = if line.gift_card { 0 } else { part };
            backs.push((refund(order).part(line, 1, part, 0), earning));
        }
    }
    backs
}

/// Everything that reaches a shop, and the net balance of each person when it is all worked off.
async fn play(mut seed: Seed, shop: Shop) {
    let hundredths = seed.rng.random_range(0..300);
    let rate = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    shop.set(&json!({"earn": {"points_per_unit": rate}})).await;
    let people = people(&mut seed);
    let stories: Vec<_> = (0..ORDERS).map(|_| story(&mut seed, &shop, &people)).collect();
    let mut deliveries: Vec<_> = stories.iter().flat_map(|story| story.deliveries.clone()).collect();
    deliveries.extend(people.iter().map(|person| ("customers/create", person.body())));
    let heirs = heirs(&mut seed, &people);
    for (gone, kept) in &heirs {
        deliveries.push(("customers/merge", merge(&people[*kept], &people[*gone], "completed")));
    }
    let mut sent = Vec::new();
    for delivery in deliveries {
        let copies =
            if seed.one_in(10) { seed.rng.random_range(2..=20) } else { seed.rng.random_range(1..=2) };
        sent.extend(std::iter::repeat_n(delivery, copies));
    }
    sent.shuffle(&mut seed.rng);
    let heir = |who: usize| heirs.get(&who).copied().unwrap_or(who);
    let mut expected = BTreeMap::<usize, i64>::new();
    let ((), spent) = tokio::join!(send_all(&shop, sent), spend(&mut seed, &shop, &people));
    shop.door.until_idle().await;
    for (who, points) in spent {
        *expected.entry(heir(who)).or_default() -= points;
    }
    for story in &stories {
        // Points per order: floor of the amount times the rate, once, in integers.
        let points = story.earning * hundredths / 10_000;
        *expected.entry(heir(story.buyer)).or_default() += points;
        assert_eq!(shop.standing(story.id).await, story.standing, "order {}", story.id);
    }
    for (buyer, points) in expected {
        let id = shop.customer_id(people[buyer].id).await;
        assert_eq!(shop.balance(&id).await.net(), points, "{}", people[buyer].email);
        shop.statement(&id).await;
    }
}

/// Who turns out to be whom. Nobody's address is verified who is merged away, so their guest orders stay unclaimed.
fn heirs(seed: &mut Seed, people: &[Person]) -> BTreeMap<usize, usize> {
    let (verified, others): (BTreeSet<_>, BTreeSet<_>) =
        (0..people.len()).partition(|who| people[*who].verified);
    let kept: Vec<_> = verified.into_iter().collect();
    let heir = |seed: &mut Seed| kept.get(seed.rng.random_range(0..kept.len().max(1))).copied();
    others.into_iter().take(2).filter_map(|gone| Some((gone, heir(seed)?))).collect()
}

/// Redeems and cancels while deliveries come in; who spent how much in the end.
async fn spend(seed: &mut Seed, shop: &Shop, people: &[Person]) -> BTreeMap<usize, i64> {
    let mut spent = BTreeMap::new();
    for _ in 0..60 {
        let (who, points) = (seed.rng.random_range(0..people.len()), seed.rng.random_range(1..40));
        let id = people[who].id.to_string();
        let seen = shop.ask("/v1/api/users/get", &[("shopify_customer_id", &id)]).await;
        if seen.status != 200 {
            continue;
        }
        let redeemed = shop.redeem(seen.json()["customer_id"].as_str().unwrap(), points).await;
        if redeemed.status == 409 {
            let code = redeemed.json()["code"].as_str().unwrap().to_owned();
            assert!(["insufficient-points", "account-merged"].contains(&code.as_str()), "{code}");
            continue;
        }
        let redeemed = redeemed.expect(200);
        *spent.entry(who).or_default() += points;
        if seed.one_in(3) {
            let cancelled = shop.cancel(redeemed["redemption_id"].as_str().unwrap()).await;
            // It may not have completed yet, where a merge got in between.
            match cancelled.status {
                200 => *spent.entry(who).or_default() -= points,
                _ => drop(cancelled.problem(409, "redemption-not-cancellable")),
            }
        }
    }
    spent
}

/// Several at once, in this order.
async fn send_all(shop: &Shop, sent: Vec<(&'static str, Vec<u8>)>) {
    let mut senders = Vec::new();
    let share = sent.len().div_ceil(AT_ONCE);
    for part in sent.chunks(share) {
        let (shop, part) = (shop.clone(), part.to_vec());
        senders.push(tokio::spawn(async move {
            for (topic, body) in part {
                shop.deliver(topic, body).await;
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_repeated_shuffled_late_and_at_once_end_as_if_delivered_once_in_order() {
    let server = Server::start_on(&Folder::new(), &[]);
    for _ in 0..SHOPS {
        let shop = Shop::open(&server).await.unthrottled().await;
        play(Seed::new(), shop).await;
    }
    assert_eq!(server.ready.shops.len(), 0, "the server started empty");
}
