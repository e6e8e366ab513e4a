//! Answers that no rule can have given, in records whose chain is right: only an owner with a bug writes such.
use domain::{Aggregate, StreamRef};
use event_log::NewKind;
use event_schemas::{
    CustomerId, Event, MerchantId, Points, Timestamp,
    catalogue::{CustomerEvent, PointsAccountEvent},
    customer::CustomerRegistered,
    payload::Payload as _,
    points_account::{Balances, PointsEarned},
    record::{Answer, Body, Meta},
};
use rand::{SeedableRng as _, rngs::StdRng};
use replay::verify::Check;
use uuid::Uuid;

use crate::{
    book::{Book, earn},
    verify::verified,
};

/// A shop with one account that has points, and what a next award of ten would be.
struct Case {
    book: Book,
    merchant: MerchantId,
    account: StreamRef,
    award: Event,
}

impl Case {
    async fn new() -> Self {
        let mut book = Book::open(StdRng::seed_from_u64(8)).await;
        let (merchant, customer): (MerchantId, CustomerId) = book.somebody();
        let account = StreamRef::account(customer);
        book.send(merchant, account, earn(Uuid::from_u128(1), 1, 50)).await;
        let next = earn(Uuid::from_u128(2), 2, 10);
        let award = book.aggregate(merchant, account).decide(&next.into()).unwrap().remove(0);
        Self { book, merchant, account, award }
    }

    fn earned(&mut self) -> &mut PointsEarned {
        match &mut self.award {
            Event::PointsAccount(PointsAccountEvent::PointsEarned(earned)) => earned,
            other => panic!("{other:?}"),
        }
    }

    /// Writes the award under this meta and asserts what is found.
    async fn found_as(mut self, check: Check, reason: &str, change: impl FnOnce(&mut Meta)) {
        let first_version = self.book.version(self.merchant, self.account) + 1;
        let mut meta = self.book.meta(self.account, first_version);
        change(&mut meta);
        let answer = Answer::Events(vec![self.award]);
        self.book.write(self.merchant, self.account, NewKind::Commit, Body { meta, answer }).await;
        let fault = verified(&self.book.files()).await.fault.unwrap();
        assert_eq!(fault.check, check, "{fault}");
        assert!(fault.reason.contains(reason), "{fault}");
        let partition = fault.partition.unwrap();
        assert_eq!(fault.position, Some(self.book.log.end(partition)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_that_do_not_follow_are_found() {
    let mut case = Case::new().await;
    case.earned().after.available = Points(61);
    case.found_as(Check::Ledger, "the balances after it should be", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_award_that_repays_debt_that_is_not_there_is_found() {
    let mut case = Case::new().await;
    case.earned().repaid = Points(1);
    case.earned().after = Balances { available: Points(59), ..case.earned().after };
    case.found_as(Check::Ledger, "do not sum", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_award_for_a_source_that_was_awarded_is_found() {
    let mut case = Case::new().await;
    case.earned().source = event_schemas::points_account::Source::Api { id: earn(Uuid::nil(), 1, 1).source };
    case.found_as(Check::Ledger, "awarded before", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_a_streams_versions_is_found() {
    let case = Case::new().await;
    case.found_as(Check::StreamVersion, "goes on with 4", |meta| meta.first_version += 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_went_back_is_found() {
    let case = Case::new().await;
    case.found_as(Check::Time, "before the record ahead", |meta| {
        meta.recorded_at = Timestamp::EPOCH;
        meta.occurred_at = Timestamp::EPOCH;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_another_type_of_stream_is_found() {
    let mut case = Case::new().await;
    case.award = CustomerEvent::from(CustomerRegistered::sample()).into();
    assert!(!matches!(case.book.aggregate(case.merchant, case.account), Aggregate::Customer(_)));
    case.found_as(Check::Body, "stands in a stream of type points-account", |_| {}).await;
}
