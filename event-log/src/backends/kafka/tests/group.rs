//! Members of a group share the partitions, and owners hear of each other.
use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::{
    conformance::within,
    kafka::{Announced, Group, Owners},
};

const SESSION: Duration = Duration::from_secs(6);

fn join(topic: &Topic, name: &str) -> Group {
    Group::join(&topic.address, topic.kafka.store.genesis.log_id, name, SESSION).unwrap()
}

async fn until(group: &Group, holds: impl FnMut(&BTreeSet<u16>) -> bool) -> BTreeSet<u16> {
    let mut proposed = group.proposed();
    within("another share", proposed.wait_for(holds)).await.unwrap().clone()
}

/// With what is revoked left in the proposal the two shares were seen to overlap.
#[tokio::test]
async fn members_of_the_group_share_all_partitions_and_who_leaves_gives_its_share_back() {
    let topic = Topic::new().await;
    let a = join(&topic, "a");
    assert_eq!(until(&a, |own| own.len() == 4).await, BTreeSet::from([0, 1, 2, 3]));
    let b = join(&topic, "b");
    let (own, rest) = (until(&b, |own| own.len() == 2).await, until(&a, |own| own.len() == 2).await);
    assert!(own.is_disjoint(&rest), "{own:?} {rest:?}");
    tokio::task::spawn_blocking(move || b.leave()).await.unwrap();
    until(&a, |own| own.len() == 4).await;
}

/// With the last announcement taken whatever its term, the older owner was seen to win.
#[tokio::test]
async fn the_owner_of_the_newest_term_is_heard_also_by_who_comes_later() {
    let topic = Topic::new().await;
    let (address, log) = (&topic.address, topic.kafka.store.genesis.log_id);
    let announced = |term, place: &str| Announced { term, place: place.to_owned() };
    let early = Owners::open(address, log).await.unwrap();
    early.announce(3, &announced(8, "http://b"));
    early.announce(3, &announced(7, "http://a"));
    early.announce(2, &announced(1, "http://a"));
    for owners in [&early, &Owners::open(address, log).await.unwrap()] {
        within("an owner", async {
            while owners.of(2).is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        assert_eq!(owners.of(3), Some(announced(8, "http://b")));
    }
    // The same topic may come to be another log's.
    let other = Owners::open(address, crate::LogId::from_bytes([1; 16])).await.unwrap();
    other.announce(1, &announced(1, "http://c"));
    assert_eq!((other.of(3), early.of(1)), (None, None));

    let early = Arc::new(early);
    let forgetting = early.clone();
    tokio::task::spawn_blocking(move || forgetting.forget(4)).await.unwrap().unwrap();
    while early.of(3).is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
