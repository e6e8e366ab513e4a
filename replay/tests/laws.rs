//! Answers that no rule can have given, in records whose chain is right: only an owner with a bug writes such.
use domain::{Aggregate, StreamRef};
use event_log::NewKind;
use event_schemas::{
    CustomerId, Digest, EntryId, Event, MerchantId, Points, Timestamp, TransferId,
    catalogue::{CustomerEvent, PointsAccountEvent},
    customer::CustomerRegistered,
    payload::Payload as _,
    points_account::{
        Allocation, Balances, ExpiryReason, MovedLot, PointsEarned, PointsExpired, PointsTransferredIn,
        Source,
    },
    record::{Answer, Body, Meta},
    sample,
};
use rand::{SeedableRng as _, rngs::StdRng};
use replay::verify::Check;
use uuid::Uuid;

use crate::{
    book::{Book, earn, transfer_out},
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
        book.tell(merchant, account, earn(Uuid::from_u128(1), 1, 50)).await;
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

    /// Another event instead of the award.
    fn tells(&mut self, event: impl Into<PointsAccountEvent>) {
        self.award = Event::PointsAccount(event.into());
    }

    /// Whichever of the two ends is read last, it is the fault's place.
    async fn found_between(mut self, reason: &str) {
        let first_version = self.book.version(self.merchant, self.account) + 1;
        let meta = self.book.meta(self.account, first_version);
        let answer = Answer::Events(vec![self.award]);
        self.book.write(self.merchant, self.account, NewKind::Commit, Body { meta, answer }).await;
        let fault = verified(&self.book.files()).await.fault.unwrap();
        assert_eq!((fault.check, fault.reason.as_str()), (Check::Between, reason));
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
    case.earned().source = Source::Api { id: Digest([1; 16]) };
    case.found_as(Check::Ledger, "awarded before", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_do_not_sum_up_are_found() {
    let mut case = Case::new().await;
    let (entry, as_of, points) = (EntryId(Uuid::from_u128(3)), sample::expiry(), Points(50));
    let allocations = vec![Allocation { lot: EntryId(Uuid::from_u128(1)), points: Points(49) }];
    let after = Balances { lifetime_earned: points, lifetime_expired: points, ..Balances::default() };
    let reason = ExpiryReason::Inactivity;
    case.tells(PointsExpired { entry, as_of, reason, allocations, points, after });
    case.found_as(Check::Ledger, "do not sum to its points", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_that_end_before_their_date_are_found() {
    let mut case = Case::new().await;
    let (entry, as_of, points) = (EntryId(Uuid::from_u128(3)), sample::time(), Points(50));
    let allocations = vec![Allocation { lot: EntryId(Uuid::from_u128(1)), points }];
    let after = Balances { lifetime_earned: points, lifetime_expired: points, ..Balances::default() };
    case.tells(PointsExpired { entry, as_of, reason: ExpiryReason::Lot, allocations, points, after });
    case.found_as(Check::Lots, "before their date", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_taken_from_a_lot_that_was_never_granted_are_found() {
    let mut case = Case::new().await;
    let (entry, as_of, points) = (EntryId(Uuid::from_u128(3)), sample::expiry(), Points(50));
    let allocations = vec![Allocation { lot: EntryId(Uuid::from_u128(9)), points }];
    let after = Balances { lifetime_earned: points, lifetime_expired: points, ..Balances::default() };
    case.tells(PointsExpired { entry, as_of, reason: ExpiryReason::Lot, allocations, points, after });
    case.found_as(Check::Lots, "never granted", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_arrives_with_other_points_is_found() {
    let mut case = Case::new().await;
    let (transfer, to) = (TransferId(Uuid::from_u128(5)), case.book.other_at(case.merchant, case.account));
    let from = CustomerId(case.account.id);
    let out = transfer_out(transfer, (from, to), 20, EntryId(Uuid::from_u128(6)), sample::time());
    case.book.tell(case.merchant, case.account, out).await;
    let lot = EntryId(Uuid::from_u128(7));
    case.account = StreamRef::account(to);
    case.tells(PointsTransferredIn {
        entry: EntryId(Uuid::from_u128(8)),
        transfer,
        from,
        points: Points(21),
        lots: vec![MovedLot { lot, points: Points(21), expires_at: None }],
        repaid: Points::ZERO,
        at: None,
        after: Balances { available: Points(21), lifetime_transferred: Points(21), ..Balances::default() },
    });
    case.found_between("a transfer of 20 points arrived as 21").await;
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
