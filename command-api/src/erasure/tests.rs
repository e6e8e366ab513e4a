//! Erasures over real stores: from the request to the certificate, beside whatever else goes on.
mod calls;
mod ends;
mod gaps;
mod races;
mod shops;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use domain::{
    Aggregate, Rejection, StreamRef,
    customer::{Profile, RegisterCustomer},
    points_account::EarnPoints,
    privacy_request::{OpenRedaction, Redaction},
};
use event_log::{AdmittedRecord, Kind as RecordKind, Log};
use event_schemas::{
    CustomerId, MerchantId, Personal, Points, RequestId, Timestamp,
    customer::RegisteredBy,
    privacy_request::{RedactionScope, RequestSource},
    record::View,
    sample,
};
use privacy::{
    Kind, Reference,
    certificate::{Certificate, Level, Statement},
};
use uuid::Uuid;

use super::{
    Erasure, Periods, Ports,
    bugs::{Bug, Bugs},
    certificates::after,
    steps::{Request, redaction_of},
};
use crate::{
    commands::{Answered, Outcome},
    requests,
    testing::{Bench, earn, within},
};

const PAUSE: Duration = Duration::from_millis(2);

/// A shop, and whoever sees erasures through.
struct World {
    bench: Bench,
    erasure: Erasure,
    merchant: MerchantId,
}

impl World {
    async fn start() -> Self {
        Self::with(Bench::start().await, Ports::default(), &[]).await
    }

    async fn with(bench: Bench, ports: Ports, bugs: &[Bug]) -> Self {
        let merchant = bench.install("demo-1.myshopify.com").await;
        let erasure = erasures(&bench, ports, bugs);
        Self { bench, erasure, merchant }
    }

    /// A registered person with a name, an address, and an award with a reference.
    async fn person(&self) -> CustomerId {
        let Self { bench, merchant, .. } = self;
        let customer = CustomerId(Uuid::now_v7());
        let reference = Reference::new(
            Kind::ShopifyCustomer,
            customer.0.as_u128().to_string(),
            customer.0,
            Some(customer),
        );
        bench.keys.resolve(*merchant, reference).await.unwrap();
        let clear = |text: &str| Some(Personal::Clear(text.to_owned()));
        let profile = Profile {
            shopify_customer_id: clear("7"),
            email: clear("ada@example.com"),
            first_name: clear("Ada"),
            last_name: None,
            phone: None,
            email_verified: false,
            email_digest: None,
            digest: sample::DIGEST,
        };
        let register = RegisterCustomer { registered_by: RegisteredBy::Api, profile };
        bench.accept(*merchant, StreamRef::customer(customer), register).await;
        self.award(customer, 10).await;
        customer
    }

    /// An award whose reference is sealed.
    async fn award(&self, customer: CustomerId, points: i64) -> Answered {
        self.bench.commander.send(self.envelope(customer, award(points))).await.unwrap()
    }

    fn envelope(
        &self,
        customer: CustomerId,
        command: impl Into<domain::Command>,
    ) -> crate::commands::Envelope {
        self.bench.envelope(self.merchant, StreamRef::account(customer), command)
    }

    /// Asks that these customers, who are one person, be forgotten.
    async fn ask(&self, subjects: &[CustomerId]) -> Request {
        let id = RequestId(Uuid::now_v7());
        let route = subjects.first().map_or(id.0, |subject| subject.0);
        self.ask_for(id, route, RedactionScope::Customer, subjects).await
    }

    async fn ask_for_the_shop(&self) -> Request {
        let id = RequestId(Uuid::now_v7());
        self.ask_for(id, self.merchant.0, RedactionScope::Shop, &[]).await
    }

    async fn ask_for(
        &self,
        id: RequestId,
        route: Uuid,
        scope: RedactionScope,
        subjects: &[CustomerId],
    ) -> Request {
        let stream = StreamRef::privacy_request(id, route);
        let open = OpenRedaction {
            scope,
            subjects: subjects.to_vec(),
            source: RequestSource::Merchant,
            requested_at: self.bench.clock.now(),
        };
        self.bench.accept(self.merchant, stream, open).await;
        Request { merchant: self.merchant, id, stream }
    }

    async fn redaction(&self, request: &Request) -> Option<Redaction> {
        let read = self.bench.commander.read(request.merchant, request.stream, redaction_of);
        read.await.unwrap()
    }

    /// Waits until the request stands as wanted.
    async fn until(&self, request: &Request, stands: impl Fn(&Redaction) -> bool) -> Redaction {
        let comes_to_stand = async {
            loop {
                if let Some(redaction) = self.redaction(request).await.filter(&stands) {
                    return redaction;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        within("the request stands as wanted", comes_to_stand).await
    }

    async fn certified(&self, request: &Request) -> Redaction {
        self.until(request, |redaction| redaction.live.is_some()).await
    }

    /// What the request's newest certificate states; it verifies.
    async fn statement(&self, request: &Request) -> Statement {
        let texts =
            self.records().await.into_iter().filter(|record| record.frame.stream == request.id.bytes());
        let certificate = texts.filter_map(|record| certificate_in(&record)).last().unwrap();
        Certificate::parse(&certificate).unwrap().verify(Some(self.bench.keys.public_key())).unwrap()
    }

    /// Every record of the log.
    async fn records(&self) -> Vec<AdmittedRecord> {
        records(&self.bench.log).await
    }

    /// Positions of the records that hold something sealed of these people, by partition.
    async fn sealed(&self, subjects: &[CustomerId]) -> Vec<(u16, u64)> {
        let is_theirs = |record: &AdmittedRecord| {
            subjects.iter().any(|subject| record.frame.route == subject.bytes())
                && record.frame.kind == RecordKind::Commit
                && record.body.windows(8).any(|window| window == b"\"sealed\"")
        };
        let records = self.records().await.into_iter().filter(is_theirs);
        records.map(|record| (record.partition, record.position.get())).collect()
    }

    /// Whether all that is sealed of these people in the log was searched for the request.
    async fn was_all_searched(&self, subjects: &[CustomerId], redaction: &Redaction) -> bool {
        let verified = redaction.verified.as_ref().unwrap();
        self.sealed(subjects).await.into_iter().all(|(partition, position)| {
            let of = |scanned: &&event_schemas::privacy_request::Scanned| {
                scanned.partition == u32::from(partition)
            };
            verified.scanned.iter().find(of).is_some_and(|scanned| scanned.to >= position)
        })
    }
}

fn erasures(bench: &Bench, ports: Ports, bugs: &[Bug]) -> Erasure {
    let bugs = Bugs(Arc::new(bugs.to_vec()));
    Erasure::start_with(&bench.parts(), ports, Periods::default(), bugs)
}

fn award(points: i64) -> EarnPoints {
    EarnPoints { reference: Some(Personal::Clear("order 1001".to_owned())), ..earn(points) }
}

async fn records(log: &Log) -> Vec<AdmittedRecord> {
    let mut all = Vec::new();
    for partition in 0..log.partitions() {
        let mut reader = log.reader(partition, None).unwrap();
        loop {
            let batch = reader.next(1_000).await.unwrap().records;
            if batch.is_empty() {
                break;
            }
            all.extend(batch);
        }
    }
    all
}

/// The certificate that a record brought.
fn certificate_in(record: &AdmittedRecord) -> Option<String> {
    if record.frame.kind != RecordKind::Commit {
        return None;
    }
    let event_schemas::record::RawAnswer::Events(events) = View::open(&record.body).ok()?.answer else {
        return None;
    };
    let fields: serde_json::Value = serde_json::from_str(events.first()?.json).ok()?;
    Some(fields.get("certificate")?.as_str()?.to_owned())
}

fn rejected(answered: &Answered) -> Option<&Rejection> {
    match &answered.outcome {
        Outcome::Rejected(rejection) => Some(rejection),
        Outcome::Accepted | Outcome::Unchanged => None,
    }
}

fn is_redacted(aggregate: &Aggregate) -> bool {
    matches!(aggregate, Aggregate::PointsAccount(account) if account.redacted())
}

fn later(clock: &crate::Clock, days: i64) -> Timestamp {
    after(clock.now(), TimeDelta::days(days))
}

/// Row 20 of the log's contract, and the whole way of a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_erased_step_by_step_and_a_certificate_says_so() {
    let world = World::start().await;
    let (ada, other) = (world.person().await, world.person().await);
    let request = world.ask(&[ada]).await;
    let redaction = world.certified(&request).await;

    let destroyed = redaction.destroyed.as_ref().unwrap();
    assert_eq!((destroyed.keys, destroyed.directory_rows, destroyed.tombstones), (1, 1, 1));
    assert!(world.was_all_searched(&[ada], &redaction).await);
    let fields: u64 = redaction.verified.as_ref().unwrap().scanned.iter().map(|one| one.fields).sum();
    assert_eq!(fields, 4, "three of the profile and one of the award");
    let statement = world.statement(&request).await;
    assert_eq!((statement.level, &statement.subjects), (Level::Live, &vec![ada]));
    assert!(statement.times.requested <= statement.times.fenced);
    assert!(statement.times.verified <= statement.times.issued);

    let Bench { commander, keys, .. } = &world.bench;
    assert_eq!(rejected(&world.award(ada, 5).await), Some(&Rejection::AccountRedacted));
    assert!(commander.read(world.merchant, StreamRef::account(ada), is_redacted).await.unwrap());
    assert_eq!(world.bench.balances(world.merchant, ada).await.available, Points(10));
    assert!(keys.sealer(world.merchant, ada).is_err() && keys.sealer(world.merchant, other).is_ok());
    assert_eq!(rejected(&world.award(other, 5).await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nothing_is_held_of_somebody_is_certified() {
    let world = World::start().await;
    let request = world.ask(&[]).await;
    let redaction = world.certified(&request).await;
    assert!(redaction.verified.unwrap().scanned.is_empty());
    assert_eq!(world.statement(&request).await.destroyed.keys, 0);
}

/// Catches: a command that is decided between the fence and the word of it in the stream, and answered with a fault.
#[tokio::test(flavor = "multi_thread")]
async fn behind_the_fence_a_command_that_would_seal_is_refused_as_a_value() {
    let bench = Bench::start().await;
    let merchant = bench.install("demo-1.myshopify.com").await;
    let erasure = erasures(&bench, Ports::default(), &[]);
    let world = World { bench, erasure, merchant };
    let ada = world.person().await;
    let whom = privacy::Whom::Person(vec![ada]);
    world.bench.keys.fence(merchant, &whom, Uuid::now_v7()).await.unwrap();
    let envelope = world.envelope(ada, award(5));
    for replayed in [false, true] {
        let answered = world.bench.commander.send(envelope.clone()).await.unwrap();
        assert_eq!((rejected(&answered), answered.replayed), (Some(&Rejection::AccountRedacted), replayed));
    }
    assert_eq!(world.bench.balances(merchant, ada).await.available, Points(10));
    assert_eq!(world.erasure.open(), 0);
}
