//! Whose delivery is next: one lane per merchant, taken in turn, each as fast as its merchant's settings allow.
//! Pure: the caller brings the time and keeps the lock.
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use event_schemas::{MerchantId, merchant::Processing};
use tokio::time::Instant;
use uuid::Uuid;

/// A lane out of tokens is looked at again after this at the latest, so that a changed rate is in effect at once.
const RECHECK: Duration = Duration::from_millis(100);
/// One token, in the unit of buckets: at one per second, a microsecond brings one of these.
const TOKEN: u64 = 1_000_000;

/// A delivery to work off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    pub(super) merchant: MerchantId,
    pub(super) row: Uuid,
    /// How often something that it needs was away.
    pub(super) waits: u32,
}

impl Job {
    pub(super) const fn new(merchant: MerchantId, row: Uuid) -> Self {
        Self { merchant, row, waits: 0 }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Work this off.
    Job(Job),
    /// Nothing before then.
    At(Instant),
    /// Nothing at all.
    Idle,
}

/// All open deliveries.
#[derive(Default)]
pub(super) struct Schedule {
    lanes: HashMap<MerchantId, Lane>,
    /// Lanes to look at, in turn; a lane is here or in `later` while it is `listed`.
    ready: VecDeque<MerchantId>,
    later: BinaryHeap<Reverse<(Instant, Later)>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Later {
    Lane(MerchantId),
    Retry(Job),
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<(Uuid, u32)>,
    bucket: Option<Bucket>,
    listed: bool,
}

impl Schedule {
    /// Puts a delivery at the end of its merchant's lane.
    pub(super) fn push(&mut self, job: Job) {
        let lane = self.lanes.entry(job.merchant).or_default();
        lane.jobs.push_back((job.row, job.waits));
        if !lane.listed {
            lane.listed = true;
            self.ready.push_back(job.merchant);
        }
    }

    /// Puts a delivery into its lane once the time has come.
    pub(super) fn push_at(&mut self, job: Job, at: Instant) {
        self.later.push(Reverse((at, Later::Retry(job))));
    }

    /// The next delivery of the merchant whose turn it is.
    pub(super) fn take(&mut self, now: Instant, rate: impl Fn(MerchantId) -> Processing) -> Next {
        while let Some(Reverse((at, _))) = self.later.peek().copied() {
            if at > now {
                break;
            }
            match self.later.pop() {
                Some(Reverse((_, Later::Lane(merchant)))) => self.ready.push_back(merchant),
                Some(Reverse((_, Later::Retry(job)))) => self.push(job),
                None => {}
            }
        }
        while let Some(merchant) = self.ready.pop_front() {
            if let Some((row, waits)) = self.take_from(merchant, now, &rate(merchant)) {
                return Next::Job(Job { merchant, row, waits });
            }
        }
        self.later.peek().map_or(Next::Idle, |Reverse((at, _))| Next::At(*at))
    }

    fn take_from(&mut self, merchant: MerchantId, now: Instant, rate: &Processing) -> Option<(Uuid, u32)> {
        let lane = self.lanes.get_mut(&merchant)?;
        if lane.jobs.is_empty() {
            lane.listed = false;
            return None;
        }
        match lane.bucket.get_or_insert_with(|| Bucket::full(now, rate)).take(now, rate) {
            Ok(()) => {
                self.ready.push_back(merchant);
                lane.jobs.pop_front()
            }
            Err(wait) => {
                self.later.push(Reverse((now + wait.min(RECHECK), Later::Lane(merchant))));
                None
            }
        }
    }
}

/// A token bucket in integers.
struct Bucket {
    level: u64,
    at: Instant,
}

impl Bucket {
    fn full(now: Instant, rate: &Processing) -> Self {
        Self { level: capacity(rate), at: now }
    }

    /// Takes a token, or says how long until there is one at this rate.
    fn take(&mut self, now: Instant, rate: &Processing) -> Result<(), Duration> {
        let per_second = u64::from(rate.per_second.max(1));
        let elapsed_us = now.saturating_duration_since(self.at).as_micros();
        let brought = u64::try_from(elapsed_us).unwrap_or(u64::MAX).saturating_mul(per_second);
        self.level = self.level.saturating_add(brought).min(capacity(rate));
        self.at = self.at.max(now);
        match self.level.checked_sub(TOKEN) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err(Duration::from_micros((TOKEN - self.level).div_ceil(per_second))),
        }
    }
}

fn capacity(rate: &Processing) -> u64 {
    u64::from(rate.burst.max(1)) * TOKEN
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MerchantId = MerchantId::from_bytes([1; 16]);
    const B: MerchantId = MerchantId::from_bytes([2; 16]);

    fn job(merchant: MerchantId, n: u128) -> Job {
        Job::new(merchant, Uuid::from_u128(n))
    }

    fn rate(per_second: u32, burst: u32) -> Processing {
        Processing { per_second, burst }
    }

    /// How many deliveries of A are taken between `from` and `to`, looking every millisecond.
    fn taken(schedule: &mut Schedule, from: Instant, to_ms: u64, rate: &Processing) -> usize {
        let times = (0..=to_ms).map(|ms| from + Duration::from_millis(ms));
        times
            .map(|now| {
                std::iter::from_fn(|| match schedule.take(now, |_| rate.clone()) {
                    Next::Job(_) => Some(()),
                    Next::At(_) | Next::Idle => None,
                })
                .count()
            })
            .sum()
    }

    #[test]
    fn merchants_take_turns_however_long_their_lanes_are() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        for n in 0..3 {
            schedule.push(job(A, n));
        }
        schedule.push(job(B, 9));
        let order: Vec<_> = (0..4).map(|_| schedule.take(now, |_| rate(1, 100))).collect();
        assert_eq!(order, [job(A, 0), job(B, 9), job(A, 1), job(A, 2)].map(Next::Job));
        assert_eq!(schedule.take(now, |_| rate(1, 100)), Next::Idle);
    }

    #[test]
    fn a_lane_runs_its_burst_and_then_its_rate() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        (0..100).for_each(|n| schedule.push(job(A, n)));
        assert_eq!(taken(&mut schedule, start, 0, &rate(5, 10)), 10);
        assert_eq!(taken(&mut schedule, start, 1000, &rate(5, 10)), 5);
    }

    #[test]
    fn a_changed_rate_is_in_effect_at_once() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        (0..1000).for_each(|n| schedule.push(job(A, n)));
        assert_eq!(taken(&mut schedule, start, 1000, &rate(1, 1)), 2);
        let faster = taken(&mut schedule, start + Duration::from_secs(1), 200, &rate(1_000_000, 1_000_000));
        assert_eq!(faster, 998);
    }

    #[test]
    fn a_throttled_lane_does_not_hold_up_its_neighbour() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        (0..10_000).for_each(|n| schedule.push(job(A, n)));
        taken(&mut schedule, start, 0, &rate(1, 1));
        schedule.push(job(B, 1));
        assert_eq!(schedule.take(start, |_| rate(1, 1)), Next::Job(job(B, 1)));
        assert!(matches!(schedule.take(start, |_| rate(1, 1)), Next::At(at) if at <= start + RECHECK));
    }

    #[test]
    fn a_retry_comes_when_its_time_has_come() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let later = start + Duration::from_secs(3);
        schedule.push_at(job(A, 1), later);
        assert_eq!(schedule.take(start, |_| rate(5, 5)), Next::At(later));
        assert_eq!(schedule.take(later, |_| rate(5, 5)), Next::Job(job(A, 1)));
    }
}
