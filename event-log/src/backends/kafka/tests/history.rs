//! What happens to a topic behind the backs of those who read it, without anybody telling them.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::{
    Checkpoint, Reader, Reason,
    backend::Last,
    conformance::{commit, within},
};

/// A claim and five records.
async fn written(log: &Log) {
    let mut writer = log.claim(0, |_| Ok(())).await.unwrap();
    for number in 0..5 {
        writer.append(commit(number)).unwrap().await.unwrap();
    }
}

pub(super) async fn at_end(log: &Log) -> Reader {
    let mut reader = log.reader(0, None).unwrap();
    let reads = async {
        loop {
            match reader.next(100).await {
                Ok(batch) if batch.records.is_empty() => return,
                Ok(_) | Err(Error::Storage(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    within("a reader at the end", reads).await;
    reader
}

/// Goes on as every reader does until it stops; trouble on the way passes.
pub(super) async fn stopped(mut reader: Reader) -> Reason {
    let reads = async {
        loop {
            match reader.next(100).await {
                Err(Error::Diverged(diverged)) => return diverged.reason,
                Ok(batch) if batch.records.is_empty() => drop(reader.changed().await),
                Ok(_) | Err(_) => {}
            }
        }
    };
    within("a reader that stops", reads).await
}

pub(super) async fn resumed(log: &Log, from: Checkpoint) -> Reason {
    stopped(log.reader(0, Some(from)).unwrap()).await
}

/// A new log begins in its place, and grows beyond where the reader is. With the certificate not looked at, a reader of
/// the beginning was seen to go on into the other log until a chain broke.
#[tokio::test]
async fn a_topic_made_again_for_another_log_stops_running_and_resuming_readers() {
    let topic = Topic::new().await;
    let log = topic.log();
    written(&log).await;
    let (running, new) = (at_end(&log).await, log.reader(0, None).unwrap());
    let checkpoint = running.checkpoint();
    topic.editor().delete();
    let other = init(&topic.address, 4, None).await.unwrap();
    for _ in 0..2 {
        written(&other).await;
    }
    assert_eq!(stopped(new).await, Reason::OtherHistory);
    assert_eq!(resumed(&log, checkpoint).await, Reason::LastReadChanged);
    stopped(running).await;
}

/// The last two records are missing from the copy.
#[tokio::test]
async fn an_old_copy_of_the_log_stops_running_and_resuming_readers() {
    let topic = Topic::new().await;
    let log = topic.log();
    written(&log).await;
    let running = at_end(&log).await;
    let checkpoint = running.checkpoint();
    let mut copy = topic.editor().read(4);
    copy[0].truncate(5);
    topic.editor().replace(&topic.kafka.store.genesis, &copy);
    assert_eq!(resumed(&log, checkpoint).await, Reason::LastReadGone);
    assert_eq!(stopped(running).await, Reason::LastReadGone);
}

/// Each fetch is looked at once and cancelled. Catches: what a connection found where it began goes with the fetch that saw
/// it.
#[tokio::test]
async fn what_a_cancelled_fetch_saw_is_told_by_the_next() {
    let topic = Topic::new().await;
    written(&topic.log()).await;
    let end = topic.kafka.end_now(0).await.unwrap();
    let mut tail = topic.kafka.tail(0);
    let fetched = within("a fetch", async {
        loop {
            let looked = tail.fetch(end, 10).as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(fetched) = looked {
                return fetched.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let fetched = fetched.await;
    assert!(matches!(fetched.last, Last::Bytes(_)) && fetched.records.is_empty(), "{:?}", fetched.last);
}
