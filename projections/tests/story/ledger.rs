//! What happens to an account beside buying and redeeming.
use event_schemas::{
    CustomerId, EntryId, Event, OrderId, Points, Timestamp, TransferId,
    catalogue::CustomerEvent,
    customer::CustomersMerged,
    payload::Payload as _,
    points_account::{
        ExpiryReason, LotExpiry, MovedLot, PointsAccountAbsorbed, PointsAccountFrozen, PointsAccountMerged,
        PointsAccountUnfrozen, PointsEarned, PointsExpired, PointsExpiryExtended, PointsExpiryWarned,
        PointsReleaseScheduled, PointsReleased, PointsTransferCompleted, PointsTransferReturned,
        PointsTransferredIn, PointsTransferredOut, PointsVoided, Release, Source,
    },
};
use projections::testing::Stream;
use uuid::Uuid;

use super::{
    Story,
    account::{moved, new_entry, sum},
};

impl Story {
    /// An order earns points that wait for its fulfilment.
    pub(crate) async fn buys_pending(&mut self, customer: CustomerId, points: i64) -> (OrderId, EntryId) {
        let (order, entry) = (OrderId(Uuid::now_v7()), new_entry());
        self.moves(customer, |account| {
            account.grants_pending(entry, points, Release::AwaitingFulfilment);
            account.after.lifetime_earned.0 += points;
            PointsEarned {
                entry,
                source: Source::Order { order, version: 1 },
                points: Points(points),
                repaid: Points::ZERO,
                release: Some(Release::AwaitingFulfilment),
                expires_at: None,
                after: account.after,
                ..PointsEarned::sample()
            }
            .into()
        })
        .await;
        (order, entry)
    }

    /// The order is fulfilled, and its points get a date.
    pub(crate) async fn schedules(&mut self, customer: CustomerId, order: OrderId, lot: EntryId) {
        let release_at = Some(self.history.now());
        self.moves(customer, |_| {
            PointsReleaseScheduled { order, version: 2, lots: vec![lot], release_at }.into()
        })
        .await;
    }

    pub(crate) async fn releases(&mut self, customer: CustomerId, lot: EntryId) {
        self.moves(customer, |account| {
            let (points, repaid) = account.releases(lot);
            let (entry, after) = (new_entry(), account.after);
            PointsReleased { entry, lot, points, repaid, expires_at: None, at: None, after }.into()
        })
        .await;
    }

    pub(crate) async fn voids(&mut self, customer: CustomerId, order: OrderId, lot: EntryId, points: i64) {
        self.moves(customer, |account| {
            let allocations = account.voids(lot, points);
            let (entry, points, after) = (new_entry(), Points(points), account.after);
            PointsVoided { entry, order, allocations, points, after, ..PointsVoided::sample() }.into()
        })
        .await;
    }

    /// Everything that can be spent ends.
    pub(crate) async fn expires(&mut self, customer: CustomerId) {
        let as_of = self.history.now();
        self.moves(customer, |account| {
            let allocations = account.expires();
            let (points, reason) = (Points(sum(&allocations)), ExpiryReason::Lot);
            let (entry, after) = (new_entry(), account.after);
            PointsExpired { entry, as_of, reason, allocations, points, after }.into()
        })
        .await;
    }

    /// All lots get this date; warned of it the customer is too.
    pub(crate) async fn dates(&mut self, customer: CustomerId, expires_at: Timestamp) {
        self.moves(customer, |account| {
            let lots = account.dates(expires_at).into_iter().map(|lot| LotExpiry { lot, expires_at });
            PointsExpiryExtended { lots: lots.collect(), ..PointsExpiryExtended::sample() }.into()
        })
        .await;
        self.moves(customer, |account| {
            let points = account.after.available;
            PointsExpiryWarned { days: 7, points, expires_at }.into()
        })
        .await;
    }

    /// Points leave for another customer.
    pub(crate) async fn sends(
        &mut self,
        customer: CustomerId,
        to: CustomerId,
        points: i64,
    ) -> (TransferId, Vec<MovedLot>) {
        let transfer = TransferId(Uuid::now_v7());
        let mut sent = Vec::new();
        self.moves(customer, |account| {
            sent = account.takes(points).into_iter().map(moved).collect();
            account.after.in_transit.0 += points;
            account.after.lifetime_transferred.0 -= points;
            PointsTransferredOut {
                entry: new_entry(),
                transfer,
                to,
                points: Points(points),
                lots: sent.clone(),
                after: account.after,
                ..PointsTransferredOut::sample()
            }
            .into()
        })
        .await;
        (transfer, sent)
    }

    /// They arrive.
    pub(crate) async fn receives(
        &mut self,
        customer: CustomerId,
        from: CustomerId,
        transfer: TransferId,
        points: i64,
    ) {
        self.moves(customer, |account| {
            let (entry, lot) = (new_entry(), new_entry());
            let repaid = account.grants(lot, points, None);
            account.after.lifetime_transferred.0 += points;
            let lots = vec![MovedLot { lot, points: Points(points - repaid.0), expires_at: None }];
            let (points, after) = (Points(points), account.after);
            PointsTransferredIn { entry, transfer, from, points, lots, repaid, at: None, after }.into()
        })
        .await;
        self.moves(from, |account| {
            account.after.in_transit.0 -= points;
            let (points, after) = (Points(points), account.after);
            PointsTransferCompleted { transfer, points, after }.into()
        })
        .await;
    }

    /// They come back.
    pub(crate) async fn gets_back(
        &mut self,
        customer: CustomerId,
        (transfer, sent): (TransferId, Vec<MovedLot>),
    ) {
        self.moves(customer, |account| {
            let points: i64 = sent.iter().map(|one| one.points.0).sum();
            account.after.in_transit.0 -= points;
            account.after.lifetime_transferred.0 += points;
            let sent = sent
                .iter()
                .map(|one| event_schemas::points_account::Allocation { lot: one.lot, points: one.points });
            let (back, repaid) = account.puts_back(sent.collect());
            PointsTransferReturned {
                entry: new_entry(),
                transfer,
                points: Points(points),
                lots: back.into_iter().map(moved).collect(),
                repaid,
                after: account.after,
                ..PointsTransferReturned::sample()
            }
            .into()
        })
        .await;
    }

    /// A customer turns out to be another one, and their account goes there.
    pub(crate) async fn becomes(&mut self, customer: CustomerId, into: CustomerId) {
        let merged = CustomerEvent::from(CustomersMerged { into });
        self.history.append(self.merchant, Stream::customer(customer), vec![Event::from(merged)]).await;
        let mut left = None;
        self.moves(customer, |account| {
            let estate = account.leaves();
            left = Some(estate.clone());
            PointsAccountMerged { entry: new_entry(), into, estate, after: account.after }.into()
        })
        .await;
        let estate = left.unwrap();
        self.moves(into, |account| {
            let allocations = account.absorbs(&estate);
            let (repaid, after) = (Points(sum(&allocations)), account.after);
            let (entry, from) = (new_entry(), customer);
            PointsAccountAbsorbed { entry, from, estate, repaid, allocations, after }.into()
        })
        .await;
    }

    pub(crate) async fn is_frozen(&mut self, customer: CustomerId) {
        self.moves(customer, |_| PointsAccountFrozen::sample().into()).await;
    }

    pub(crate) async fn goes_on(&mut self, customer: CustomerId) {
        self.moves(customer, |_| PointsAccountUnfrozen::sample().into()).await;
    }
}
