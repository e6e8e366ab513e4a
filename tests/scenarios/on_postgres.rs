//! The same promises with the log in Postgres: `--log postgres://…`.
use postgres_store::testing::TestDatabase;
use serde_json::Value;

use super::{crash::campaign, verify::verified};
use crate::harness::{Folder, Seed, Server, Shop, refused, run};

const CYCLES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_are_earned_and_redeemed_and_outlive_a_kill() {
    let database = TestDatabase::create();
    let server = Server::start_on(&Folder::with_log(&database.url()), &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    let redeemed = shop.redeem(&customer, 300).await.expect(200);
    let (balance, statement) = (shop.balance(&customer).await, shop.statement(&customer).await.len());
    assert_eq!((balance.available, redeemed["status"].as_str()), (700, Some("completed")));

    let folder = server.kill();
    assert!(!folder.data().join("log.db").exists(), "the log is elsewhere");
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    assert_eq!(shop.balance(&customer).await.available, 700);
    assert_eq!(shop.statement(&customer).await.len(), statement);
    shop.redeem(&customer, 700).await.expect(200);
    let beside = tokio::task::spawn_blocking(move || verified(&folder)).await.unwrap();
    assert_eq!((beside.0, &beside.1["verdict"]), (Some(0), &Value::from("sound")), "{:#}", beside.1);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    let (code, report) = verified(&folder);
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("sound")), "{report:#}");
    let rebuilt = run(&folder, &["rebuild", "--dry-run", "--json", "--data", "data"], &[]);
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
}

/// The planted bug of the same campaign on a file is found by the same comparison.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_instant_nothing_answered_is_lost_or_doubled() {
    let database = TestDatabase::create();
    let violations = campaign(&Folder::with_log(&database.url()), &mut Seed::new(), CYCLES, &[]).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn a_log_and_a_data_folder_that_do_not_belong_together_are_refused() {
    let (one, other) = (TestDatabase::create(), TestDatabase::create());
    let server = Server::start_on(&Folder::with_log(&one.url()), &[]);
    let second = refused(&server.folder);
    assert!(second.contains("another program has this data folder open"), "{second}");
    let folder = server.kill();
    drop(Server::start_on(&Folder::with_log(&other.url()), &[]));

    let said = refused(&folder.with_other_log(&other.url()));
    assert!(said.contains("the key store belongs to another log"), "{said}");
    let empty = TestDatabase::create();
    let said = refused(&folder.with_other_log(&empty.url()));
    assert!(said.contains("there is no log at postgres://"), "{said}");
    let said = refused(&Folder::with_log(&one.url()));
    assert!(said.contains("something is already at postgres://"), "{said}");
    Server::start_on(&folder, &[]);
}

#[test]
fn a_server_that_cannot_be_had_is_told_with_what_to_change_and_without_the_password() {
    let database = TestDatabase::create();
    let nowhere = "postgres://me:hunter2@127.0.0.1:1/nowhere";
    for (address, wanted) in [
        (nowhere.to_owned(), "cannot be reached"),
        (database.url().replace("/test_", "/nowhere_"), "the database does not exist"),
        (nowhere.replace("/nowhere", ""), "database"),
        (format!("{nowhere}?sslcompression=hunter2"), "sslcompression"),
    ] {
        let said = refused(&Folder::with_log(&address));
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{wanted}: {said}");
    }
}
