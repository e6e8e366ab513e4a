//! What a command costs on an account with a long history, beside one on an account with hardly any.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use domain::{
    Aggregate, Command,
    points_account::{AdjustPoints, EarnPoints, ExpiryRule},
};
use event_schemas::{Code, Digest, EntryId, Points, StreamType, Timestamp, merchant::ExpiryMode};

use crate::{
    measure::{Bench, Row},
    memory,
    owners::{Owners, account, earn, fresh_id},
    rounds::{interleaved, per_second, rate},
};

/// Callers of the commands that go through the owners.
const CALLERS: usize = 64;
/// So many entries that are there for one that leaves a lot: an order.
const ENTRIES_PER_LOT: usize = 10;
/// Accounts with hardly any history, in the same partition as the large one.
const SMALL: usize = 256;

/// The commands that make it: orders whose lots stay, and between them points that are earned and taken at once.
fn history(entries: usize) -> anyhow::Result<Vec<Command>> {
    let mut commands: Vec<Command> = Vec::with_capacity(entries);
    for order in 0..entries.div_ceil(ENTRIES_PER_LOT) {
        commands.push(memory::settle(0, order)?.into());
    }
    // They end before all others do, so it is they that are taken.
    let soon = ExpiryRule { mode: ExpiryMode::PerLot, months: 1, timezone: event_schemas::TimeZone::utc() };
    while commands.len() + 1 < entries {
        commands.push(EarnPoints { expiry: soon.clone(), ..earn() }.into());
        commands.push(take().into());
    }
    Ok(commands)
}

/// Takes what an [`earn`] gave.
fn take() -> AdjustPoints {
    AdjustPoints {
        entry: EntryId(fresh_id()),
        points: Points(-7),
        reason: Code::fixed("correction"),
        public_note: None,
        internal_note: None,
        allow_negative: false,
        at: Timestamp::EPOCH,
        expiry: ExpiryRule::none(),
        content: Digest([0; 16]),
    }
}

/// Both ways: the rules alone, and through the owner, durable before the answer.
pub(crate) async fn beside_fresh(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let entries = bench.size.entries;
    let case = |what: &str| format!("{what}; {entries} entries, {} lots", entries.div_ceil(ENTRIES_PER_LOT));
    Ok(vec![
        Row::beside(case("decided and taken in"), rules_alone(bench).await?),
        Row::beside(case(&format!("answered, {CALLERS} callers")), through_owner(bench).await?),
    ])
}

/// The rules alone: decisions a second, each taken in, and what is due known.
async fn rules_alone(bench: &Bench) -> anyhow::Result<(u64, u64)> {
    let mut large = Aggregate::new(StreamType::PointsAccount);
    history(bench.size.entries)?.iter().try_for_each(|command| ask(&mut large, command))?;
    let mut small = Aggregate::new(StreamType::PointsAccount);
    ask(&mut small, &earn().into())?;
    let window = bench.size.window;
    let once = |aggregate: &Aggregate| {
        // A history that grew meanwhile would not be the one that is named.
        let mut aggregate = aggregate.clone();
        let (started, mut done) = (std::time::Instant::now(), 0);
        while started.elapsed() < window {
            ask(&mut aggregate, &earn().into())?;
            ask(&mut aggregate, &take().into())?;
            done += 2;
        }
        Ok(rate(done, started.elapsed()))
    };
    interleaved(bench.size.rounds, async || once(&large), async || once(&small)).await
}

fn ask(aggregate: &mut Aggregate, command: &Command) -> anyhow::Result<()> {
    let events = aggregate.decide(command).map_err(|rejection| anyhow::anyhow!("{}", rejection.code()))?;
    events.iter().try_for_each(|event| aggregate.evolve(event))?;
    std::hint::black_box(aggregate.due());
    Ok(())
}

/// Through the owner: one account with the whole history beside many with hardly any, all in one partition.
async fn through_owner(bench: &Bench) -> anyhow::Result<(u64, u64)> {
    let folder = bench.folder("large-")?;
    let owners = Owners::create(folder.path(), 1).await?;
    let (merchant, customer) = account(0);
    let partition = |number: usize| {
        let (merchant, customer) = account(number);
        owners.log.partition_of(merchant.bytes(), customer.bytes())
    };
    // Those of the other shops, so that nobody waits for the turn of a shop.
    let beside = (1..).filter(|number| partition(*number) == partition(0));
    let small: Arc<[usize]> = beside.take(SMALL).collect();
    for batch in history(bench.size.entries)?.chunks(CALLERS * 8) {
        let sent = batch.iter().map(|command| owners.accept(merchant, customer, command.clone()));
        futures::future::try_join_all(sent).await?;
    }
    let turn = Arc::new(AtomicUsize::new(0));
    let to_large = || {
        let owners = owners.clone();
        per_second(CALLERS, bench.size.window, move || {
            let owners = owners.clone();
            async move { owners.accept(merchant, customer, earn()).await }
        })
    };
    let to_small = || {
        let (owners, small, turn) = (owners.clone(), small.clone(), turn.clone());
        per_second(CALLERS, bench.size.window, move || {
            let (owners, turn) = (owners.clone(), turn.fetch_add(1, Ordering::Relaxed));
            let (merchant, customer) = account(small[turn % SMALL]);
            async move { owners.accept(merchant, customer, earn()).await }
        })
    };
    interleaved(bench.size.rounds, async || to_large().await, async || to_small().await).await
}
