//! Sealing and opening fields.
use event_schemas::{
    CustomerId, FieldAddress, MerchantId, Personal, RecordId, Sealed, personal::Classified as _,
};
use privacy::{Error, KeyStore, Opened};
use proptest::prelude::*;
use uuid::Uuid;

use super::{ADA, BOB, Home, OTHER_SHOP, SHOP, address};

fn clear(text: &str) -> Opened {
    Opened::Clear(text.as_bytes().to_vec())
}

#[tokio::test]
async fn an_events_fields_are_sealed_each_under_its_own_name() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealer = store.sealer(SHOP, ADA).unwrap();
    let mut name = Some(Personal::Clear("Ada".to_owned()));
    let mut email = Personal::Clear("ada@x.io".to_owned());
    let mut seal = sealer.event(address(""));
    name.seal_with("first_name", &mut seal).unwrap();
    email.seal_with("email", &mut seal).unwrap();
    let (Some(Personal::Sealed(name)), Personal::Sealed(email)) = (name, email) else {
        panic!("still clear")
    };
    let (name_at, email_at) = (address("first_name"), address("email"));
    let opened =
        store.open_many(&[(&name_at, &name), (&email_at, &email), (&email_at, &name)]).await.unwrap();
    assert_eq!(*opened[0].as_ref().unwrap(), clear("\"Ada\""));
    assert_eq!(*opened[1].as_ref().unwrap(), clear("\"ada@x.io\""));
    assert!(matches!(opened[2], Err(Error::DoesNotOpen)));
}

#[tokio::test]
async fn a_page_of_several_people_is_opened_in_its_order() {
    let home = Home::new();
    let store = home.peopled().await;
    let bobs = FieldAddress { subject: BOB, stream: BOB.0, ..address("email") };
    let ada = store.sealer(SHOP, ADA).unwrap().seal(&address("email"), b"ada").unwrap();
    let bob = store.sealer(SHOP, BOB).unwrap().seal(&bobs, b"bob").unwrap();
    drop(store);
    let store = home.open().await;
    let adas = address("email");
    let stranger = FieldAddress { subject: CustomerId::from_bytes([5; 16]), ..address("email") };
    let page = [(&bobs, &bob), (&adas, &ada), (&stranger, &ada), (&bobs, &bob), (&bobs, &ada)];
    let opened = store.open_many(&page).await.unwrap();
    assert_eq!(*opened[0].as_ref().unwrap(), clear("bob"));
    assert_eq!(*opened[1].as_ref().unwrap(), clear("ada"));
    assert!(matches!(opened[2], Err(Error::KeyMissing { .. })));
    assert_eq!(*opened[3].as_ref().unwrap(), clear("bob"));
    assert!(matches!(opened[4], Err(Error::DoesNotOpen)));
}

#[tokio::test]
async fn a_sealer_seals_only_for_its_own_subject() {
    let home = Home::new();
    let store = home.peopled().await;
    let sealer = store.sealer(SHOP, ADA).unwrap();
    for wrong in [
        FieldAddress { subject: BOB, ..address("email") },
        FieldAddress { merchant: OTHER_SHOP, ..address("email") },
    ] {
        assert!(matches!(sealer.seal(&wrong, b"x"), Err(Error::Misaddressed)));
    }
}

#[tokio::test]
async fn digests_differ_by_person_use_and_content_and_stay_the_same() {
    let home = Home::new();
    let store = home.peopled().await;
    let ada = store.sealer(SHOP, ADA).unwrap().digest("profile", b"x");
    assert_ne!(ada, store.sealer(SHOP, BOB).unwrap().digest("profile", b"x"));
    assert_ne!(ada, store.sealer(SHOP, ADA).unwrap().digest("content", b"x"));
    assert_ne!(ada, store.sealer(SHOP, ADA).unwrap().digest("profile", b"y"));
    drop(store);
    assert_eq!(ada, home.open().await.sealer(SHOP, ADA).unwrap().digest("profile", b"x"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_sealer_reads_its_key_inside_a_runtime_of_one_thread() {
    let home = Home::new();
    drop(home.peopled().await);
    let store = home.open().await;
    assert!(store.sealer(SHOP, ADA).is_ok());
    let stranger = CustomerId::from_bytes([5; 16]);
    assert!(matches!(store.sealer(SHOP, stranger), Err(Error::KeyMissing { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealers_are_read_in_tasks_whose_budget_is_spent() {
    let home = Home::new();
    let store = home.peopled().await;
    let people: Vec<_> = (0..300_u128).map(|n| CustomerId(Uuid::from_u128(n + 1_000))).collect();
    for person in &people {
        store.ensure_subject(SHOP, *person).await.unwrap();
    }
    drop(store);
    let store = home.open().await;
    // One poll of one task reads more rows than a task may await without yielding.
    let task = tokio::spawn(async move { people.iter().all(|person| store.sealer(SHOP, *person).is_ok()) });
    assert!(task.await.unwrap());
}

/// Where the field is moved to: another value in one part of its address.
fn moved(part: usize, salt: u128) -> FieldAddress {
    let from = address("email");
    let id = Uuid::from_u128(salt << 8 | 0xff);
    match part {
        0 => FieldAddress { merchant: MerchantId(id), ..from },
        1 => FieldAddress { subject: CustomerId(id), ..from },
        2 => FieldAddress { stream_type: from.stream_type ^ (salt as u16 | 1), ..from },
        3 => FieldAddress { stream: id, ..from },
        4 => FieldAddress { version: from.version ^ (salt as u64 | 1), ..from },
        5 => FieldAddress { record: RecordId(id), ..from },
        6 => FieldAddress { index: from.index ^ (salt as u16 | 1), ..from },
        7 => FieldAddress { event_type: from.event_type ^ (salt as u16 | 1), ..from },
        _ => FieldAddress { field: format!("email{salt}").into(), ..from },
    }
}

/// Whether the value opens elsewhere, where there is a key too.
async fn opens_at(store: &KeyStore, sealed: &Sealed, to: &FieldAddress) -> bool {
    store.ensure_merchant(to.merchant).await.unwrap();
    store.ensure_subject(to.merchant, to.subject).await.unwrap();
    store.open(to, sealed).await.is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ciphertext_opens_where_it_was_sealed_and_nowhere_else(
        part in 0_usize..9,
        salt in any::<u64>(),
        value in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let home = Home::in_a_folder();
            let store = home.peopled().await;
            let sealed = store.sealer(SHOP, ADA).unwrap().seal(&address("email"), &value).unwrap();
            assert_eq!(store.open(&address("email"), &sealed).await.unwrap(), Opened::Clear(value));
            let to = moved(part, u128::from(salt));
            assert!(!opens_at(&store, &sealed, &to).await, "{to:?}");
        });
    }
}
