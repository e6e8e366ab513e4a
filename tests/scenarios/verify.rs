//! `loyalnest verify` as an auditor runs it: beside a running server, over an edited file, and where it cannot look.
//!
//! Seen to catch: a fault that is told at another place; read models that cannot be read taken for none.
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::harness::{Folder, Server, Shop, run};

/// What it says, with its exit code.
pub(super) fn verified(folder: &Folder) -> (Option<i32>, Value) {
    let output = run(folder, &["verify", "--json", "--data", "data"], &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), report)
}

/// Somebody with a SQLite shell replaces these bytes in the one record of the log that has them. Gives its partition and
/// where the edit must show: there, or at the partition's next record, which does not fit it any more.
fn edit(folder: &Folder, from: &str, to: &str) -> (u16, Vec<i64>) {
    let log = Connection::open(folder.data().join("log.db")).unwrap();
    let mut select = log.prepare("SELECT seq, part, rec FROM log ORDER BY seq").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let rows: Vec<(i64, u16, Vec<u8>)> = rows.collect::<Result<_, _>>().unwrap();
    let place = |bytes: &[u8]| bytes.windows(from.len()).position(|window| window == from.as_bytes());
    let found: Vec<_> = rows.iter().filter(|(_, _, bytes)| place(bytes).is_some()).collect();
    let [(seq, part, bytes)] = found[..] else { panic!("{from} is in {} records", found.len()) };
    let (mut bytes, at) = (bytes.clone(), place(bytes).unwrap());
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    assert_eq!(log.execute("UPDATE log SET rec = ? WHERE seq = ?", params![bytes, seq]), Ok(1));
    let behind = rows.iter().filter(|(other, of, _)| of == part && other >= seq);
    (*part, behind.map(|(seq, ..)| *seq).take(2).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_server_that_is_written_to_it_finds_everything_sound() {
    let server = Server::start();
    let shop = Shop::open(&server).await.unthrottled().await;
    let customer = shop.enrol().await;
    let writer = {
        let (shop, customer) = (shop.clone(), customer.clone());
        tokio::spawn(async move {
            let mut earned = 0;
            loop {
                if shop.earn(&customer, 1, &format!("source-{earned}")).await.status != 200 {
                    return earned;
                }
                earned += 1;
            }
        })
    };
    for _ in 0..3 {
        let folder = server.folder.clone();
        let (code, report) = tokio::task::spawn_blocking(move || verified(&folder)).await.unwrap();
        assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("sound")), "{report:#}");
        assert!(report["counted"]["records"].as_u64().unwrap() > 0, "{report:#}");
    }
    assert!(!writer.is_finished(), "the server no longer takes commands");
    writer.abort();
}

#[tokio::test]
async fn an_edit_of_the_log_is_found_and_named_by_partition_and_position() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    for number in 0..10 {
        let customer = shop.enrol().await;
        let body = serde_json::json!({
            "customer_id": customer, "points": 5, "reason": format!("edited-{number}-a"), "source_id": "x"
        });
        shop.post("/v1/api/points/earn", &body).await.expect(200);
    }
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    assert_eq!(verified(&folder).0, Some(0));
    let (partition, positions) = edit(&folder, "edited-4-a", "edited-4-b");
    let (code, report) = verified(&folder);
    assert_eq!((code, &report["verdict"]), (Some(1), &Value::from("faulty")), "{report:#}");
    let fault = &report["fault"];
    assert_eq!(fault["partition"], partition, "{fault}");
    assert!(
        positions.iter().any(|position| fault["position"] == *position),
        "{fault} is not at {positions:?}"
    );
    let people = run(&folder, &["verify", "--data", "data"], &[]);
    let said = String::from_utf8(people.stdout).unwrap();
    let words = [format!("partition {}", fault["partition"]), format!("position {}", fault["position"])];
    assert!(words.iter().all(|word| said.contains(word.as_str())), "{words:?} in {said}");
    edit(&folder, "edited-4-b", "edited-4-a");
    assert_eq!(verified(&folder).0, Some(0), "the edit was undone");
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_neither_sound_nor_faulty() {
    let folder = Folder::new();
    let (code, report) = verified(&folder);
    assert_eq!(code, Some(2), "{report}");
    assert!(report["error"].as_str().is_some_and(|error| error.contains("could not")), "{report}");

    let (_, folder) = Server::start_on(&folder, &[]).end_by("TERM");
    for name in ["read.db-wal", "read.db-shm"] {
        // They may be gone already.
        drop(std::fs::remove_file(folder.data().join(name)));
    }
    std::fs::write(folder.data().join("read.db"), "no database").unwrap();
    let (code, report) = verified(&folder);
    assert_eq!((code, &report["verdict"]), (Some(2), &Value::from("unchecked")), "{report:#}");
}
