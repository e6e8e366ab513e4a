//! What an auditor sees of erased people: their history stays sound, and every certificate is held against the log.
use domain::{
    Aggregate, StreamRef,
    customer::RedactCustomer,
    points_account::{RedactAccount, ReleasePendingPoints},
    privacy_request::{
        Certify, Finalize, OpenRedaction, RecordDestruction, RecordFence, RecordPurge, RecordVerification,
        Redaction,
    },
};
use event_log::NewKind;
use event_schemas::{
    CertificateId, CertificateText, CustomerId, Event, MerchantId, Points, RequestId, Timestamp,
    catalogue::PointsAccountEvent,
    payload::Payload as _,
    points_account::{PointsEarned, Release},
    privacy_request::{RedactionScope, RedactionVerified, RequestSource, SubjectKeyDestroyed},
    record::{Answer, Body},
    sample::{self, CERTIFICATE, OTHER_CERTIFICATE},
};
use privacy::certificate::{Certificate, Counts, FORMAT, Level, Scan, Scope, Statement, Times};
use rand::{SeedableRng as _, rngs::StdRng};
use replay::verify::{Check, Verdict};
use uuid::Uuid;

use crate::{
    book::{Book, expiry, settle},
    verify::verified,
};

/// A customer of a busy shop, and the request to forget them up to where it is certified.
struct Case {
    book: Book,
    merchant: MerchantId,
    customer: CustomerId,
    request: RequestId,
}

fn at(step: i64) -> Timestamp {
    Timestamp::from_micros(sample::time().micros() + step)
}

impl Case {
    async fn new(seed: u64) -> Self {
        let mut book = Book::open(StdRng::seed_from_u64(seed)).await;
        book.lives(60).await;
        let (merchant, customer) = loop {
            let (merchant, customer) = book.somebody();
            match book.aggregate(merchant, StreamRef::account(customer)) {
                Aggregate::PointsAccount(account) if account.merged_into().is_none() => {
                    break (merchant, customer);
                }
                _ => {}
            }
        };
        let request = RequestId(Uuid::from_u128(0xe0));
        let mut case = Self { book, merchant, customer, request };
        case.steps().await;
        case
    }

    fn stream(&self) -> StreamRef {
        StreamRef::privacy_request(self.request, self.customer.0)
    }

    async fn steps(&mut self) {
        let (merchant, customer, request, stream) =
            (self.merchant, self.customer, self.request, self.stream());
        let (scope, source) = (RedactionScope::Customer, RequestSource::Merchant);
        let open = OpenRedaction { scope, subjects: vec![customer], source, requested_at: at(0) };
        let destroyed = SubjectKeyDestroyed { at: at(2), ..SubjectKeyDestroyed::sample() };
        let scanned = RedactionVerified::sample().scanned;
        let book = &mut self.book;
        // Points of a purchase and of a bonus that wait for the fulfilment.
        let waits = settle(customer, Uuid::from_u128(1), at(0), 4, 40);
        assert_eq!(waits.release, Some(Release::AwaitingFulfilment));
        book.tell(merchant, StreamRef::account(customer), waits).await;
        book.tell(merchant, stream, open).await;
        book.tell(merchant, stream, RecordFence { fence: 7, at: at(1) }).await;
        book.tell(merchant, stream, RecordDestruction { destroyed }).await;
        book.tell(merchant, StreamRef::customer(customer), RedactCustomer { request }).await;
        book.tell(merchant, StreamRef::account(customer), RedactAccount { request }).await;
        book.tell(merchant, stream, RecordPurge { purged: [].into(), at: at(3) }).await;
        book.tell(merchant, stream, RecordVerification { scanned, at: at(4) }).await;
    }

    fn redaction(&self) -> Redaction {
        match self.book.aggregate(self.merchant, self.stream()) {
            Aggregate::PrivacyRequest(state) => state.redaction().unwrap().clone(),
            other => panic!("{other:?}"),
        }
    }

    fn statement(&self, level: Level, id: CertificateId) -> Statement {
        let redaction = self.redaction();
        let destroyed = redaction.destroyed.unwrap();
        let scan = RedactionVerified::sample().scanned.remove(0);
        Statement {
            format: FORMAT.to_owned(),
            level,
            certificate: id.to_string(),
            live: (level == Level::Final).then(|| CERTIFICATE.to_string()),
            log: Uuid::from_bytes(*self.book.log.id().as_bytes()),
            merchant: self.merchant,
            request: self.request.0,
            scope: Scope::Customer,
            subjects: vec![self.customer],
            times: Times {
                requested: at(0),
                fenced: at(1),
                destroyed: at(2),
                purged: at(3),
                verified: at(4),
                issued: at(5),
            },
            fence: 7,
            destroyed: Counts {
                keys: destroyed.keys,
                directory_rows: destroyed.directory_rows,
                tombstones: destroyed.tombstones,
            },
            purged: [].into(),
            scanned: vec![Scan {
                partition: scan.partition,
                from: scan.from,
                to: scan.to,
                head: Some(scan.head.to_string()),
                records: scan.records,
                fields: scan.fields,
            }],
            epoch: destroyed.epoch,
            epoch_destroyed: at(99),
        }
    }

    fn signed(&self, statement: &Statement) -> Certificate {
        self.book.keys().issue(statement).unwrap()
    }

    async fn certified(&mut self, certificate: &Certificate) {
        let certificate = CertificateText::try_new(certificate.text().unwrap()).unwrap();
        let certify = Certify { certificate_id: CERTIFICATE, certificate, at: at(5) };
        self.book.tell(self.merchant, self.stream(), certify).await;
    }

    async fn faulty(&self, reason: &str) {
        let fault = verified(&self.book.files()).await.fault.unwrap();
        assert_eq!((fault.check, fault.reason.as_str()), (Check::Erasure, reason));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_erased_people_passes_every_check_and_says_who_signed() {
    let mut case = Case::new(1).await;
    let live = case.signed(&case.statement(Level::Live, CERTIFICATE));
    case.certified(&live).await;
    let last = case.signed(&case.statement(Level::Final, OTHER_CERTIFICATE));
    let certificate = CertificateText::try_new(last.text().unwrap()).unwrap();
    let finalize = Finalize { certificate_id: OTHER_CERTIFICATE, certificate, at: at(5) };
    case.book.tell(case.merchant, case.stream(), finalize).await;
    let release = ReleasePendingPoints { as_of: at(0), expiry: expiry() };
    let ended = case.book.send(case.merchant, StreamRef::account(case.customer), release).await;
    let is_void = |event: &Event| matches!(event, Event::PointsAccount(PointsAccountEvent::PointsVoided(_)));
    assert!(ended.iter().filter(|event| is_void(event)).count() > 1, "{ended:?}");
    case.book.lives(60).await;
    case.book.catch_up().await;
    let report = verified(&case.book.files()).await;
    assert_eq!(report.verdict(), Verdict::Sound, "{report}");
    let note = format!("2 certificates of erasure, signed by {}", live.public_key);
    assert!(report.notes.contains(&note), "{report}");
}

/// Nothing in the chain of the log is wrong: whoever owns the partition wrote it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_genuine_or_states_something_else_is_found() {
    let changes: [fn(&mut Statement); 6] = [
        |one| one.destroyed.keys += 1,
        |one| one.request = Uuid::from_u128(9),
        |one| one.subjects.clear(),
        |one| one.scanned[0].fields += 1,
        |one| one.level = Level::Final,
        |one| one.times.issued = at(6),
    ];
    for (number, change) in (10..).zip(changes) {
        let mut case = Case::new(number).await;
        let mut statement = case.statement(Level::Live, CERTIFICATE);
        change(&mut statement);
        let certificate = case.signed(&statement);
        case.certified(&certificate).await;
        case.faulty("the certificate states otherwise than the log").await;
    }
    let mut case = Case::new(20).await;
    let genuine = case.signed(&case.statement(Level::Live, CERTIFICATE));
    let statement = genuine.statement.replace("\"fence\":7", "\"fence\":8");
    assert_ne!(statement, genuine.statement);
    case.certified(&Certificate { statement, ..genuine }).await;
    case.faulty("the signature does not fit the statement: one of them was changed").await;
}

/// The domain refuses both, so they are written past it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_out_of_order_and_an_award_to_an_erased_person_are_found() {
    let mut case = Case::new(30).await;
    let stream = case.stream();
    let early = event_schemas::privacy_request::RedactionFinalized::sample();
    let early = event_schemas::catalogue::PrivacyRequestEvent::from(early);
    write(&mut case, stream, early.into()).await;
    case.faulty("the step finalize is recorded where another one is ahead").await;

    let mut case = Case::new(31).await;
    let account = StreamRef::account(case.customer);
    let award = PointsEarned { points: Points(10), ..PointsEarned::sample() };
    write(&mut case, account, PointsAccountEvent::from(award).into()).await;
    let fault = verified(&case.book.files()).await.fault.unwrap();
    let reason = "the account's customer was erased, and nothing more is asked of it";
    assert_eq!((fault.check, fault.reason.as_str()), (Check::Ledger, reason));
}

async fn write(case: &mut Case, stream: StreamRef, event: Event) {
    let first_version = case.book.version(case.merchant, stream) + 1;
    let meta = case.book.meta(stream, first_version);
    let body = Body { meta, answer: Answer::Events(vec![event]) };
    case.book.write(case.merchant, stream, NewKind::Commit, body).await;
}
