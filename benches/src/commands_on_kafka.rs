//! Commands a second with the log on Kafka, beside a bare client that sends the same bytes and reads them back.
use std::time::Duration;

use uuid::Uuid;

use crate::{
    commands::{ACCOUNTS, JUDGED_CALLERS, case, cost, rounds},
    measure::{Bench, Mark, Row, Server},
    owners::Owners,
    peers::bare_kafka::BareKafka,
    rounds::{Timed, in_turn, median, per_second, timed},
};

/// So many pairs of owners and client for what is judged, one after the other: from one round to the next the rate of either
/// side may double, and with three times the rounds accounts would gather more than owners keep decoded.
const JUDGED_PAIRS: usize = 3;
/// How much longer than the peer's the slowest answers may take.
const P99_MARK: Mark = Mark::AtMostPercentOfPeer(300);

pub(crate) async fn one_broker(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    beside_bare(bench, Server::Kafka).await
}

pub(crate) async fn three_brokers(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    beside_bare(bench, Server::KafkaOfThree).await
}

/// The message of a command sent by the bare client for a while, and what that costs each time.
pub(crate) async fn profiled_bare(brokers: &str, callers: usize, window: Duration) -> anyhow::Result<String> {
    let (folder, commands) = (tempfile::tempdir()?, new_topic(brokers));
    Owners::create_on_kafka(folder.path(), &commands.parse()?, 1).await?.earn().await?;
    let bare = BareKafka::start(&new_topic(brokers), &commands).await?;
    // Kept until the cost is read: with the client its threads would go, and what they spent.
    let _kept = bare.clone();
    cost(async || per_second(callers, window, move || bare.clone().send()).await, window).await
}

/// A topic of its own on these brokers.
pub(crate) fn new_topic(brokers: &str) -> String {
    format!("{}/bench-{}", brokers.trim_end_matches('/'), Uuid::new_v4().simple())
}

async fn beside_bare(bench: &Bench, brokers: Server) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for callers in bench.size.callers.iter().copied().filter(|callers| *callers <= JUDGED_CALLERS) {
        let judged = callers == JUDGED_CALLERS;
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        let pairs = if judged { JUDGED_PAIRS } else { 1 };
        for _ in 0..pairs {
            let (more_of_ours, more_of_peer) = new_pair(bench, bench.server(brokers)?, callers).await?;
            ours.extend(more_of_ours);
            peer.extend(more_of_peer);
        }
        let both = |figure: fn(&Timed) -> u64| {
            let middle = |rounds: &[Timed]| median(rounds.iter().map(figure).collect());
            (middle(&ours), middle(&peer))
        };
        rows.push(Row::beside(case(callers), both(|timed| timed.per_second)).judged(judged));
        let p99 = format!("{}, p99", case(callers));
        rows.push(Row::time_beside(p99, both(|timed| timed.p99), P99_MARK).judged(judged));
    }
    Ok(rows)
}

/// Owners and a bare client that nobody used before, in turn.
async fn new_pair(bench: &Bench, brokers: &str, callers: usize) -> anyhow::Result<(Vec<Timed>, Vec<Timed>)> {
    let (folder, commands) = (bench.folder("commands-")?, new_topic(brokers));
    let owners = Owners::create_on_kafka(folder.path(), &commands.parse()?, ACCOUNTS).await?;
    owners.earn_everywhere(1).await?;
    let bare = BareKafka::start(&new_topic(brokers), &commands).await?;
    let ours = async || {
        let owners = owners.clone();
        timed(callers, bench.size.window, move || owners.clone().earn()).await
    };
    let sent = async || {
        let bare = bare.clone();
        timed(callers, bench.size.window, move || bare.clone().send()).await
    };
    let found = in_turn(rounds(bench), ours, sent).await?;
    // So that the end of these owners, which nobody hears of, leaves nothing to save beside the next ones.
    owners.commander.save().await?;
    Ok(found)
}
