//! The statement adds up, remembers every balance, and says why.
use event_schemas::{CustomerId, Points, Timestamp, points_account::Balances};
use privacy::MerchantScope;
use projections::{
    ReadStore, orders, points_balance,
    points_statement::{self, Entry, EntryType},
    testing::fold_interleaved,
};

use crate::{
    shelf::{Shelf, on_every_store},
    story::Story,
};

on_every_store! {
    entries_add_up_after_every_movement,
    every_entry_says_why_in_one_sentence,
    pending_points_count_when_they_are_released,
    transfers_and_merges_stand_in_both_statements,
    pages_meet_without_gap_or_overlap,
    a_balance_as_of_a_time_is_what_was_recorded_by_then,
}

struct Told {
    story: Story,
    store: ReadStore,
    customer: CustomerId,
}

impl Told {
    async fn begin(shelf: &Shelf) -> Self {
        let mut story = Story::begin().await;
        let customer = story.joins().await;
        let store = shelf.open("read").await;
        Self { story, store, customer }
    }

    fn scope(&self) -> MerchantScope {
        MerchantScope::for_tests(self.story.merchant)
    }

    async fn page(&self, before: Option<u64>, limit: u32) -> Vec<Entry> {
        fold_interleaved(&self.story.log, &self.store, |_| 0).await.unwrap();
        points_statement::page(&self.store, self.scope(), self.customer, before, limit).await.unwrap()
    }

    /// The whole statement, after checking that it adds up to the balance.
    async fn checked(&self) -> Vec<Entry> {
        let entries = self.page(None, 1000).await;
        let balance = points_balance::find(&self.store, self.scope(), self.customer).await.unwrap().unwrap();
        let expected = self.story.balances(self.customer);
        assert_eq!(balance.balances(), expected);
        let sum = Points::sum(entries.iter().map(|entry| entry.points)).unwrap();
        assert_eq!(sum.0, expected.available.0 - expected.debt.0 + expected.reserved.0, "{entries:#?}");
        let pending = Points::sum(entries.iter().map(|entry| entry.pending)).unwrap();
        assert_eq!(pending, expected.pending, "{entries:#?}");
        assert_eq!(entries.first().map(|entry| entry.after.0.available), Some(expected.available));
        entries
    }
}

async fn entries_add_up_after_every_movement(shelf: &Shelf) {
    let mut told = Told::begin(shelf).await;
    let customer = told.customer;
    let (order, _) = told.story.buys(customer, 100).await;
    told.checked().await;
    let first = told.story.reserves(customer, 40).await;
    assert_eq!(told.checked().await[0].entry_type, EntryType::Reserve);
    told.story.returns(customer, order, 80).await;
    told.checked().await;
    told.story.redeems(customer, first).await;
    told.checked().await;
    told.story.buys(customer, 200).await;
    let second = told.story.reserves(customer, 30).await;
    told.story.is_given(customer, 5).await;
    told.checked().await;
    told.story.fails(customer, second).await;
    told.checked().await;
    told.story.cancels(customer, first).await;
    let entries = told.checked().await;
    let types: Vec<_> = entries.iter().rev().map(|entry| entry.entry_type.as_str()).collect();
    assert_eq!(types, ["earn", "claw_back", "redeem", "earn", "adjust", "unreserve", "reinstate"]);
    let order = orders::find(&told.store, told.scope(), order).await.unwrap().unwrap();
    assert_eq!((order.granted, order.clawed_back), (Points(100), Points(80)));
}

async fn every_entry_says_why_in_one_sentence(shelf: &Shelf) {
    let mut told = Told::begin(shelf).await;
    let customer = told.customer;
    let (order, _) = told.story.buys(customer, 54).await;
    told.story.returns(customer, order, 60).await;
    told.story.buys(customer, 100).await;
    let redemption = told.story.reserves(customer, 40).await;
    let held = told.checked().await[0].why();
    assert_eq!(held, "40 points held for a discount of USD 0.40.");
    told.story.fails(customer, redemption).await;
    told.story.is_given(customer, 1).await;
    let why: Vec<_> = told.checked().await.iter().rev().map(Entry::why).collect();
    let calculation = "USD 54.93 eligible at 1 per USD, settings version 1";
    assert_eq!(
        why,
        [
            format!("54 points for an order (purchase): {calculation}."),
            "60 points of an order taken back (refunded); 6 of them are owed.".to_owned(),
            format!("100 points for an order (purchase): {calculation}; 6 of them repaid what was owed."),
            "40 points no longer held (code-not-issued).".to_owned(),
            "1 point added by hand (goodwill).".to_owned(),
        ]
    );
}

async fn pending_points_count_when_they_are_released(shelf: &Shelf) {
    let mut told = Told::begin(shelf).await;
    let customer = told.customer;
    let (first, lot) = told.story.buys_pending(customer, 54).await;
    let (second, other) = told.story.buys_pending(customer, 10).await;
    let waiting = told.checked().await;
    assert_eq!((waiting[0].points, waiting[0].pending), (Points::ZERO, Points(10)));
    told.story.schedules(customer, first, lot).await;
    told.story.releases(customer, lot).await;
    told.story.voids(customer, second, other, 10).await;
    told.story.expires(customer).await;
    let entries = told.checked().await;
    let told: Vec<_> =
        entries.iter().rev().map(|entry| (entry.points.0, entry.pending.0, entry.why())).collect();
    let calculation = "USD 54.93 eligible at 1 per USD, settings version 1";
    let waits = "they wait for the order to be fulfilled";
    let expected = [
        (0, 54, format!("54 points for an order (purchase): {calculation}; {waits}.")),
        (0, 10, format!("10 points for an order (purchase): {calculation}; {waits}.")),
        (54, -54, "54 points of an earlier award can be spent now.".to_owned()),
        (0, -10, "10 points of an order taken back before they could be spent (cancelled).".to_owned()),
        (-54, 0, "54 points ended (too-old).".to_owned()),
    ];
    assert_eq!(told, expected);
}

async fn transfers_and_merges_stand_in_both_statements(shelf: &Shelf) {
    let mut told = Told::begin(shelf).await;
    let (one, other) = (told.customer, told.story.joins().await);
    told.story.buys(one, 100).await;
    let (arrives, _) = told.story.sends(one, other, 30).await;
    assert_eq!(told.story.balances(one).in_transit, Points(30));
    told.checked().await;
    told.story.receives(other, one, arrives, 30).await;
    let refused = told.story.sends(one, other, 20).await;
    told.story.gets_back(one, refused).await;
    let held = told.story.reserves(one, 40).await;
    told.checked().await;
    told.story.becomes(one, other).await;
    let left: Vec<_> = told.checked().await.iter().map(|entry| (entry.entry_type, entry.points.0)).collect();
    let transfers = [20, -20, -30].map(|points| (EntryType::Transfer, points));
    let (merged, earned) = ((EntryType::Merge, -70), (EntryType::Earn, 100));
    assert_eq!(left, [&[merged, (EntryType::Reserve, 0)], &transfers[..], &[earned]].concat());
    assert_eq!(told.checked().await[0].other, Some(other));
    told.customer = other;
    told.story.spends(other, held).await;
    let has: Vec<_> = told.checked().await.iter().map(|entry| (entry.entry_type, entry.points.0)).collect();
    assert_eq!(has, [(EntryType::Redeem, -40), (EntryType::Merge, 70), (EntryType::Transfer, 30)]);
    let why = told.checked().await[1].why();
    assert_eq!(why, "Another customer was merged into this one, who has all of that account now.");
}

async fn pages_meet_without_gap_or_overlap(shelf: &Shelf) {
    let mut told = Told::begin(shelf).await;
    for points in 1..=7 {
        told.story.buys(told.customer, points).await;
    }
    let all = told.page(None, 100).await;
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let page = told.page(before, 3).await;
        let Some(last) = page.last() else { break };
        before = Some(last.version);
        pages.extend(page);
    }
    assert_eq!(pages, all);
    assert_eq!(all.len(), 7);
}

async fn a_balance_as_of_a_time_is_what_was_recorded_by_then(shelf: &Shelf) {
    let mut told = Told::begin(shelf).await;
    let before_all = Timestamp::from_micros(told.story.history.now().micros() - 1);
    let mut seen: Vec<(Timestamp, Balances)> = Vec::new();
    for points in [10, 20, 30] {
        told.story.buys(told.customer, points).await;
        let redemption = told.story.reserves(told.customer, 5).await;
        seen.push((told.story.history.now(), told.story.balances(told.customer)));
        told.story.redeems(told.customer, redemption).await;
        seen.push((told.story.history.now(), told.story.balances(told.customer)));
    }
    told.checked().await;
    let (store, scope, customer) = (&told.store, told.scope(), told.customer);
    for (time, balances) in seen {
        let found = points_statement::as_of(store, scope, customer, time).await.unwrap();
        assert_eq!(found, Some(balances));
        let occurred = points_statement::as_of_occurred(store, scope, customer, time).await.unwrap();
        assert_eq!(occurred, balances, "nothing was recorded late, so both times agree");
    }
    let found = points_statement::as_of(store, scope, customer, before_all).await.unwrap();
    assert_eq!(found, None);
}
