//! `loyalnest privacy …`: what an operator does at the command line, with words and exit codes.
use std::fs;

use super::*;
use crate::harness::Folder;

/// What it says on standard output, with its exit code.
pub(super) fn said(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(folder, &[&["privacy"], arguments].concat(), &[]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The same as an object.
pub(super) fn told(folder: &Folder, arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = said(folder, &[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The certificate in `certificate.json` is genuine, and what was made of it is not.
fn only_the_genuine_certificate_is_taken(folder: &Folder, customer: &str) {
    let (code, key) = said(folder, &["certificate", "key", "--data", "data"]);
    assert_eq!((code, key.trim().len()), (Some(0), 64));
    let verify = ["certificate", "verify", "certificate.json", "--key", key.trim()];
    let (code, text) = said(folder, &verify);
    assert!(code == Some(0) && text.contains("is genuine") && text.contains(customer), "{text}");
    let file = folder.root().join("certificate.json");
    let genuine = fs::read_to_string(&file).unwrap();
    for (forged, why) in [
        (genuine.replace("destroyed", "destroyeD"), "was changed"),
        (genuine.replace("statement", "sentence"), "not a certificate"),
    ] {
        fs::write(&file, forged).unwrap();
        let (code, text) = said(folder, &verify);
        assert!(code == Some(1) && text.contains(why), "{why}: {text}");
    }
    fs::write(&file, &genuine).unwrap();
    let (code, report) =
        told(folder, &["certificate", "verify", "certificate.json", "--key", &"0f".repeat(32)]);
    assert_eq!((code, &report["genuine"]), (Some(1), &Value::Bool(false)), "{report}");
    assert_eq!(told(folder, &["certificate", "verify", "nothing.json"]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_erased_and_another_ones_data_exported_at_the_command_line() {
    let server = Server::start();
    let (folder, shop) = (server.folder.clone(), Shop::open(&server).await);
    let (gone, asks) = (Member::join(&shop, "Gone").await, Member::join(&shop, "Asks").await);
    let at = ["--shop", shop.domain.as_str(), "--data", "data"];
    let with = |arguments: &[&'static str]| -> Vec<String> {
        arguments.iter().copied().chain(at).map(str::to_owned).collect()
    };
    let call =
        |arguments: Vec<String>| said(&folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        call(with(&["status"])),
        (Some(0), "Nobody asked to be forgotten, or for their data.\n".to_owned())
    );

    let mut redact = with(&["redact", "--certificate", "certificate.json", "--customer"]);
    redact.insert(4, gone.customer.clone());
    let (code, text) = call(redact);
    assert_eq!(code, Some(0), "{text}");
    for step in [
        "redaction asked for by merchant",
        "requested",
        "fenced",
        "destroyed",
        "purged",
        "verified",
        "(live)",
    ] {
        assert!(text.contains(step), "{step}: {text}");
    }
    let wrong = gone.remembered(&shop, "Gone").await;
    assert!(wrong.is_empty(), "{wrong:#?}");

    only_the_genuine_certificate_is_taken(&folder, &gone.customer);

    let mut export = with(&["export", "--into", "export", "--shopify-customer"]);
    export.insert(4, asks.person.id.to_string());
    let (code, text) = call(export);
    assert_eq!(code, Some(0), "{text}");
    let read = |name: &str| fs::read_to_string(folder.root().join("export").join(name)).unwrap();
    assert!(read("data.json").contains(&asks.person.email) && read("entries.csv").contains("500"));
    let manifest: Value = serde_json::from_str(&read("manifest.json")).unwrap();
    assert!(manifest.to_string().contains("data.json"), "{manifest}");

    let (code, all) = told(&folder, &with(&["status"]).iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((code, &all["in_order"]), (Some(0), &Value::Bool(true)), "{all}");
    assert_eq!(all["requests"].as_array().unwrap().len(), 2, "{all}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_what_to_do() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let folder = server.folder.clone();
    let data = ["--data", "data"];
    for (arguments, wanted) in [
        (&["redact", "--customer", "x", "--shop", &shop.domain][..], "customer_id"),
        (&["redact", "--email", "a@b.example"], "--shop"),
        (&["status", "--shop", "nobody.myshopify.com"], "shop-not-found"),
        (&["status", "01900000-0000-7000-8000-000000000000", "--shop", &shop.domain], "not-found"),
    ] {
        let (code, report) = told(&folder, &[arguments, &data].concat());
        assert_eq!(code, Some(2), "{arguments:?}: {report}");
        assert!(report["error"].as_str().unwrap().contains(wanted), "{arguments:?}: {report}");
    }
    let folder = server.kill();
    fs::remove_file(folder.data().join("serving.json")).unwrap();
    let (code, report) = told(&folder, &[&["status", "--shop", shop.domain.as_str()][..], &data].concat());
    assert!(code == Some(2) && report["error"].as_str().unwrap().contains("no server"), "{report}");
}

#[tokio::test]
async fn the_root_key_is_rotated_and_only_the_new_one_opens_anything() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let member = Member::join(&shop, "Stays").await;
    let folder = server.folder.clone();
    let rotate = ["rotate-root", "--to", "new-root.key", "--data", "data"];
    let (code, report) = told(&folder, &rotate);
    assert!(
        code == Some(2) && report["error"].as_str().unwrap().contains("open"),
        "beside a server: {report}"
    );
    assert!(server.end_by("TERM").0.success());
    let slots = || {
        let mut files = fs::read_dir(folder.data()).unwrap().map(|file| file.unwrap().path());
        let ring = files.find(|file| file.display().to_string().ends_with(".epochs")).unwrap();
        fs::read_to_string(ring).unwrap().trim().lines().count() - 1
    };
    // Interrupted before and behind the moment from which the new key is the right one, it may be run again.
    for place in ["root:added", "root:rotated"] {
        let cut = run(&folder, &[&["privacy"], &rotate[..]].concat(), &[("LOYALNEST_ABORT", place)]);
        assert_eq!((cut.status.code(), slots()), (None, 1), "{place}");
    }
    let (code, text) = said(&folder, &rotate);
    assert!(code == Some(0) && text.contains("--root-key new-root.key"), "{text}");
    assert!(folder.root().join("new-root.key.witness").exists(), "nobody would remember the log");
    assert_eq!(slots(), 0, "the old key's ring is empty");

    let refused = crate::harness::refused(&folder);
    assert!(refused.contains("fingerprint"), "{refused}");
    let new = folder.root().join("new-root.key").display().to_string();
    let server = Server::start_on(&folder, &[("LOYALNEST_ROOT_KEY", &new)]);
    let shop = shop.at(&server);
    assert_eq!(shop.customer(member.person.id).await["email"], member.person.email.as_str());
    erased(&shop, &member.customer).await;
}

/// A row of the key store holds what is another person's: it is named, nobody is shown a blank, and the rest is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_key_is_named_and_everybody_else_is_served() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let (hurt, stays) = (Member::join(&shop, "Hurt").await, Member::join(&shop, "Stays").await);
    let folder = server.folder.clone();
    assert!(server.end_by("TERM").0.success());
    let [damaged, other] = [&hurt, &stays].map(|member| member.customer.replace('-', ""));
    let swap = format!(
        "UPDATE subject_key SET wrapped = (SELECT wrapped FROM subject_key WHERE subject = x'{other}')
         WHERE subject = x'{damaged}'"
    );
    let keys = rusqlite::Connection::open(folder.data().join("keys.db")).unwrap();
    assert_eq!(keys.execute(&swap, []).unwrap(), 1);
    drop(keys);
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    let user = shop.ask("/v1/api/users/get", &[("customer_id", &hurt.customer)]).await;
    assert!(user.status >= 500 && !user.text.contains("email"), "{}: {}", user.status, user.text);
    assert_eq!(shop.customer(stays.person.id).await["email"], stays.person.email.as_str());
    assert_eq!(shop.balance(&hurt.customer).await.available, hurt.points);

    let deadline = Instant::now() + CERTIFIED_WITHIN;
    let report = loop {
        let (code, report) = told(&folder, &["status", "--data", "data"]);
        if code == Some(1) {
            break report;
        }
        assert!(Instant::now() < deadline, "{code:?} {report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let key = &report["damaged_keys"][0];
    let named = (&key["kind"], &key["whose"], &key["fault"]);
    assert_eq!(named, (&json!("subject"), &json!(hurt.customer), &json!("does-not-open")), "{report}");
    let health = shop.door.get("/healthz").await;
    assert!(health.status == 200 && health.text.contains("degraded"), "{}", health.text);
    // What does not open can be erased all the same.
    erased(&shop, &hurt.customer).await;
    assert_eq!(hurt.remembered(&shop, "Hurt").await, [""; 0]);
}
