//! What a newcomer sees: one command, a few lines, curls that work as printed; and starts that are refused, clearly.
use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Door, Folder, Server, Shop, Spoken, interrupted_start, run};

/// Runs a printed command line as a reader would, in a shell; its output must be JSON.
fn run_curl(line: &str) -> Value {
    let checked = Command::new("curl").arg("--version").output();
    assert!(checked.is_ok(), "curl is not installed, so the printed examples cannot be tried");
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}\n{error}: {text}"))
}

fn curls(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect()
}

#[test]
fn the_first_start_seeds_the_demo_and_prints_curls_that_work() {
    let folder = Folder::new();
    let server = Spoken::start(&folder, &["--port", "0"], &[]);
    let text = server.printed();
    assert!(text.lines().count() <= 15, "{text}");
    assert!(text.contains("development mode") && text.contains(&server.url), "{text}");
    assert!(text.contains("seeded") && text.contains(folder.data().to_str().unwrap()), "{text}");

    let curls = curls(&text);
    let [earn, balance] = curls[..] else { panic!("a curl that earns and one that asks in\n{text}") };
    let before = run_curl(balance);
    let earned = run_curl(earn);
    let after = run_curl(balance);
    let available = |answer: &Value| answer["available"].as_i64().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(available(&after), available(&before) + 50, "{before} {after}");
    assert_eq!(available(&earned), available(&after));
    assert_eq!(run_curl(earn)["entry_id"], earned["entry_id"], "the same award again");
    assert_eq!(run_curl(balance)["available"], after["available"]);
    assert!(server.end_by("INT").success());
}

#[tokio::test]
async fn the_second_start_seeds_nothing_and_keeps_every_token() {
    let folder = Folder::new();
    let first = Server::serve(&folder, &[], &[]);
    let shops = first.ready.shops.clone();
    assert!(!shops.is_empty());
    let log_end = async |server: &Server| {
        let (door, shop) = (Door::of(server), &server.ready.shops[0]);
        let body = json!({"shop_domain": shop.shop_domain, "currency": "USD", "timezone": "Europe/Berlin"});
        door.operator_post("/admin/merchants", &body).await.problem(409, "shop-exists");
        let request = door.request(reqwest::Method::GET, "/v1/api/core/settings").bearer_auth(&shop.token);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let settings = log_end(&first).await;
    let (secret, operator) = (first.ready.webhook_secret.clone(), first.ready.operator_token.clone());
    let (status, folder) = first.end_by("TERM");
    assert!(status.success(), "{status}");

    let second = Server::serve(&folder, &[], &[]);
    assert_eq!(second.ready.shops, shops);
    assert_eq!((&second.ready.webhook_secret, &second.ready.operator_token), (&secret, &operator));
    assert_eq!(log_end(&second).await, settings);
    let folder = second.kill();
    let spoken = Spoken::start(&folder, &["--port", "0"], &[]);
    let text = spoken.printed();
    assert!(text.contains("nothing seeded") && text.lines().count() <= 15, "{text}");
    assert_eq!(curls(&text).len(), 2, "{text}");
}

#[tokio::test]
async fn without_the_demo_it_starts_empty_and_says_the_first_line_as_json() {
    let server = Server::start();
    assert_eq!(server.ready.shops, []);
    assert_eq!(server.ready.data, server.folder.data().to_str().unwrap());
    // Its own claims are read first.
    Door::of(&server).until_idle().await;
    let shop = Shop::open(&server).await;
    let server = Server::start_on(&server.kill(), &[]);
    let [known] = &server.ready.shops[..] else { panic!("one shop in {:?}", server.ready) };
    assert_eq!(
        (&known.shop_domain, &known.merchant_id, &known.token),
        (&shop.domain, &shop.merchant_id, &shop.token)
    );
}

#[test]
fn a_busy_port_means_the_next_free_one_and_is_said() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let server = Spoken::start(&Folder::new(), &["--no-demo", "--port", &port.to_string()], &[]);
    assert!(!server.url.ends_with(&format!(":{port}")), "{}", server.url);
    assert!(server.printed().contains(&format!("{port} is busy")), "{}", server.printed());
}

#[test]
fn both_signals_end_it_cleanly() {
    for name in ["TERM", "INT"] {
        let (status, _) = Server::start().end_by(name);
        assert_eq!(status.code(), Some(0), "{name}");
    }
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let refused = run(&server.folder, &["serve", "--no-demo", "--port", "0", "--data", "data"], &[]);
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.lines().count() <= 2 && said.contains("open for writing elsewhere"), "{said}");
    assert!(server.end_by("TERM").0.success());
}

#[test]
fn a_wrong_setting_is_named_and_its_secret_value_is_not_shown() {
    let folder = Folder::new();
    std::fs::write(folder.root().join("typo.toml"), "prot = 9000\n").unwrap();
    std::fs::write(folder.root().join("type.toml"), "port = \"many\"\n").unwrap();
    std::fs::write(folder.root().join("secret.toml"), "webhook_secret = 4711\n").unwrap();
    let serve = ["serve", "--no-demo", "--data", "data"];
    let with = |more: &[&'static str]| [&serve[..], more].concat();
    for (arguments, environment, named) in [
        (with(&["--config", "typo.toml"]), vec![], "prot"),
        (with(&["--config", "type.toml"]), vec![], "port"),
        (with(&["--config", "secret.toml"]), vec![], "webhook_secret"),
        (with(&["--config", "missing.toml"]), vec![], "missing.toml"),
        (with(&["--port", "70000"]), vec![], "port"),
        (with(&[]), vec![("LOYALNEST_PORT", "x")], "port"),
        (with(&[]), vec![("LOYALNEST_HOST", "nowhere at all")], "host"),
        (with(&[]), vec![("LOYALNEST_MODE", "prod")], "mode"),
        (with(&[]), vec![("LOYALNEST_PARTITIONS", "0")], "partitions"),
        (with(&[]), vec![("LOYALNEST_LOG_FILTER", "=,=")], "log_filter"),
        (with(&["--log", "info"]), vec![], "log"),
        (with(&["--log", "postgres://me:hunter2@"]), vec![], "log"),
        (with(&[]), vec![("LOYALNEST_LOG", "nosql://me:hunter2@host")], "log"),
        (with(&[]), vec![("LOYALNEST_WEBHOOK_SECRET", "")], "webhook"),
        (with(&["--mode", "production"]), vec![("LOYALNEST_WEBHOOK_SECRET", "hunter2")], "root_key"),
        (with(&["--mode", "production", "--root-key", "data/root.key"]), vec![], "root_key"),
    ] {
        let refused = run(&folder, &arguments, &environment);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success(), "{arguments:?} {environment:?}");
        assert!(
            said.to_lowercase().replace('-', "_").contains(named),
            "{arguments:?} {environment:?}: {said}"
        );
        assert!(!said.contains("hunter2") && !said.contains("4711"), "{said}");
    }
}

#[test]
fn a_data_folder_with_a_file_missing_is_refused_by_name() {
    let folder = Server::start().kill();
    std::fs::rename(folder.data().join("keys.db"), folder.root().join("keys.db")).unwrap();
    let refused = run(&folder, &["serve", "--no-demo", "--port", "0", "--data", "data"], &[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("keys.db"), "{said}");
    std::fs::rename(folder.root().join("keys.db"), folder.data().join("keys.db")).unwrap();
    Server::start_on(&folder, &[]);
}

#[tokio::test]
async fn the_read_models_may_be_deleted_and_come_back_the_same() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(70).await;
    shop.redeem(&customer, 20).await.expect(200);
    let before = shop.statement(&customer).await;
    let (_, folder) = server.end_by("TERM");
    for entry in std::fs::read_dir(folder.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("read.db") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    shop.door.until_idle().await;
    let after = shop.statement(&customer).await;
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    assert_eq!(shop.balance(&customer).await.available, 50);
}

#[test]
fn a_first_start_that_is_killed_at_any_instant_can_be_started_again() {
    for after_ms in [5, 20, 40, 60, 90, 140, 220] {
        let folder = Folder::new();
        interrupted_start(&folder, &["--no-demo"], Duration::from_millis(after_ms));
        Server::start_on(&folder, &[]);
    }
}

#[tokio::test]
async fn a_demo_that_was_killed_half_way_is_completed_by_the_next_start() {
    let balances = async |server: &Server| {
        let mut all = Vec::new();
        for shop in &server.ready.shops {
            let door = Door::of(server);
            for number in 0..40_u64 {
                // The demo's customers are numbered per shop; those that a shop does not have are 404 in both.
                let id = 7_000_000_000_000_001 + number;
                let path = format!("/v1/api/users/get?shopify_customer_id={id}");
                let asked =
                    door.request(reqwest::Method::GET, &path).bearer_auth(&shop.token).send().await.unwrap();
                let customer =
                    asked.json::<Value>().await.unwrap()["customer_id"].as_str().map(str::to_owned);
                let Some(customer) = customer else { continue };
                let path = format!("/v1/api/points/balance?customer_id={customer}");
                let asked =
                    door.request(reqwest::Method::GET, &path).bearer_auth(&shop.token).send().await.unwrap();
                all.push((
                    shop.shop_domain.clone(),
                    id,
                    asked.json::<Value>().await.unwrap()["available"].clone(),
                ));
            }
        }
        all
    };
    let expected = balances(&Server::serve(&Folder::new(), &[], &[])).await;
    assert!(!expected.is_empty());
    for after_ms in [250, 500] {
        let folder = Folder::new();
        interrupted_start(&folder, &[], Duration::from_millis(after_ms));
        assert_eq!(balances(&Server::serve(&folder, &[], &[])).await, expected, "killed after {after_ms} ms");
    }
}

#[test]
fn production_has_no_clock_to_move_and_no_demo() {
    let folder = Folder::new();
    std::fs::create_dir(folder.root().join("keys")).unwrap();
    let root_key = folder.root().join("keys/root.key");
    std::fs::write(&root_key, "").unwrap();
    let refused = run(
        &folder,
        &["serve", "--mode", "production", "--root-key", "keys/root.key", "--data", "data", "--port", "0"],
        &[],
    );
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("root key"), "{said}");
}

#[tokio::test]
async fn production_refuses_to_move_the_clock() {
    // The key of a development installation, moved to where production wants it.
    let folder = Server::start().kill();
    let root_key = folder.root().join("root.key");
    // What lies beside it goes along: the keys of the epochs and the witness.
    for entry in std::fs::read_dir(folder.data()).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if let Some(own) = name.strip_prefix("dev-") {
            std::fs::rename(entry.path(), folder.root().join(own)).unwrap();
        }
    }
    let arguments = ["--mode", "production", "--root-key", root_key.to_str().unwrap()];
    let server = Server::serve(&folder, &arguments, &[]);
    assert_eq!(server.ready.shops, [], "production seeds nothing");
    let answer =
        Door::of(&server).operator_post("/admin/clock", &json!({"now": "2031-01-01T00:00:00Z"})).await;
    answer.problem(403, "not-in-production");
}

#[test]
fn the_settings_in_force_are_shown_without_secrets() {
    let folder = Folder::new();
    let environment = [("LOYALNEST_OPERATOR_TOKEN", "hunter2"), ("LOYALNEST_PORT", "9123")];
    let shown = run(&folder, &["settings"], &environment);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && text.contains("9123") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn webhook_send_signs_a_file_and_posts_it() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let ada = crate::shopify::person();
    std::fs::write(server.folder.root().join("customer.json"), ada.body()).unwrap();
    let arguments = [
        "webhook",
        "send",
        "customer.json",
        "--topic",
        "customers/create",
        "--shop",
        &shop.domain,
        "--url",
        &server.ready.url,
        "--data",
        "data",
    ];
    let sent = run(&server.folder, &arguments, &[]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    shop.door.until_idle().await;
    assert_eq!(shop.customer(ada.id).await["email"], ada.email.as_str());
}

#[test]
fn it_is_ready_soon_after_a_first_start() {
    let started = Instant::now();
    let server = Spoken::start(&Folder::new(), &["--port", "0"], &[]);
    let took = started.elapsed();
    // The promise is 10 s for an idle machine; this one runs other tests beside.
    assert!(took < Duration::from_secs(30), "{took:?}\n{}", server.printed());
}
