//! A shop that is erased with everybody in it.
use std::sync::atomic::Ordering;

use super::{calls::Caller, ends::away, *};
use crate::exports::Exports;

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

/// Whoever comes first. Tried: a data request of an erased shop is made again and again, and is late for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_in_a_shop_that_is_erased_comes_to_its_end() {
    for shop_first in [true, false] {
        let world = World::start().await;
        let (ada, other) = (world.person().await, world.person().await);
        let export =
            Caller::of(&world).ask("export", "asked", &serde_json::json!({ "customer_id": other })).await;
        let people = [ada];
        let (one, all) = if shop_first {
            let all = world.ask_for_the_shop().await;
            world.until(&all, |redaction| redaction.destroyed.is_some()).await;
            (world.ask(&people).await, all)
        } else {
            tokio::join!(world.ask(&people), world.ask_for_the_shop())
        };
        world.certified(&one).await;
        world.certified(&all).await;
        assert!(world.bench.keys.sealer(world.merchant, other).is_err());
        assert_eq!(Exports::new(&world.bench.parts()).work_off().await.unwrap(), 0);
        let stream = StreamRef::privacy_request(export, other.0);
        let ended = world.bench.commander.read(world.merchant, stream, |asked| match asked {
            Aggregate::PrivacyRequest(asked) => asked.ended_at().is_some(),
            other => panic!("{other:?}"),
        });
        assert!(ended.await.unwrap());
        assert_eq!(world.kept().await.1, 0);
    }
}
