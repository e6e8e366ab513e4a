//! The log that several nodes share lost records: all of them stop, nobody starts, and each declares what it
//! remembers.
use super::*;
use crate::harness::PATIENCE;

const SIGNED: [&str; 8] =
    ["declare-loss", "--by", "Ada Example", "--by", "Ben Example", "--why", "the disk lied", "--yes"];
/// A copy of the log, and what puts it into the log's place.
const KEEP: &str = "CREATE SCHEMA kept; CREATE TABLE kept.log AS TABLE loyalnest_log.log;
    CREATE TABLE kept.head AS TABLE loyalnest_log.head";
const LOSE: &str =
    "BEGIN; DELETE FROM loyalnest_log.log; INSERT INTO loyalnest_log.log SELECT * FROM kept.log;
    DELETE FROM loyalnest_log.head; INSERT INTO loyalnest_log.head SELECT * FROM kept.head; COMMIT";

/// A node's snapshots and its witness are nobody else's, so each declares what it remembers itself. Catches: an owner
/// in doubt that claims again by its snapshots, which may be older than the loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_log_lost_records_stop_and_go_on_once_each_of_them_declared_it() {
    let nodes = Nodes::on_postgres(2);
    let servers = nodes.start_all(&[]);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    let shop = opened(&servers).await;
    let mut customers = Vec::new();
    for _ in 0..2 * nodes.partitions().end {
        customers.push(shop.enrol_with(1000).await);
    }
    for server in &servers {
        Door::of(server).until_idle().await;
    }
    nodes.database().execute(KEEP).unwrap();
    let redeem = |customer: &String| json!({"customer_id": customer, "points": 300});
    for customer in &customers {
        shop.post_keyed("/v1/api/points/redeem", customer, &redeem(customer)).await.expect(200);
    }
    for server in &servers {
        Door::of(server).until_idle().await;
    }
    nodes.database().execute(LOSE).unwrap();
    for server in &servers {
        stops(&shop.at(server), &customers).await;
    }

    // Neither beside the own server nor beside another one.
    let mut ending = servers;
    for wanted in ["another program has this data folder open", "end these nodes first: node-1"] {
        let (code, refused) = nodes.job(&SIGNED);
        let said = refused["error"].as_str().unwrap();
        assert!(code == Some(2) && said.contains(wanted), "{said}");
        drop(ending.remove(0).end_by("TERM"));
    }
    let refused = nodes.try_start(0, &[]).err().expect("it went on with what is left");
    assert!(refused.contains("diverged") && refused.contains("declare-loss"), "{refused}");
    let (code, looked) = nodes.job(&["declare-loss"]);
    assert_eq!((code, &looked["declared"]), (Some(1), &json!(false)), "{looked:#}");
    for node in 0..nodes.count() {
        // What the other one remembers may be no more than what the first declaration was about.
        let (code, done) = nodes.job_of(node, &SIGNED);
        assert!(code == Some(0) && (node > 0 || done["declared"] == true), "{done:#}");
        let (code, again) = nodes.job_of(node, &["declare-loss"]);
        assert_eq!((code, &again["lost"]), (Some(0), &json!([])), "{again:#}");
    }

    let servers = nodes.start_all(&[]);
    until_shared(&nodes, &servers.iter().collect::<Vec<_>>()).await;
    for (server, other) in [(&servers[0], &servers[1]), (&servers[1], &servers[0])] {
        let (shop, other) = (shop.at(server), shop.at(other));
        for customer in &customers {
            until("what was lost is done again, once", async || {
                let asked = shop.post_keyed("/v1/api/points/redeem", customer, &redeem(customer)).await;
                asked.status == 200
            })
            .await;
            shop.door.until_idle().await;
            assert_eq!(other.balance(customer).await.available, 700);
        }
    }
    let (code, report) = nodes.job(&["verify"]);
    assert_eq!((code, &report["verdict"]), (Some(0), &json!("sound")), "{report:#}");
}

/// Nobody is answered there, and it says why.
async fn stops(shop: &Shop, customers: &[String]) {
    // A round asks for every customer, and each ask may wait for an owner.
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Who only waits for more is told by the first command.
        let mut refusals = Vec::new();
        for customer in customers {
            let refused = shop.redeem(customer, 1).await;
            assert_eq!(refused.status, 503, "{}", refused.text);
            refusals.push(refused.text);
        }
        let said = shop.door.get("/healthz").await.text;
        if said.contains("diverged") || said.contains("stopped") {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "it does not say that its history is another one: {said} {refusals:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shop.door.get("/readyz").await.status, 503);
}
