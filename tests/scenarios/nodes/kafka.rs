//! The same with the log on Kafka: a group proposes, claims decide.
use uuid::Uuid;

use super::{
    faults::{asked_when_it_wakes, killed, outlasted},
    *,
};

/// A topic of its own on the broker of the tests.
fn topic() -> String {
    let broker = std::env::var("LOYALNEST_TEST_KAFKA").expect(
        "LOYALNEST_TEST_KAFKA is not set: `cargo xtask test` starts a broker and sets it; `cargo xtask services up` \
         starts one and says where",
    );
    format!("{}/suite-{}", broker.trim_end_matches('/'), Uuid::new_v4().simple())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_an_owner_that_slept_past_its_session_answers_nothing_from_old_state() {
    let nodes = Nodes::on_kafka(3, &topic());
    let wrong = asked_when_it_wakes(&nodes, &[]).await.check(&nodes).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_nodes_killed_between_append_and_answer_lose_and_double_nothing() {
    let nodes = Nodes::on_kafka(3, &topic());
    let (journal, wrong) = killed(&nodes, 2 * size(), &[]).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(journal.waited > 0, "nobody noticed");
}

/// A node comes and goes, so that the group shares the partitions out anew every few seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_a_group_that_rebalances_all_the_time_costs_no_answer() {
    let nodes = Nodes::on_kafka(3, &topic());
    let mut servers = vec![restarted(&nodes, 0, &[]).await, restarted(&nodes, 1, &[]).await];
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let world = World::begin(&servers).await;
    let load = world.load(&mut Seed::new());
    for _ in 0..2 * size() {
        let third = restarted(&nodes, 2, &[]).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (status, _) = third.end_by("TERM");
        assert!(status.success(), "{status}");
    }
    servers.push(restarted(&nodes, 2, &[]).await);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let journal = load.end().await;
    let wrong = world.check(&nodes, &journal).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_a_broker_that_is_killed_under_all_nodes_costs_no_answer() {
    let mut kafka = OwnServer::kafka(1);
    let nodes = Nodes::on_kafka(2, &format!("{}/nodes", kafka.url.trim_end_matches('/')));
    outlasted(&nodes, 2 * size(), || {
        kafka.signal(1, "KILL");
        kafka.restart(1);
    })
    .await;
}

/// Each record is on two brokers before it counts, so one may go, whichever leads. With one more away nothing is confirmed
/// until it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_brokers_of_three_that_are_killed_under_all_nodes_cost_no_answer() {
    let mut kafka = OwnServer::kafka(3);
    let nodes = Nodes::on_kafka(2, &format!("{}/nodes", kafka.url.trim_end_matches('/')));
    let mut round = 0;
    outlasted(&nodes, size(), || {
        let [one, other] = [1 + round % 3, 1 + (round + 1) % 3];
        kafka.signal(one, "KILL");
        std::thread::sleep(Duration::from_secs(2));
        kafka.signal(other, "KILL");
        std::thread::sleep(Duration::from_secs(2));
        kafka.restart(other);
        kafka.restart(one);
        round += 1;
    })
    .await;
}
