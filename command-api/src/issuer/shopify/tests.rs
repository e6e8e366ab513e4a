//! Against a fake shop: whatever goes wrong, there is one code for a redemption, and none for none.
//!
//! Planted bugs that these tests were seen to catch: a taken code counted as refused; a taken code counted as ours
//! without a look; no retry; a void that does not look whose the discount is; a void that leaves a free code free.
use event_schemas::{reward::Benefit, sample};
use serde_json::{Value, json};

use super::{
    fake::{ACCESS, DOMAIN, Discount, Fault, Shared, shop},
    *,
};

fn order() -> CodeOrder {
    CodeOrder { shop: DOMAIN.parse().unwrap(), redemption: sample::REDEMPTION, code: "LN-AAAA".to_owned() }
}

fn worth() -> Worth {
    Worth { benefit: Benefit::FixedDiscount { amount: sample::usd(550) }, from: sample::time() }
}

fn discounts(shop: &Shared) -> Vec<Discount> {
    shop.lock().unwrap().discounts.clone()
}

#[tokio::test]
async fn a_code_is_made_once_with_what_the_redemption_is_worth() {
    let (shop, issuer) = shop(&[]).await;
    for _ in 0..3 {
        issuer.issue(&order(), worth()).await.unwrap();
    }
    let [made] = &discounts(&shop)[..] else { panic!("{:?}", discounts(&shop)) };
    assert_eq!((made.code.as_str(), made.active), ("LN-AAAA", true));
    assert_eq!(made.title, format!("LoyalNest redemption {}", sample::REDEMPTION));
    let input = &made.input;
    assert_eq!(input["customerGets"]["value"]["discountAmount"]["amount"], "5.50");
    assert_eq!((&input["usageLimit"], &input["appliesOncePerCustomer"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn a_reward_gives_its_part_of_the_order_or_its_shipping() {
    for (percent, expected) in [(1, "0.01"), (15, "0.15"), (100, "1.0")] {
        let (shop, issuer) = shop(&[]).await;
        let worth = Worth { benefit: Benefit::Percentage { percent }, ..worth() };
        issuer.issue(&order(), worth).await.unwrap();
        assert_eq!(discounts(&shop)[0].input["customerGets"]["value"]["percentage"].to_string(), expected);
    }
    let (shop, issuer) = shop(&[]).await;
    issuer.issue(&order(), Worth { benefit: Benefit::FreeShipping, ..worth() }).await.unwrap();
    let made = &discounts(&shop)[0].input;
    assert_eq!(made["destination"]["all"], true);
    assert!(made.get("customerGets").is_none());
}

#[tokio::test]
async fn whatever_is_lost_or_answered_badly_there_is_one_code_in_the_end() {
    use Fault::*;
    for fault in [SilentAfter, SilentBefore, BadGatewayAfter, Unavailable, TooMany, Throttled, Internal] {
        for times in 1..=3 {
            let (shop, issuer) = shop(&vec![fault; times]).await;
            let issued = issuer.issue(&order(), worth()).await;
            assert!(issued.is_ok(), "{fault:?} {times}: {issued:?}");
            assert_eq!(discounts(&shop).len(), 1, "{fault:?} {times}");
        }
    }
}

#[tokio::test]
async fn a_shop_that_stays_away_is_asked_four_times_and_then_it_is_unavailable_not_refused() {
    for fault in [Fault::Unavailable, Fault::TooMany] {
        let (shop, issuer) = shop(&[fault; 9]).await;
        assert!(matches!(issuer.issue(&order(), worth()).await, Err(NotIssued::Unavailable(_))));
        assert_eq!(shop.lock().unwrap().requests, 4);
        assert_eq!(discounts(&shop), []);
    }
}

#[tokio::test]
async fn what_another_try_cannot_mend_is_not_tried_again() {
    for fault in [Fault::Unauthorised, Fault::Nonsense] {
        let (shop, issuer) = shop(&[fault; 9]).await;
        assert!(matches!(issuer.issue(&order(), worth()).await, Err(NotIssued::Unavailable(_))));
        assert_eq!(shop.lock().unwrap().requests, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_user_error_refuses_the_code_for_good_under_a_stable_reason() {
    let (shop, issuer) = shop(&[Fault::User("VALUE_OUTSIDE_RANGE")]).await;
    let refused = issuer.issue(&order(), worth()).await;
    let Err(NotIssued::Refused(reason)) = refused else { panic!("{refused:?}") };
    assert_eq!(reason.as_str(), "shopify-value-outside-range");
    assert_eq!(discounts(&shop).len(), 0);
}

#[tokio::test]
async fn a_code_that_the_merchant_gave_away_is_never_taken_for_ours() {
    let (shop, issuer) = shop(&[]).await;
    let foreign = Discount {
        code: "LN-AAAA".into(),
        title: "Summer".into(),
        input: Value::Null,
        active: true,
        used: 7,
    };
    shop.lock().unwrap().discounts.push(foreign.clone());
    let refused = issuer.issue(&order(), worth()).await;
    let Err(NotIssued::Refused(reason)) = refused else { panic!("{refused:?}") };
    assert_eq!(reason.as_str(), "code-taken");
    issuer.void(&order()).await.unwrap();
    assert_eq!(discounts(&shop), [foreign]);
    assert!(!issuer.is_used(&order()).await.unwrap());
}

#[tokio::test]
async fn a_code_is_made_void_however_often() {
    use Fault::*;
    for fault in [SilentAfter, SilentBefore, BadGatewayAfter, Unavailable, Throttled, Internal] {
        let (shop, issuer) = shop(&[]).await;
        issuer.issue(&order(), worth()).await.unwrap();
        shop.lock().unwrap().faults.extend([fault, fault]);
        issuer.void(&order()).await.unwrap();
        issuer.void(&order()).await.unwrap();
        let all = discounts(&shop);
        assert_eq!((all.len(), all[0].active), (1, false), "{fault:?}");
    }
}

#[tokio::test]
async fn whether_an_order_used_a_code_is_known_also_once_it_is_void() {
    let (shop, issuer) = shop(&[]).await;
    assert!(!issuer.is_used(&order()).await.unwrap());
    issuer.issue(&order(), worth()).await.unwrap();
    assert!(!issuer.is_used(&order()).await.unwrap());
    shop.lock().unwrap().discounts[0].used = 1;
    for fault in [Fault::SilentBefore, Fault::Unavailable, Fault::Throttled] {
        shop.lock().unwrap().faults.push_back(fault);
        assert!(issuer.is_used(&order()).await.unwrap(), "{fault:?}");
    }
    issuer.void(&order()).await.unwrap();
    assert!(issuer.is_used(&order()).await.unwrap());
}

/// The second `issue` is the create that was answered by nobody and takes effect at last.
#[tokio::test]
async fn a_code_that_is_made_late_is_never_good() {
    use Fault::*;
    for fault in [SilentAfter, SilentBefore, BadGatewayAfter, Unavailable, Throttled, Internal] {
        let (shop, issuer) = shop(&[]).await;
        shop.lock().unwrap().faults.extend([fault, fault]);
        issuer.void(&order()).await.unwrap();
        issuer.void(&order()).await.unwrap();
        let late = issuer.issue(&order(), worth()).await;
        assert!(
            matches!(&late, Err(NotIssued::Refused(reason)) if reason.as_str() == "code-taken"),
            "{late:?}"
        );
        let all = discounts(&shop);
        assert_eq!((all.len(), all[0].active), (1, false), "{fault:?}");
    }
}

#[tokio::test]
async fn no_failure_tells_the_token_or_the_code() {
    let (_shop, issuer) = shop(&[Fault::SilentBefore; 9]).await;
    let failed = issuer.issue(&order(), worth()).await.unwrap_err();
    let mut told = format!("{failed:?} {failed} {issuer:?}");
    let mut cause = std::error::Error::source(&failed);
    while let Some(error) = cause {
        told.push_str(&error.to_string());
        cause = error.source();
    }
    for secret in [ACCESS, "LN-AAAA"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn what_cannot_work_is_refused_at_the_start_by_name() {
    let shop: ShopDomain = DOMAIN.parse().unwrap();
    let with = |token: &str| [(shop.clone(), token.to_owned())].into_iter().collect::<Credentials>();
    let none = Credentials::default;
    let version = Shopify::new(none(), "latest", None);
    assert!(matches!(version, Err(NotConfigured::ApiVersion)));
    assert!(matches!(Shopify::new(none(), "2026-10", Some("no")), Err(NotConfigured::AdminUrl)));
    for token in ["", "two words", "line\nbreak"] {
        assert!(matches!(Shopify::new(with(token), "2026-10", None), Err(NotConfigured::Token(_))));
    }
    let told = format!("{:?}", Shopify::new(with("shpat_secret"), "2026-10", None).unwrap());
    assert!(!told.contains("shpat_secret"), "{told}");
}
