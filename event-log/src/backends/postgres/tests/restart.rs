//! The server crashes and comes back under writers and readers: doubt, and nothing lost.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{cluster::Cluster, *};
use crate::conformance::within;

const CRASHES: usize = 4;

/// Appends until it is told to end; whatever stops its writer, it claims again. What was answered, in order.
async fn write(log: Log, partition: u16, ends: Arc<AtomicBool>) -> (Vec<u64>, usize) {
    let mut route = [1; 16];
    while log.partition_of([1; 16], route) != partition {
        route[0] += 1;
    }
    let (mut answered, mut doubts, mut number) = (Vec::new(), 0, 0_u64);
    while !ends.load(Ordering::Relaxed) {
        let Ok(mut writer) = log.claim(partition, |_| Ok(())).await else { continue };
        'term: while !ends.load(Ordering::Relaxed) {
            let sent = (0..8).map_while(|_| {
                number += 1;
                let body = number.to_be_bytes().to_vec().into();
                Some((number, writer.append(NewRecord { route, body, ..record(0) }).ok()?))
            });
            for (number, pending) in sent.collect::<Vec<_>>() {
                match pending.await {
                    Ok(_) => answered.push(number),
                    Err(Stopped::Doubt { .. }) => {
                        doubts += 1;
                        break 'term;
                    }
                    Err(stopped) => panic!("nobody else writes: {stopped}"),
                }
            }
        }
    }
    (answered, doubts)
}

/// Follows a partition; a fault passes, and nothing else may come.
async fn follow(log: Log, partition: u16, until: Arc<AtomicBool>) -> Vec<u64> {
    let mut reader = log.reader(partition, None).unwrap();
    let mut found = Vec::new();
    loop {
        let at_end = until.load(Ordering::Relaxed);
        match reader.next(100).await {
            Ok(batch) if batch.records.is_empty() && at_end => return found,
            Ok(batch) => found.extend(
                batch
                    .records
                    .iter()
                    .filter_map(|record| Some(u64::from_be_bytes(record.body[..].try_into().ok()?))),
            ),
            Err(Error::Storage(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// With deliveries reported before the statement was answered this was seen to fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_load_loses_no_answer() {
    let mut cluster = Cluster::create().await;
    cluster.start(&[]).await;
    let log = init(&cluster.address(), 4, None).await.unwrap();
    let (ends, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let timing = crate::Timing { claim_timeout: Duration::from_secs(5), ..crate::Timing::default() };
    let writers: Vec<_> = (0..4)
        .map(|partition| tokio::spawn(write(log.clone().with_timing(timing), partition, ends.clone())))
        .collect();
    let readers: Vec<_> =
        (0..4).map(|partition| tokio::spawn(follow(log.clone(), partition, written.clone()))).collect();
    for _ in 0..CRASHES {
        let before: Vec<Position> = (0..4).map(|partition| log.end(partition)).collect();
        // Every crash is met by writers that got on since the one before.
        within("writers that get on", async {
            while (0..4).any(|partition| log.end(partition).get() < before[usize::from(partition)].get() + 50)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        cluster.kill();
        cluster.start(&[]).await;
    }
    ends.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    for writer in writers {
        answers.push(within("the writers' end", writer).await.unwrap());
    }
    written.store(true, Ordering::Relaxed);
    for (reader, (answered, doubts)) in readers.into_iter().zip(answers) {
        let found = within("the readers' end", reader).await.unwrap();
        assert!(found.is_sorted_by(|one, other| one < other), "doubled or out of order");
        let lost: Vec<_> = answered.iter().filter(|number| found.binary_search(number).is_err()).collect();
        assert!(lost.is_empty(), "answered and lost: {lost:?}");
        assert!(doubts > 0, "no crash was met");
    }
}
