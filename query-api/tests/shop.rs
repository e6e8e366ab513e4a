//! A shop whose history a test writes and whose answers it reads.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use event_log::{Log, PositionToken};
use event_schemas::{
    CustomerId, EntryId, Event, FieldAddress, MerchantId, Personal, Points, RecordId, Timestamp,
    catalogue::{CustomerEvent, MerchantEvent, PointsAccountEvent},
    customer::CustomerRegistered,
    merchant::MerchantInstalled,
    payload::Payload as _,
    points_account::{Balances, PointsAccountOpened, PointsEarned, Source},
};
use http_edge::Auth;
use privacy::{KeyStore, Kind, MerchantScope, Reference, RootKey};
use projections::{
    Progress, Projections, ReadStore,
    testing::{History, Stream, watch_only},
};
use query_api::{Live, Probe, Reads, routers};
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) struct Shop {
    pub(crate) history: History,
    pub(crate) keys: KeyStore,
    pub(crate) merchant: MerchantId,
    pub(crate) progress: Progress,
    pub(crate) store: ReadStore,
    pub(crate) log: Log,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) live: Live,
    pub(crate) token: String,
    pub(crate) router: Router,
    /// Folds what this process shows.
    pub(crate) projector: Option<Projections>,
    _shown: Option<Projections>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

struct Tokens(KeyStore);

impl Auth for Tokens {
    fn merchant(&self, token: &str) -> Option<MerchantScope> {
        self.0.verify_token(token)
    }

    fn operator(&self, _: &str) -> bool {
        false
    }
}

/// The time that the process's clock shows in these tests.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000)
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with_probes(Vec::new()).await
    }

    pub(crate) async fn with_probes(probes: Vec<Arc<dyn Probe>>) -> Self {
        Self::build(probes, Live::default()).await
    }

    pub(crate) async fn build(probes: Vec<Arc<dyn Probe>>, live: Live) -> Self {
        Self::build_as(probes, live, None).await
    }

    /// Shown by a node that folds nothing and takes old rows for current for this long.
    pub(crate) async fn folded_elsewhere(patience: Duration) -> Self {
        Self::build_as(Vec::new(), Live::default(), Some(patience)).await
    }

    async fn build_as(probes: Vec<Arc<dyn Probe>>, live: Live, patience: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = event_log::sqlite::init(&folder.path().join("log.db"), 4).unwrap();
        let root = RootKey::from_bytes([7; 32]);
        let path = folder.path().join("keys.db");
        let keys = KeyStore::create_or_open(&path, &root, *log.id().as_bytes()).await.unwrap();
        let merchant = MerchantId(Uuid::now_v7());
        keys.ensure_merchant(merchant).await.unwrap();
        let store = ReadStore::open(&folder.path().join("read.db")).await.unwrap();
        let running = Projections::start(log.clone(), store.clone()).await.unwrap();
        let mut history = History::start(log.clone()).await;
        let installed = MerchantEvent::from(MerchantInstalled::sample());
        history.append(merchant, Stream::merchant(merchant), vec![installed.into()]).await;
        let shown = match patience {
            Some(patience) => Some(watch_only(log.clone(), store.clone(), patience).await.unwrap()),
            None => None,
        };
        let progress = shown.as_ref().unwrap_or(&running).progress();
        let reads = Reads {
            live: live.clone(),
            log: log.clone(),
            store: store.clone(),
            progress: progress.clone(),
            keys: keys.clone(),
            auth: Arc::new(Tokens(keys.clone())),
            now: Arc::new(now),
            asked: true,
            probes,
            metrics: Arc::new(|| "up 1\n".to_owned()),
        };
        let (queries, health) = routers(reads);
        let router = http_edge::finish(queries.merge(health).split_for_parts().0);
        let token = keys.issue_token(merchant, 1);
        let projector = Some(running);
        Self {
            history,
            keys,
            merchant,
            progress,
            store,
            log,
            folder,
            live,
            token,
            router,
            projector,
            _shown: shown,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.token, path).await
    }

    /// Asks until the answer has this status.
    pub(crate) async fn until(&self, path: &str, status: u16) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.get(path).await;
            if answer.status == status {
                return answer;
            }
            let body = &answer.body;
            assert!(started.elapsed() < Duration::from_secs(10), "no {status} of {path}: {body}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(token, path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(&self.token, path, headers).await
    }

    async fn send(&self, token: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().uri(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Appends one record, sealed as an owner would seal it.
    pub(crate) async fn append(&mut self, stream: Stream, events: Vec<Event>) -> PositionToken {
        self.append_at(stream, None, events).await
    }

    pub(crate) async fn append_at(
        &mut self,
        stream: Stream,
        occurred_at: Option<Timestamp>,
        mut events: Vec<Event>,
    ) -> PositionToken {
        let record = RecordId(Uuid::now_v7());
        let first_version = self.history.next_version(self.merchant, stream);
        let subject = CustomerId(stream.route);
        for (index, event) in (0..).zip(&mut events) {
            let address = FieldAddress {
                merchant: self.merchant,
                subject,
                stream_type: stream.stream_type.number(),
                stream: stream.id,
                version: first_version + u64::from(index),
                record,
                index,
                event_type: event.number(),
                field: "".into(),
            };
            if !subject.0.is_nil() {
                self.keys.ensure_subject(self.merchant, subject).await.unwrap();
                let sealer = self.keys.sealer(self.merchant, subject).unwrap();
                event.seal(&mut sealer.event(address)).unwrap();
            }
        }
        self.history.append_as(self.merchant, stream, record, occurred_at, events).await
    }

    /// A customer with these two outside names, and nobody's other details.
    pub(crate) async fn registers(&mut self, shopify_id: &str, email: &str) -> CustomerId {
        let proposed = Uuid::now_v7();
        let reference =
            Reference::new(Kind::ShopifyCustomer, shopify_id, proposed, Some(CustomerId(proposed)));
        let customer = CustomerId(self.keys.resolve(self.merchant, reference).await.unwrap().id);
        let reference = Reference::new(Kind::Email, email, customer.0, Some(customer));
        self.keys.resolve(self.merchant, reference).await.unwrap();
        let registered = CustomerRegistered {
            shopify_customer_id: clear(shopify_id),
            email: clear(email),
            first_name: clear("Ada"),
            last_name: clear("Lovelace"),
            phone: None,
            ..CustomerRegistered::sample()
        };
        let events = vec![CustomerEvent::from(registered).into()];
        self.append(Stream::customer(customer), events).await;
        customer
    }

    pub(crate) async fn opens_account(&mut self, customer: CustomerId) {
        let opened = PointsAccountEvent::from(PointsAccountOpened {});
        self.append(Stream::account(customer), vec![opened.into()]).await;
    }

    /// Points from the merchant's own program, after which the customer has `available`.
    pub(crate) async fn earns(&mut self, customer: CustomerId, points: i64, available: i64) -> PositionToken {
        let event = earned(points, available);
        self.append(Stream::account(customer), vec![PointsAccountEvent::from(event).into()]).await
    }
}

pub(crate) fn earned(points: i64, available: i64) -> PointsEarned {
    PointsEarned {
        entry: EntryId(Uuid::now_v7()),
        source: Source::Api { id: event_schemas::sample::DIGEST },
        points: Points(points),
        repaid: Points::ZERO,
        rule: None,
        reference: clear("visit-17"),
        after: Balances {
            available: Points(available),
            lifetime_earned: Points(available),
            ..Balances::default()
        },
        ..PointsEarned::sample()
    }
}

pub(crate) fn clear(text: &str) -> Option<Personal<String>> {
    Some(Personal::Clear(text.to_owned()))
}
