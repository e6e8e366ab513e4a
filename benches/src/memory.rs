//! What an account with ten orders weighs in memory, and what it costs to load one from disk.
use std::{ops::Range, path::Path, process::Command, time::Instant};

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
    rounds::{for_each, quantile},
};

/// Orders of each account.
const ORDERS: usize = 10;
/// Next to no account is ready for commands, and all others have room.
const ALL_PACKED: (usize, usize) = (8, 4 << 30);
/// Every account is ready for commands.
const ALL_READY: (usize, usize) = (1 << 24, 64 << 30);
/// The account asked last is at hand, all others are on disk.
const NONE_IN_MEMORY: (usize, usize) = (8, 0);
/// As many accounts are looked at.
const LOOKS_MAX: usize = 2_000;
/// Looks at each account that is weighed.
const LOOKS: usize = 4;
/// Accounts that are filled at once.
const AT_ONCE: usize = 256;

/// Resident memory per account in memory, everything included: the slope between so many accounts and twice as many, so
/// that what is there once does not count.
pub(crate) async fn per_account(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let accounts = bench.size.accounts;
    let folder = filled(bench, 2 * accounts).await?;
    let weigh = |tier: &str| {
        let weighed = Command::new(std::env::current_exe()?)
            .args(["owner-memory", tier, &accounts.to_string()])
            .arg(folder.path())
            // Huge pages weigh in steps of two megabytes, and chance decides how many of them are begun.
            .env("MIMALLOC_ALLOW_THP", "0")
            .output()?;
        let why = String::from_utf8_lossy(&weighed.stderr);
        ensure!(weighed.status.success(), "the weighed process failed: {why}");
        String::from_utf8(weighed.stdout)?.trim().parse().context("the weighed process said")
    };
    let case = |how: &str| format!("{ORDERS} orders each, {how}; from {accounts} accounts to twice as many");
    Ok(vec![
        Row::alone(case("at hand"), Unit::Bytes, weigh("packed")?).judged(true),
        Row::alone(case("decoded for a command"), Unit::Bytes, weigh("ready")?),
        Row::alone("the same in snap.db", Unit::Bytes, on_disk(&folder, "snap.db")? / (2 * accounts) as u64),
        Row::alone(
            "an order's record in log.db",
            Unit::Bytes,
            on_disk(&folder, "log.db")? / (2 * accounts * ORDERS) as u64,
        ),
    ])
}

fn on_disk(folder: &TempDir, file: &str) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(folder.path().join(file))?.len())
}

/// How an account lies in memory.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Tier {
    /// As most do.
    Packed,
    /// As those that were used last.
    Ready,
}

/// In a fresh process: takes accounts from disk into memory, and as many again; by how many bytes it grows with each of
/// the second ones.
pub(crate) async fn weigh(folder: &Path, accounts: usize, tier: Tier) -> anyhow::Result<u64> {
    let in_memory = match tier {
        Tier::Packed => ALL_PACKED,
        Tier::Ready => ALL_READY,
    };
    let owners = Owners::open_with(folder, 2 * accounts, in_memory).await?;
    look(&owners, 0..accounts).await?;
    let before = resident("self")?;
    look(&owners, accounts..2 * accounts).await?;
    let after = resident("self")?;
    drop(owners);
    Ok(after.saturating_sub(before) / accounts.max(1) as u64)
}

/// Looks more than once, so that the room that threads need to decode and to pack is there before it is weighed.
async fn look(owners: &Owners, numbers: Range<usize>) -> anyhow::Result<()> {
    for number in std::iter::repeat_n(numbers, LOOKS).flatten() {
        owners.glance(number).await?;
    }
    Ok(())
}

/// How long a look at one account takes, when its state is on disk and when it is at hand.
pub(crate) async fn cold_load(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = filled(bench, bench.size.accounts).await?;
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
async fn filled(bench: &Bench, accounts: usize) -> anyhow::Result<TempDir> {
    let folder = bench.folder("memory-")?;
    let owners = Owners::create(folder.path(), accounts).await?;
    let to = owners.clone();
    let fill = move |number| {
        let owners = to.clone();
        async move {
            for order in 0..ORDERS {
                let (merchant, customer) = account(number);
                owners.accept(merchant, customer, settle(number, order)?).await?;
            }
            Ok(())
        }
    };
    for_each(accounts, AT_ONCE, fill).await?;
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

/// An order of the account with this number is worth points.
pub(crate) fn settle(number: usize, order: usize) -> anyhow::Result<SettleOrder> {
    let (_, customer) = account(number);
    let money = |minor| Ok::<_, anyhow::Error>(Money { minor, currency: Currency::try_new("USD")? });
    Ok(SettleOrder {
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
    })
}
