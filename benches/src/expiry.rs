//! The daily run over many accounts of which few have something to do: whom it asks, and how long it takes.
use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use command_api::{Shops, issuer::Issuers, policies::Parts, schedule::Schedule};
use domain::{
    StreamRef,
    points_account::{EarnPoints, ExpirePoints, ExpiryRule},
};
use event_log::Kind;
use event_schemas::{
    EntryId, TimeZone, Timestamp,
    merchant::ExpiryMode,
    record::{Actor, Body},
};

use crate::{
    history::{closed, read},
    measure::{Bench, Row, Unit},
    owners::{Owners, account, earn, fresh_id},
    rounds::{for_each, rate},
};

/// One of so many accounts has points that end.
const DUE_ONE_OF: usize = 100;
/// Accounts that are filled at once, and asked at once by the pass over all of them.
const AT_ONCE: usize = 512;
/// As many accounts show how fast a pass over all of them would be.
const ASKED_MAX: usize = 20_000;

/// The schedule's own run, as it comes after an installation was down at its hour.
pub(crate) async fn daily_run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let (folder, members) = (bench.folder("expiry-")?, bench.size.members);
    let owners = Owners::create(folder.path(), members).await?;
    owners.install_shops().await?;
    let to = owners.clone();
    let give = move |number| {
        let owners = to.clone();
        async move {
            let (merchant, customer) = account(number);
            owners.accept(merchant, customer, award(number, owners.clock.now())).await
        }
    };
    for_each(members, AT_ONCE, give).await?;
    let log = folder.path().join("log.db");
    drop(owners);
    closed(&log).await?;

    let path = folder.path().to_owned();
    let Run { took, asked, all } = tokio::task::spawn_blocking(move || on_its_own(&path, members)).await??;
    closed(&log).await?;
    let due = members.div_ceil(DUE_ONE_OF);
    ensure!(asked >= due, "only {asked} of {due} accounts were asked");
    let case = |what: &str| format!("{what}; {members} accounts, {due} of them due");
    Ok(vec![
        Row {
            peer: Some(due as u64),
            judged: true,
            ..Row::alone(case("accounts asked, beside those due"), Unit::Count, asked as u64)
        },
        Row::beside(case("accounts settled, beside asking each"), (rate(members, took), all)).judged(false),
        Row::alone(case("the whole run"), Unit::Micros, u64::try_from(took.as_micros())?),
    ])
}

/// What the run came to.
struct Run {
    took: Duration,
    /// Accounts that the schedule asked.
    asked: usize,
    /// Accounts asked a second, due or not.
    all: u64,
}

/// A schedule ends with its runtime, so it has one.
fn on_its_own(folder: &Path, members: usize) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Runtime::new()?;
    let run = runtime.block_on(async {
        let owners = Owners::open(folder, members).await?;
        let started = Instant::now();
        run_schedule(&owners).await?;
        let took = started.elapsed();
        let asked = asked_by_the_schedule(&owners).await?;
        Ok(Run { took, asked, all: everybody_asked(&owners, members).await? })
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
    run
}

/// Points that ended long ago, or that end in a year.
fn award(number: usize, now: Timestamp) -> EarnPoints {
    let rule = |months| ExpiryRule { mode: ExpiryMode::PerLot, months, timezone: TimeZone::utc() };
    if number.is_multiple_of(DUE_ONE_OF) {
        EarnPoints { expiry: rule(1), ..earn() }
    } else {
        EarnPoints { at: now, expiry: rule(12), ..earn() }
    }
}

/// Until all that is due is done.
async fn run_schedule(owners: &Owners) -> anyhow::Result<()> {
    let shops = Shops::start(&owners.log, None).await?;
    let parts = Parts {
        log: owners.log.clone(),
        commander: owners.commander.clone(),
        clock: owners.clock.clone(),
        keys: owners.keys.clone(),
        work: owners.work.clone(),
        issuers: Issuers::new(owners.keys.clone(), shops.clone(), None),
        shops,
    };
    let schedule = Schedule::start(&parts).await?;
    while !schedule.is_idle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Records of commands that nobody but the schedule sent.
async fn asked_by_the_schedule(owners: &Owners) -> anyhow::Result<usize> {
    let mut asked = 0;
    read(&owners.log, |record| {
        if record.frame.kind == Kind::Commit {
            asked += usize::from(Body::decode(&record.body)?.meta.actor == Actor::System);
        }
        Ok(())
    })
    .await?;
    Ok(asked)
}

/// The same question to accounts whether they are due or not: so many a second.
async fn everybody_asked(owners: &Owners, members: usize) -> anyhow::Result<u64> {
    let (asked, started) = (members.min(ASKED_MAX), Instant::now());
    let to = owners.clone();
    let ask = move |number| {
        let owners = to.clone();
        async move {
            let (merchant, customer) = account(number);
            let (entry, as_of) = (EntryId(fresh_id()), owners.clock.now());
            let command = ExpirePoints { entry, as_of, expiry: ExpiryRule::none() };
            owners.send(merchant, StreamRef::account(customer), command).await.map(drop)
        }
    };
    for_each(asked, AT_ONCE, ask).await?;
    Ok(rate(asked, started.elapsed()))
}
