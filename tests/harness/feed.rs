//! A consumer of the live feed.
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use super::{PATIENCE, Shop};

/// A connection to `GET /v1/api/live`.
pub(crate) struct Feed {
    answer: Response,
    text: String,
}

/// What a feed says at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A comment.
    Heartbeat,
    /// An event with its id, if it has one.
    Event { name: String, id: Option<String>, data: Value },
    /// The connection ended.
    End,
}

impl Heard {
    /// The points that the command moved, if it moved some.
    pub(crate) fn points(&self) -> Option<i64> {
        let Self::Event { data, .. } = self else { return None };
        data["events"].as_array()?.iter().find_map(|event| event["points"].as_i64())
    }

    /// The id to resume by.
    #[track_caller]
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Event { id: Some(id), .. } => id,
            other => panic!("an event with an id, not {other:?}"),
        }
    }
}

impl Feed {
    /// Subscribes, resuming behind the event with this id, and hears that the feed is open.
    pub(crate) async fn open(shop: &Shop, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = shop.request(Method::GET, &format!("/v1/api/live{query}"));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        // The client's own limit is for answers that end.
        let answer = request.timeout(Duration::from_secs(3600)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut feed = Self { answer, text: String::new() };
        let first = feed.next().await;
        assert!(matches!(&first, Heard::Event { name, .. } if name == "open"), "{first:?}");
        feed
    }

    /// What it says next.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (heard, rest) = (heard(block), rest.to_owned());
                self.text = rest;
                return heard;
            }
            // A heartbeat comes in between.
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            match chunk.unwrap_or_else(|_| panic!("nothing was heard for {PATIENCE:?}")) {
                Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                // A server that was killed says no goodbye.
                Ok(None) | Err(_) => return Heard::End,
            }
        }
    }

    /// The next events that move points, so many of them, heartbeats apart.
    pub(crate) async fn moves(&mut self, count: usize) -> Vec<Heard> {
        let mut moves = Vec::new();
        while moves.len() < count {
            let heard = self.next().await;
            assert!(heard != Heard::End, "the feed ended after {moves:?}");
            moves.extend(heard.points().is_some().then_some(heard));
        }
        moves
    }
}

fn heard(block: &str) -> Heard {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(str::trim).next().map(str::to_owned)
    };
    match field("event") {
        Some(name) => Heard::Event {
            name,
            id: field("id"),
            data: serde_json::from_str(&field("data").unwrap()).unwrap(),
        },
        None => {
            assert!(block.starts_with(':'), "neither an event nor a comment: {block}");
            Heard::Heartbeat
        }
    }
}
