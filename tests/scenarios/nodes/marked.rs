//! Planted bugs that strike one person only (`command-api/src/planted/marked.rs`), so that the outage that shows what
//! must hold of everybody else shows too that the bug would be seen.
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    load::{ADJUST, Miscounted, PEOPLE},
    running::{Running, is_not_now},
    *,
};

/// Who is struck.
const STRUCK: usize = PEOPLE - 1;

/// An adjustment that this bug strikes.
fn struck_by(bug: &str, world: &World, points: i64) -> Value {
    json!({"customer_id": world.customer(STRUCK), "points": points, "reason_code": bug})
}

fn partition_of(answer: &Value) -> u64 {
    answer["position"].as_str().unwrap().split('-').nth(1).unwrap().parse().unwrap()
}

/// Which of these serves the partition, if any does.
async fn owner_of(servers: &[Server], partition: u64) -> Option<usize> {
    for (node, server) in servers.iter().enumerate() {
        if owned(server).await.contains(&partition) {
            return Some(node);
        }
    }
    None
}

/// The owner of a partition ends in order, and whoever takes it over left a record out: it answers that one's key
/// anew.
pub(super) async fn a_record_left_out_is_noticed(world: &World, nodes: &Nodes, servers: &mut Vec<Server>) {
    let (key, adjust) = (Uuid::now_v7().to_string(), struck_by("left-unfolded", world, 5));
    let first = world.insist_by(&key, ADJUST, &adjust).await;
    assert_eq!(world.insist_by(&key, ADJUST, &adjust).await, first);
    let mut owner = None;
    until("a node owns the partition", async || {
        owner = owner_of(servers, partition_of(&first)).await;
        owner.is_some()
    })
    .await;
    let (status, _folder) = servers.remove(owner.unwrap()).end_by("TERM");
    assert!(status.success(), "{status}");
    until_shared(nodes, &servers.iter().collect::<Vec<_>>()).await;
    let again = world.insist_by(&key, ADJUST, &adjust).await;
    assert_ne!(again, first, "left-unfolded went unnoticed");
}

impl Running<'_> {
    /// Asks for an adjustment that this bug strikes, and counts on it.
    pub(super) fn strike(&mut self, bug: &str, points: i64) -> JoinHandle<Answer> {
        let (shop, key) = (self.world.at(&self.servers[0]), Uuid::now_v7().to_string());
        self.journal.granted(STRUCK, points, &*key);
        let adjust = struck_by(bug, &self.world, points);
        tokio::spawn(async move { shop.post_keyed(ADJUST, &key, &adjust).await })
    }

    /// An owner that answers on the sending takes what cannot be kept, unlike those of [`Self::only_reads_go_on`].
    /// Gives the partition.
    pub(super) async fn one_is_answered_on_sending(&mut self) -> u64 {
        let answer = self.strike("answered-on-sending", 11).await.unwrap();
        assert!(!is_not_now(&answer), "answered-on-sending went unnoticed: {answer:?}");
        partition_of(&answer.expect(200))
    }

    /// Waits until nobody serves the partition, so that nothing of what its owner sent is on its way any more.
    pub(super) async fn until_given_up(&self, partition: u64) {
        until("an owner gave up", async || owner_of(&self.servers, partition).await.is_none()).await;
    }

    /// Waits until the comparison finds that the bug moved so many points, to nobody else; then counts on it.
    pub(super) async fn finds(&mut self, bug: &str, points: i64) {
        let mut seen = 0;
        until(&format!("{bug} moves {points} points"), async || {
            let (moved, wrong) = self.moved().await;
            if moved != seen {
                println!("{bug}: {moved} points {wrong:#?}");
            }
            seen = moved;
            moved == points
        })
        .await;
        self.journal.granted_at_last(STRUCK, points);
    }

    /// Counts on what the struck one has, by which of these it may differ from what was answered.
    pub(super) async fn put_right(&mut self, may: &[i64]) {
        let (points, wrong) = self.moved().await;
        assert!(may.contains(&points), "{points} points, not one of {may:?}: {wrong:#?}");
        self.journal.granted_at_last(STRUCK, points);
    }

    /// By how much the struck one has more than was answered, as every node says; everybody else has just that.
    async fn moved(&mut self) -> (i64, Vec<Miscounted>) {
        let wrong = self.miscounted().await;
        assert!(wrong.iter().all(|wrong| wrong.person == STRUCK), "{wrong:#?}");
        let points = wrong.first().map_or(0, |wrong| wrong.points - wrong.answered);
        let agree = wrong.is_empty()
            || wrong.len() == self.servers.len()
                && wrong.iter().all(|wrong| wrong.points - wrong.answered == points);
        assert!(agree, "the nodes disagree: {wrong:#?}");
        (points, wrong)
    }
}
