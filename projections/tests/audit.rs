//! The audit log says of every command who asked, what came of it and why, refusals and repeats too.
use event_schemas::{
    CustomerId, Points, StreamType,
    record::{Actor, Answer},
};
use privacy::MerchantScope;
use projections::{
    EventSeen, Outcome, ReadStore,
    audit_log::{After, Attempt, Filter, Stretch, happened, page},
    testing::{Stream, fold_interleaved},
};

use crate::{
    shelf::{Shelf, on_every_store},
    story::{Story, busy_shop},
};

on_every_store! {
    a_refused_attempt_stands_there_with_its_code_and_who_asked,
    an_orders_rows_are_its_verdict_and_what_it_moved,
    pages_hold_every_row_once_newest_first,
    what_happened_in_a_stretch_is_told_in_the_logs_order_by_kind_and_without_repeats,
}

async fn folded(shelf: &Shelf, story: &Story) -> ReadStore {
    let store = shelf.open("read").await;
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    store
}

async fn refused(story: &mut Story, customer: CustomerId, answer: Answer) {
    let stream = Stream::account(customer);
    story.history.append_outcome(story.merchant, stream, Actor::Merchant, answer).await;
}

fn names(row: &Attempt) -> Vec<&str> {
    row.events.0.iter().map(|event| event.r#type.as_str()).collect()
}

async fn a_refused_attempt_stands_there_with_its_code_and_who_asked(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let rejection = r#"{"code":"insufficient-points","needed":10,"available":0}"#;
    refused(&mut story, customer, Answer::Rejected(rejection.to_owned())).await;
    refused(&mut story, customer, Answer::Rejected(rejection.to_owned())).await;
    refused(&mut story, customer, Answer::Unchanged).await;
    let store = folded(shelf, &story).await;
    let scope = MerchantScope::for_tests(story.merchant);
    let filter = Filter { customer: Some(customer), ..Filter::default() };
    let rows = page(&store, scope, filter, None, 10).await.unwrap();
    let outcomes: Vec<_> = rows.iter().map(|row| (row.outcome, row.reason.as_deref())).collect();
    let rejected = (Outcome::Rejected, Some("insufficient-points"));
    assert_eq!(
        outcomes,
        [
            (Outcome::Unchanged, None),
            rejected,
            rejected,
            (Outcome::Accepted, None),
            (Outcome::Accepted, None)
        ]
    );
    assert_eq!((rows[1].actor.as_str(), rows[1].stream_type), ("merchant", StreamType::PointsAccount));
    assert!(rows[1].events.0.is_empty());
    let first_times =
        page(&store, scope, Filter { without_repeats: true, ..filter }, None, 10).await.unwrap();
    assert_eq!(first_times, rows[1..]);
    assert_eq!((names(&rows[4]), rows[4].actor.as_str()), (vec!["customer-registered"], "system"));
}

async fn an_orders_rows_are_its_verdict_and_what_it_moved(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let (order, _) = story.buys(customer, 54).await;
    story.buys(customer, 7).await;
    story.returns(customer, order, 20).await;
    let store = folded(shelf, &story).await;
    let filter = Filter { order: Some(order), ..Filter::default() };
    let scope = MerchantScope::for_tests(story.merchant);
    let rows = page(&store, scope, filter, None, 10).await.unwrap();
    let seen: Vec<_> = rows.iter().map(names).collect();
    assert_eq!(
        seen,
        [vec!["points-clawed-back"], vec!["points-earned"], vec!["order-observed", "order-qualified"]]
    );
    let moved =
        |kind: &str, points| vec![EventSeen { r#type: kind.to_owned(), points: Some(Points(points)) }];
    assert_eq!(rows[0].events.0, moved("points-clawed-back", -20));
    assert_eq!(rows[1].events.0, moved("points-earned", 54));
    assert_eq!(rows[1].reason.as_deref(), Some("purchase"));
    assert_eq!(rows[2].customer, Some(customer));
}

async fn pages_hold_every_row_once_newest_first(shelf: &Shelf) {
    let story = busy_shop().await;
    let store = folded(shelf, &story).await;
    let scope = MerchantScope::for_tests(story.merchant);
    let all = page(&store, scope, Filter::default(), None, 10_000).await.unwrap();
    assert!(all.len() > 100 && all.windows(2).all(|pair| pair[0].recorded_at >= pair[1].recorded_at));
    let mut paged: Vec<Attempt> = Vec::new();
    loop {
        let after = paged.last().map(|row| After {
            recorded_at: row.recorded_at,
            part: row.part,
            position: row.position,
        });
        let rows = page(&store, scope, Filter::default(), after, 7).await.unwrap();
        if rows.is_empty() {
            break;
        }
        paged.extend(rows);
    }
    assert_eq!(paged, all);
    let other = MerchantScope::for_tests(event_schemas::MerchantId(uuid::Uuid::now_v7()));
    assert!(page(&store, other, Filter::default(), None, 10).await.unwrap().is_empty());
}

async fn what_happened_in_a_stretch_is_told_in_the_logs_order_by_kind_and_without_repeats(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let (_, at) = story.buys(customer, 54).await;
    refused(&mut story, customer, Answer::Unchanged).await;
    refused(&mut story, customer, Answer::Rejected(r#"{"code":"x"}"#.to_owned())).await;
    let store = folded(shelf, &story).await;
    let scope = MerchantScope::for_tests(story.merchant);
    let stretch = |after| vec![Stretch { part: at.partition(), after, until: u64::MAX >> 1 }];
    let kinds = [StreamType::PointsAccount];
    let rows = happened(&store, scope, &kinds, stretch(0), 100).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (names(row), row.outcome)).collect();
    assert_eq!(
        seen,
        [
            (vec!["points-account-opened"], Outcome::Accepted),
            (vec!["points-earned"], Outcome::Accepted),
            (vec![], Outcome::Rejected)
        ]
    );
    let rest = happened(&store, scope, &kinds, stretch(at.position().get()), 100).await.unwrap();
    assert_eq!(rest, rows[2..]);
    assert_eq!(happened(&store, scope, &kinds, stretch(0), 2).await.unwrap(), rows[..2]);
}
