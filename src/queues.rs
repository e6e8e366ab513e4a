//! `GET /admin/queues`: whether everything accepted so far is worked off and visible.
use std::sync::Arc;

use axum::{Json, extract::State};
use command_api::{
    policies::Policies,
    schedule::{self, Schedule},
    webhooks::Webhooks,
};
use event_log::{Log, Position};
use event_schemas::Timestamp;
use http_edge::{Auth, Operator, Problem, WithAuth};
use query_api::{Ages, Deadlines};
use serde::Serialize;
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

/// What the queues are asked of.
#[derive(Clone)]
pub(crate) struct Queues {
    /// The log whose ends must stand still while we look.
    pub(crate) log: Log,
    /// The process managers.
    pub(crate) policies: Policies,
    /// What happens because time passes.
    pub(crate) schedule: Schedule,
    /// The inbox.
    pub(crate) webhooks: Webhooks,
    /// The read side's projections.
    pub(crate) progress: projections::Progress,
    /// Whoever looks at the deadlines of requests about people's data, if this process does.
    pub(crate) deadlines: Option<Deadlines>,
    /// Verifies the operator's token.
    pub(crate) auth: Arc<dyn Auth>,
}

impl WithAuth for Queues {
    fn auth(&self) -> &dyn Auth {
        &*self.auth
    }
}

/// The one route.
fn routes() -> OpenApiRouter<Queues> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The route with its state.
pub(crate) fn router(queues: Queues) -> OpenApiRouter {
    routes().with_state(queues)
}

/// The route's part of the OpenAPI document.
pub(crate) fn document() -> OpenApi {
    routes().into_openapi()
}

/// All queues.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuesBody {
    /// Everything accepted so far is worked off and visible.
    idle: bool,
    /// Deliveries.
    inbox: Inbox,
    /// Process managers.
    policies: Vec<Policy>,
    /// Commands of policies that were refused against expectation, or that cannot be done yet.
    parked_tasks: u64,
    /// What happens because time passes.
    schedules: Vec<Job>,
    /// Read models.
    projections: Vec<Projection>,
    /// Open requests about people's data as they were a few seconds ago; not there before the first look, or on a node that
    /// answers no queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy_requests: Option<Ages>,
}

/// Deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Inbox {
    /// Accepted and not yet worked off, those that wait for another try among them.
    pending: u64,
    /// Parked with a reason.
    dead_lettered: u64,
}

/// A process manager.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Policy {
    /// Its name.
    name: String,
    /// Records it has not seen yet; an upper bound.
    lag_events: u64,
}

/// A job that time sets off.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// Its name.
    name: String,
    /// The time up to which all that was due was asked for; not there before the first pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    through: Option<Timestamp>,
    /// Accounts that were due and could not be asked yet.
    left: u64,
}

/// A read model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Projection {
    /// Its name.
    name: String,
    /// Records it has not folded yet; an upper bound.
    lag_events: u64,
    /// Events that wait behind one that could not be folded.
    parked: u64,
    /// Why it stopped, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

/// Shows the queues of the inbox, the policies and the projections.
#[utoipa::path(get, path = "/admin/queues", tag = "operator",
    responses((status = 200, body = QueuesBody), (status = 401, body = http_edge::ProblemBody)))]
pub(crate) async fn show(_: Operator, State(queues): State<Queues>) -> Result<Json<QueuesBody>, Problem> {
    // Jobs first: what they have sent is seen in the ends of the log.
    let schedule_idle = queues.schedule.is_idle();
    let before = queues.ends();
    let mut body = queues.look().await?;
    // Whoever is in the middle of something either lags or moves an end of the log before the second look.
    let quiet = body.inbox.pending == 0
        && schedule_idle
        && body.policies.iter().all(|policy| policy.lag_events == 0)
        && body.projections.iter().all(|projection| projection.lag_events == 0);
    body.idle = quiet && queues.ends() == before;
    Ok(Json(body))
}

impl From<schedule::Progress> for Job {
    fn from(job: schedule::Progress) -> Self {
        Self { name: job.name.to_owned(), through: job.through, left: job.left }
    }
}

impl Queues {
    fn ends(&self) -> Vec<Position> {
        (0..self.log.partitions()).map(|partition| self.log.end(partition)).collect()
    }

    async fn look(&self) -> Result<QueuesBody, Problem> {
        let inbox = self.webhooks.probe().await?;
        let policies = self.policies.lag().into_iter();
        let policies =
            policies.map(|policy| Policy { name: policy.name.to_owned(), lag_events: policy.lag_events });
        let projections = self.progress.report().into_iter().map(|report| Projection {
            name: report.name.to_owned(),
            lag_events: report.lag_events,
            parked: report.parked,
            stopped: report.error,
        });
        Ok(QueuesBody {
            idle: false,
            inbox: Inbox { pending: inbox.pending, dead_lettered: inbox.dead_lettered },
            policies: policies.collect(),
            parked_tasks: self.policies.parked(),
            schedules: self.schedule.progress().into_iter().map(Job::from).collect(),
            projections: projections.collect(),
            privacy_requests: self.deadlines.as_ref().and_then(Deadlines::ages),
        })
    }
}
