//! Erasures beside what would undo them: sealing, minting, merging, and each other.
use domain::customer::MergeCustomers;
use event_log::{
    Class,
    faulty::{Faulty, Plan},
    memory,
};
use event_schemas::privacy_request::RedactionStep;
use tokio::task::JoinSet;

use super::{
    super::{
        merges::follow_up,
        scan::{Scanner, Sought},
    },
    *,
};

const SEALERS: usize = 8;

/// Sealed records under way while the erasure goes on, some of them late; whether the search found all of them.
async fn seal_while_fencing(world: &World) -> bool {
    let ada = world.person().await;
    let mut sealers = JoinSet::new();
    for _ in 0..SEALERS {
        let commander = world.bench.commander.clone();
        let envelopes: Vec<_> = (0..200).map(|_| world.envelope(ada, award(1))).collect();
        sealers.spawn(async move {
            for envelope in envelopes {
                let answered = commander.send(envelope).await.unwrap();
                if rejected(&answered).is_some() {
                    return;
                }
            }
        });
    }
    let request = world.ask(&[ada]).await;
    let redaction = world.certified(&request).await;
    while sealers.join_next().await.is_some() {}
    world.was_all_searched(&[ada], &redaction).await
}

/// Row 20: the search begins behind a record that the owner appended after the fence.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_while_the_fence_rises_is_searched_and_shredded() {
    let world = World::start().await;
    for _ in 0..4 {
        assert!(seal_while_fencing(&world).await);
    }
}

/// A record that was sealed before the fence, and is on its way to the log while the search begins; whether the search
/// found it. Owners write through a process that can be stopped, the search reads the log itself.
async fn search_beside_a_record_on_its_way(bugs: &[Bug]) -> bool {
    let log = memory::init(1, Class::Conditional);
    let faulty = Faulty::new(&log, Plan::default());
    let bench = Bench::over(faulty.log()).await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let world = World { erasure: erasures(&bench, Ports::default(), &[]), bench, merchant };
    let ada = world.person().await;
    let Bench { commander, keys, .. } = &world.bench;
    let scanner = Scanner::start(&log, commander, keys, &Bugs(Arc::new(bugs.to_vec())));

    faulty.pause();
    let (sending, envelope) = (commander.clone(), world.envelope(ada, award(5)));
    let sent = tokio::spawn(async move { sending.send(envelope).await.unwrap() });
    let account = StreamRef::account(ada);
    within("the award is decided", async {
        while commander.glance(merchant, account, crate::testing::balances).await.unwrap().available.0 < 15 {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    let whom = privacy::Whom::Person(vec![ada]);
    keys.fence(merchant, &whom, Uuid::nil()).await.unwrap();
    keys.destroy(merchant, &whom, Uuid::nil()).await.unwrap();
    let scanned = {
        let search = scanner.scan(0, account, Sought::People(merchant, [ada].into()));
        // An early search ends while the record is on its way; an honest one waits for the record to arrive.
        if bugs.is_empty() {
            faulty.resume();
        }
        search.await.map_err(|cause| cause.at(RedactionStep::Verify)).unwrap()
    };
    faulty.resume();
    let at = sent.await.unwrap().at;
    scanned.to >= at.position().get()
}

/// Row 20 of the log's contract.
#[tokio::test(flavor = "multi_thread")]
async fn the_search_begins_behind_a_record_that_the_owner_appended_after_the_fence() {
    assert!(search_beside_a_record_on_its_way(&[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_ends_where_the_log_ended_misses_what_is_on_its_way() {
    assert!(!search_beside_a_record_on_its_way(&[Bug::ScansEarly]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_for_one_person_are_both_certified_and_the_key_is_destroyed_once() {
    let world = World::start().await;
    let ada = world.person().await;
    let people = [ada];
    let (first, second) = tokio::join!(world.ask(&people), world.ask(&people));
    let (first, second) = (world.certified(&first).await, world.certified(&second).await);
    let keys = [first, second].map(|redaction| redaction.destroyed.unwrap().keys);
    assert_eq!(keys.iter().sum::<u64>(), 1, "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_share_what_they_wait_for() {
    const PEOPLE: usize = 40;
    let world = World::start().await;
    let mut requests = Vec::new();
    for _ in 0..PEOPLE {
        let person = world.person().await;
        requests.push((person, world.ask(&[person]).await));
    }
    let mut ends = std::collections::BTreeSet::new();
    for (person, request) in &requests {
        let redaction = world.certified(request).await;
        assert!(world.was_all_searched(&[*person], &redaction).await);
        ends.extend(redaction.verified.unwrap().scanned.into_iter().map(|one| (one.partition, one.to)));
    }
    assert!(ends.len() < PEOPLE, "each was searched for alone: {}", ends.len());
    while world.erasure.open() > 0 {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Somebody is merged into the person after the request was made; whether they are erased too.
async fn redact_while_merging(bugs: &[Bug]) -> bool {
    let bench = Bench::start().await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let world = World { erasure: erasures(&bench, Ports::default(), bugs), bench, merchant };
    let (gone, kept) = (world.person().await, world.person().await);
    let merge = MergeCustomers { into: kept };
    world.bench.accept(merchant, StreamRef::customer(gone), merge).await;
    // As a door did that looked before the merge was recorded.
    let request = world.ask(&[gone]).await;
    world.certified(&request).await;
    let (id, stream) = follow_up(request.id, kept);
    if world.redaction(&Request { merchant, id, stream }).await.is_none() {
        return false;
    }
    world.certified(&Request { merchant, id, stream }).await;
    world.bench.policies_idle().await;
    let keys = &world.bench.keys;
    keys.sealer(merchant, gone).is_err() && keys.sealer(merchant, kept).is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_turns_out_to_be_the_person_meanwhile_is_erased_too() {
    assert!(redact_while_merging(&[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_trusts_what_the_door_saw_leaves_who_was_merged() {
    assert!(!redact_while_merging(&[Bug::TrustsSubjects]).await);
}

/// The merge is recorded when the person is erased already, by a door that asked before: nobody names who is gone.
#[tokio::test(flavor = "multi_thread")]
async fn whose_estate_arrives_at_an_erased_person_is_erased_too() {
    let world = World::start().await;
    let merchant = world.merchant;
    let (gone, kept) = (world.person().await, world.person().await);
    let request = world.ask(&[kept]).await;
    world.certified(&request).await;
    let merge = MergeCustomers { into: kept };
    world.bench.accept(merchant, StreamRef::customer(gone), merge).await;
    let (id, stream) = follow_up(request.id, gone);
    world.certified(&Request { merchant, id, stream }).await;
    assert!(world.bench.keys.sealer(merchant, gone).is_err());
    world.bench.policies_idle().await;
    assert_eq!(world.bench.balances(merchant, kept).await.available, Points(20));
}

/// Points are neither lost nor made where one of two who become one is erased meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_points_of_a_merge_under_way_arrive_although_both_are_erased() {
    let world = World::start().await;
    let (gone, kept) = (world.person().await, world.person().await);
    let merchant = world.merchant;
    let merge = world.bench.envelope(merchant, StreamRef::customer(gone), MergeCustomers { into: kept });
    let people = [gone, kept];
    let (merged, request) = tokio::join!(world.bench.commander.send(merge), world.ask(&people));
    world.certified(&request).await;
    world.bench.policies_idle().await;
    let [left, arrived] = [gone, kept].map(|customer| world.bench.balances(merchant, customer));
    let (left, arrived) = (left.await.available.0, arrived.await.available.0);
    let expected = if rejected(&merged.unwrap()).is_some() { (10, 10) } else { (0, 20) };
    assert_eq!((left, arrived), expected);
}

/// Whoever mints while the fence rises gets no key that outlives it.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_minted_for_whom_the_fence_is_raised() {
    let world = World::start().await;
    let merchant = world.merchant;
    for _ in 0..8 {
        let ada = CustomerId(Uuid::now_v7());
        let mut minters = JoinSet::new();
        for number in 0..8 {
            let keys = world.bench.keys.clone();
            minters.spawn(async move {
                let text = format!("{}-{number}", ada.0);
                let ada = Reference::new(Kind::ShopifyCustomer, text, ada.0, Some(ada));
                drop(keys.resolve(merchant, ada).await);
            });
        }
        let request = world.ask(&[ada]).await;
        let redaction = world.certified(&request).await;
        while minters.join_next().await.is_some() {}
        let rows = world.bench.keys.references_of(merchant, &privacy::Whom::Person(vec![ada])).await;
        assert_eq!(rows.unwrap(), [], "{redaction:?}");
        assert!(matches!(world.bench.keys.sealer(merchant, ada), Err(privacy::Error::Redacted { .. })));
    }
}

#[cfg(feature = "postgres")]
mod on_postgres {
    //! The same where several processes share the keys, and what only they can do wrong.
    use event_schemas::{FieldAddress, RecordId, Sealed};
    use futures::FutureExt as _;
    use privacy::{KeyStore, Opened, RootKey};
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::testing::{ROOT, again_on_postgres, on_postgres, stores};

    again_on_postgres! {
        super::what_is_sealed_while_the_fence_rises_is_searched_and_shredded,
        super::two_requests_for_one_person_are_both_certified_and_the_key_is_destroyed_once,
        super::who_turns_out_to_be_the_person_meanwhile_is_erased_too,
        super::no_key_is_minted_for_whom_the_fence_is_raised,
    }

    /// A process that was stopped in its tracks: it uses what it remembers as long as it may, and hears of nothing.
    struct Paused {
        keys: KeyStore,
        address: FieldAddress,
        sealed: Sealed,
        /// Nothing of it goes on unless it is asked.
        _runtime: Runtime,
    }

    impl Paused {
        fn beside(world: &World, person: CustomerId) -> Self {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let (root, log) = (RootKey::from_bytes(ROOT), *world.bench.log.id().as_bytes());
            let address = FieldAddress {
                merchant: world.merchant,
                subject: person,
                stream_type: 2,
                stream: person.0,
                version: 1,
                record: RecordId(Uuid::nil()),
                index: 0,
                event_type: 201,
                field: "email".into(),
            };
            let opened = runtime.block_on(async {
                let (keys, _) = stores(world.bench.folder.path(), &root, log).await;
                let sealed = keys.sealer(address.merchant, person).unwrap().seal(&address, b"ada").unwrap();
                keys.open(&address, &sealed).await.unwrap();
                (keys, sealed)
            });
            let (keys, sealed) = opened;
            Self { keys, address, sealed, _runtime: runtime }
        }

        fn still_opens(&self) -> bool {
            let opened = self.keys.open(&self.address, &self.sealed).now_or_never();
            matches!(opened, Some(Ok(Opened::Clear(_))))
        }
    }

    /// Whether a stopped process could open something when the keys were said to be destroyed.
    fn opens_what_is_destroyed(bugs: &[Bug]) -> bool {
        let mut opens = None;
        on_postgres(|| {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let started = async {
                let world = World::with(Bench::start().await, Ports::default(), bugs).await;
                let ada = world.person().await;
                (world, ada)
            };
            let (world, ada) = runtime.block_on(started);
            let paused = Paused::beside(&world, ada);
            assert!(paused.still_opens(), "it remembers the key");
            let destroyed = async {
                let request = world.ask(&[ada]).await;
                world.until(&request, |redaction| redaction.destroyed.is_some()).await;
                request
            };
            let request = runtime.block_on(destroyed);
            opens = Some(paused.still_opens());
            runtime.block_on(world.certified(&request));
        });
        opens.unwrap()
    }

    #[test]
    fn nothing_is_destroyed_while_a_stopped_process_may_still_use_it() {
        assert!(!opens_what_is_destroyed(&[]));
    }

    #[test]
    fn an_erasure_that_does_not_wait_for_a_stopped_process_leaves_it_what_it_remembers() {
        assert!(opens_what_is_destroyed(&[Bug::DestroysAtOnce]));
    }
}
