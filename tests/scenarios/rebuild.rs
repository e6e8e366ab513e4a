//! `loyalnest rebuild` as a data team runs it: without a server, beside one that is written to, and when either dies.
//!
//! Seen to catch: queries that remember which table was served; tables that are served before they are built; a hang-up
//! that does not reach the job; the word of a dead server taken for that of a living one; two jobs at once.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::verify::verified;
use crate::harness::{Folder, Job, PATIENCE, Server, Shop, run};

/// What `rebuild` with these arguments says as JSON, with its exit code.
fn rebuilt(folder: &Folder, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["rebuild", "--json", "--data", "data"], arguments].concat();
    let output = run(folder, &arguments, &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), report)
}

async fn rebuilt_beside(server: &Server, arguments: &'static [&'static str]) -> (Option<i32>, Value) {
    let folder = server.folder.clone();
    tokio::task::spawn_blocking(move || rebuilt(&folder, arguments)).await.unwrap()
}

/// The names of an object's fields.
fn fields(object: &Value) -> Vec<&String> {
    object.as_object().unwrap_or_else(|| panic!("{object}")).keys().collect()
}

/// A shop with a customer of 105 points, and somebody stopped the server and gave her a thousand more in the read model.
async fn spoiled() -> (Shop, String, Folder) {
    let server = Server::start();
    let shop = Shop::open(&server).await.unthrottled().await;
    let customer = shop.enrol_with(105).await;
    shop.door.until_idle().await;
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    let reads = Connection::open(folder.data().join("read.db")).unwrap();
    let more = "UPDATE points_balance_1 SET available = 1105 WHERE available = 105";
    assert_eq!(reads.execute(more, []), Ok(1));
    (shop, customer, folder)
}

/// The only projection that differs, in that one row, as the report shows it.
fn shown(report: &Value) -> &Value {
    let projections = report["projections"].as_array().unwrap_or_else(|| panic!("{report}"));
    let differing: Vec<_> = projections.iter().filter(|one| one["comparison"] == "differs").collect();
    let [one] = differing[..] else { panic!("one projection differs in {report:#}") };
    assert_eq!((&one["name"], &one["differences"]["rows"]), (&json!("points_balance"), &json!(1)), "{one:#}");
    let columns = &one["differences"]["first"][0]["change"]["columns"];
    assert_eq!(columns, &json!([{"column": "available", "served": "1105", "rebuilt": "105"}]), "{one:#}");
    one
}

#[tokio::test]
async fn without_a_server_a_spoiled_row_is_shown_mended_and_comes_back() {
    let (_, _, folder) = spoiled().await;
    let (code, report) = rebuilt(&folder, &["--dry-run"]);
    assert_eq!((code, &report["equal"], &report["swapped"]), (Some(1), &json!(false), &json!(false)));
    shown(&report);
    assert_eq!(verified(&folder).0, Some(1), "a dry run mends nothing");
    let (code, report) = rebuilt(&folder, &[]);
    assert_eq!((code, &report["swapped"]), (Some(1), &json!(true)), "{report:#}");
    shown(&report);
    assert_eq!(verified(&folder).0, Some(0));
    let (code, report) = rebuilt(&folder, &["--rollback"]);
    assert_eq!((code, &report["rolled_back"]), (Some(0), &json!(true)), "{report:#}");
    assert_eq!(verified(&folder).0, Some(1), "the rows before are served again");
    assert_eq!(rebuilt(&folder, &["--rollback"]).0, Some(2), "there is one way back");
    assert_eq!(rebuilt(&folder, &["nonsense"]).0, Some(2));
    assert_eq!(rebuilt(&folder, &[]).0, Some(1));
    assert_eq!((rebuilt(&folder, &[]).0, verified(&folder).0), (Some(0), Some(0)));
}

/// Earns for a customer of its own, one point each time, reads each back, and says how many it has.
async fn load(shop: Shop, enough: Arc<AtomicBool>) -> (String, i64) {
    let customer = shop.enrol().await;
    let mut earned = 0;
    while !enough.load(Ordering::Relaxed) {
        let answer = shop.earn(&customer, 1, &format!("source-{earned}")).await.expect(200);
        earned += 1;
        let position = answer["position"].as_str().unwrap();
        let balance = shop.balance_with(&customer, &[("min_position", position)]).await;
        // A position that is not visible in time is no lie; a balance without the own write is.
        if balance.status != 503 {
            assert_eq!(balance.expect(200)["available"], earned);
        }
    }
    (customer, earned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_server_that_is_written_to_it_is_the_same_and_nobody_notices() {
    let (shop, customer, folder) = spoiled().await;
    let alone = rebuilt(&folder, &["--dry-run"]).1;
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    assert_eq!(shop.balance_with(&customer, &[]).await.expect(200)["available"], 1105);
    let enough = Arc::<AtomicBool>::default();
    let clients = (0..4).map(|_| tokio::spawn(load(shop.clone(), Arc::clone(&enough))));
    let clients = Vec::from_iter(clients);

    let (code, report) = rebuilt_beside(&server, &["--dry-run"]).await;
    assert_eq!((code, &report["swapped"]), (Some(1), &json!(false)), "{report:#}");
    assert_eq!((fields(&report), fields(shown(&report))), (fields(&alone), fields(shown(&alone))));
    let (code, report) = rebuilt_beside(&server, &[]).await;
    assert_eq!((code, &report["swapped"]), (Some(1), &json!(true)), "{report:#}");
    shown(&report);
    for [only, back] in [
        [&[][..], &["--rollback"]],
        [&["points_balance"], &["points_balance", "--rollback"]],
        [&["audit_log"], &["audit_log", "--rollback"]],
    ] {
        let (code, report) = rebuilt_beside(&server, only).await;
        assert_eq!((code, &report["equal"], &report["swapped"]), (Some(0), &json!(true), &json!(true)));
        assert_eq!(report["projections"].as_array().unwrap().len() == 1, only.len() == 1, "{report:#}");
        let (code, report) = rebuilt_beside(&server, back).await;
        assert_eq!((code, &report["rolled_back"]), (Some(0), &json!(true)), "{report:#}");
    }
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        let (customer, earned) = client.await.unwrap();
        assert_eq!(shop.balance(&customer).await.available, earned);
    }
    shop.door.until_idle().await;
    assert_eq!(
        shop.statement(&customer).await.len(),
        1,
        "her balance is right again, and so is her statement"
    );
    let queues = shop.door.queues().await;
    assert!(queues["projections"].as_array().unwrap().iter().all(|one| one["stopped"].is_null()), "{queues}");
    let (code, report) = rebuilt_beside(&server, &[]).await;
    assert_eq!(code, Some(0), "{report:#}");
    let (code, report) = verified(&server.folder);
    assert_eq!(code, Some(0), "{report:#}");
}

/// Until the running server takes a job: the one before may be about to end.
async fn until_free(shop: &Shop, body: &Value) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = shop.door.operator_post("/admin/rebuilds", body).await;
        if answer.status == 200 {
            return answer.text;
        }
        answer.problem(409, "rebuild-running");
        assert!(Instant::now() < deadline, "the job before does not end");
    }
}

/// How often each person earns: enough that a rebuild is still at work when somebody hangs up.
const EARNED: i64 = 250;

/// A server with enough history that a rebuild of it takes a while.
async fn with_history() -> (Server, Shop, String) {
    let server = Server::start();
    let shop = Shop::open(&server).await.unthrottled().await;
    let people = (0..8).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move {
            let customer = shop.enrol().await;
            for number in 0..EARNED {
                shop.earn(&customer, 1, &format!("source-{number}")).await.expect(200);
            }
            customer
        })
    });
    let mut customer = String::new();
    for person in Vec::from_iter(people) {
        customer = person.await.unwrap();
    }
    shop.door.until_idle().await;
    (server, shop, customer)
}

const REBUILD: [&str; 3] = ["rebuild", "--data", "data"];
const BEGUN: &str = "rebuilding: about";

#[tokio::test]
async fn whoever_hangs_up_cancels_the_job_and_what_is_served_stays() {
    let (server, shop, customer) = with_history().await;
    let mut job = Job::start(&server.folder, &REBUILD, &[]);
    job.until_said(BEGUN);
    // A shell that runs this in the background has its children ignore an interrupt.
    job.signal("TERM");
    assert_eq!(job.end().status.code(), None, "it ended by the signal");
    let deadline = Instant::now() + PATIENCE;
    while !server.last_printed().contains("it was cancelled") {
        assert!(Instant::now() < deadline, "the job goes on: {}", server.last_printed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shop.earn(&customer, 1, "afterwards").await.expect(200);
    assert_eq!(shop.balance(&customer).await.available, EARNED + 1);
    assert_eq!(verified(&server.folder).0, Some(0));
    let (code, report) = rebuilt(&server.folder, &["--rollback"]);
    assert_eq!((code, &report["rolled_back"]), (Some(2), &json!(false)), "nothing was swapped: {report:#}");
}

#[tokio::test]
async fn a_server_killed_in_the_middle_serves_its_tables_again_at_the_next_start() {
    let (server, shop, customer) = with_history().await;
    let mut job = Job::start(&server.folder, &REBUILD, &[]);
    job.until_said(BEGUN);
    let folder = server.kill();
    let ended = job.end();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(2) && said.contains("the running server went away"), "{said}");
    let left = std::fs::read_to_string(folder.data().join("serving.json")).unwrap();
    assert!(left.contains("http://"), "a server that is killed leaves its word: {left}");
    let (code, report) = rebuilt(&folder, &["--dry-run"]);
    assert_eq!((code, &report["equal"]), (Some(0), &json!(true)), "the word of a dead server is not trusted");

    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    assert_eq!(shop.balance(&customer).await.available, EARNED);
    assert_eq!(verified(&server.folder).0, Some(0));
    let (code, report) = rebuilt(&server.folder, &["--rollback"]);
    assert_eq!((code, &report["rolled_back"]), (Some(2), &json!(false)), "nothing was swapped: {report:#}");
    assert_eq!(rebuilt(&server.folder, &[]).0, Some(0));
    let (status, folder) = server.end_by("TERM");
    assert!(status.success() && !folder.data().join("serving.json").exists());
}

#[tokio::test]
async fn there_is_one_job_at_a_time_and_a_stop_ends_it() {
    let (server, shop, _) = with_history().await;
    let job = shop.door.request(reqwest::Method::POST, "/admin/rebuilds");
    let running = job.bearer_auth(&shop.door.operator_token).json(&json!({})).send().await.unwrap();
    assert_eq!(running.status(), 200);
    shop.door.operator_post("/admin/rebuilds", &json!({})).await.problem(409, "rebuild-running");
    drop(running);
    let told = until_free(&shop, &json!({"projection": "merchants"})).await;
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(last["done"]["exit_code"], 0, "{told}");

    let mut job = Job::start(&server.folder, &REBUILD, &[]);
    job.until_said(BEGUN);
    let (status, folder) = server.end_by("TERM");
    let ended = job.end();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(status.success() && ended.status.code() == Some(2) && said.contains("cancelled"), "{said}");
    assert_eq!(verified(&folder).0, Some(0));
}

#[tokio::test]
async fn only_the_operator_may_and_what_is_asked_for_must_make_sense() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let route = "/admin/rebuilds";
    shop.post(route, &json!({})).await.problem(401, "unauthenticated");
    let refused =
        async |body: Value| shop.door.operator_post(route, &body).await.refused_field("invalid-field");
    assert_eq!(refused(json!({"projection": "nonsense"})).await, "/projection");
    assert_eq!(refused(json!({"dry_run": true, "rollback": true})).await, "/rollback");
    assert_eq!(refused(json!({"dry": true})).await, "/dry");
    let output = run(&server.folder, &["rebuild", "nonsense", "--data", "data"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("points_balance"), "{said}");
}
