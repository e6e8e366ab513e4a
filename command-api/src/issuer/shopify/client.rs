//! One call to the Admin API: within 5 seconds, tried again a few times where that may help.
use std::time::Duration;

use event_schemas::{Code, ShopDomain};
use reqwest::{StatusCode, Url, header::RETRY_AFTER, redirect::Policy};
use serde_json::{Value, json};

use super::{NotConfigured, calls::Call};

/// How patient a call is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The longest that one try may take.
    pub(super) try_within: Duration,
    /// The pause before the first retry; each later one is four times as long.
    pub(super) pause: Duration,
}

impl Pace {
    pub(super) const LIVE: Self =
        Self { try_within: Duration::from_secs(5), pause: Duration::from_millis(100) };
}

/// Tries after the first.
const RETRIES: u32 = 3;
/// The longest that a shop can make us wait between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_LEN_MAX: usize = 256 * 1024;
const TOKEN: &str = "x-shopify-access-token";

/// A call had no usable answer. Whether it took effect is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("there are no credentials for the shop")]
    NoCredentials,
    #[error("the shop cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the shop answered {0}")]
    Status(StatusCode),
    #[error("the shop is asked too often")]
    Throttled { wait: Option<Duration> },
    #[error("the shop asks to try again")]
    TryAgain,
    #[error("the answer is not what the Admin API is documented to give")]
    Unreadable,
    #[error("the code is taken, but no discount has it")]
    Contradiction,
    #[error("the discount was not made void: {0}")]
    NotVoided(Code),
}

impl Failure {
    /// Whether another try right away may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Throttled { .. } | Self::TryAgain => true,
            Self::Status(status) => status.is_server_error(),
            Self::NoCredentials | Self::Unreadable | Self::Contradiction | Self::NotVoided(_) => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    api_version: String,
    admin_url: Option<Url>,
    pause: Duration,
}

impl Client {
    pub(super) fn new(api_version: &str, admin_url: Option<&str>, pace: Pace) -> Result<Self, NotConfigured> {
        if !is_version(api_version) {
            return Err(NotConfigured::ApiVersion);
        }
        let admin_url = admin_url.map(Url::parse).transpose().map_err(|_| NotConfigured::AdminUrl)?;
        if admin_url.as_ref().is_some_and(Url::cannot_be_a_base) {
            return Err(NotConfigured::AdminUrl);
        }
        // A redirect would carry the token to wherever it points.
        let http = reqwest::Client::builder().redirect(Policy::none()).timeout(pace.try_within);
        let api_version = api_version.to_owned();
        Ok(Self { http: http.build()?, api_version, admin_url, pause: pace.pause })
    }

    pub(super) async fn call<C: Call>(
        &self,
        shop: &ShopDomain,
        token: &str,
        call: &C,
    ) -> Result<C::Answer, Failure> {
        let url = self.url(shop)?;
        let body = json!({ "query": call.query(), "variables": call.variables() });
        let mut pause = self.pause;
        let mut retries = RETRIES;
        loop {
            let tried = match self.once(url.clone(), token, &body).await {
                Ok(data) => call.answer(&data),
                Err(failure) => Err(failure),
            };
            let failure = match tried {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if retries == 0 || !failure.is_passing() {
                return Err(failure);
            }
            tracing::debug!(shop = %shop, error = &failure as &dyn std::error::Error, "Asking the shop again");
            let asked_for = match failure {
                Failure::Throttled { wait } => wait,
                _ => None,
            };
            tokio::time::sleep(asked_for.unwrap_or(pause).min(PAUSE_MAX)).await;
            (retries, pause) = (retries - 1, pause * 4);
        }
    }

    fn url(&self, shop: &ShopDomain) -> Result<Url, Failure> {
        let own = || Url::parse(&format!("https://{shop}"));
        let base = self.admin_url.clone().map_or_else(own, Ok);
        let path = format!("/admin/api/{}/graphql.json", self.api_version);
        base.and_then(|base| base.join(&path)).map_err(|_| Failure::Unreadable)
    }

    /// One try: the answer's `data`.
    async fn once(&self, url: Url, token: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.http.post(url).header(TOKEN, token).json(body);
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Throttled { wait: retry_after(&response) });
            }
            other => return Err(Failure::Status(other)),
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > ANSWER_LEN_MAX {
                return Err(Failure::Unreadable);
            }
        }
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|_| Failure::Unreadable)?;
        if let Some(errors) = answer["errors"].as_array().filter(|errors| !errors.is_empty()) {
            return Err(of_errors(errors, &answer["extensions"]["cost"]));
        }
        Ok(answer["data"].take())
    }
}

/// The kind of fault says enough; the address is left out.
fn unreachable(error: reqwest::Error) -> Failure {
    Failure::Unreachable(error.without_url())
}

fn of_errors(errors: &[Value], cost: &Value) -> Failure {
    let has = |code: &str| errors.iter().any(|error| error["extensions"]["code"] == code);
    if has("THROTTLED") {
        Failure::Throttled { wait: until_restored(cost) }
    } else if has("INTERNAL_SERVER_ERROR") {
        Failure::TryAgain
    } else {
        Failure::Unreadable
    }
}

/// How long until the shop's bucket holds what the call costs.
fn until_restored(cost: &Value) -> Option<Duration> {
    let whole = |number: &Value| number.to_string().split('.').next()?.parse::<u64>().ok();
    let status = &cost["throttleStatus"];
    let missing = whole(&cost["requestedQueryCost"])?.saturating_sub(whole(&status["currentlyAvailable"])?);
    let per_second = whole(&status["restoreRate"])?.max(1);
    Some(Duration::from_secs(missing.div_ceil(per_second)))
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.split('.').next()?.parse().ok().map(Duration::from_secs)
}

/// `2026-10`, or `unstable`.
fn is_version(text: &str) -> bool {
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit());
    let dated = |(year, month)| digits(year, 4) && digits(month, 2);
    text == "unstable" || text.split_once('-').is_some_and(dated)
}
