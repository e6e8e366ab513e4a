//! Requests about people's data that are not done: told after 7, 21 and 27 of their 30 days, by the process's clock.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use event_schemas::{RequestId, Timestamp};
use projections::{ReadStore, gdpr_requests};
use serde::Serialize;
use utoipa::ToSchema;

/// After so many days people are told of a request that is not done, each time once.
const TOLD_AFTER_DAYS: [i64; 3] = [7, 21, 27];
/// How often requests are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// So many are looked at, the most urgent first.
const REQUESTS_MAX: u32 = 10_000;
const DAY_US: i64 = 86_400_000_000;

/// How many open requests about people's data there are, by their age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ages {
    /// Younger than 7 days.
    pub fresh: u32,
    /// Of 7 to 20 days.
    pub from_day_7: u32,
    /// Of 21 to 26 days.
    pub from_day_21: u32,
    /// Of 27 days and more, within the deadline.
    pub from_day_27: u32,
    /// Past the deadline.
    pub overdue: u32,
}

/// Whoever looks at the deadlines; cheap to clone.
#[derive(Clone)]
pub struct Deadlines {
    shared: Arc<Shared>,
}

struct Shared {
    store: ReadStore,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ages: Mutex<Option<Ages>>,
    /// How often each open request was told of.
    told: Mutex<BTreeMap<RequestId, usize>>,
}

impl Deadlines {
    /// Nobody looked yet.
    #[must_use]
    pub fn new(store: ReadStore, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let (ages, told) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { store, now, ages, told }) }
    }

    /// Looks now and then, publishes how many requests are open and tells of those that become old; ends with the
    /// runtime.
    pub async fn watch(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.look().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "The deadlines of privacy requests cannot be looked at");
            }
        }
    }

    /// How many requests were open at the last look; none before the first one.
    #[must_use]
    pub fn ages(&self) -> Option<Ages> {
        *self.shared.ages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once. Returns of which requests it told, each with the number of days that it is open.
    ///
    /// # Errors
    /// The read store's.
    pub async fn look(&self) -> Result<Vec<(RequestId, i64)>, projections::Error> {
        let open = gdpr_requests::open(&self.shared.store, REQUESTS_MAX).await?;
        let now = (self.shared.now)();
        let mut ages = Ages::default();
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|known, _| open.iter().any(|request| request.request == *known));
        let mut news = Vec::new();
        for request in &open {
            let days = now.micros().saturating_sub(request.requested_at.micros()) / DAY_US;
            let times = TOLD_AFTER_DAYS.iter().filter(|after| days >= **after).count();
            let overdue = now >= request.due_at;
            let bucket = match times {
                _ if overdue => &mut ages.overdue,
                0 => &mut ages.fresh,
                1 => &mut ages.from_day_7,
                2 => &mut ages.from_day_21,
                _ => &mut ages.from_day_27,
            };
            *bucket = bucket.saturating_add(1);
            // That it is overdue is told once more.
            let times = times + usize::from(overdue);
            if told.insert(request.request, times).unwrap_or(0) < times {
                tell(request, days);
                news.push((request.request, days));
            }
        }
        drop(told);
        *self.shared.ages.lock().unwrap_or_else(PoisonError::into_inner) = Some(ages);
        publish(ages);
        Ok(news)
    }
}

fn tell(request: &gdpr_requests::Request, days: i64) {
    let gdpr_requests::Request { request: id, merchant, kind, status, due_at, .. } = request;
    let (kind, status) = (kind.as_str(), status.as_str());
    tracing::warn!(
        privacy.request = %id,
        merchant.id = %merchant,
        request.open_days = days,
        "ALARM: the {kind} {id} is {status} for {days} days and has to be done by {due_at}"
    );
}

fn publish(ages: Ages) {
    for (age, count) in [
        ("day-0", ages.fresh),
        ("day-7", ages.from_day_7),
        ("day-21", ages.from_day_21),
        ("day-27", ages.from_day_27),
        ("overdue", ages.overdue),
    ] {
        metrics::gauge!("privacy_requests_open", "age" => age).set(f64::from(count));
    }
}
