//! `Idempotency-Key`: which ids a request was given, kept before its command is sent, so that a retry asks for the same.
//!
//! The outcome itself is not here: the command's key follows from the header, and the stream keeps its first outcome.
use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use event_schemas::{CommandKey, CustomerId, MerchantId};
use group_commit::{Session, Store, StoreError, values};
use http_edge::Problem;
use privacy::KeyStore;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    app::App,
    chance,
    problem::{is_of_erased, key_fault, work_fault},
};

const HEADER: &str = "idempotency-key";
const LEN_MAX: usize = 255;

/// The header, if the caller sent it.
#[derive(Debug)]
pub struct IdempotencyKey {
    key: Option<String>,
    call: Call,
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let call = parts.extensions.get::<Call>().cloned().unwrap_or_default();
        let mut all = parts.headers.get_all(HEADER).iter();
        let first = all.next();
        if all.next().is_some() {
            return Err(malformed("expected the header once"));
        }
        let Some(value) = first else { return Ok(Self { key: None, call }) };
        let text = value.to_str().ok().filter(|text| (1..=LEN_MAX).contains(&text.len()));
        let text = text.ok_or_else(|| malformed("expected 1 to 255 visible ASCII characters"))?;
        Ok(Self { key: Some(text.to_owned()), call })
    }
}

/// A call while it runs.
#[derive(Clone, Debug, Default)]
struct Call(Arc<Mutex<Option<CallKept>>>);

/// What is kept of a call, and under which names.
#[derive(Debug)]
struct CallKept {
    kept_as: KeptAs,
    about: Vec<CustomerId>,
}

impl Call {
    fn keeps(&self, kept_as: KeptAs, about: &[CustomerId]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| CallKept { kept_as, about: Vec::new() }).about.extend(about);
    }

    fn kept(&self) -> Option<CallKept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs a call, and forgets what it kept if it is refused because somebody whom it is about, or the whole shop, is
/// erased: what else was kept of them has gone, so nothing would ever find this.
pub(crate) async fn forgetting_refused(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let call = Call::default();
    request.extensions_mut().insert(call.clone());
    let response = next.run(request).await;
    let is_refused = response.extensions().get::<Problem>().is_some_and(is_of_erased);
    match call.kept().filter(|_| is_refused) {
        // Who asks again has it forgotten then.
        Some(kept) => match app.idempotency.forget_call(kept).await {
            Ok(()) => response,
            Err(problem) => problem.into_response(),
        },
        None => response,
    }
}

fn malformed(expected: &str) -> Problem {
    Problem::bad_request("invalid-header", "A header is not as expected").field("Idempotency-Key", expected)
}

pub(crate) fn reused() -> Problem {
    Problem::unprocessable("idempotency-key-reused", "The idempotency key was used for another request")
        .field("Idempotency-Key", "expected a new key for a new request")
}

/// One request's try.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The key of the request's command.
    pub command: CommandKey,
    /// The id that the request makes; a retry gets the same.
    pub minted: Uuid,
    /// Whether the same request was kept before.
    pub known: bool,
    /// The first answer, if it said more than the command's own record does.
    pub answer: Option<Value>,
    kept_as: Option<KeptAs>,
    /// Whom the request is about.
    about: Vec<CustomerId>,
    call: Call,
}

impl Attempt {
    /// The same, about these customers: when they are erased, what is kept of the request goes.
    #[must_use]
    pub fn about(self, customers: impl IntoIterator<Item = CustomerId>) -> Self {
        Self { about: customers.into_iter().collect(), ..self }
    }

    /// For whoever keeps the request with what it asks for, as [`keep_with`] and [`name`] want it.
    pub(crate) const fn kept_as(&self) -> Option<KeptAs> {
        self.kept_as
    }
}

/// Where a request's ids are kept.
#[derive(Clone, Copy, Debug)]
pub struct KeptAs {
    merchant: MerchantId,
    key: [u8; 32],
    fingerprint: [u8; 32],
}

struct Row {
    fingerprint: [u8; 32],
    minted: [u8; 16],
    answer: Option<String>,
}

/// The table of keys.
#[derive(Clone)]
pub struct Idempotency {
    work: Store,
    keys: KeyStore,
}

impl Idempotency {
    pub(crate) const fn new(work: Store, keys: KeyStore) -> Self {
        Self { work, keys }
    }

    /// Looks the key up; nothing is kept yet. `route` is the path as called.
    ///
    /// # Errors
    /// 422 if the key was used for another route or body.
    pub async fn begin(
        &self,
        merchant: MerchantId,
        IdempotencyKey { key, call }: IdempotencyKey,
        route: &str,
        body: &[u8],
    ) -> Result<Attempt, Problem> {
        let fresh = Attempt {
            command: CommandKey(chance::id()),
            minted: chance::id(),
            known: false,
            answer: None,
            kept_as: None,
            about: Vec::new(),
            call,
        };
        let Some(key) = key else { return Ok(fresh) };
        let key = self.keys.hash(merchant, "idempotency-key", key.as_bytes()).map_err(|e| key_fault(&e))?;
        let content = [route.as_bytes(), b"\0", &canonical(body)].concat();
        let fingerprint =
            self.keys.hash(merchant, "idempotency-content", &content).map_err(|e| key_fault(&e))?;
        let kept_as = KeptAs { merchant, key, fingerprint };
        let command = CommandKey::from_bytes(first_half(key));
        let row = self.work.read(move |work| find(work, kept_as)).await.map_err(|e| work_fault(&e))?;
        let attempt = Attempt { command, kept_as: Some(kept_as), ..fresh };
        match row {
            Some(row) => {
                attempt.call.keeps(kept_as, &[]);
                adopt(&attempt, kept_as, &row)
            }
            None => Ok(attempt),
        }
    }

    /// Keeps the request's ids; durable when it returns. Of two at once both get the same ids, so the second one's
    /// command waits for the first one's outcome.
    ///
    /// # Errors
    /// 422 if another request was faster with the same key.
    pub async fn keep(&self, attempt: Attempt) -> Result<Attempt, Problem> {
        let (Some(kept_as), false) = (attempt.kept_as, attempt.known) else { return Ok(attempt) };
        attempt.call.keeps(kept_as, &attempt.about);
        let (minted, about) = (attempt.minted.into_bytes(), attempt.about.clone());
        let inserted = self.work.run(move |work| insert(work, kept_as, minted, &about)).await;
        let row = inserted.map_err(|e| work_fault(&e))?;
        adopt(&attempt, kept_as, &row)
            .map(|adopted| Attempt { known: adopted.minted != attempt.minted, ..adopted })
    }

    /// Notes whom a request that is kept turned out to be about.
    ///
    /// # Errors
    /// The store failed.
    pub async fn turned_out(&self, attempt: &Attempt, customer: CustomerId) -> Result<(), Problem> {
        let Some(kept_as) = attempt.kept_as.filter(|_| customer.0 != attempt.minted) else { return Ok(()) };
        attempt.call.keeps(kept_as, &[customer]);
        let noted = self.work.run(move |work| name(work, kept_as, [customer.0])).await;
        noted.map_err(|error| work_fault(&error))
    }

    /// Keeps an answer that says more than the command's own record, and gives back the one that was kept first.
    /// It must not hold personal values.
    ///
    /// # Errors
    /// The store failed.
    pub async fn conclude(&self, attempt: &Attempt, answer: Value) -> Result<Value, Problem> {
        let Some(kept_as) = attempt.kept_as else { return Ok(answer) };
        let concluded = self.work.run(move |work| {
            let sql = "UPDATE idempotency SET answer = coalesce(answer, ?3)
                WHERE merchant = ?1 AND key_hash = ?2 RETURNING answer";
            let merchant = kept_as.merchant.bytes();
            work.one(sql, values![&merchant, &kept_as.key, &answer.to_string()], |row| row.at::<String>(0))
        });
        let first = concluded.await.map_err(|error| work_fault(&error))?;
        serde_json::from_str(&first).map_err(|error| Problem::internal(&error))
    }

    async fn forget_call(&self, CallKept { kept_as, about }: CallKept) -> Result<(), Problem> {
        let forgotten = self.work.run(move |work| {
            let (merchant, key) = (kept_as.merchant.bytes(), kept_as.key);
            let row = "DELETE FROM idempotency WHERE merchant = ?1 AND key_hash = ?2";
            let name =
                "DELETE FROM idempotency_subject WHERE merchant = ?1 AND subject = ?2 AND key_hash = ?3";
            work.execute(row, values![&merchant, &key])?;
            about.iter().try_for_each(|customer| {
                work.execute(name, values![&merchant, &customer.bytes(), &key]).map(drop)
            })
        });
        forgotten.await.map_err(|error| work_fault(&error))
    }
}

fn adopt(attempt: &Attempt, kept_as: KeptAs, row: &Row) -> Result<Attempt, Problem> {
    if row.fingerprint != kept_as.fingerprint {
        return Err(reused());
    }
    let minted = Uuid::from_bytes(row.minted);
    let answer = row.answer.as_deref().map(serde_json::from_str).transpose();
    let answer = answer.map_err(|error| Problem::internal(&error))?;
    Ok(Attempt { minted, known: true, answer, ..attempt.clone() })
}

fn find(work: &dyn Session, kept_as: KeptAs) -> Result<Option<Row>, StoreError> {
    let sql = "SELECT fingerprint, minted, answer FROM idempotency WHERE merchant = ?1 AND key_hash = ?2";
    work.first(sql, values![&kept_as.merchant.bytes(), &kept_as.key], |row| {
        Ok(Row { fingerprint: row.at(0)?, minted: row.at(1)?, answer: row.at(2)? })
    })
}

fn insert(
    work: &dyn Session,
    kept_as: KeptAs,
    minted: [u8; 16],
    about: &[CustomerId],
) -> Result<Row, StoreError> {
    let sql = "INSERT INTO idempotency(merchant, key_hash, fingerprint, minted) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO NOTHING";
    let KeptAs { merchant, key, fingerprint } = &kept_as;
    work.execute(sql, values![&merchant.bytes(), key, fingerprint, &minted])?;
    name(work, kept_as, about.iter().map(|customer| customer.0))?;
    find(work, kept_as)?.ok_or(StoreError::Missing)
}

/// Keeps a call with what it asks for, in the caller's transaction. Gives the id that it was given first; nothing if its
/// key was used for another request.
pub(crate) fn keep_with(
    work: &dyn Session,
    kept_as: KeptAs,
    minted: Uuid,
) -> Result<Option<Uuid>, StoreError> {
    let row = insert(work, kept_as, minted.into_bytes(), &[])?;
    Ok((row.fingerprint == kept_as.fingerprint).then(|| Uuid::from_bytes(row.minted)))
}

/// Names a kept request by whom it is about, customers or a request about people's data, so that it goes with them.
pub(crate) fn name(
    work: &dyn Session,
    kept_as: KeptAs,
    whom: impl IntoIterator<Item = Uuid>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO idempotency_subject(merchant, subject, key_hash) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let KeptAs { merchant, key, .. } = &kept_as;
    for whom in whom {
        work.execute(sql, values![&merchant.bytes(), whom.as_bytes(), key])?;
    }
    Ok(())
}

/// Removes what is kept of requests that were named so; how many keys that were.
pub(crate) fn forget(work: &dyn Session, merchant: MerchantId, whom: Uuid) -> Result<u64, StoreError> {
    const ROWS: &str = "DELETE FROM idempotency WHERE merchant = ?1 AND key_hash IN \
        (SELECT key_hash FROM idempotency_subject WHERE merchant = ?1 AND subject = ?2)";
    const NAMES: &str = "DELETE FROM idempotency_subject WHERE merchant = ?1 AND subject = ?2";
    let merchant = merchant.bytes();
    let values = values![&merchant, whom.as_bytes()];
    let removed = work.execute(ROWS, values)?;
    work.execute(NAMES, values)?;
    Ok(removed)
}

/// The same for all requests of a shop.
pub(crate) fn forget_shop(work: &dyn Session, merchant: MerchantId) -> Result<u64, StoreError> {
    work.execute("DELETE FROM idempotency_subject WHERE merchant = ?1", values![&merchant.bytes()])?;
    work.execute("DELETE FROM idempotency WHERE merchant = ?1", values![&merchant.bytes()])
}

/// The body without the freedom that JSON leaves: key order and white space say nothing.
fn canonical(body: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<Value>(body)
        .map_or_else(|_| body.to_vec(), |value| value.to_string().into_bytes())
}

fn first_half(hash: [u8; 32]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}
