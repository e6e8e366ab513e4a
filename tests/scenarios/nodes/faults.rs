//! What may happen to nodes whose log is in Postgres with everything else, and the bug of sending on.
use super::*;

/// Nothing comes late here, because the log itself refuses what does not follow its head. What answers before their
/// records come to is looked for with the log on Kafka.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_that_slept_past_their_session_or_died_answer_nothing_that_does_not_hold() {
    let nodes = Nodes::on_postgres(3);
    let mut running = Running::begin(&nodes, &[]).await;
    let told = running.sleep_and_wake().await;
    assert!(told.iter().all(|status| matches!(status, 200 | 503)), "when it woke it answered {told:?}");
    running.kill(2 * size()).await;
    running.holds_after("a sleep and kills").await;
}

/// All that nodes need goes away: it stands still for longer than their sessions, so that they have lost everything
/// by the time it goes on, and it is restarted. They take everything up again by themselves.
///
/// Who is not told what became of a command that was on its way when it stood still, and asks for it as another one,
/// is seen to have it twice; and what an owner answered on the sending is lost to the restart.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_stands_still_or_is_restarted_under_all_nodes_costs_no_answer() {
    let mut postgres = OwnServer::postgres();
    let url = postgres.url.clone();
    let nodes = Nodes::at(3, &url);
    let [stored, doubted, sent] =
        ["log-stores:asked-anew", "log-doubts:asked-anew", "log-stores:answered-on-sending"]
            .map(|place| nodes.hold(place));
    let holds = [&stored, &doubted, &sent].map(Hold::setting).join(",");
    let told = [("LOYALNEST_PLANTED_BUG", "asked-anew,answered-on-sending"), ("LOYALNEST_HOLD", &holds)];
    let mut running = Running::begin(&nodes, &told).await;
    let load = running.load();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = running.strike("asked-anew", 17);
    stored.reached().await;
    let standing = postgres.stand_still();
    stored.release();
    // An owner gives up later than its session ends.
    doubted.reached().await;
    drop(standing);
    doubted.release();
    assert!(running.end(load).await > 0, "nobody noticed");
    // Who gave up may have claimed again while the client still waited.
    let asked = asked.await.unwrap();
    assert!([200, 503].contains(&asked.status), "{asked:?}");
    running.finds("asked-anew", 17).await;

    let load = running.load();
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.strike("answered-on-sending", 11).await.unwrap().expect(200);
    sent.reached().await;
    postgres.signal(1, "INT");
    postgres = on_a_thread(postgres, |postgres| postgres.restart(1)).await;
    sent.release();
    assert!(running.end(load).await > 0, "nobody noticed");
    running.finds("answered-on-sending", -11).await;

    for _ in 1..size() {
        let load = running.load();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let standing = postgres.stand_still();
        tokio::time::sleep(PAUSED_FOR).await;
        drop(standing);
        postgres.signal(1, "INT");
        postgres = on_a_thread(postgres, |postgres| postgres.restart(1)).await;
        assert!(running.end(load).await > 0, "nobody noticed");
    }
    running.holds_after("a Postgres that was away").await;
}

/// A forwarder that makes a new command of what it is handed doubles it.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_sent_on_twice_is_caught() {
    let nodes = Nodes::on_postgres(2);
    let mut running = Running::begin(&nodes, &[("LOYALNEST_PLANTED_BUG", "forwarded-twice")]).await;
    let load = running.load();
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.end(load).await;
    assert!(!running.miscounted().await.is_empty(), "the planted bug went unnoticed");
}

/// An owner that refuses by what it knew before it was revoked tells somebody with points that there are none.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_serves_after_its_revocation_is_caught() {
    let nodes = Nodes::on_postgres(3);
    let mut running = Running::begin(&nodes, &[("LOYALNEST_PLANTED_BUG", "serves-revoked")]).await;
    // It may hear of its loss before it is asked; there are people enough.
    while !running.sleep_and_wake().await.contains(&409) {}
}
