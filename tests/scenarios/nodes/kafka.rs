//! The log on Kafka, everything else in Postgres: a group proposes, claims decide. Three nodes, to which one thing
//! happens after the other.
use event_log::kafka::testing::new_topic;

use super::*;

/// How long all nodes are told to own everything.
#[cfg(feature = "planted-bugs")]
const FIGHT: Duration = Duration::from_secs(8);
/// So many kills may meet nobody whose answer was early.
#[cfg(feature = "planted-bugs")]
const KILLS_MAX: u32 = 5;

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_nodes_that_sleep_and_die_and_fight_keep_every_promise() {
    let nodes = Nodes::on_kafka(3, &new_topic().to_string());
    let file = nodes.spare().join("deaf");
    // Told in time, an owner that woke was seen to write nothing; so nobody tells it, and it does not read of it at
    // once.
    let late = [("LOYALNEST_PLANTED_BUG", "hears-late"), ("LOYALNEST_DEAF", file.to_str().unwrap())];
    let mut running = Running::begin(&nodes, &late).await;
    running.wake_too_late(&file).await;
    running.holds_after("an owner that slept past its session").await;
    let peace = [("LOYALNEST_PLANTED_BUG", "left-unfolded")];
    running.fight(FIGHT * size(), "assigned-everything", &peace).await;
    running.holds_after("a fight for every partition").await;
    running.kill(2 * size()).await;
    running.holds_after("kills between append and answer").await;
    running.share_anew(2 * size()).await;
    running.holds_after("a group that rebalanced all the time").await;
    marked::a_record_left_out_is_noticed(&running.world, &nodes, &mut running.servers).await;
}

/// What is answered before it is admitted is lost to a fight, and with its node. The position in such an answer is
/// made up, so a repeat would differ even where nothing is lost: only sums are compared here, once all that was held
/// back is written.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_answers_before_their_records_are_caught_by_fights_and_kills() {
    let nodes = Nodes::on_kafka(3, &new_topic().to_string());
    let mut running = Running::begin(&nodes, &[]).await;
    running.fight(FIGHT, "assigned-everything,ack-before-commit", &[]).await;
    let lost = running.miscounted().await;
    assert!(!lost.is_empty(), "the fight took nothing that was answered");
    println!("the fight: {:?}", lost[0]);
    running = running.anew().await;
    let mut kills = 0;
    let lost = loop {
        let lost = running.miscounted().await;
        // Before the first one nothing may be missing.
        assert!(kills > 0 || lost.is_empty(), "{lost:#?}");
        if !lost.is_empty() {
            break lost;
        }
        assert!(kills < KILLS_MAX, "the kills took nothing that was answered");
        running.started_again(&[("LOYALNEST_PLANTED_BUG", "ack-long-before-commit")]).await;
        running.kill(1).await;
        running.started_again(&[]).await;
        kills += 1;
    };
    println!("{kills} kills: {:?}", lost[0]);
}

/// All records are on one broker; and everything else is in one Postgres, whose read models are set back in the end.
///
/// Meanwhile an owner that answers on the sending is seen to take what nobody can keep, and to lose it with a broker
/// that is killed; and a projector that commits its checkpoint apart to leave read models that are no fold of the
/// log.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_a_broker_and_a_postgres_that_go_and_come_back_cost_no_answer() {
    let (mut kafka, mut postgres) = (OwnServer::kafka(1), OwnServer::postgres());
    let (topic, url) = (format!("{}/nodes", kafka.url.trim_end_matches('/')), postgres.url.clone());
    let nodes = Nodes::on_servers(3, &topic, &url);
    let [between, failed] = ["checkpoint", "checkpoint:failed"].map(|place| nodes.hold(place));
    let holds = format!("{},{}", between.setting(), failed.setting());
    let told =
        [("LOYALNEST_PLANTED_BUG", "answered-on-sending,checkpoint-apart"), ("LOYALNEST_HOLD", &holds)];
    let mut running = Running::begin(&nodes, &told).await;
    for _ in 0..size() {
        let load = running.load();
        kafka.signal(1, "KILL");
        let taken = running.one_is_answered_on_sending().await;
        let unanswered = running.only_reads_go_on().await;
        running.until_given_up(taken).await;
        kafka = on_a_thread(kafka, |kafka| kafka.restart(1)).await;
        running.end(load).await;
        running.answered(unanswered).await;
        running.finds("answered-on-sending", -11).await;
        running.holds_after("a broker that was killed").await;

        let load = running.load();
        kafka.signal(1, "STOP");
        running.one_is_answered_on_sending().await;
        let unanswered = running.only_reads_go_on().await;
        kafka.signal(1, "CONT");
        running.end(load).await;
        running.answered(unanswered).await;
        running.put_right(&[0, -11]).await;
        running.holds_after("a broker that stood still").await;

        let load = running.load();
        tokio::time::sleep(Duration::from_secs(1)).await;
        postgres.signal(1, "INT");
        postgres = on_a_thread(postgres, |postgres| postgres.restart(1)).await;
        assert!(running.end(load).await > 0, "nobody noticed");
        running.holds_after("a Postgres that was restarted under projectors").await;
    }
    running.set_read_models_back().await;
    running.holds_after("read models from an older backup").await;
    running.a_spoiled_balance_is_found();

    running.strike("checkpoint-apart", 5).await.unwrap().expect(200);
    between.reached().await;
    postgres.signal(1, "INT");
    running.until_unhealthy().await;
    between.release();
    failed.reached().await;
    postgres = on_a_thread(postgres, |postgres| postgres.restart(1)).await;
    failed.release();
    assert!(!running.is_a_fold_of_the_log(), "checkpoint-apart went unnoticed");
    drop(postgres);
}

/// Each record is on two brokers before it counts, so one may go, whichever leads. With one more away nothing is
/// confirmed until it is back: an owner that answers on the sending is seen to take what nobody can keep.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_brokers_of_three_that_are_killed_cost_no_answer() {
    let mut kafka = OwnServer::kafka(3);
    let nodes = Nodes::on_kafka(3, &format!("{}/nodes", kafka.url.trim_end_matches('/')));
    let mut running = Running::begin(&nodes, &[("LOYALNEST_PLANTED_BUG", "answered-on-sending")]).await;
    for round in 0..size() as usize {
        let [one, other] = [1 + round % 3, 1 + (round + 1) % 3];
        let load = running.load();
        kafka.signal(one, "KILL");
        running.goes_on().await;
        kafka.signal(other, "KILL");
        running.one_is_answered_on_sending().await;
        let unanswered = running.only_reads_go_on().await;
        kafka = on_a_thread(kafka, move |kafka| {
            kafka.restart(other);
            kafka.restart(one);
        })
        .await;
        running.end(load).await;
        running.answered(unanswered).await;
        running.put_right(&[0, -11]).await;
        running.holds_after("brokers that were killed").await;
    }
}

/// Such a node reads nothing of these partitions. Catches: one that hears of the log's end only by what others fold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_a_node_that_only_answers_questions_finds_out_that_nobody_folds_any_more() {
    let nodes = Nodes::on_kafka(3, &new_topic().to_string());
    let writing = nodes.start(0, &[("LOYALNEST_ROLES", "commands,policies,webhooks")]);
    let folding = nodes.start(1, &[("LOYALNEST_ROLES", "projector")]);
    let reading = nodes.start(2, &[("LOYALNEST_ROLES", "queries")]);
    let shop = Shop::open(&writing).await;
    let at_reading = shop.at(&reading);
    let customer = shop.enrol().await;
    shop.earn(&customer, 70, "first").await.expect(200);
    let shown = async |available: i64| {
        let seen = at_reading.balance_with(&customer, &[]).await;
        seen.status == 200 && seen.json()["available"] == available
    };
    until("the points are shown", async || shown(70).await).await;
    drop(folding.kill());
    shop.earn(&customer, 5, "second").await.expect(200);
    until("nobody shows the old points", async || {
        at_reading.balance_with(&customer, &[]).await.status != 200
    })
    .await;
    at_reading.balance_with(&customer, &[]).await.problem(503, "projections-stopped");
    let health = Door::of(&reading).get("/healthz").await.expect(200);
    assert_eq!(health["status"], "degraded", "{health}");
    let _folding = nodes.start(1, &[("LOYALNEST_ROLES", "projector")]);
    until("the new points are shown", async || shown(75).await).await;
}
