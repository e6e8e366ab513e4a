//! How speed is measured: so many callers at once for a while, both sides in turn, medians.
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// Calls a second that so many callers come to, each with one call under way.
pub(crate) async fn per_second<F, Call>(callers: usize, window: Duration, call: F) -> anyhow::Result<u64>
where
    F: Fn() -> Call + Clone + Send + 'static,
    Call: Future<Output = anyhow::Result<()>> + Send,
{
    Ok(timed(callers, window, call).await?.per_second)
}

/// What calls came to.
pub(crate) struct Timed {
    /// How many there were in a second.
    pub(crate) per_second: u64,
    /// How long all but one in a hundred took at most, in microseconds.
    pub(crate) p99: u64,
}

/// The same, and how long each call took.
pub(crate) async fn timed<F, Call>(callers: usize, window: Duration, call: F) -> anyhow::Result<Timed>
where
    F: Fn() -> Call + Clone + Send + 'static,
    Call: Future<Output = anyhow::Result<()>> + Send,
{
    let started = Instant::now();
    let until = started + window;
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let call = call.clone();
        running.spawn(async move {
            let (mut took, mut now) = (Vec::new(), Instant::now());
            while now < until {
                let began = now;
                call().await?;
                now = Instant::now();
                took.push(u64::try_from((now - began).as_micros())?);
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(caller) = running.join_next().await {
        took.append(&mut caller??);
    }
    Ok(Timed { per_second: rate(took.len(), started.elapsed()), p99: quantile(took, 99) })
}

/// Does something for every number below, so many at once.
pub(crate) async fn for_each<F, Call>(numbers: usize, at_once: usize, call: F) -> anyhow::Result<()>
where
    F: Fn(usize) -> Call + Clone + Send + 'static,
    Call: Future<Output = anyhow::Result<()>> + Send,
{
    let mut running = JoinSet::new();
    for caller in 0..at_once {
        let call = call.clone();
        running.spawn(async move {
            for number in (caller..numbers).step_by(at_once) {
                call(number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Both sides in turn, as their medians.
pub(crate) async fn interleaved(
    rounds: usize,
    ours: impl AsyncFnMut() -> anyhow::Result<u64>,
    peer: impl AsyncFnMut() -> anyhow::Result<u64>,
) -> anyhow::Result<(u64, u64)> {
    let (ours, peer) = in_turn(rounds, ours, peer).await?;
    Ok((median(ours), median(peer)))
}

/// Both sides in turn, so that a noisy neighbour meets both, and each as often behind the other.
pub(crate) async fn in_turn<T>(
    rounds: usize,
    mut ours: impl AsyncFnMut() -> anyhow::Result<T>,
    mut peer: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<(Vec<T>, Vec<T>)> {
    let mut found = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round.is_multiple_of(2) {
            found.0.push(ours().await?);
            found.1.push(peer().await?);
        } else {
            found.1.push(peer().await?);
            found.0.push(ours().await?);
        }
    }
    Ok(found)
}

/// So many in so long, as a number a second.
pub(crate) fn rate(count: usize, took: Duration) -> u64 {
    let per_second = count as u128 * 1_000_000_000 / took.as_nanos().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// The middle one; of an even number the lower.
pub(crate) fn median(figures: Vec<u64>) -> u64 {
    quantile(figures, 50)
}

/// The smallest figure that so many per cent do not exceed.
pub(crate) fn quantile(mut figures: Vec<u64>, percent: usize) -> u64 {
    figures.sort_unstable();
    let rank = (figures.len() * percent).div_ceil(100).max(1);
    figures.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_figure_that_so_many_per_cent_do_not_exceed() {
        let figures: Vec<u64> = (1..=200).rev().collect();
        assert_eq!([50, 99, 100].map(|percent| quantile(figures.clone(), percent)), [100, 198, 200]);
        assert_eq!((median(vec![7]), median(vec![]), median(vec![9, 1, 5])), (7, 0, 5));
    }

    #[test]
    fn a_rate_counts_in_seconds() {
        assert_eq!(rate(300, Duration::from_millis(1500)), 200);
    }
}
