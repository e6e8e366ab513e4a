//! What a hot account weighs: the growth of a fresh process whose owners take in accounts with ten orders each.
use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};
use domain::points_account::SettleOrder;
use event_schemas::{
    Currency, Digest, EntryId, Money, OrderId, Points, Rate, loyalty_order::OrderStatus, merchant::WhenShort,
};
use uuid::Uuid;

use crate::{
    measure::{Bench, Row, Unit},
    owners::{Owners, account, fresh_id},
};

/// Orders of each account.
const ORDERS: usize = 10;
/// Accounts that are filled at once.
const AT_ONCE: usize = 256;

/// Resident memory per account, everything included.
pub(crate) async fn per_account(bench: &Bench) -> anyhow::Result<Vec<Row>> {
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
    let log = folder.path().join("log.db");
    while matches!(event_log::sqlite::open(&log), Err(event_log::Error::Locked { .. })) {
        tokio::task::yield_now().await;
    }
    let output = Command::new(std::env::current_exe()?).arg("owner-memory").arg(folder.path()).output()?;
    ensure!(
        output.status.success(),
        "the weighed process failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let grown: u64 = String::from_utf8(output.stdout)?.trim().parse().context("the weighed process said")?;
    let case = format!("{ORDERS} orders each, {accounts} accounts");
    Ok(vec![Row::alone(case, Unit::Bytes, grown / accounts.max(1) as u64)])
}

/// In the fresh process: by how many bytes it grows when the owners of this folder start.
pub(crate) async fn weigh(folder: &Path) -> anyhow::Result<u64> {
    let before = resident("self")?;
    let owners = Owners::open(folder, 1).await?;
    let after = resident("self")?;
    drop(owners);
    Ok(after.saturating_sub(before))
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
        order: OrderId(Uuid::from_u64_pair(number as u64, order as u64)),
        version: 1,
        target: Points(54),
        status: OrderStatus::Qualified,
        eligible: money(5493)?,
        refunded: money(0)?,
        rate: Rate::ONE,
        rule_version: 1,
        when_short: WhenShort::Unlimited,
        entry: EntryId(fresh_id()),
        reference: None,
        content: Digest([0; 16]),
    };
    owners.accept(merchant, customer, settle).await
}
