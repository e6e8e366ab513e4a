//! Lives of customers as events, with balances and lots that add up.
mod account;
mod ledger;
mod privacy;
mod shop;

use std::collections::HashMap;

use event_log::{Class, Log, PositionToken};
use event_schemas::{
    Code, CustomerId, Event, MerchantId, OrderId, Points, RedemptionId, Timestamp,
    catalogue::{CustomerEvent, LoyaltyOrderEvent, MerchantEvent, PointsAccountEvent, RedemptionEvent},
    customer::{CustomerRegistered, CustomerUpdated},
    loyalty_order::{OrderObserved, OrderQualified},
    merchant::{MerchantInstalled, ProgramSettingsUpdated},
    payload::Payload as _,
    points_account::{
        Balances, PointsAccountOpened, PointsAdjusted, PointsClawedBack, PointsEarned, PointsRedeemed,
        PointsReinstated, PointsReservationReleased, PointsReserved, Source,
    },
    redemption::{
        DiscountCodeIssued, RedemptionCancelled, RedemptionCompleted, RedemptionFailed, RedemptionRequested,
    },
};
use projections::testing::{History, Stream};
use uuid::Uuid;

use self::account::{Account, new_entry, sum};

/// A log in memory, a shop on it, and what each customer has.
pub(crate) struct Story {
    pub(crate) log: Log,
    pub(crate) history: History,
    pub(crate) merchant: MerchantId,
    accounts: HashMap<CustomerId, Account>,
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
        Self { log, history, merchant, accounts: HashMap::new() }
    }

    /// A customer joins and gets an account.
    pub(crate) async fn joins(&mut self) -> CustomerId {
        let customer = CustomerId(Uuid::now_v7());
        let registered = CustomerEvent::from(CustomerRegistered::sample());
        self.history.append(self.merchant, Stream::customer(customer), vec![registered.into()]).await;
        self.moves(customer, |_| PointsAccountOpened {}.into()).await;
        customer
    }

    /// Something about a person, whatever came before.
    pub(crate) async fn tells(&mut self, customer: CustomerId, event: impl Into<CustomerEvent>) {
        self.history.append(self.merchant, Stream::customer(customer), vec![event.into().into()]).await;
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
            .moves(customer, |account| {
                let entry = new_entry();
                let repaid = account.grants(entry, points, None);
                account.after.lifetime_earned.0 += points;
                let (source, points) = (Source::Order { order, version: 1 }, Points(points));
                let (expires_at, after) = (None, account.after);
                PointsEarned { entry, source, points, repaid, expires_at, after, ..PointsEarned::sample() }
                    .into()
            })
            .await;
        (order, at)
    }

    /// Points of an order are taken back, as far as they are there; the rest is owed.
    pub(crate) async fn returns(&mut self, customer: CustomerId, order: OrderId, points: i64) {
        self.moves(customer, |account| {
            let from_active = account.takes(points);
            let to_debt = points - sum(&from_active);
            account.after.debt.0 += to_debt;
            account.after.lifetime_clawed_back.0 += points;
            PointsClawedBack {
                entry: new_entry(),
                order,
                points: Points(points),
                from_active,
                to_debt: Points(to_debt),
                after: account.after,
                ..PointsClawedBack::sample()
            }
            .into()
        })
        .await;
    }

    /// Points are held for a redemption.
    pub(crate) async fn reserves(&mut self, customer: CustomerId, points: i64) -> RedemptionId {
        let redemption = RedemptionId(Uuid::now_v7());
        self.moves(customer, |account| {
            let allocations = account.holds(redemption, points);
            let (points, after) = (Points(points), account.after);
            PointsReserved { redemption, points, allocations, after, ..PointsReserved::sample() }.into()
        })
        .await;
        let requested =
            RedemptionRequested { customer, points: Points(points), ..RedemptionRequested::sample() };
        self.redemption(customer, redemption, vec![requested.into()]).await;
        redemption
    }

    /// A redemption gets its code, and its points are spent.
    pub(crate) async fn redeems(&mut self, customer: CustomerId, redemption: RedemptionId) {
        self.redemption(customer, redemption, vec![DiscountCodeIssued::sample().into()]).await;
        self.spends(customer, redemption).await;
        self.redemption(customer, redemption, vec![RedemptionCompleted {}.into()]).await;
    }

    /// The points of a redemption are spent.
    pub(crate) async fn spends(&mut self, customer: CustomerId, redemption: RedemptionId) {
        self.moves(customer, |account| {
            let allocations = account.spends(redemption);
            let (entry, points, after) = (new_entry(), Points(sum(&allocations)), account.after);
            PointsRedeemed { entry, redemption, points, allocations, after }.into()
        })
        .await;
    }

    /// A redemption gets no code, and its points go back.
    pub(crate) async fn fails(&mut self, customer: CustomerId, redemption: RedemptionId) {
        self.redemption(customer, redemption, vec![RedemptionFailed::sample().into()]).await;
        self.gives_back(customer, redemption).await;
    }

    /// The points of a redemption go back.
    pub(crate) async fn gives_back(&mut self, customer: CustomerId, redemption: RedemptionId) {
        self.moves(customer, |account| {
            let (allocations, repaid) = account.gives_back(redemption);
            let points = Points(sum(&allocations) + repaid.0);
            account.after.reserved.0 -= points.0;
            let (expiries, after) = (Vec::new(), account.after);
            let sample = PointsReservationReleased::sample();
            PointsReservationReleased { redemption, points, allocations, repaid, expiries, after, ..sample }
                .into()
        })
        .await;
    }

    /// A completed redemption is cancelled, and its points come back.
    pub(crate) async fn cancels(&mut self, customer: CustomerId, redemption: RedemptionId) {
        self.redemption(customer, redemption, vec![RedemptionCancelled::sample().into()]).await;
        self.moves(customer, |account| {
            let (allocations, repaid) = account.gives_back(redemption);
            let points = Points(sum(&allocations) + repaid.0);
            account.after.lifetime_redeemed.0 -= points.0;
            let (entry, expiries, after) = (new_entry(), Vec::new(), account.after);
            PointsReinstated {
                entry,
                redemption,
                reason: Some(Code::fixed("requested")),
                points,
                allocations,
                repaid,
                expiries,
                at: None,
                after,
            }
            .into()
        })
        .await;
    }

    /// Points are added by hand.
    pub(crate) async fn is_given(&mut self, customer: CustomerId, points: i64) {
        self.moves(customer, |account| {
            let entry = new_entry();
            let repaid = account.grants(entry, points, None);
            account.after.lifetime_adjusted.0 += points;
            PointsAdjusted {
                entry,
                points: Points(points),
                reason: Code::fixed("goodwill"),
                allocations: Vec::new(),
                to_debt: Points::ZERO,
                repaid,
                after: account.after,
                ..PointsAdjusted::sample()
            }
            .into()
        })
        .await;
    }

    /// What the customer has, by this story's own count.
    pub(crate) fn balances(&self, customer: CustomerId) -> Balances {
        self.account(customer).after
    }

    /// Everybody who has an account, in no particular order.
    pub(crate) fn customers(&self) -> impl Iterator<Item = CustomerId> {
        self.accounts.keys().copied()
    }

    /// The customer's ledger, by this story's own count.
    pub(crate) fn account(&self, customer: CustomerId) -> Account {
        self.accounts.get(&customer).cloned().unwrap_or_default()
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
        event: impl FnOnce(&mut Account) -> PointsAccountEvent,
    ) -> PositionToken {
        let event = event(self.accounts.entry(customer).or_default());
        self.history.append(self.merchant, Stream::account(customer), vec![event.into()]).await
    }
}

/// Six customers who do everything there is to do, several times, and a shop around them.
pub(crate) async fn busy_shop() -> Story {
    let mut story = Story::begin().await;
    let mut customers = Vec::new();
    for _ in 0..6 {
        let customer = story.joins().await;
        customers.push(customer);
        for round in 1..=3 {
            let (order, _) = story.buys(customer, 100 * round).await;
            let first = story.reserves(customer, 20).await;
            story.returns(customer, order, 30).await;
            story.redeems(customer, first).await;
            let second = story.reserves(customer, 10).await;
            story.is_given(customer, 5).await;
            story.fails(customer, second).await;
            story.cancels(customer, first).await;
            story.waits(customer).await;
            story.updates(customer).await;
        }
    }
    for pair in customers.chunks(2) {
        story.exchange(pair[0], pair[1]).await;
    }
    story.becomes(customers[1], customers[2]).await;
    story.becomes(customers[2], customers[5]).await;
    story.sells_and_rewards().await;
    story.is_erased(&[customers[3]]).await;
    story.is_erased(&[customers[5], customers[2], customers[1]]).await;
    story.asks_for_an_export(customers[0]).await;
    story
}

impl Story {
    /// Points wait, are released or taken back, get a date, and end.
    async fn waits(&mut self, customer: CustomerId) {
        let (first, second) = (self.buys_pending(customer, 40).await, self.buys_pending(customer, 50).await);
        self.schedules(customer, first.0, first.1).await;
        self.releases(customer, first.1).await;
        self.voids(customer, second.0, second.1, 30).await;
        let soon = Timestamp::from_micros(self.history.now().micros() + 86_400_000_000);
        self.dates(customer, soon).await;
        self.expires(customer).await;
    }

    /// Points go there, some come back, and something is still held when the accounts are merged.
    async fn exchange(&mut self, one: CustomerId, other: CustomerId) {
        self.buys(one, 500).await;
        let (arrives, _) = self.sends(one, other, 100).await;
        self.receives(other, one, arrives, 100).await;
        let refused = self.sends(one, other, 50).await;
        self.is_frozen(other).await;
        self.gets_back(one, refused).await;
        self.goes_on(other).await;
        self.reserves(other, 30).await;
    }
}
