//! GET /v1/api/live: server-sent events about what happens at a shop, without gaps.
use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use event_schemas::StreamType;
use futures::{Stream, stream::unfold};
use http_edge::{Merchant, Problem, ProblemBody, Query};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Reads,
    attempt::{AttemptBody, TOPICS, topic},
    failure::parameter,
    live::{Feed, Message, NotAPlace, Place},
};

/// How often a consumer hears that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The header that a consumer resumes by.
const LAST_EVENT_ID: &str = "last-event-id";

/// What the consumer wants to hear of.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// Any of `points`, `orders`, `redemptions`, `customers`, `settings`, `rewards`, `products` and `tills`, with commas
    /// between; all unless said.
    topics: Option<String>,
}

/// Server-sent events: `open`, then one per command under its topic's name, refusals too. Each has an `id` to resume
/// from. `resync` says why the figures must be read anew; nothing follows it. A comment every 15 s is the heartbeat.
#[utoipa::path(
    get,
    path = "/v1/api/live",
    operation_id = "live",
    tag = "live",
    params(
        Params,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event received, or `live_from` of the overview; from now on unless given"),
    ),
    security(("merchant" = [])),
    responses(
        (status = 200, body = AttemptBody, content_type = "text/event-stream", description = "A stream of events whose data is this"),
        (status = 400, description = "invalid-parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "unauthenticated", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "other-history", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "too-many-consumers, projections-stopped", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn live(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let streams = streams(params.topics.as_deref())?;
    reads.fresh_everywhere(None).await?;
    let place = match headers.get(LAST_EVENT_ID) {
        Some(id) => resumed(&reads, id)?,
        None => reads.place(),
    };
    let feed = Feed::open(reads, scope, streams, place)
        .ok_or_else(|| Problem::unavailable("too-many-consumers", "Too many live feeds are open"))?;
    let stream = Sse::new(events(feed)).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    // Proxies that buffer would hold the feed back.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, stream).into_response())
}

fn streams(topics: Option<&str>) -> Result<Vec<StreamType>, Problem> {
    let Some(topics) = topics else { return Ok(TOPICS.map(|(_, stream_type)| stream_type).to_vec()) };
    let known = |wanted: &str| TOPICS.iter().find(|(name, _)| *name == wanted).map(|(_, kind)| *kind);
    let streams: Option<Vec<_>> = topics.split(',').map(|wanted| known(wanted.trim())).collect();
    streams.ok_or_else(|| {
        let names = TOPICS.map(|(name, _)| name).join(", ");
        parameter("topics", &format!("expected any of {names}"))
    })
}

fn resumed(reads: &Reads, id: &HeaderValue) -> Result<Place, Problem> {
    let place = id.to_str().map_err(|_| NotAPlace::Malformed).and_then(|id| reads.place_of(id));
    place.map_err(|why| match why {
        NotAPlace::Malformed => parameter("Last-Event-ID", "expected the id of an event of this feed"),
        NotAPlace::OtherHistory => Problem::conflict("other-history", "The position is of another history")
            .detail(
                "The feed cannot go on from there. Read the figures anew and begin without Last-Event-ID.",
            ),
    })
}

fn events(feed: Feed) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(feed, |mut feed| async move {
        let (message, place) = feed.next().await?;
        Some((Ok(event(message, &place)), feed))
    })
}

fn event(message: Message, place: &Place) -> Event {
    let (name, data) = match message {
        Message::Open => ("open", json!({})),
        Message::Happened(row) => (topic(row.stream_type), json!(AttemptBody::from(*row))),
        // Without an id: whoever comes back must not go on from here.
        Message::Resync(reason) => {
            return Event::default().event("resync").data(json!({ "reason": reason }).to_string());
        }
    };
    Event::default().event(name).id(place.to_string()).data(data.to_string())
}
