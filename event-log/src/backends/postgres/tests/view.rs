//! What other programs see: the view `events` over records that a toy understands.

use std::borrow::Cow;

use super::*;
use crate::{Frame, Kind, Shown, ShownEvent};

/// Understands the bodies that [`body`] writes.
struct Toy;

/// First sequence, number of events, then length of name and JSON of each, with its name; behind them all JSON.
fn body(first: u8, events: &[(&str, &str)]) -> Bytes {
    let mut body = vec![first, events.len() as u8];
    for (name, json) in events {
        body.extend([name.len() as u8, json.len() as u8]);
        body.extend(name.bytes());
    }
    body.extend(events.iter().flat_map(|(_, json)| json.bytes()));
    body.into()
}

impl Columns for Toy {
    fn of(&self, frame: &Frame, body: &[u8]) -> Option<Shown> {
        assert_eq!(frame.kind == Kind::Claim, body.is_empty());
        let (&[first, count], mut rest) = body.split_first_chunk()?;
        let mut found = Vec::new();
        for _ in 0..count {
            let (&[name, json], after) = rest.split_first_chunk()?;
            let (name, after) = after.split_at(usize::from(name));
            found.push((String::from_utf8(name.to_vec()).ok()?, u32::from(json)));
            rest = after;
        }
        let mut json_start = (body.len() - rest.len()) as u32;
        let events = found.into_iter().map(|(name, length)| {
            let event = ShownEvent { event_type: Cow::Owned(name), version: 3, json_start };
            json_start += length;
            event
        });
        Some(Shown {
            aggregate_type: "account".into(),
            aggregate_id: format!("account-{}", frame.stream[0]),
            first_sequence: u64::from(first),
            events: events.collect(),
            metadata: r#"{"by":"toy"}"#.to_owned(),
        })
    }
}

type Event = (i64, String, String, String, String);

async fn events(database: &Database, id: &str) -> Vec<Event> {
    let asked =
        "SELECT sequence, event_type, event_version, payload::text, metadata::text FROM loyalnest_log.events
        WHERE aggregate_type = 'account' AND aggregate_id = $1 ORDER BY sequence";
    let mut connection = database.database.address().connect("tests").await.unwrap();
    sqlx::query_as(asked).bind(id).fetch_all(&mut connection).await.unwrap()
}

fn event(sequence: i64, name: &str, quoted: &str, json: &str) -> Event {
    (
        sequence,
        name.to_owned(),
        "3".to_owned(),
        format!("{{{quoted} : {json}}}"),
        r#"{"by":"toy"}"#.to_owned(),
    )
}

#[tokio::test]
async fn every_event_is_a_row_with_its_json_cut_out_of_the_body() {
    let mut database = Database::init().await;
    database.log = Some(open(&database.database.address(), Some(Arc::new(Toy))).await.unwrap());
    let mut writer = claim(&database.log()).await;
    let mut bodies = Vec::new();
    for (stream, first, events) in [
        (1, 1, &[("opened", "{}"), ("earned", r#"{"points": 7, "in": "Zürich"}"#)][..]),
        (2, 1, &[("opened", r#"{"quoted": "\"{}\""}"#)]),
        (1, 3, &[("a\"b\\,{c}", "[1]")]),
        (1, 4, &[]),
    ] {
        let record = NewRecord { stream: [stream; 16], body: body(first, events), ..record(0) };
        bodies.push(record.body.clone());
        writer.append(record).unwrap().await.unwrap();
    }
    assert_eq!(
        events(&database, "account-1").await,
        [
            event(1, "opened", r#""opened""#, "{}"),
            event(2, "earned", r#""earned""#, r#"{"points": 7, "in": "Zürich"}"#),
            event(3, "a\"b\\,{c}", r#""a\"b\\,{c}""#, "[1]"),
        ]
    );
    assert_eq!(
        events(&database, "account-2").await,
        [event(1, "opened", r#""opened""#, r#"{"quoted": "\"{}\""}"#)]
    );
    assert_eq!(events(&database, "account-3").await, []);
    // What is shown changes nothing of what is history.
    let records = database.log().reader(0, None).unwrap().next(10).await.unwrap().records;
    assert_eq!(records[1..].iter().map(|record| record.body.clone()).collect::<Vec<_>>(), bodies);
}

#[tokio::test]
async fn one_aggregate_is_found_without_reading_the_others() {
    let database = Database::init().await;
    database.execute(
        "INSERT INTO loyalnest_log.log (part, position, frame, body, aggregate_type, aggregate_id, first_sequence,
             event_types, event_versions, json_starts, metadata)
         SELECT 9, number, '', '{}', 'account', 'account-' || number, 1, '{opened}', '{1}', '{0}', '{}'
         FROM generate_series(1, 20000) AS number; ANALYZE loyalnest_log.log",
    );
    let mut connection = database.database.address().connect("tests").await.unwrap();
    let plan = "EXPLAIN SELECT * FROM loyalnest_log.events WHERE aggregate_type = 'account'
        AND aggregate_id = 'account-77' ORDER BY sequence";
    let plan: Vec<String> = sqlx::query_scalar(plan).fetch_all(&mut connection).await.unwrap();
    assert!(plan.iter().any(|line| line.contains("log_aggregate")), "{plan:#?}");
    assert_eq!(events(&database, "account-77").await.len(), 1);
}
