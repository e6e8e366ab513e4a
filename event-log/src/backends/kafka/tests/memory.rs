//! What a reader holds of a long backlog.

use std::{process::Command, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{NewRecord, conformance::commit};

/// Tells the process that it is the reader, and where the log is.
const LOG: &str = "LOYALNEST_TEST_BACKLOG";
const TEST: &str = "backends::kafka::tests::memory::a_reader_holds_at_most_64_mib_of_any_backlog";
const RECORDS: u32 = 2_000;
const BODY_LEN: usize = 128 * 1024;
const HELD_MIB_MAX: u64 = 64;

/// This process's memory, in KiB.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Reads the log in a process of its own: one record, then nothing until the client fetches no more, then the rest.
async fn read(address: &str) {
    let log = open_read_only(&address.parse().unwrap()).await.unwrap();
    let before = memory("VmRSS");
    let mut reader = log.reader(0, None).unwrap();
    let mut records = reader.next(1).await.unwrap().records.len();
    let (mut held, mut unchanged) = (0, 0);
    while unchanged < 20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = memory("VmRSS");
        unchanged = if now > held { 0 } else { unchanged + 1 };
        held = held.max(now);
    }
    loop {
        let batch = reader.next(1_000).await.unwrap();
        if batch.records.is_empty() {
            break;
        }
        records += batch.records.len();
    }
    assert_eq!(records, RECORDS as usize + 1);
    println!("held {} MiB", (memory("VmHWM") - before) / 1024);
}

/// With a queue of 256 MiB and fetches of 64 MiB this was seen to fail.
#[tokio::test]
async fn a_reader_holds_at_most_64_mib_of_any_backlog() {
    if let Ok(address) = std::env::var(LOG) {
        return read(&address).await;
    }
    let topic = Topic::new().await;
    let log = topic.log();
    let mut writer = log.claim(0, |_| Ok(())).await.unwrap();
    let body = Bytes::from(vec![7; BODY_LEN]);
    for first in (0..RECORDS).step_by(100) {
        let record = |number| NewRecord { body: body.clone(), ..commit(number) };
        let sent: Vec<_> =
            (first..first + 100).map(|number| writer.append(record(number)).unwrap()).collect();
        for pending in sent {
            pending.await.unwrap();
        }
    }
    let mut reader = Command::new(std::env::current_exe().unwrap());
    reader.args(["--exact", TEST, "--nocapture"]).env(LOG, topic.address.to_string());
    let output = tokio::task::spawn_blocking(move || reader.output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let held = said.split_once("held ").unwrap_or_else(|| panic!("it read nothing: {said}")).1;
    let held: u64 = held.split_once(' ').unwrap().0.parse().unwrap();
    println!("a reader held {held} MiB of a backlog of {} MiB", RECORDS as usize * BODY_LEN / 1024 / 1024);
    assert!(held <= HELD_MIB_MAX, "{held} MiB");
}
