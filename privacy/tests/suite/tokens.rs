//! Tokens and derived secrets.
use privacy::{KeyStore, RootKey};
use proptest::prelude::*;

use super::{Home, LOG, OTHER_SHOP, SHOP};

#[tokio::test]
async fn a_token_verifies_after_a_restart_and_names_its_merchant() {
    let home = Home::new();
    let store = home.open().await;
    let (token, secret) = (store.issue_token(SHOP, 3), store.derived_secret("webhook"));
    drop(store);
    let store = home.open().await;
    let scope = store.verify_token(&token).unwrap();
    assert_eq!((scope.merchant(), scope.generation()), (SHOP, 3));
    assert_eq!(store.issue_token(SHOP, 3), token);
    assert_eq!(store.derived_secret("webhook"), secret);
    assert_ne!(store.derived_secret("operator"), secret);
}

#[tokio::test]
async fn a_token_of_another_installation_does_not_verify() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let (here, there) = (home.open().await, elsewhere.open().await);
    assert!(there.verify_token(&here.issue_token(SHOP, 1)).is_none());
    let root = RootKey::from_bytes([1; 32]);
    let folder = tempfile::tempdir().unwrap();
    let third = KeyStore::create_or_open(&folder.path().join("keys.db"), &root, LOG).await.unwrap();
    assert!(third.verify_token(&here.issue_token(SHOP, 1)).is_none());
}

#[tokio::test]
async fn a_second_spelling_of_a_token_is_not_one() {
    let home = Home::new();
    let store = home.open().await;
    let token = store.issue_token(SHOP, 1);
    let mac = token.rsplit_once('_').unwrap().1;
    for other in [
        token.to_uppercase(),
        format!("{token} "),
        format!("{token}0"),
        format!("lnt_{}_1_{mac}", SHOP.0.hyphenated()),
        format!("lnt_{}_01_{mac}", SHOP.0.simple()),
        format!("lnt_{}_+1_{mac}", SHOP.0.simple()),
        format!("lnt_{}_2_{mac}", SHOP.0.simple()),
        format!("lnt_{}_1_{mac}", OTHER_SHOP.0.simple()),
        format!("lnt_{}_1_", SHOP.0.simple()),
        "lnt___".to_owned(),
        String::new(),
    ] {
        assert!(store.verify_token(&other).is_none(), "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edited_token_does_not_verify(place in any::<prop::sample::Index>(), with in 0x20_u8..0x7f) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let home = Home::in_a_folder();
        let store = runtime.block_on(home.open());
        let token = store.issue_token(SHOP, 1);
        let mut edited = token.clone().into_bytes();
        edited[place.index(token.len())] = with;
        let edited = String::from_utf8(edited).unwrap();
        prop_assume!(edited != token);
        prop_assert!(store.verify_token(&edited).is_none());
    }
}
