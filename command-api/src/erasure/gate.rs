//! Waits that many share: one of them asks, and all go on with the answer.
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use event_log::{Position, PositionToken};
use privacy::KeyStore;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{ports::ReadModels, setback::Cause};

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Longer than a lease: by then a process that does not answer is blind.
const FENCE_MAX: Duration = Duration::from_secs(20);
/// Read models that need longer are told of.
const READ_MODELS_MAX: Duration = Duration::from_secs(15);
/// An answer of the read models is good for this long.
const FRESH: Duration = Duration::from_millis(10);

/// Pauses that grow, up to an end.
struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    fn of(time: Duration) -> Self {
        Self { until: Instant::now() + time, pause: PAUSE_MIN }
    }

    /// Whether there was time for a pause.
    async fn pause(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

/// Fences that are obeyed by every process.
pub(super) struct Fences {
    keys: KeyStore,
    known: AtomicU64,
    turn: Mutex<()>,
}

impl Fences {
    pub(super) fn new(keys: KeyStore) -> Self {
        Self { keys, known: AtomicU64::new(0), turn: Mutex::default() }
    }

    /// Returns when every process obeys the fence, or may use no key any more.
    pub(super) async fn passed(&self, fence: u64) -> Result<(), Cause> {
        let mut patience = Patience::of(FENCE_MAX);
        while !self.is_known(fence).await? {
            if !patience.pause().await {
                return Err(Cause::new("fence-not-known", "a process has not heard of the fence"));
            }
        }
        Ok(())
    }

    async fn is_known(&self, fence: u64) -> Result<bool, Cause> {
        let _turn = self.turn.lock().await;
        if self.known.load(Ordering::Acquire) >= fence {
            return Ok(true);
        }
        let is_known = self.keys.fence_is_known(fence).await?;
        if is_known {
            self.known.fetch_max(fence, Ordering::AcqRel);
        }
        Ok(is_known)
    }
}

/// How far the read models are.
pub(super) struct Readers {
    models: Option<Arc<dyn ReadModels>>,
    reached: Mutex<Option<(Instant, BTreeMap<u16, Position>)>>,
}

impl Readers {
    pub(super) fn new(models: Option<Arc<dyn ReadModels>>) -> Self {
        Self { models, reached: Mutex::default() }
    }

    /// The read models, once all of them have taken in what stands at these places; none if there are none.
    pub(super) async fn behind(&self, places: &[PositionToken]) -> Result<Option<&dyn ReadModels>, Cause> {
        let Some(models) = self.models.as_deref() else { return Ok(None) };
        let mut patience = Patience::of(READ_MODELS_MAX);
        while !self.have_reached(models, places).await? {
            if !patience.pause().await {
                return Err(Cause::new("read-models-behind", "a read model has not heard of it yet"));
            }
        }
        Ok(Some(models))
    }

    async fn have_reached(&self, models: &dyn ReadModels, places: &[PositionToken]) -> Result<bool, Cause> {
        let mut known = self.reached.lock().await;
        let is_fresh = known.as_ref().is_some_and(|(asked, _)| asked.elapsed() < FRESH);
        if !is_fresh {
            let reached = models.reached().await.map_err(|error| Cause::new("read-models-away", error))?;
            *known = Some((Instant::now(), reached));
        }
        let reached = known.as_ref().map(|(_, reached)| reached);
        let reached = |place: &PositionToken| {
            let reached = reached.and_then(|reached| reached.get(&place.partition()));
            reached.is_some_and(|reached| *reached >= place.position())
        };
        Ok(places.iter().all(reached))
    }
}
