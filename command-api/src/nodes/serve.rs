//! Answers other nodes for the partitions that this one owns; an ask is never sent on a second time.
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use domain::StreamRef;
use privacy::{Channel, KeyStore};

use super::{
    forward::{PATH, PURPOSE},
    wire::{self, Ask, Came, Decided, DueAt, Message as _, Told, What, WireError},
};
use crate::commands::Commander;

/// An order with many lines, sealed; larger ones do not get through the door either.
const ASK_LEN_MAX: usize = 8 * 1024 * 1024;

#[derive(Clone)]
struct Asked {
    commander: Commander,
    channel: Arc<Channel>,
}

/// The route on which other nodes ask. It is not part of the API: only who holds the installation's root key can use it.
///
/// # Errors
/// The channel between nodes cannot be made.
pub fn router(commander: Commander, keys: &KeyStore) -> Result<Router, privacy::Error> {
    let state = Asked { commander, channel: Arc::new(keys.channel(PURPOSE)?) };
    Ok(Router::new().route(PATH, post(receive)).layer(DefaultBodyLimit::max(ASK_LEN_MAX)).with_state(state))
}

/// 401 for whoever is none of us, 422 for another version's message; everything else is told in the sealed answer.
async fn receive(State(asked): State<Asked>, sealed: Bytes) -> Response {
    let Ok(message) = asked.channel.open(PATH.as_bytes(), &sealed) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let told = match Ask::decode(&message) {
        Ok(ask) => tell(&asked.commander.here(), &ask).await,
        Err(error) => Err(error),
    };
    let answer = told.and_then(|told| told.encode());
    match answer {
        Ok(answer) => match asked.channel.seal(digest(&SHA256, &sealed).as_ref(), &answer) {
            Ok(sealed) => sealed.into_response(),
            Err(error) => broken(StatusCode::INTERNAL_SERVER_ERROR, &error),
        },
        Err(error) => broken(StatusCode::UNPROCESSABLE_ENTITY, &error),
    }
}

fn broken(status: StatusCode, error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::warn!(error, "An ask of another node could not be answered");
    status.into_response()
}

async fn tell(here: &Commander, ask: &Ask) -> Result<Told, WireError> {
    let (merchant, stream) = (ask.merchant(), ask.stream()?);
    let told = match &ask.what {
        What::Command { circumstances, command } => {
            let asked = here.ask(wire::envelope(ask, circumstances, command)?, wire::packed).await;
            match asked {
                Ok((answered, seen)) => {
                    Ok((Came::Command(Decided::new(stream.stream_type, &answered)?), Some(seen)))
                }
                Err(why) => Err(why),
            }
        }
        What::Recall(key) => match here.recall(merchant, stream, *key, wire::packed).await {
            Ok(Some((answered, seen))) => {
                Ok((Came::Recall(Some(Decided::new(stream.stream_type, &answered)?)), Some(seen)))
            }
            // Nobody looks at the state behind a key that is not known.
            Ok(None) => {
                Ok((Came::Recall(None), Some(wire::packed(&domain::Aggregate::new(stream.stream_type)))))
            }
            Err(why) => Err(why),
        },
        What::Read => {
            let read = here.read_at(merchant, stream, wire::packed).await;
            read.map(|(at, seen)| (Came::Read(at.to_string()), Some(seen)))
        }
        What::Glance => {
            here.glance(merchant, stream, wire::packed).await.map(|seen| (Came::Glance, Some(seen)))
        }
        What::Due(wanted) => {
            let found = here.due(wanted.partition, wanted.query()?).await;
            found.map(|found| (Came::Due(found.into_iter().map(DueAt::from).collect()), None))
        }
        What::Renew(streams) => {
            let streams = streams.iter().map(|stream| StreamRef::try_from(*stream));
            let streams = streams.collect::<Result<Vec<_>, WireError>>()?;
            here.forget(merchant, &streams).await.map(|()| (Came::Renewed, None))
        }
    };
    match told {
        Ok((came, seen)) => Ok(Told::given(came, seen.transpose()?)),
        Err(why) => Ok(Told::refused(&why)),
    }
}
