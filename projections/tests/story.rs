//! Lives of customers as events, with balances that add up.
use std::collections::HashMap;

use event_log::{Class, Log, PositionToken};
use event_schemas::{
    Code, CustomerId, EntryId, Event, MerchantId, OrderId, Points, RedemptionId,
    catalogue::{CustomerEvent, LoyaltyOrderEvent, MerchantEvent, PointsAccountEvent, RedemptionEvent},
    customer::{CustomerRegistered, CustomerUpdated},
    loyalty_order::{OrderObserved, OrderQualified},
    merchant::{MerchantInstalled, ProgramSettingsUpdated},
    payload::Payload as _,
    points_account::{
        Allocation, Balances, PointsAccountOpened, PointsAdjusted, PointsClawedBack, PointsEarned,
        PointsRedeemed, PointsReinstated, PointsReservationReleased, PointsReserved, Source,
    },
    redemption::{
        DiscountCodeIssued, RedemptionCancelled, RedemptionCompleted, RedemptionFailed, RedemptionRequested,
    },
};
use projections::testing::{History, Stream};
use uuid::Uuid;

/// A log in memory, a shop on it, and what each customer has.
pub(crate) struct Story {
    pub(crate) log: Log,
    pub(crate) history: History,
    pub(crate) merchant: MerchantId,
    balances: HashMap<CustomerId, Balances>,
}

impl Story {
    /// A shop with its settings in a log of four partitions.
    pub(crate) async fn begin() -> Self {
        let log = event_log::memory::init(4, Class::Conditional);
        let merchant = MerchantId(Uuid::now_v7());
        let mut history = History::start(log.clone()).await;
        let shop = Stream::merchant(merchant);
        let installed = MerchantEvent::from(MerchantInstalled::sample());
        history.append(merchant, shop, vec![installed.into()]).await;
        let settings = MerchantEvent::from(ProgramSettingsUpdated::sample());
        history.append(merchant, shop, vec![settings.into()]).await;
        Self { log, history, merchant, balances: HashMap::new() }
    }

    /// A customer joins and gets an account.
    pub(crate) async fn joins(&mut self) -> CustomerId {
        let customer = CustomerId(Uuid::now_v7());
        let registered = CustomerEvent::from(CustomerRegistered::sample());
        self.history.append(self.merchant, Stream::customer(customer), vec![registered.into()]).await;
        self.moves(customer, |_| PointsAccountOpened {}.into()).await;
        customer
    }

    pub(crate) async fn updates(&mut self, customer: CustomerId) {
        let updated = CustomerEvent::from(CustomerUpdated::sample());
        self.history.append(self.merchant, Stream::customer(customer), vec![updated.into()]).await;
    }

    /// An order earns points.
    pub(crate) async fn buys(&mut self, customer: CustomerId, points: i64) -> (OrderId, PositionToken) {
        let order = OrderId(Uuid::now_v7());
        let seen = OrderObserved { customer: Some(customer), ..OrderObserved::sample() };
        let mut verdict = OrderQualified::sample();
        verdict.assessment.customer = Some(customer);
        verdict.assessment.target = Points(points);
        let events = [LoyaltyOrderEvent::from(seen), verdict.into()];
        self.history.append(self.merchant, Stream::order(order), events.map(Event::from).to_vec()).await;
        let at = self
            .moves(customer, |after| {
                let repaid = Points(after.debt.0.min(points));
                after.debt.0 -= repaid.0;
                after.available.0 += points - repaid.0;
                after.lifetime_earned.0 += points;
                let source = Source::Order { order, version: 1 };
                let (entry, points) = (new_entry(), Points(points));
                PointsEarned { entry, source, points, repaid, after: *after, ..PointsEarned::sample() }.into()
            })
            .await;
        (order, at)
    }

    /// Points of an order are taken back, as far as they are there; the rest is owed.
    pub(crate) async fn returns(&mut self, customer: CustomerId, order: OrderId, points: i64) {
        self.moves(customer, |after| {
            let taken = after.available.0.min(points);
            after.available.0 -= taken;
            after.debt.0 += points - taken;
            after.lifetime_clawed_back.0 += points;
            PointsClawedBack {
                entry: new_entry(),
                order,
                points: Points(points),
                from_active: vec![Allocation { lot: new_entry(), points: Points(taken) }],
                to_debt: Points(points - taken),
                after: *after,
                ..PointsClawedBack::sample()
            }
            .into()
        })
        .await;
    }

    /// Points are held for a redemption.
    pub(crate) async fn reserves(&mut self, customer: CustomerId, points: i64) -> RedemptionId {
        let redemption = RedemptionId(Uuid::now_v7());
        self.moves(customer, |after| {
            after.available.0 -= points;
            after.reserved.0 += points;
            let points = Points(points);
            PointsReserved { redemption, points, after: *after, ..PointsReserved::sample() }.into()
        })
        .await;
        let requested =
            RedemptionRequested { customer, points: Points(points), ..RedemptionRequested::sample() };
        self.redemption(customer, redemption, vec![requested.into()]).await;
        redemption
    }

    /// A redemption gets its code, and its points are spent.
    pub(crate) async fn redeems(&mut self, customer: CustomerId, redemption: RedemptionId, points: i64) {
        self.redemption(customer, redemption, vec![DiscountCodeIssued::sample().into()]).await;
        self.moves(customer, |after| {
            after.reserved.0 -= points;
            after.lifetime_redeemed.0 += points;
            let (entry, points) = (new_entry(), Points(points));
            PointsRedeemed { entry, redemption, points, after: *after, ..PointsRedeemed::sample() }.into()
        })
        .await;
        self.redemption(customer, redemption, vec![RedemptionCompleted {}.into()]).await;
    }

    /// A redemption gets no code, and its points go back.
    pub(crate) async fn fails(&mut self, customer: CustomerId, redemption: RedemptionId, points: i64) {
        self.redemption(customer, redemption, vec![RedemptionFailed::sample().into()]).await;
        self.moves(customer, |after| {
            after.reserved.0 -= points;
            after.available.0 += points;
            let (points, sample) = (Points(points), PointsReservationReleased::sample());
            PointsReservationReleased { redemption, points, after: *after, ..sample }.into()
        })
        .await;
    }

    /// A completed redemption is cancelled, and its points come back.
    pub(crate) async fn cancels(&mut self, customer: CustomerId, redemption: RedemptionId, points: i64) {
        self.redemption(customer, redemption, vec![RedemptionCancelled::sample().into()]).await;
        self.moves(customer, |after| {
            after.available.0 += points;
            after.lifetime_redeemed.0 -= points;
            let (entry, points) = (new_entry(), Points(points));
            PointsReinstated { entry, redemption, points, after: *after, ..PointsReinstated::sample() }.into()
        })
        .await;
    }

    /// Points are added by hand.
    pub(crate) async fn is_given(&mut self, customer: CustomerId, points: i64) {
        self.moves(customer, |after| {
            after.available.0 += points;
            after.lifetime_adjusted.0 += points;
            PointsAdjusted {
                entry: new_entry(),
                points: Points(points),
                reason: Code::fixed("goodwill"),
                allocations: Vec::new(),
                to_debt: Points::ZERO,
                after: *after,
                ..PointsAdjusted::sample()
            }
            .into()
        })
        .await;
    }

    /// What the customer has, by this story's own count.
    pub(crate) fn balances(&self, customer: CustomerId) -> Balances {
        self.balances.get(&customer).copied().unwrap_or_default()
    }

    pub(crate) async fn redemption(
        &mut self,
        customer: CustomerId,
        redemption: RedemptionId,
        events: Vec<RedemptionEvent>,
    ) {
        let events = events.into_iter().map(Event::from).collect();
        self.history.append(self.merchant, Stream::redemption(redemption, customer), events).await;
    }

    async fn moves(
        &mut self,
        customer: CustomerId,
        event: impl FnOnce(&mut Balances) -> PointsAccountEvent,
    ) -> PositionToken {
        let event = event(self.balances.entry(customer).or_default());
        self.history.append(self.merchant, Stream::account(customer), vec![event.into()]).await
    }
}

fn new_entry() -> EntryId {
    EntryId(Uuid::now_v7())
}

/// Five customers who do everything there is to do, several times.
pub(crate) async fn busy_shop() -> Story {
    let mut story = Story::begin().await;
    for _ in 0..5 {
        let customer = story.joins().await;
        for round in 1..=4 {
            let (order, _) = story.buys(customer, 100 * round).await;
            let first = story.reserves(customer, 20).await;
            story.returns(customer, order, 30).await;
            story.redeems(customer, first, 20).await;
            let second = story.reserves(customer, 10).await;
            story.is_given(customer, 5).await;
            story.fails(customer, second, 10).await;
            story.cancels(customer, first, 20).await;
            story.updates(customer).await;
        }
    }
    story
}
