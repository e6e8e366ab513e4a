//! The statement adds up, remembers every balance, and says why.
use event_schemas::{CustomerId, Points, Timestamp, points_account::Balances};
use privacy::MerchantScope;
use projections::{
    ReadStore, orders, points_balance,
    points_statement::{self, Entry, EntryType},
    testing::fold_interleaved,
};

use crate::story::Story;

struct Told {
    story: Story,
    store: ReadStore,
    customer: CustomerId,
    _folder: tempfile::TempDir,
}

impl Told {
    async fn begin() -> Self {
        let mut story = Story::begin().await;
        let customer = story.joins().await;
        let folder = tempfile::tempdir().unwrap();
        let store = ReadStore::open(&folder.path().join("read.db")).await.unwrap();
        Self { story, store, customer, _folder: folder }
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
        assert_eq!(entries.first().map(|entry| entry.after.0.available), Some(expected.available));
        entries
    }
}

#[tokio::test]
async fn entries_add_up_after_every_movement() {
    let mut told = Told::begin().await;
    let customer = told.customer;
    let (order, _) = told.story.buys(customer, 100).await;
    told.checked().await;
    let first = told.story.reserves(customer, 40).await;
    assert_eq!(told.checked().await[0].entry_type, EntryType::Reserve);
    told.story.returns(customer, order, 80).await;
    told.checked().await;
    told.story.redeems(customer, first, 40).await;
    told.checked().await;
    told.story.buys(customer, 200).await;
    let second = told.story.reserves(customer, 30).await;
    told.story.is_given(customer, 5).await;
    told.checked().await;
    told.story.fails(customer, second, 30).await;
    told.checked().await;
    told.story.cancels(customer, first, 40).await;
    let entries = told.checked().await;
    let types: Vec<_> = entries.iter().rev().map(|entry| entry.entry_type.as_str()).collect();
    assert_eq!(types, ["earn", "claw_back", "redeem", "earn", "adjust", "unreserve", "reinstate"]);
    let order = orders::find(&told.store, told.scope(), order).await.unwrap().unwrap();
    assert_eq!((order.granted, order.clawed_back), (Points(100), Points(80)));
}

#[tokio::test]
async fn every_entry_says_why_in_one_sentence() {
    let mut told = Told::begin().await;
    let customer = told.customer;
    let (order, _) = told.story.buys(customer, 54).await;
    told.story.returns(customer, order, 60).await;
    told.story.buys(customer, 100).await;
    let redemption = told.story.reserves(customer, 40).await;
    let held = told.checked().await[0].why();
    assert_eq!(held, "40 points held for a discount of USD 0.40.");
    told.story.fails(customer, redemption, 40).await;
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

#[tokio::test]
async fn pages_meet_without_gap_or_overlap() {
    let mut told = Told::begin().await;
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

#[tokio::test]
async fn a_balance_as_of_a_time_is_what_was_recorded_by_then() {
    let mut told = Told::begin().await;
    let before_all = Timestamp::from_micros(told.story.history.now().micros() - 1);
    let mut seen: Vec<(Timestamp, Balances)> = Vec::new();
    for points in [10, 20, 30] {
        told.story.buys(told.customer, points).await;
        let redemption = told.story.reserves(told.customer, 5).await;
        seen.push((told.story.history.now(), told.story.balances(told.customer)));
        told.story.redeems(told.customer, redemption, 5).await;
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
