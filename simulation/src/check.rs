//! What must hold after all crashes, once everything unanswered was asked again and worked off.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{Aggregate, StreamRef, redemption::Status};
use event_log::{Kind, Log, faulty::Plan};
use event_schemas::{
    CustomerId, MerchantId, RedemptionId,
    points_account::Balances,
    record::{RawAnswer, View},
};
use projections::{Projections, ReadStore, points_balance};
use rusqlite::{Connection, types::ValueRef};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    clients::{People, send},
    journal::Effect,
    system::System,
    world::World,
};

/// Everything, in a life without faults.
pub(crate) async fn everything(world: &World, people: &People) {
    let system = match world.begin(Plan::default()).await {
        Ok(system) => system,
        Err(refused) => return world.expect(false, || format!("the last start was refused: {refused}")),
    };
    ask_again(world, &system).await;
    let idle = system.until_idle().await;
    world.expect(idle.is_ok(), || format!("not everything is worked off: {idle:?}"));
    let dead_lettered = system.webhooks.probe().await.map_or(u64::MAX, |counts| counts.dead_lettered);
    let stuck = (dead_lettered, system.policies.parked(), system.commander.parked());
    world.expect(stuck == (0, 0, 0), || format!("stuck deliveries, steps and aggregates: {stuck:?}"));
    let stopped = (system.commander.stopped_partitions(), system.policies.stopped_partitions());
    world.expect(stopped.0.is_empty() && stopped.1.is_empty(), || format!("stopped: {stopped:?}"));
    balances(world, &system, people).await;
    history(world, &system.log).await;
    rebuild(world, &system).await;
}

/// What was answered stays answered, and what was not is answered now.
async fn ask_again(world: &World, system: &System) {
    let asked = world.journal.borrow().entries.len();
    for index in 0..asked {
        let mut tries = 0;
        while !send(world, system, index).await {
            tries += 1;
            if tries > 100 {
                return world.expect(false, || format!("request {index} is never answered"));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Owners, read models and a plain model agree, and nobody's buckets are wrong.
async fn balances(world: &World, system: &System, people: &People) {
    let merchant = MerchantId(people.merchant);
    let Some(scope) = system.keys.verify_token(&people.token) else {
        return world.expect(false, || "the shop's token is not known any more".to_owned());
    };
    let failed = failed_redemptions(world, system, people).await;
    for (number, id) in people.customers.iter().enumerate() {
        let customer = CustomerId(*id);
        let read = system.commander.read(merchant, StreamRef::account(customer), |account| match account {
            Aggregate::PointsAccount(account) => account.balances(),
            _ => Balances::default(),
        });
        let Ok(own) = read.await else {
            world.expect(false, || format!("customer {number} cannot be read"));
            continue;
        };
        let owned = world.journal.borrow().owned(number, &failed);
        let net = own.available.0 + own.pending.0 + own.reserved.0 - own.debt.0;
        world.note(&format!("customer {number} {own:?}"));
        world.expect(net == owned, || format!("customer {number} has {net} points, {owned} were answered"));
        world.expect(own.reserved.0 == 0, || {
            format!("customer {number} has an unfinished redemption: {own:?}")
        });
        let sound = own.available.0 >= 0 && own.debt.0 >= 0 && (own.available.0 == 0 || own.debt.0 == 0);
        world.expect(sound, || format!("customer {number} has impossible buckets: {own:?}"));
        let shown = points_balance::find(&system.reads, scope, customer).await.ok().flatten();
        let shown = shown.map(|shown| shown.balances());
        world.expect(shown == Some(own), || format!("customer {number} is shown {shown:?} and has {own:?}"));
    }
}

/// Redemptions that came to nothing, because their code could not be issued in time. None was said to be completed.
async fn failed_redemptions(world: &World, system: &System, people: &People) -> BTreeSet<Uuid> {
    let redeemed = world.journal.borrow().entries.clone();
    let mut failed = BTreeSet::new();
    for entry in redeemed {
        let (Some(redemption), Effect::Redeems { buyer, .. }) = (entry.redemption(), entry.effect) else {
            continue;
        };
        let stream = StreamRef::redemption(RedemptionId(redemption), CustomerId(people.customers[buyer]));
        let status =
            system.commander.read(MerchantId(people.merchant), stream, |redemption| match redemption {
                Aggregate::Redemption(redemption) => redemption.status(),
                _ => None,
            });
        let status = status.await.ok().flatten();
        let gave_up = matches!(status, Some(Status::Failed | Status::Expired));
        let ended = gave_up || matches!(status, Some(Status::Completed | Status::Cancelled));
        world.expect(ended, || format!("redemption {redemption} is {status:?}"));
        if gave_up {
            let completed = entry.answer.as_ref().is_some_and(|(_, text)| text.contains("\"completed\""));
            world.expect(!completed, || format!("redemption {redemption} was completed and failed"));
            failed.insert(redemption);
        }
    }
    failed
}

/// Streams have no gaps, and no command was carried out twice.
async fn history(world: &World, log: &Log) {
    let (mut versions, mut commands) = (BTreeMap::new(), BTreeMap::new());
    for partition in 0..log.partitions() {
        let mut reader = log.reader(partition, None).unwrap();
        loop {
            let batch = match reader.next(1_000).await {
                Ok(batch) => batch,
                Err(error) => return world.expect(false, || format!("the log cannot be read: {error}")),
            };
            if batch.records.is_empty() {
                break;
            }
            for record in batch.records {
                world.note(&format!("{partition} {} {:?}", record.position, record.head));
                if !matches!(record.frame.kind, Kind::Commit | Kind::Outcome) {
                    continue;
                }
                let Ok(View { meta, answer }) = View::open(&record.body) else {
                    return world.expect(false, || format!("no body at {}", record.position));
                };
                let stream = (record.frame.merchant, meta.stream_type as u8, record.frame.stream);
                let RawAnswer::Events(events) = answer else { continue };
                let next = versions.entry(stream).or_insert(meta.first_version);
                world.expect(*next == meta.first_version, || {
                    format!("version {} follows {next} at {}", meta.first_version, record.position)
                });
                *next = meta.first_version + events.len() as u64;
                let before = commands.insert((stream, meta.command), record.position);
                world.expect(before.is_none(), || {
                    format!("the command at {} was carried out at {before:?} already", record.position)
                });
            }
        }
    }
}

/// Read models folded afresh are those that were kept.
async fn rebuild(world: &World, system: &System) {
    let kept = dump(&world.file("read.db"));
    let fresh = world.file("rebuilt.db");
    let store = ReadStore::open(&fresh).await.unwrap();
    let folding = Projections::start(system.log.clone(), store).await.unwrap();
    while folding.progress().report().iter().any(|report| report.lag_events > 0) {
        sleep(Duration::from_millis(100)).await;
    }
    let folded = dump(&fresh);
    for (table, rows) in &folded {
        world.note(&format!("{table} {rows:?}"));
        world.expect(kept.get(table) == Some(rows), || {
            format!("{table} is {:?}, and folded afresh {rows:?}", kept.get(table))
        });
    }
}

/// Every served table, row by row.
fn dump(path: &std::path::Path) -> BTreeMap<String, Vec<String>> {
    let read = |connection: &Connection| -> rusqlite::Result<_> {
        let mut live = connection.prepare("SELECT name || '_' || generation FROM projection_live")?;
        let tables =
            live.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let dumped = tables.into_iter().map(|table| {
            let mut select = connection.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = select.column_count();
            let cells = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get_ref(at).map(cell)).collect();
            let mut rows = select.query_map([], cells)?.collect::<rusqlite::Result<Vec<String>>>()?;
            rows.sort();
            Ok((table, rows))
        });
        dumped.collect()
    };
    group_commit::simulated::read(path, read).unwrap().unwrap().unwrap()
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "- ".to_owned(),
        ValueRef::Integer(number) => format!("{number} "),
        ValueRef::Real(_) => "? ".to_owned(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => format!("{} ", hex::encode(bytes)),
    }
}
