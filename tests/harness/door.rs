//! Where a server listens, and what opens its doors.
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::{Answer, Server};

/// The longest that accepted work may take to become visible, on a busy machine in a debug build.
const WORKED_OFF_WITHIN: Duration = Duration::from_secs(180);

/// A client of one server. A test makes its own, because connections belong to the test's runtime.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) http: Client,
    pub(crate) url: String,
    pub(crate) webhook_secret: String,
    pub(crate) operator_token: String,
}

impl Door {
    pub(crate) fn of(server: &Server) -> Self {
        let door = Self::at(&server.ready.url, &server.ready.operator_token);
        Self { webhook_secret: server.ready.webhook_secret.clone(), ..door }
    }

    /// A door for the operator alone.
    pub(crate) fn at(url: &str, operator_token: &str) -> Self {
        // No server under test speaks TLS; to read the machine's certificates takes a debug build long.
        let http = Client::builder().tls_certs_only([]).timeout(Duration::from_secs(60));
        Self {
            http: http.build().unwrap(),
            url: url.to_owned(),
            webhook_secret: String::new(),
            operator_token: operator_token.to_owned(),
        }
    }

    /// A request without any credentials.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn operator_get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path).bearer_auth(&self.operator_token)).await
    }

    pub(crate) async fn operator_post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).bearer_auth(&self.operator_token).json(body)).await
    }

    pub(crate) async fn queues(&self) -> Value {
        self.operator_get("/admin/queues").await.expect(200)
    }

    /// Waits until everything accepted is worked off and visible.
    pub(crate) async fn until_idle(&self) {
        let deadline = Instant::now() + WORKED_OFF_WITHIN;
        loop {
            let queues = self.queues().await;
            if queues["idle"] == true {
                return;
            }
            assert!(Instant::now() < deadline, "not idle within {WORKED_OFF_WITHIN:?}: {queues}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Sends and reads; a server that does not answer fails the test.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
    Answer::read(response).await.unwrap_or_else(|error| panic!("half an answer: {error:?}"))
}
