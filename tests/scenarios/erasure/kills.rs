//! Killed at every place of an erasure: a person's, what time does to it afterwards, and a shop's.
use reqwest::Method;

use super::*;
use crate::{harness::Folder, scenarios::verify::verified};

/// Where a process can be made to end: before or behind what a step does, and its record. In the order of an erasure.
pub(super) const OF_A_PERSON: [&str; 22] = [
    "fence:before",
    "fence:after",
    "fenced:before",
    "fenced:after",
    "destroy:before",
    "destroy:after",
    "destroyed:before",
    "destroyed:after",
    "mark:before",
    "mark:after",
    "purge:before",
    "purge:after",
    "purged:before",
    "purged:after",
    "verify:before",
    "verify:after",
    "verified:before",
    "verified:after",
    "certify:before",
    "certify:after",
    "completed:before",
    "completed:after",
];
/// In the erasure of a shop, behind `destroy:before`: its key is another one, and what hung under it is still there.
const OF_A_SHOP: &str = "shop:replaced";
/// What a day brings: the epoch is closed.
const AFTER_A_DAY: [&str; 2] = ["rotate:before", "rotate:opened"];
/// What seven more bring: a rotation that was interrupted ends, the epoch is destroyed, and certificates become final.
const AFTER_A_WEEK: [&str; 9] = [
    "rotate:anew",
    "rotate:after",
    "epochs:emptied",
    "epochs:cleared",
    "epochs:after",
    "certify-final:before",
    "certify-final:after",
    "finalized:before",
    "finalized:after",
];

/// People who are erased before time goes by.
const BATCH: usize = 20;

/// How many people are erased, each with a kill.
fn erasures() -> usize {
    let given = std::env::var("LOYALNEST_ERASURES").ok();
    given.map_or(BATCH, |text| text.parse().expect("LOYALNEST_ERASURES is a number"))
}

/// A process that ends at a place, perhaps before it is ready. `ask` may have no answer.
pub(super) async fn killed_at(
    folder: &Folder,
    environment: &[(&str, &str)],
    place: &str,
    ask: impl AsyncFnOnce(Door),
) {
    let environment = [environment, &[("LOYALNEST_ABORT", place)]].concat();
    let Ok(server) = Server::try_start_with(folder, &environment) else { return };
    ask(Door::of(&server)).await;
    let (ended, _) = server.end();
    assert!(!ended.success(), "{place}: it ended by itself");
}

/// Every request of the shop, page by page.
async fn all_requests(shop: &Shop) -> Vec<Value> {
    let (mut all, mut path) = (Vec::new(), "/v1/api/privacy/requests?limit=200".to_owned());
    loop {
        let page = shop.get(&path).await.expect(200);
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return all };
        path = format!("/v1/api/privacy/requests?limit=200&cursor={next}");
    }
}

/// Somebody and the request that is about them.
struct Gone {
    tag: String,
    member: Member,
    request: String,
}

/// An installation in which people are erased.
struct World {
    folder: Folder,
    /// None while there is none, or one that is to be killed.
    server: Option<Server>,
    shop: Shop,
    clock: Ahead,
    gone: Vec<Gone>,
    environment: &'static [(&'static str, &'static str)],
}

impl World {
    async fn new(environment: &'static [(&'static str, &'static str)]) -> Self {
        let folder = Folder::new();
        let server = Server::start_on(&folder, environment);
        let shop = Shop::open(&server).await.unthrottled().await;
        Self { folder, server: Some(server), shop, clock: Ahead::default(), gone: Vec::new(), environment }
    }

    fn start(&mut self) {
        let server = Server::start_on(&self.folder, self.environment);
        self.shop = self.shop.at(&server);
        self.server = Some(server);
    }

    /// Erases somebody; the process is killed at each of these places.
    async fn erase(&mut self, tag: String, member: Member, places: impl Iterator<Item = &'static str>) {
        let body = json!({"customer_id": member.customer});
        for place in places {
            let (shop, body) = (self.shop.clone(), body.clone());
            killed_at(&self.folder, self.environment, place, async move |door| {
                let shop = Shop { door, ..shop };
                // It may be dead before it answers.
                drop(shop.request(Method::POST, REDACT).json(&body).send().await);
            })
            .await;
        }
        self.start();
        let request = asked(&self.shop, &body).await;
        certified(&self.shop, &request).await;
        self.server = None;
        self.gone.push(Gone { tag, member, request });
    }

    /// Erases so many, each with kills of their own; together they pass all places.
    async fn erase_batch(&mut self, numbers: std::ops::Range<usize>) {
        let mut members = Vec::new();
        for number in numbers {
            let tag = format!("Gone{number}x");
            members.push((Member::join(&self.shop, &tag).await, tag));
        }
        self.server = None;
        for (number, (member, tag)) in members.into_iter().enumerate() {
            self.erase(tag, member, OF_A_PERSON.into_iter().skip(number).step_by(BATCH)).await;
        }
    }

    /// A day and a week go by, with kills of their own.
    async fn end_epochs(&mut self) {
        for (hours, places) in [(25, &AFTER_A_DAY[..]), (8 * 24, &AFTER_A_WEEK[..])] {
            let then = self.clock.on_by(hours);
            for place in places {
                let then = &then;
                killed_at(&self.folder, &[], place, async |door| drop(clock(&door, then).send().await)).await;
            }
        }
        self.start();
        for gone in &self.gone {
            finalized(&self.shop, &gone.request).await;
        }
    }

    /// What is wrong with how everybody is forgotten.
    async fn remembered(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for request in all_requests(&self.shop).await {
            if !request["certificate"].is_object() {
                wrong.push(format!("not certified: {request}"));
            }
        }
        for Gone { tag, member, .. } in &self.gone {
            wrong.extend(member.remembered(&self.shop, tag).await);
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_every_erasure_is_certified_and_nobody_is_readable() {
    let mut world = World::new(&[]).await;
    for first in (0..erasures()).step_by(BATCH) {
        world.erase_batch(first..erasures().min(first + BATCH)).await;
        world.end_epochs().await;
        world.shop.door.until_idle().await;
        let wrong = world.remembered().await;
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Requests are kept for 90 days, and a soak is longer.
        world.gone.clear();
        println!("{} people were erased", first + BATCH);
    }
    assert!(world.server.take().unwrap().end_by("TERM").0.success());
    let (code, report) = verified(&world.folder);
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("sound")), "{report:#}");
    let rebuilt = run(&world.folder, &["rebuild", "--dry-run", "--json", "--data", "data"], &[]);
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
}

/// The planted bug: a start goes on with no erasure that began before it.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_no_start_goes_on_with_is_caught() {
    let mut world = World::new(&[("LOYALNEST_PLANTED_BUG", "erasures-not-resumed")]).await;
    let member = Member::join(&world.shop, "Gone").await;
    world.server = None;
    world.erase("Gone".to_owned(), member, ["fence:before"].into_iter()).await;
    world.start();
    let wrong = world.remembered().await;
    assert!(matches!(&wrong[..], [one] if one.starts_with("not certified")), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_is_erased_by_shopifys_topic_with_everybody_in_it_whenever_it_is_killed_and_its_neighbour_is_not()
 {
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[]);
    let (shop, other) = (Shop::open(&server).await, Shop::open(&server).await);
    let mut gone = Vec::new();
    for tag in ["ShopA", "ShopB"] {
        gone.push((tag, Member::join(&shop, tag).await));
    }
    let stays = Member::join(&other, "Stays").await;
    let body = json!({"shop_id": shop.number, "shop_domain": shop.domain});
    let redact = shop.webhook("shop/redact", body.to_string());
    let mut places = OF_A_PERSON.to_vec();
    places.insert(places.iter().position(|place| *place == "destroy:after").unwrap(), OF_A_SHOP);
    drop(server.kill());
    for place in places {
        let redact = &redact;
        killed_at(&folder, &[], place, async |door| drop(redact.try_send(&door).await)).await;
    }
    let server = Server::start_on(&folder, &[]);
    let (shop, other) = (shop.at(&server), other.at(&server));
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    let request = loop {
        let all = shop.get("/v1/api/privacy/requests").await.expect(200);
        let items = all["items"].as_array().unwrap();
        let is_done = |item: &&Value| item["scope"] == "shop" && item["certificate"].is_object();
        if let Some(done) = items.iter().find(is_done) {
            break done.clone();
        }
        assert!(Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    };
    let said = statement(&server, &shop, request["request_id"].as_str().unwrap()).await;
    assert_eq!(said["scope"], "shop", "{said}");
    for (tag, member) in &gone {
        let named = Markers::new(&member.markers(tag));
        for (path, text) in member.answers(&shop).await {
            let text = text.replace(&member.order.id.to_string(), "");
            assert_eq!(named.found(text.as_bytes()), [""; 0], "{path}: {text}");
        }
    }
    assert_eq!(other.customer(stays.person.id).await["email"], stays.person.email.as_str());
    let earned = other.earn(&stays.customer, 1, "after").await;
    assert_eq!(earned.status, 200, "{}", earned.text);
}
