//! `POST /admin/rebuilds`: a rebuild or its way back, done by the running server, told as it goes on.
use std::{convert::Infallible, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use axum::{
    body::Body as ResponseBody,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use event_log::Log;
use futures::{Stream, stream::unfold};
use http_edge::{Auth, Body, Operator, Problem, WithAuth};
use projections::ReadStore;
use replay::{
    progress::{Progress, Reached},
    rebuild::{self, Chosen},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, oneshot, watch};
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    contact::{Contact, Local},
    replay_roles::{Done, Rebuild, error_text},
};

/// The one job there may be, and what it works on.
#[derive(Clone)]
pub(crate) struct Rebuilds {
    log: Log,
    store: ReadStore,
    followers: projections::Progress,
    auth: Arc<Local>,
    running: Arc<Mutex<()>>,
    closed: watch::Sender<bool>,
}

impl WithAuth for Rebuilds {
    fn auth(&self) -> &dyn Auth {
        &*self.auth
    }
}

/// The one route.
fn routes() -> OpenApiRouter<Rebuilds> {
    OpenApiRouter::new().routes(routes!(start))
}

/// The route with its state.
pub(crate) fn router(rebuilds: Rebuilds) -> OpenApiRouter {
    routes().with_state(rebuilds)
}

/// The route's part of the OpenAPI document.
pub(crate) fn document() -> OpenApi {
    routes().into_openapi()
}

/// What to do with the read models.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RebuildBody {
    /// One of them; all if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    projection: Option<String>,
    /// Compare only, serve nothing new.
    #[serde(default)]
    dry_run: bool,
    /// Serve the tables before the last rebuild again.
    #[serde(default)]
    rollback: bool,
}

/// One line of the answer.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = RebuildLine)]
pub(crate) enum Line {
    /// How far it is.
    Progress(ProgressBody),
    /// It is done; the last line.
    Done(Done),
    /// Why it could not be done; the last line.
    Failed(String),
}

/// How far a job is.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = RebuildProgress)]
pub(crate) struct ProgressBody {
    /// What it is doing.
    step: String,
    /// About how many records there are to read.
    about: u64,
    /// How many it has read.
    records: u64,
}

/// Rebuilds read models from the first record on beside the served ones, compares them, and serves the new ones; or goes
/// back. The answer is a line of JSON whenever it gets on, and one at the end. Whoever hangs up cancels it.
#[utoipa::path(post, path = "/admin/rebuilds", operation_id = "rebuild", tag = "operator",
    request_body = RebuildBody, security(("operator" = [])),
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson", description = "Lines of JSON"),
        (status = 401, description = "unauthenticated", body = http_edge::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "rebuild-running", body = http_edge::ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "invalid-field", body = http_edge::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "projections-stopped", body = http_edge::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn start(
    _: Operator,
    State(rebuilds): State<Rebuilds>,
    Body(body, _): Body<RebuildBody>,
) -> Result<Response, Problem> {
    let RebuildBody { projection, dry_run, rollback } = body;
    let chosen = Chosen::of(projection.as_deref()).map_err(|_| {
        Problem::invalid_field("/projection", format!("expected one of {}", rebuild::known().join(", ")))
    })?;
    if dry_run && rollback {
        return Err(Problem::invalid_field("/rollback", "expected no rollback together with dry_run"));
    }
    if rebuilds.followers.stopped().is_some() {
        return Err(Problem::unavailable("projections-stopped", "The read models stand still").detail(
            "Nothing follows the log any more. Stop the server, rebuild without it, and start it again.",
        ));
    }
    let turn = Arc::clone(&rebuilds.running)
        .try_lock_owned()
        .map_err(|_| Problem::conflict("rebuild-running", "Another rebuild is going on"))?;
    let (told, reached) = watch::channel(Reached::default());
    let (mut end, last) = oneshot::channel();
    let job = Rebuild { projection, dry_run, roll_back: rollback };
    tokio::spawn(async move {
        let done = rebuilds.work(chosen, &job, Progress::told(told), &mut end).await;
        drop(turn);
        // Whoever hung up does not want to know.
        drop(end.send(done));
    });
    let lines = ResponseBody::from_stream(lines(reached, last));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

impl Rebuilds {
    /// For whoever may ask for it.
    pub(crate) fn new(
        log: Log,
        store: ReadStore,
        followers: projections::Progress,
        auth: Arc<Local>,
    ) -> Self {
        let closed = watch::Sender::new(false);
        Self { log, store, followers, auth, running: Arc::default(), closed }
    }

    /// Ends the job that is going on, for ever: a server that stops waits for its open answers.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    async fn work(
        &self,
        chosen: Chosen,
        job: &Rebuild,
        mut progress: Progress,
        end: &mut oneshot::Sender<Line>,
    ) -> Line {
        tracing::info!(rebuild = ?job, "Began a rebuild");
        let mut closed = self.closed.subscribe();
        let cancelled = async {
            tokio::select! {
                () = end.closed() => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        };
        match job.work(&self.log, &self.store, chosen, &mut progress, cancelled).await {
            Ok(done) => {
                tracing::info!(rebuild = ?job, "Ended a rebuild with exit code {}", done.exit_code);
                Line::Done(done)
            }
            Err(error) => {
                let reason = error_text(&error);
                tracing::warn!(rebuild = ?job, "A rebuild could not be done: {reason}");
                Line::Failed(reason)
            }
        }
    }
}

/// A line whenever the job gets on, skipping what nobody took in time, and a last one.
fn lines(
    reached: watch::Receiver<Reached>,
    last: oneshot::Receiver<Line>,
) -> impl Stream<Item = Result<String, Infallible>> {
    unfold((reached, Some(last)), |(mut reached, last)| async {
        let mut last = last?;
        let got_on = async {
            if reached.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let Reached { step, about, records } = reached.borrow_and_update().clone();
            Line::Progress(ProgressBody { step, about, records })
        };
        let (line, last) = tokio::select! {
            biased;
            ended = &mut last => (ended.unwrap_or_else(|_| Line::Failed("it broke off".to_owned())), None),
            line = got_on => (line, Some(last)),
        };
        let text = serde_json::to_string(&line).unwrap_or_default();
        Some((Ok(format!("{text}\n")), (reached, last)))
    })
}

/// Hands the job to the server that has the data folder open, shows how it gets on, and gives what it came to.
pub(crate) async fn hand_over(data: &Path, job: &Rebuild, progress: &mut Progress) -> anyhow::Result<Done> {
    let Contact { url, token } = Contact::of(data)?;
    let Rebuild { projection, dry_run, roll_back } = job.clone();
    let body = RebuildBody { projection, dry_run, rollback: roll_back };
    // A proxy of the environment is for elsewhere.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(format!("{url}/admin/rebuilds")).bearer_auth(token).json(&body);
    let mut answer = request.send().await.context("the running server does not answer")?;
    if !answer.status().is_success() {
        let problem: serde_json::Value = answer.json().await.unwrap_or_default();
        let said = |field: &str| problem[field].as_str().map(str::to_owned);
        bail!("the running server refused: {}", said("detail").or(said("title")).unwrap_or_default());
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.context("the running server went away before it was done")? {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            match serde_json::from_slice(&line)? {
                Line::Progress(ProgressBody { step, about, records }) => {
                    progress.follow(Some(&Reached { step, about, records }));
                }
                Line::Done(done) => {
                    progress.follow(None);
                    return Ok(done);
                }
                Line::Failed(reason) => {
                    progress.follow(None);
                    return Err(anyhow!(reason));
                }
            }
        }
    }
    bail!("the running server went away before it was done")
}
