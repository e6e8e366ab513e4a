//! The same promises with the read models in Postgres: `--read postgres://…`.
use postgres_store::testing::TestDatabase;
use serde_json::Value;

use super::verify::verified;
use crate::{
    harness::{Folder, Server, Shop, program_of_postgres, run},
    shopify::{fresh_id, product},
};

fn rebuilt(folder: &Folder, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(folder, &[&["rebuild", "--json", "--data", "data"], arguments].concat(), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// Both find what somebody changed with a database shell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_and_new_points_are_read_from_the_database_and_are_what_the_log_gives() {
    let database = TestDatabase::create();
    let server = Server::serve(&Folder::with_reads(&database.url()), &[], &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    shop.redeem(&customer, 300).await.expect(200);
    assert_eq!(shop.balance(&customer).await.available, 700);
    // No text of a Postgres holds a zero byte, so another sign stands for it.
    let told = product(fresh_id(), "summer", 1);
    let told = String::from_utf8(told).unwrap().replace("Aviator", "A\\u0000viator");
    shop.delivered("products/create", told.into_bytes()).await;
    let products = shop.get("/v1/api/products").await.expect(200);
    assert_eq!(products["items"][0]["title"], "A\u{fffd}viator sunglasses", "{products}");

    let folder = server.kill();
    assert!(!folder.data().join("read.db").exists(), "the read models are elsewhere");
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    assert_eq!(shop.balance(&customer).await.available, 700);
    assert_eq!(shop.statement(&customer).await.len(), 2);
    let beside = folder.clone();
    let (code, report) = tokio::task::spawn_blocking(move || rebuilt(&beside, &["--dry-run"])).await.unwrap();
    assert_eq!((code, &report["equal"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    assert_eq!(verified(&folder).0, Some(0));

    let more = "UPDATE loyalnest_read.points_balance_1 SET available = 1700 WHERE available = 700";
    database.execute(more).unwrap();
    assert_eq!(verified(&folder).0, Some(1));
    let (code, report) = rebuilt(&folder, &[]);
    assert_eq!((code, &report["swapped"]), (Some(1), &Value::Bool(true)), "{report:#}");
    assert_eq!((verified(&folder).0, rebuilt(&folder, &["--dry-run"]).0), (Some(0), Some(0)));
    let server = Server::start_on(&folder, &[]);
    assert_eq!(shop.at(&server).balance(&customer).await.available, 700);
}

/// The read models of one log never answer for another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_belong_to_the_log_or_cannot_be_had_is_refused() {
    let database = TestDatabase::create();
    let server = Server::start_on(&Folder::with_reads(&database.url()), &[]);
    Shop::open(&server).await.enrol_with(10).await;
    drop(server.kill());
    let refused = |address: &str| {
        let folder = Folder::with_reads(address);
        let refused = run(&folder, &["serve", "--no-demo", "--port", "0", "--data", "data"], &[]);
        assert!(!refused.status.success());
        String::from_utf8(refused.stderr).unwrap()
    };
    let nowhere = "postgres://me:hunter2@127.0.0.1:1/nowhere";
    for (address, wanted) in [
        (database.url(), "another history"),
        (nowhere.to_owned(), "cannot be reached"),
        (database.url().replace("/test_", "/nowhere_"), "the database does not exist"),
        (nowhere.replace("postgres:", "mysql:"), "the setting read"),
        ("nowhere.db".to_owned(), "the setting read"),
    ] {
        let said = refused(&address);
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{wanted}: {said}");
    }
}

/// Rows and checkpoints are of one moment in the dump too, so the rest is folded behind them. With a dump whose rows are of
/// another moment than its checkpoints (`UPDATE` behind the dump) `verify` was seen to find it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_from_an_older_dump_catch_up() {
    let database = TestDatabase::create();
    let server = Server::start_on(&Folder::with_reads(&database.url()), &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    shop.door.until_idle().await;
    let dump = server.folder.root().join("read.sql");
    let file = format!("--file={}", dump.display());
    // Beside the server, as an operator would.
    program_of_postgres(
        "pg_dump",
        &["--schema=loyalnest_read", "--clean", "--if-exists", &file, &database.url()],
    );
    shop.redeem(&customer, 300).await.expect(200);
    shop.door.until_idle().await;
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());

    let (quiet, file) = (["--quiet", "--set=ON_ERROR_STOP=1"], format!("--file={}", dump.display()));
    program_of_postgres("psql", &[&quiet[..], &[&file, &database.url()]].concat());
    let held = database.texts("", "SELECT available::text FROM loyalnest_read.points_balance_1");
    assert_eq!(held, [[Some("1000".to_owned())]], "the dump is from before");
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    shop.door.until_idle().await;
    assert_eq!(shop.balance(&customer).await.available, 700);
    assert_eq!(shop.statement(&customer).await.len(), 2);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    assert_eq!((verified(&folder).0, rebuilt(&folder, &["--dry-run"]).0), (Some(0), Some(0)));
}
