//! Asked for in every way, also in wrong ones.
use super::*;
use crate::harness::Folder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_for_twice_or_by_e_mail_or_is_not_known_is_certified_and_another_shops_people_are_safe()
{
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[]);
    let (shop, other) = (Shop::open(&server).await, Shop::open(&server).await);
    let (twice, mailed) = (Member::join(&shop, "Twice").await, Member::join(&shop, "Mailed").await);
    let stays = Member::join(&shop, "Stays").await;
    // The same person is known in another shop, which asked for nothing.
    let (email, name) = (twice.person.email.as_str(), twice.person.first_name.as_str());
    let theirs = json!({"email": email, "first_name": name});
    other.post("/v1/api/users/create", &theirs).await.expect(201);

    let body = json!({"shopify_customer_id": twice.person.id.to_string()});
    let (one, two) = tokio::join!(asked(&shop, &body), asked(&shop, &body));
    let mail = asked(&shop, &json!({"email": mailed.person.email})).await;
    let unknown = asked(&shop, &json!({"email": "nobody-zq7@private.example"})).await;
    for id in [&one, &two, &mail, &unknown] {
        certified(&shop, id).await;
        let said = statement(&server, &shop, id).await;
        assert_eq!((&said["level"], &said["merchant"]), (&json!("live"), &json!(shop.merchant_id)), "{said}");
    }
    let nothing = statement(&server, &shop, &unknown).await;
    assert_eq!((&nothing["subjects"], &nothing["destroyed"]["keys"]), (&json!([]), &json!(0)), "{nothing}");
    for (tag, member) in [("Twice", &twice), ("Mailed", &mailed)] {
        member.comes_late(&shop).await;
        let wrong = member.remembered(&shop, tag).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    let there = async || other.ask("/v1/api/users/get", &[("email", email)]).await.expect(200);
    assert_eq!(there().await["first_name"], name);
    // Another shop cannot see, and not ask for, what is this one's.
    other.get(&format!("/v1/api/privacy/requests/{one}")).await.problem(404, "request-not-found");
    let foreign = other.post(REDACT, &json!({"customer_id": stays.customer})).await.expect(202);
    assert_eq!(foreign["held"], false, "{foreign}");
    let foreign = foreign["request_id"].as_str().unwrap();
    certified(&other, foreign).await;
    assert_eq!(statement(&server, &other, foreign).await["subjects"], json!([]));
    let customer = json!({"id": stays.person.id, "email": stays.person.email});
    let forged = json!({"shop_domain": shop.domain, "customer": customer, "orders_to_redact": []});
    let forged = other.delivered("customers/redact", forged.to_string()).await;
    assert_eq!(
        (forged.status.as_str(), forged.reason.as_deref()),
        ("dead_lettered", Some("names-another-shop"))
    );
    // Who was erased has nothing to be handed over.
    let nothing = shop.post(EXPORT, &json!({"customer_id": twice.customer})).await.expect(200);
    assert_eq!((&nothing["status"], &nothing["redaction"]["redacted"]), (&json!("redacted"), &json!(true)));
    let nothing = shop.post(EXPORT, &body).await.expect(202);
    assert_eq!(nothing["held"], false, "{nothing}");
    assert_eq!(there().await["first_name"], name);
    assert_eq!(shop.customer(stays.person.id).await["email"], stays.person.email.as_str());
}
