//! What an account with ten orders weighs in memory, and what it costs to load one from disk.
use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context as _, ensure};
use domain::points_account::{ExpiryRule, SettleOrder};
use event_schemas::{
    Currency, Digest, Money, OrderId, Points, Rate, Timestamp, loyalty_order::OrderStatus,
    merchant::WhenShort,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    history::closed,
    measure::{Bench, Row, Unit},
    owners::{Owners, account},
    rounds::quantile,
};

/// Orders of each account.
const ORDERS: usize = 10;
/// Next to no account is ready for commands, and all others have room.
const ALL_PACKED: (usize, usize) = (8, 4 << 30);
/// The account asked last is at hand, all others are on disk.
const NONE_IN_MEMORY: (usize, usize) = (8, 0);
/// As many accounts are looked at.
const LOOKS_MAX: usize = 2_000;
/// Accounts that are filled at once.
const AT_ONCE: usize = 256;

/// Resident memory per account whose state lies packed in memory, everything included.
pub(crate) async fn per_account(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = filled(bench).await?;
    let accounts = bench.size.accounts;
    let output = Command::new(std::env::current_exe()?)
        .args(["owner-memory", &accounts.to_string()])
        .arg(folder.path())
        .output()?;
    ensure!(
        output.status.success(),
        "the weighed process failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let grown: u64 = String::from_utf8(output.stdout)?.trim().parse().context("the weighed process said")?;
    let case = format!("{ORDERS} orders each, {accounts} accounts");
    Ok(vec![Row::alone(case, Unit::Bytes, grown)])
}

/// In the fresh process: by how many bytes it grows with each account that is taken from disk into memory.
pub(crate) async fn weigh(folder: &Path, accounts: usize) -> anyhow::Result<u64> {
    let owners = Owners::open_with(folder, accounts, ALL_PACKED).await?;
    // The first tenth pays for what is there once: threads, caches, buffers.
    let first = accounts / 10;
    for number in 0..first {
        owners.glance(number).await?;
    }
    let before = resident("self")?;
    for number in first..accounts {
        owners.glance(number).await?;
    }
    let after = resident("self")?;
    drop(owners);
    Ok(after.saturating_sub(before) / (accounts - first).max(1) as u64)
}

/// How long a look at one account takes, when its state is on disk and when it is at hand.
pub(crate) async fn cold_load(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = filled(bench).await?;
    let owners = Owners::open_with(folder.path(), bench.size.accounts, NONE_IN_MEMORY).await?;
    let (mut cold, mut hot) = (Vec::new(), Vec::new());
    for number in 0..bench.size.accounts.min(LOOKS_MAX) {
        for times in [&mut cold, &mut hot] {
            let started = Instant::now();
            owners.glance(number).await?;
            times.push(u64::try_from(started.elapsed().as_nanos() / 1_000)?);
        }
    }
    Ok(vec![
        Row::alone("on disk, p50", Unit::Micros, quantile(cold.clone(), 50)),
        Row::alone("on disk, p99", Unit::Micros, quantile(cold, 99)),
        Row::alone("at hand, p50", Unit::Micros, quantile(hot, 50)),
    ])
}

/// Accounts with ten orders each, their owners ended.
async fn filled(bench: &Bench) -> anyhow::Result<TempDir> {
    let folder = bench.folder("memory-")?;
    let accounts = bench.size.accounts;
    let owners = Owners::create(folder.path(), accounts).await?;
    let mut running = tokio::task::JoinSet::new();
    for caller in 0..AT_ONCE {
        let owners = owners.clone();
        running.spawn(async move {
            for number in (caller..accounts).step_by(AT_ONCE) {
                for order in 0..ORDERS {
                    settle(&owners, number, order).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    drop(owners);
    closed(&folder.path().join("log.db")).await?;
    Ok(folder)
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(process: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident memory")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

async fn settle(owners: &Owners, number: usize, order: usize) -> anyhow::Result<()> {
    let (merchant, customer) = account(number);
    let money = |minor| Ok::<_, anyhow::Error>(Money { minor, currency: Currency::try_new("USD")? });
    let settle = SettleOrder {
        customer,
        order: OrderId(Uuid::from_u64_pair(number as u64, order as u64)),
        version: 1,
        target: Points(54),
        status: OrderStatus::Qualified,
        eligible: money(5493)?,
        refunded: money(0)?,
        rate: Rate::ONE,
        rule_version: 1,
        release: None,
        bonuses: Vec::new(),
        when_short: WhenShort::Unlimited,
        at: Timestamp::EPOCH,
        expiry: ExpiryRule::none(),
        reference: None,
        content: Digest([0; 16]),
    };
    owners.accept(merchant, customer, settle).await
}
