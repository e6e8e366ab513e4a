//! The jobs, one line each, and how one is run: every account that is due gets its command once per time.
use std::sync::Arc;

use chrono::{Datelike as _, Months, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use domain::{
    Command, DueKind,
    points_account::{ExpirePoints, ExpiryRule, ReleasePendingPoints, WarnOfExpiry, is_full},
};
use event_schemas::{
    CommandKey, CorrelationId, EntryId, MerchantId, TimeZone, Timestamp,
    merchant::ExpiryMode,
    record::{Actor, Trace},
};
use futures::StreamExt as _;
use uuid::Uuid;

use super::{Schedule, Stopped};
use crate::{
    chance,
    commands::{Envelope, Lane, Origin, Outcome, Unavailable},
    owner::{DueQuery, DueStream},
    policies::expiry,
    shops::Shop,
};

/// Accounts that are asked for at once, and how many of them are worked on at once.
const PAGE: usize = 512;
const AT_ONCE: usize = 64;

/// When a job runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// As soon as it is due.
    Always,
    /// Once a day, at the shop's 01:00.
    Daily,
}

/// Something that time sets off.
pub(super) struct Job {
    pub(super) name: &'static str,
    when: When,
    kind: DueKind,
    /// Accounts due up to then are asked; none if the shop has no such job.
    pub(super) up_to: fn(&Shop, Timestamp) -> Option<Timestamp>,
    command: fn(&Ask) -> Command,
}

/// What a job's command is made of.
struct Ask {
    as_of: Timestamp,
    expiry: ExpiryRule,
    entry: EntryId,
}

/// What came of asking an account.
enum Asked {
    Over,
    /// It did as much as one record says.
    MayHaveMore,
    /// It could not be asked now.
    Waits,
}

/// All jobs, in the order in which they run.
pub(super) const JOBS: &[Job] = &[
    Job { name: "release", when: When::Always, kind: DueKind::Release, up_to: now, command: release },
    Job { name: "expiry", when: When::Daily, kind: DueKind::Expiry, up_to: now, command: expire },
    Job {
        name: "inactivity",
        when: When::Daily,
        kind: DueKind::Activity,
        up_to: idle_since,
        command: expire,
    },
    Job { name: "warning", when: When::Daily, kind: DueKind::Warning, up_to: now, command: warning },
];

/// The jobs that run then.
pub(super) fn of(when: When) -> impl Iterator<Item = &'static Job> {
    JOBS.iter().filter(move |job| job.when == when)
}

#[expect(clippy::unnecessary_wraps, reason = "not every line of the table has a time")]
const fn now(_: &Shop, as_of: Timestamp) -> Option<Timestamp> {
    Some(as_of)
}

/// Whoever did nothing since then loses the points, if the programme says so.
fn idle_since(shop: &Shop, as_of: Timestamp) -> Option<Timestamp> {
    let expiry = &shop.settings.expiry;
    let since = || months_before(&shop.timezone, as_of, expiry.months);
    (expiry.mode == ExpiryMode::Inactivity).then(since).flatten()
}

/// The latest time that lies so many months back in the shop's calendar. What counts from the last day of a short month
/// is over on the same day of a longer one, so on the days after that it lies all of that last day back.
fn months_before(timezone: &TimeZone, as_of: Timestamp, months: u32) -> Option<Timestamp> {
    let zone: Tz = timezone.as_str().parse().ok()?;
    let local = as_of.utc().with_timezone(&zone).naive_local();
    let then = local.checked_sub_months(Months::new(months))?;
    let then = if then.day() < local.day() {
        then.date().succ_opt()?.and_time(NaiveTime::MIN).checked_sub_signed(TimeDelta::microseconds(1))?
    } else {
        then
    };
    let time = zone.from_local_datetime(&then).latest().map(|time| time.with_timezone(&Utc));
    // A time that the clocks left out is as good as the same one in UTC: the next run finds the rest.
    Some(time.unwrap_or_else(|| then.and_utc()).into())
}

fn release(ask: &Ask) -> Command {
    ReleasePendingPoints { as_of: ask.as_of, expiry: ask.expiry.clone() }.into()
}

fn expire(ask: &Ask) -> Command {
    ExpirePoints { entry: ask.entry, as_of: ask.as_of, expiry: ask.expiry.clone() }.into()
}

fn warning(ask: &Ask) -> Command {
    WarnOfExpiry { as_of: ask.as_of, expiry: ask.expiry.clone() }.into()
}

impl Schedule {
    /// Asks every account that is due, of one shop or of all; how many could not be asked.
    pub(super) async fn run_job(
        &self,
        job: &Job,
        merchant: Option<MerchantId>,
        up_to: Timestamp,
        as_of: Timestamp,
    ) -> Result<u64, Stopped> {
        let correlation = CorrelationId(chance::id());
        let mut left = 0;
        self.refused.forget_old(job.name, as_of);
        for partition in 0..self.commander.partitions() {
            let mut query = DueQuery { kind: job.kind, up_to, merchant, after: None, limit: PAGE };
            loop {
                let page = self.commander.due(partition, query).await?;
                let (found, last) = (page.len(), page.last().copied());
                let willing = page.into_iter().filter(|due| !self.refused.is_recent(job.name, due));
                let asks = willing.map(|due| self.ask(job, due, as_of, correlation));
                let through: Vec<bool> =
                    futures::stream::iter(asks).buffer_unordered(AT_ONCE).collect().await;
                left += through.iter().filter(|through| !**through).count() as u64;
                if found < PAGE {
                    break;
                }
                query.after = last;
            }
        }
        Ok(left)
    }

    /// Sends one account its command, and again while it does as much as one record says; whether that came to an end.
    async fn ask(&self, job: &Job, due: DueStream, as_of: Timestamp, correlation: CorrelationId) -> bool {
        let mut round = 0;
        loop {
            let Some(envelope) = self.envelope(job, due, as_of, correlation, round) else { return true };
            match self.ask_once(job, due, envelope).await {
                Asked::Over => return true,
                Asked::Waits => return false,
                Asked::MayHaveMore => round += 1,
            }
        }
    }

    /// What an account refuses is told, and asked again a day later.
    async fn ask_once(&self, job: &Job, due: DueStream, envelope: Envelope) -> Asked {
        let as_of = envelope.occurred_at;
        match self.commander.send(envelope).await {
            Ok(answered) => {
                if let Outcome::Rejected(rejection) = &answered.outcome {
                    let code = rejection.code();
                    tracing::warn!(job = job.name, stream = %due.stream.id, "Refused for a day: {code}");
                    metrics::counter!("due_jobs_refused_total", "job" => job.name, "code" => code)
                        .increment(1);
                    self.refused.note(job.name, &due, as_of);
                }
                metrics::counter!("due_jobs_total", "job" => job.name).increment(1);
                // What was made by an earlier try, or by another node, is not in the answer.
                let is_full = answered.made.is_none_or(|made| is_full(&made.events));
                if answered.outcome == Outcome::Accepted && is_full {
                    Asked::MayHaveMore
                } else {
                    Asked::Over
                }
            }
            Err(error) => {
                tracing::warn!(
                    job = job.name,
                    error = &error as &dyn std::error::Error,
                    "A due job has to wait"
                );
                if matches!(error, Unavailable::RecordTooLarge { .. }) {
                    self.refused.note(job.name, &due, as_of);
                }
                // A parked account comes back with its owner; the daily run does not wait for it.
                if error.is_transient() { Asked::Waits } else { Asked::Over }
            }
        }
    }

    fn envelope(
        &self,
        job: &Job,
        due: DueStream,
        as_of: Timestamp,
        correlation: CorrelationId,
        round: u32,
    ) -> Option<Envelope> {
        let shop: Arc<Shop> = self.shops.by_id(due.merchant).filter(|shop| shop.installed)?;
        let mut name = [job.name.as_bytes(), &as_of.micros().to_be_bytes()].concat();
        if round > 0 {
            name.extend(round.to_be_bytes());
        }
        let key = Uuid::new_v5(&due.stream.id, &name);
        let content = self.keys.digest(due.merchant, "due-job", &name);
        let content = content.inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "A due job cannot be asked");
        });
        let ask = Ask { as_of, expiry: expiry(&shop), entry: EntryId(key) };
        Some(Envelope {
            merchant: due.merchant,
            stream: due.stream,
            command: (job.command)(&ask),
            key: CommandKey(key),
            content: content.ok()?,
            occurred_at: as_of,
            origin: Origin { actor: Actor::System, correlation, trace: Trace::default(), causation: None },
            lane: Lane::Bulk,
        })
    }
}
