//! A shop that is erased with everybody in it.
use std::sync::atomic::Ordering;

use super::{ends::away, *};

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_erased_at_once_also_while_its_read_models_are_away() {
    let bench = Bench::start().await;
    let away = away(&bench.log);
    let ports = Ports { read_models: Some(away.clone()), witness: None };
    let world = World::with(bench, ports, &[]).await;
    let people = [world.person().await, world.person().await, world.person().await];
    let other_shop = world.bench.install("demo-2.myshopify.com").await;
    let spared = World { merchant: other_shop, ..world };
    let stranger = spared.person().await;
    let world = World { merchant: world.merchant, ..spared };

    let request = world.ask_for_the_shop().await;
    let waiting = world.until(&request, |redaction| !redaction.failures.is_empty()).await;
    assert!(waiting.destroyed.is_some() && waiting.purged.is_none());
    let keys = &world.bench.keys;
    assert!(people.iter().all(|person| keys.sealer(world.merchant, *person).is_err()));
    away.is_back.store(true, Ordering::Release);

    let redaction = world.certified(&request).await;
    let scanned = redaction.verified.as_ref().unwrap();
    let fields: u64 = scanned.scanned.iter().map(|one| one.fields).sum();
    assert_eq!((scanned.scanned.len(), fields), (2, 12));
    assert!(world.was_all_searched(&people, &redaction).await);
    assert!(keys.sealer(other_shop, stranger).is_ok());
    let statement = world.statement(&request).await;
    assert_eq!((statement.scope, statement.subjects.len()), (privacy::certificate::Scope::Shop, 0));
}
