//! POST /v1/api/points/sync: what a till took in while it was on its own. Gaps are told, repeats do no harm.
use axum::{Json, extract::State};
use domain::{
    Aggregate, StreamRef,
    pos_device::{Found, PosEntry, SEQUENCES, Standing, SyncPosBatch},
    redemption::{price, worth},
};
use event_schemas::{
    Code, CustomerId, DeviceId, MerchantId, Money, Points, Timestamp,
    points_account::RuleUsed,
    pos_device::{PosEntryKind, SequenceRange},
    record::Actor,
};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext, shopify_id};
use privacy::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::points::{
    canonical,
    earn::{Amount, by_amount},
};
use crate::{
    app::{App, origin},
    commands::{Envelope, Lane, Outcome},
    idempotency::IdempotencyKey,
    policies::Cause,
    problem::{key_fault, rejected},
    shops::Shop,
};

const PATH: &str = "/v1/api/points/sync";
const ENTRIES_MAX: usize = 500;
/// As the account says it of what came before it was erased.
const ERASED: &str = "account-redacted";
const UNKNOWN: &str = "customer-not-found";

/// A batch of a till.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// The till's own id, which it keeps for ever.
    #[schema(value_type = String, format = Uuid)]
    device_id: DeviceId,
    /// 1 to 500 entries, in any order.
    entries: Vec<Entry>,
}

/// What the till took in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The till's number for it: 1 for its first entry, one more for each later one.
    sequence: u64,
    r#type: Type,
    /// Whose points; or `shopify_customer_id`.
    #[schema(value_type = Option<String>, format = Uuid)]
    customer_id: Option<CustomerId>,
    shopify_customer_id: Option<String>,
    /// Above zero; or `amount`.
    #[schema(value_type = Option<i64>)]
    points: Option<Points>,
    /// What the sale earns by, or what the till took off.
    amount: Option<Amount>,
    /// By the till's clock.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
}

/// What an entry does.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Type {
    /// It awards points.
    Earn,
    /// It spends points: the till gave the discount already.
    Redeem,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Synced {
    #[schema(value_type = String, format = Uuid)]
    device_id: DeviceId,
    /// The highest number that was ever seen of this till.
    highest: u64,
    /// Numbers below it that were never seen, at most a hundred ranges.
    missing: Vec<Gap>,
    /// Each entry in the order given.
    entries: Vec<Outcomes>,
    /// Opaque; a query may ask for at least this position.
    position: String,
}

/// Numbers that were never seen, both ends included.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gap {
    first: u64,
    last: u64,
}

impl From<SequenceRange> for Gap {
    fn from(range: SequenceRange) -> Self {
        Self { first: range.first, last: range.last }
    }
}

/// What became of an entry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Outcomes {
    sequence: u64,
    /// `accepted`; `rejected`, by us or by the account; `conflict`: the number came before with other content, and this
    /// time has no effect.
    status: &'static str,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// Take in a batch of a till.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Batch,
    responses((status = 200, body = Synced), (status = 422, body = ProblemBody))
)]
pub(crate) async fn sync(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(batch, raw): Body<Batch>,
) -> Result<Json<Synced>, Problem> {
    let merchant = scope.merchant();
    check(&batch)?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    let till = Till { app: &app, merchant, shop: &*app.shop(merchant)? };
    let mut entries = Vec::with_capacity(batch.entries.len());
    for entry in &batch.entries {
        entries.push(PosEntry { sequence: entry.sequence, found: till.find(entry).await? });
    }
    let people = entries.iter().filter_map(|entry| Some(entry.found.as_ref().ok()?.customer));
    // The till's numbers are enough: of a batch that names somebody who is erased, or nobody, nothing is kept that no
    // erasure would find.
    let names_nobody = entries.iter().any(|entry| entry.found.as_ref().is_err_and(is_of_nobody));
    let attempt = if names_nobody { attempt } else { app.idempotency.keep(attempt.about(people)).await? };
    let stream = StreamRef::pos_device(batch.device_id);
    let now = app.clock.now();
    let envelope = Envelope {
        merchant,
        stream,
        command: SyncPosBatch { entries: entries.clone() }.into(),
        key: attempt.command,
        content: app
            .keys
            .digest(merchant, "pos-sync", &content(&entries))
            .map_err(|error| key_fault(&error))?,
        occurred_at: now,
        origin: origin(context, Actor::Merchant),
        lane: Lane::Interactive,
    };
    let answered = app.commander.send(envelope).await?;
    if let Outcome::Rejected(rejection) = &answered.outcome {
        return Err(rejected(rejection));
    }
    if let Some(made) = answered.made {
        let RequestContext { correlation, trace } = context;
        let cause = Cause { merchant, stream, occurred_at: now, recorded_at: now, correlation, trace };
        app.policies.follow(cause, made, answered.at).await;
    }
    let view = move |aggregate: &Aggregate| match aggregate {
        Aggregate::PosDevice(till) => {
            let stands = |entry: &PosEntry| outcome(entry.sequence, till.standing(entry));
            (till.highest(), till.missing(), entries.iter().map(stands).collect())
        }
        _ => (0, Vec::new(), Vec::new()),
    };
    let (at, (highest, missing, entries)) = app.commander.read_at(merchant, stream, view).await?;
    let missing = missing.into_iter().map(Gap::from).collect();
    Ok(Json(Synced { device_id: batch.device_id, highest, missing, entries, position: at.to_string() }))
}

/// What a batch says, as far as it can be told without a trace of anybody: each entry's content is digested under its
/// customer's key, which an erasure destroys.
fn content(entries: &[PosEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 24);
    for entry in entries {
        bytes.extend(entry.sequence.to_be_bytes());
        match &entry.found {
            Ok(found) => bytes.extend(found.content.0),
            Err(code) => bytes.extend(code.as_str().as_bytes()),
        }
    }
    bytes
}

fn outcome(sequence: u64, standing: Standing) -> Outcomes {
    let (status, code) = match standing {
        Standing::Accepted => ("accepted", None),
        Standing::Rejected(code) => ("rejected", Some(code.to_string())),
        Standing::Conflict => ("conflict", None),
        // The command took in all that were new.
        Standing::New => ("rejected", Some("not-taken-in".to_owned())),
    };
    Outcomes { sequence, status, code }
}

/// What is wrong with the batch itself. What is wrong with one entry only rejects that entry.
fn check(batch: &Batch) -> Result<(), Problem> {
    if batch.entries.is_empty() || batch.entries.len() > ENTRIES_MAX {
        return Err(Problem::invalid_field("/entries", "expected 1 to 500 entries"));
    }
    for (number, entry) in batch.entries.iter().enumerate() {
        let wrong = |field: &str, expected: &'static str| {
            Err(Problem::invalid_field(format!("/entries/{number}/{field}"), expected))
        };
        if !SEQUENCES.contains(&entry.sequence) {
            return wrong("sequence", "expected 1 to 9223372036854775807");
        }
        if entry.customer_id.is_some() == entry.shopify_customer_id.is_some() {
            return wrong("customer_id", "expected either customer_id or shopify_customer_id");
        }
        if entry.points.is_some() == entry.amount.is_some() {
            return wrong("points", "expected either points or an amount");
        }
    }
    Ok(())
}

struct Till<'a> {
    app: &'a App,
    merchant: MerchantId,
    shop: &'a Shop,
}

impl Till<'_> {
    /// What an entry comes to, or why it cannot be used.
    async fn find(&self, entry: &Entry) -> Result<Result<Found, Code>, Problem> {
        let customer = match self.customer(entry).await {
            Ok(Some(customer)) => customer,
            Ok(None) => return Ok(Err(Code::fixed(UNKNOWN))),
            Err(problem) => return erased(problem).map(Err),
        };
        if entry.occurred_at > self.app.clock.now() {
            return Ok(Err(Code::fixed("time-ahead")));
        }
        let (kind, worth) = match entry.r#type {
            Type::Earn => (PosEntryKind::Earn, self.earned(entry)),
            Type::Redeem => (PosEntryKind::Redeem, self.spent(entry)),
        };
        let Worth { points, discount, rule } = match worth {
            Ok(worth) => worth,
            Err(code) => return Ok(Err(Code::fixed(code))),
        };
        // Not what the points come to: a till that repeats an entry says the same, whatever the settings are by then.
        let given = match (&entry.points, &entry.amount) {
            (Some(points), _) => points.to_string(),
            (None, Some(amount)) => amount.to_string(),
            (None, None) => String::new(),
        };
        let occurred_at = entry.occurred_at.micros().to_be_bytes();
        let fields = canonical(&[kind.as_str().as_bytes(), given.as_bytes(), &occurred_at]);
        match self.app.subject_digest(self.merchant, customer, "pos-entry", &fields) {
            Ok(content) => {
                let occurred_at = entry.occurred_at;
                Ok(Ok(Found { customer, kind, points, discount, occurred_at, content, rule }))
            }
            Err(problem) => erased(problem).map(Err),
        }
    }

    async fn customer(&self, entry: &Entry) -> Result<Option<CustomerId>, Problem> {
        let customer = match (&entry.customer_id, &entry.shopify_customer_id) {
            (Some(customer), _) => Some(*customer),
            (None, Some(id)) => {
                let Some(id) = shopify_id(id) else { return Ok(None) };
                let found = self.app.keys.find(self.merchant, Kind::ShopifyCustomer, &id).await;
                found.map_err(|error| key_fault(&error))?.map(|entry| CustomerId(entry.id))
            }
            (None, None) => None,
        };
        let Some(customer) = customer else { return Ok(None) };
        match self.app.known_customer(self.merchant, customer).await {
            Ok(()) => Ok(Some(customer)),
            Err(problem) if problem.code() == UNKNOWN => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    fn earned(&self, entry: &Entry) -> Result<Worth, &'static str> {
        let (points, rule) = match &entry.amount {
            Some(amount) => {
                let earned = by_amount(self.money(amount)?, self.shop);
                earned.map(|(points, rule)| (points, Some(rule))).map_err(|_| "amount-earns-nothing")?
            }
            None => (positive(entry.points)?, None),
        };
        Ok(Worth { points, discount: None, rule })
    }

    fn spent(&self, entry: &Entry) -> Result<Worth, &'static str> {
        let redeem = &self.shop.settings.redeem;
        let too_large = |_| "amount-overflow";
        let (points, discount) = match &entry.amount {
            Some(amount) => {
                let discount = self.money(amount)?;
                (positive(Some(price(discount, redeem).map_err(too_large)?))?, discount)
            }
            None => {
                let points = positive(entry.points)?;
                (points, worth(points, redeem, self.shop.currency).map_err(too_large)?)
            }
        };
        Ok(Worth { points, discount: Some(discount), rule: None })
    }

    fn money(&self, amount: &Amount) -> Result<Money, &'static str> {
        amount.in_currency_of(self.shop).map_err(|(field, _)| match field {
            "currency" => "currency-mismatch",
            _ => "invalid-amount",
        })
    }
}

/// Whose customer was erased is rejected by itself: the others of the batch are taken in.
fn erased(problem: Problem) -> Result<Code, Problem> {
    let code = Code::fixed(ERASED);
    if problem.code() == code.as_str() { Ok(code) } else { Err(problem) }
}

fn is_of_nobody(code: &Code) -> bool {
    [ERASED, UNKNOWN].contains(&code.as_str())
}

/// What an entry comes to.
struct Worth {
    points: Points,
    /// What the till took off, if points are spent.
    discount: Option<Money>,
    /// The rule by which an amount earns.
    rule: Option<RuleUsed>,
}

fn positive(points: Option<Points>) -> Result<Points, &'static str> {
    points.filter(|points| points.is_positive()).ok_or("points-not-positive")
}
