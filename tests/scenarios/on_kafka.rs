//! The same promises with the log on Kafka: `--log kafka://…`.
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use event_log::kafka::testing::new_topic;
use serde_json::Value;

use super::{crash::campaign, verify::verified};
use crate::harness::{Folder, Seed, Server, Shop, refused, run};

const CYCLES: usize = 4;
/// Of a log, unless something else is said.
const PARTITIONS: u16 = 8;

fn address() -> String {
    new_topic().to_string()
}

/// Anybody's bytes as the last message of a partition.
pub(crate) fn scribble(address: &str, partition: u16, headers: &[&str]) {
    let (brokers, topic) = address.trim_start_matches("kafka://").split_once('/').unwrap();
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", brokers, "-t", topic, "-p", &partition.to_string()]);
    kcat.args(headers.iter().flat_map(|header| ["-H", header]));
    let mut kcat = kcat.stdin(Stdio::piped()).spawn().expect("kcat is there");
    kcat.stdin.take().unwrap().write_all(b"hello").unwrap();
    assert!(kcat.wait().unwrap().success());
}

/// Catches: a start that takes the last message of a partition for a record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_are_earned_and_redeemed_and_outlive_a_kill_and_what_others_put_into_the_topic() {
    let address = address();
    let server = Server::start_on(&Folder::with_log(&address), &[]);
    // There is one broker. Without the warning nobody knew until more of them refused the log.
    assert!(server.last_printed().contains("1 of the 3 copies"), "{}", server.last_printed());
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    let redeemed = shop.redeem(&customer, 300).await.expect(200);
    let (balance, statement) = (shop.balance(&customer).await, shop.statement(&customer).await.len());
    assert_eq!((balance.available, redeemed["status"].as_str()), (700, Some("completed")));

    let folder = server.kill();
    assert!(!folder.data().join("log.db").exists(), "the log is elsewhere");
    (0..PARTITIONS).for_each(|partition| scribble(&address, partition, &[]));
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    assert_eq!(shop.balance(&customer).await.available, 700);
    assert_eq!(shop.statement(&customer).await.len(), statement);
    shop.redeem(&customer, 700).await.expect(200);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    let (code, report) = verified(&folder);
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("sound")), "{report:#}");
    assert_eq!(report["counted"]["undecodable"], PARTITIONS, "{report:#}");
    let rebuilt = run(&folder, &["rebuild", "--dry-run", "--json", "--data", "data"], &[]);
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
}

/// The planted bug of the same campaign on a file is found by the same comparison.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_instant_nothing_answered_is_lost_or_doubled() {
    let violations = campaign(&Folder::with_log(&address()), &mut Seed::new(), CYCLES, &[]).await;
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn a_log_and_a_data_folder_that_do_not_belong_together_are_refused() {
    let (one, other) = (address(), address());
    let folder = Server::start_on(&Folder::with_log(&one), &[]).kill();
    drop(Server::start_on(&Folder::with_log(&other), &[]));
    for (folder, wanted) in [
        (folder.with_other_log(&other), "the key store belongs to another log"),
        (folder.with_other_log(&address()), "there is no log at kafka://"),
        (Folder::with_log(&one), "something is already at kafka://"),
    ] {
        let said = refused(&folder);
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    Server::start_on(&folder, &[]);
}

#[test]
fn a_kafka_that_cannot_be_had_is_told_with_what_to_change() {
    for (address, wanted) in [
        ("kafka://127.0.0.1:1", "advertised.listeners"),
        ("kafka://127.0.0.1", "kafka://HOST:PORT"),
        ("kafka://me:hunter2@127.0.0.1:1", "kafka://HOST:PORT"),
    ] {
        let said = refused(&Folder::with_log(address));
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{wanted}: {said}");
    }
}
