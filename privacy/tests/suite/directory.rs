//! The directory: one id per reference, whoever asks and however often.
use std::collections::HashSet;

use event_schemas::CustomerId;
use privacy::{EVERY_MERCHANT, Entry, Error, Kind, Reference, Whom};
use uuid::Uuid;

use super::{ADA, BOB, Home, OTHER_SHOP, SHOP};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn order(text: &str, n: u128) -> Reference {
    Reference::new(Kind::Order, text, id(n), None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_get_one_id_for_one_reference() {
    let home = Home::new();
    let store = home.peopled().await;
    let calls = (1..=64).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.resolve(SHOP, order("450789469", n)).await.unwrap() })
    });
    let mut entries = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        entries.push(call.await.unwrap());
    }
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(entries.iter().filter(|entry| entry.fresh).count(), 1);
}

#[tokio::test]
async fn a_reference_keeps_its_id_over_a_restart_and_is_another_one_elsewhere() {
    let home = Home::new();
    let store = home.peopled().await;
    store.resolve(SHOP, order("7", 1)).await.unwrap();
    drop(store);
    let store = home.open().await;
    let again = store.resolve(SHOP, order("7", 2)).await.unwrap();
    assert_eq!(again, Entry { id: id(1), subject: None, fresh: false });
    assert_eq!(store.resolve(OTHER_SHOP, order("7", 3)).await.unwrap().id, id(3));
    let refund = Reference::new(Kind::Refund, "7", id(4), None);
    assert_eq!(store.resolve(SHOP, refund).await.unwrap().id, id(4));
    assert_eq!(store.find(SHOP, Kind::Order, "8").await.unwrap(), None);
}

#[tokio::test]
async fn a_proposal_that_lost_stands_for_the_id_that_won() {
    let home = Home::new();
    let store = home.peopled().await;
    let delivery = |customer: u128, order: u128| {
        let subject = Some(CustomerId(id(customer)));
        vec![
            Reference::new(Kind::ShopifyCustomer, "207119551", id(customer), subject),
            Reference::new(Kind::VerifiedEmail, "ada@x.io", id(customer), subject),
            Reference::new(Kind::Order, order.to_string(), id(order), subject),
        ]
    };
    let first = store.resolve_many(SHOP, delivery(10, 1)).await.unwrap();
    assert!(first.iter().all(|entry| entry.fresh && entry.subject == Some(CustomerId(id(10)))));
    let second = store.resolve_many(SHOP, delivery(20, 2)).await.unwrap();
    let subject = Some(CustomerId(id(10)));
    let expected = [
        Entry { id: id(10), subject, fresh: false },
        Entry { id: id(10), subject, fresh: false },
        Entry { id: id(2), subject, fresh: true },
    ];
    assert_eq!(second, expected);
    assert!(store.sealer(SHOP, CustomerId(id(10))).is_ok(), "the fresh row made its subject's key");
    assert!(store.sealer(SHOP, CustomerId(id(20))).is_err(), "nobody made a key for who does not exist");
}

#[tokio::test]
async fn a_call_that_fails_half_way_leaves_nothing() {
    let home = Home::new();
    let store = home.peopled().await;
    store.fence(SHOP, &Whom::Person(vec![BOB]), id(70)).await.unwrap();
    let count = store.insert_count();
    let references = vec![order("1", 1), Reference::new(Kind::Order, "2", id(2), Some(BOB))];
    let error = store.resolve_many(SHOP, references).await.unwrap_err();
    assert!(matches!(error, Error::Redacted { subject: BOB, .. }));
    assert_eq!(store.find(SHOP, Kind::Order, "1").await.unwrap(), None);
    assert_eq!(store.insert_count(), count);
}

#[tokio::test]
async fn an_email_may_belong_to_several_and_its_spelling_does_not_matter() {
    let home = Home::new();
    let store = home.peopled().await;
    for (text, person) in [("ada@x.io", ADA), (" Ada@X.io ", BOB), ("ADA@X.IO", ADA)] {
        let row = Reference::new(Kind::Email, text, person.0, Some(person));
        assert_eq!(store.resolve(SHOP, row).await.unwrap().id, person.0);
    }
    let found = store.find_all(SHOP, Kind::Email, "ada@x.io\n").await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ADA.0, BOB.0]);
    assert_eq!(store.find_all(SHOP, Kind::GuestEmail, "ada@x.io").await.unwrap(), []);
}

#[tokio::test]
async fn a_shop_is_found_by_its_domain_whoever_asks() {
    let home = Home::new();
    let store = home.open().await;
    let row = |proposed: u128| Reference::new(Kind::ShopDomain, "demo-1.myshopify.com", id(proposed), None);
    assert!(store.resolve(EVERY_MERCHANT, row(1)).await.unwrap().fresh);
    assert_eq!(store.resolve(EVERY_MERCHANT, row(2)).await.unwrap().id, id(1));
    let found = store.find(SHOP, Kind::ShopDomain, "Demo-1.MyShopify.com").await.unwrap();
    assert_eq!(found.unwrap().id, id(1));
}

#[tokio::test]
async fn an_id_reveals_the_reference_it_was_made_for() {
    let home = Home::new();
    let store = home.peopled().await;
    store.resolve(SHOP, Reference::new(Kind::Order, "1001", id(1), Some(ADA))).await.unwrap();
    store.resolve(SHOP, order("1002", 2)).await.unwrap();
    store.resolve(SHOP, Reference::new(Kind::Email, "ada@x.io", id(3), Some(ADA))).await.unwrap();
    let revealed = store.reveal_many(SHOP, Kind::Order, vec![id(2), id(9), id(1)]).await.unwrap();
    assert_eq!(revealed, [Some("1002".to_owned()), None, Some("1001".to_owned())]);
    assert_eq!(store.reveal(SHOP, Kind::Email, id(3)).await.unwrap(), None, "an e-mail is not kept");
    assert_eq!(store.reveal(OTHER_SHOP, Kind::Order, id(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_guests_order_gets_its_person_once_and_for_all() {
    let home = Home::new();
    let store = home.peopled().await;
    store.resolve(SHOP, order("1001", 1)).await.unwrap();
    let attached = store.attach(SHOP, Kind::Order, id(1), ADA).await.unwrap().unwrap();
    assert_eq!(attached.subject, Some(ADA));
    let again = store.attach(SHOP, Kind::Order, id(1), BOB).await.unwrap().unwrap();
    assert_eq!(again.subject, Some(ADA), "the first stays");
    assert_eq!(store.find(SHOP, Kind::Order, "1001").await.unwrap().unwrap().subject, Some(ADA));
    assert_eq!(store.reveal(SHOP, Kind::Order, id(1)).await.unwrap().as_deref(), Some("1001"));
    assert_eq!(store.attach(SHOP, Kind::Order, id(2), ADA).await.unwrap(), None);
}

#[tokio::test]
async fn a_sealed_reference_that_was_moved_to_another_row_is_not_revealed() {
    let home = Home::new();
    let store = home.peopled().await;
    store.resolve(SHOP, order("1001", 1)).await.unwrap();
    store.resolve(SHOP, order("1002", 2)).await.unwrap();
    home.tamper(&format!(
        "UPDATE directory SET sealed_ref = (SELECT sealed_ref FROM directory WHERE id = x'{}')",
        id(1).simple()
    ));
    assert!(store.reveal(SHOP, Kind::Order, id(1)).await.is_ok());
    assert!(matches!(store.reveal(SHOP, Kind::Order, id(2)).await, Err(Error::DoesNotOpen)));
}
