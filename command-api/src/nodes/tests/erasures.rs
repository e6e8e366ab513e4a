//! Erasures where the streams of the people, and the request's own, are on different nodes.
use domain::{Aggregate, privacy_request::OpenRedaction};
use event_schemas::{
    RequestId,
    privacy_request::{RedactionScope, RequestSource},
};

use super::*;
use crate::{
    erasure::{Erasure, Periods, Ports},
    issuer::Issuers,
    policies::Parts,
    shops::Shops,
    testing::within,
};

/// Has every node of the world see erasures through.
async fn erasing(world: &World) -> Vec<Erasure> {
    let work = work::open(&world._folder.path().join("work.db")).unwrap();
    let mut erasures = Vec::new();
    for node in &world.nodes {
        let World { log, keys, clock, .. } = world;
        let shops = Shops::start(log, None).await.unwrap();
        let issuers = Issuers::new(keys.clone(), shops.clone(), None);
        let parts = Parts {
            log: log.clone(),
            commander: node.commander.clone(),
            shops,
            clock: clock.clone(),
            keys: keys.clone(),
            work: work.clone(),
            issuers,
        };
        erasures.push(Erasure::start(&parts, Ports::default(), Periods::default()));
    }
    erasures
}

/// Whether the request is certified, as this node sees it.
async fn is_certified(way: &Commander, merchant: MerchantId, stream: StreamRef) -> bool {
    let live = |aggregate: &Aggregate| match aggregate {
        Aggregate::PrivacyRequest(request) => {
            request.redaction().is_some_and(|redaction| redaction.live.is_some())
        }
        _ => false,
    };
    // A partition may change hands at the moment.
    way.read(merchant, stream, live).await.unwrap_or(false)
}

/// Catches: a mark, a search or a save that only reaches streams of the own node.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_streams_on_several_nodes_is_erased_by_whoever_owns_the_request() {
    // So many that some are of each node.
    let world = World::of(2, 32).await;
    let erasures = erasing(&world).await;
    let ways = ways(&world);
    let [here, there] = [0, 1].map(|node| {
        let is_there = |customer: &&CustomerId| world.partition_of(**customer) % 2 == node;
        *world.customers.iter().find(is_there).unwrap()
    });
    let id = RequestId(Uuid::now_v7());
    let stream = StreamRef::privacy_request(id, here.0);
    let open = OpenRedaction {
        scope: RedactionScope::Customer,
        subjects: vec![here, there],
        source: RequestSource::Merchant,
        requested_at: world.clock.now(),
    };
    insist(&ways, &envelope(world.clock.now(), world.merchant, stream, open)).await;
    within("the certificate", async {
        while !is_certified(&ways[1], world.merchant, stream).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    for customer in [here, there] {
        let refused = insist(&ways, &world.envelope(customer, earn(2))).await;
        assert_eq!(refused.outcome, Outcome::Rejected(Rejection::AccountRedacted));
        assert!(world.keys.sealer(world.merchant, customer).is_err());
    }
    drop(erasures);
}

/// Catches: a request that is lost to whoever takes its partition over, and a step that is recorded twice.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_seen_through_while_their_partitions_go_from_node_to_node() {
    let world = World::of(3, 12).await;
    let erasures = erasing(&world).await;
    let ways = ways(&world);
    let mut streams = Vec::new();
    for &customer in &world.customers {
        let stream = StreamRef::privacy_request(RequestId(Uuid::now_v7()), customer.0);
        let open = OpenRedaction {
            scope: RedactionScope::Customer,
            subjects: vec![customer],
            source: RequestSource::Merchant,
            requested_at: world.clock.now(),
        };
        insist(&ways, &envelope(world.clock.now(), world.merchant, stream, open)).await;
        streams.push(stream);
    }
    let mut turn = 0;
    while let Some(stream) = streams.last() {
        if is_certified(&ways[turn % ways.len()], world.merchant, *stream).await {
            streams.pop();
        }
        turn += 1;
        for (number, node) in world.nodes.iter().enumerate() {
            let is_moved = turn % 40 == 0;
            let owns =
                (0..PARTITIONS).filter(|partition| (usize::from(*partition) + turn / 40) % 3 == number);
            if is_moved {
                node.proposed.send_replace(owns.collect());
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(erasures);
}
