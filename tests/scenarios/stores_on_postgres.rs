//! The same promises with keys, inbox and progress in Postgres: `--stores postgres://…`, also where nothing is left in the
//! data folder that may not be lost.
use postgres_store::testing::TestDatabase;
use serde_json::Value;

use super::{crash::campaign, verify::verified};
use crate::harness::{Folder, Seed, Server, Shop, refused};

const CYCLES: usize = 4;

fn files(folder: &Folder) -> Vec<String> {
    let files = std::fs::read_dir(folder.data()).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_in_one_database_and_outlives_a_kill_and_the_loss_of_the_data_folder() {
    let database = TestDatabase::create();
    let server = Server::serve(&Folder::with_everything(&database.url()), &[], &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    shop.redeem(&customer, 300).await.expect(200);
    let folder = server.kill();
    let left: Vec<_> = files(&folder).into_iter().filter(|name| name.ends_with(".db")).collect();
    assert_eq!(left, ["snap.db"]);

    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    assert_eq!(shop.balance(&customer).await.available, 700);
    assert_eq!(shop.statement(&customer).await.len(), 2);
    let beside = folder.clone();
    let report = tokio::task::spawn_blocking(move || verified(&beside)).await.unwrap();
    assert_eq!((report.0, &report.1["verdict"]), (Some(0), &Value::from("sound")), "{:#}", report.1);
    let folder = server.kill();
    for lost in files(&folder).into_iter().filter(|name| name != "dev-root.key") {
        std::fs::remove_file(folder.data().join(lost)).unwrap();
    }

    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    assert_eq!(shop.balance(&customer).await.available, 700);
    shop.redeem(&customer, 700).await.expect(200);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    assert_eq!(verified(&folder).0, Some(0));
}

/// The planted bugs of the same campaign on files are found by the same comparison.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_instant_nothing_answered_is_lost_or_doubled() {
    let database = TestDatabase::create();
    let violations = campaign(&Folder::with_everything(&database.url()), &mut Seed::new(), CYCLES, &[]).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_do_not_belong_to_the_log_or_lost_something_are_refused() {
    let database = TestDatabase::create();
    let server = Server::start_on(&Folder::with_stores(&database.url()), &[]);
    Shop::open(&server).await.enrol_with(10).await;
    let folder = server.kill();
    let said = refused(&Folder::with_stores(&database.url()));
    assert!(said.contains("the key store belongs to another log"), "{said}");
    assert_eq!(verified(&folder).0, Some(0));

    // As after a backup that is older than the log.
    database.execute("UPDATE loyalnest_keys.meta SET insert_count = 1").unwrap();
    let (code, report) = verified(&folder);
    assert_eq!((code, &report["verdict"]), (Some(1), &Value::from("faulty")), "{report:#}");
    let said = refused(&folder);
    assert!(said.contains("the key store is behind the log"), "{said}");
}

#[test]
fn a_server_that_cannot_be_had_is_told_with_what_to_change_and_without_the_password() {
    let database = TestDatabase::create();
    let nowhere = "postgres://me:hunter2@127.0.0.1:1/nowhere";
    for (address, wanted) in [
        (nowhere.to_owned(), "cannot be reached"),
        (database.url().replace("/test_", "/nowhere_"), "the database does not exist"),
        ("mysql://me:hunter2@127.0.0.1/x".to_owned(), "the setting stores: expected sqlite"),
    ] {
        let said = refused(&Folder::with_stores(&address));
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{said}");
    }
    let name = database.url();
    let name = name.rsplit('/').next().unwrap().split('?').next().unwrap();
    database.execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).unwrap();
    let said = refused(&Folder::with_stores(&database.url()));
    assert!(said.contains("synchronous_commit is off; set it to on"), "{said}");
}
