//! What other programs see of a log, and what they may put into it.

use bytes::Bytes;

use super::{editor::Plain, *};
use crate::{
    Columns, Diverged, FRAME_LEN, Frame, Kind, NewKind, NewRecord, REFERENCE_ROUTE, Reason, Record, Shown,
    ShownEvent, Stopped, conformance::commit, frame::FORMAT,
};

/// A body of two bytes that nobody else understands, and two events.
struct TwoEvents;

const BODY: &str = r#"~~{"points":5}{"points":-2}"#;

impl Columns for TwoEvents {
    fn of(&self, _: &Frame, body: &[u8]) -> Option<Shown> {
        let event = |event_type: &'static str, json_start| ShownEvent {
            event_type: event_type.into(),
            version: 3,
            json_start,
        };
        (body == BODY.as_bytes()).then(|| Shown {
            aggregate_type: "points_account".into(),
            aggregate_id: "m/a".to_owned(),
            first_sequence: 1,
            events: vec![event("points_earned", 2), event("points_redeemed", 14)],
            metadata: r#"{"actor":"shopify"}"#.to_owned(),
        })
    }
}

fn header<'a>(message: &'a Plain, name: &str) -> Option<&'a str> {
    let found = message.headers.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| std::str::from_utf8(value).unwrap())
}

/// With the cut left out of the envelope the value was seen to begin with the two bytes, and with that of an answer without
/// events before its body, to be what no reader of JSON goes on behind.
#[tokio::test]
async fn a_plain_client_reads_the_events_and_finds_the_frame_in_one_header() {
    let topic = Topic::new().await;
    let columns: Option<Arc<dyn Columns>> = Some(Arc::new(TwoEvents));
    let log = open(&topic.address, columns).await.unwrap();
    let elsewhere = open(&topic.address, None).await.unwrap();
    let mut writer = log.claim(0, |_| Ok(())).await.unwrap();
    let body = Bytes::from_static(BODY.as_bytes());
    let new = NewRecord {
        kind: NewKind::Commit,
        merchant: [1; 16],
        route: REFERENCE_ROUTE,
        stream: [0xab; 16],
        key_count: 0,
        body: body.clone(),
    };
    let appended = writer.append(new.clone()).unwrap().await.unwrap();
    let refused = NewRecord { kind: NewKind::Outcome, body: "~~no".into(), ..new };
    let refused = writer.append(refused).unwrap().await.unwrap();
    let read = log.record_at(0, appended.position).await.unwrap();
    // Who reads nothing hears of nothing, and may ask.
    assert!(elsewhere.end(0) < refused.position);
    assert_eq!(elsewhere.end_now(0).await.unwrap(), refused.position);

    let messages = topic.editor().read(4).remove(0);
    let [certificate, claim, commit, outcome] = &messages[..] else { panic!("{messages:?}") };
    assert!(std::str::from_utf8(&certificate.value).unwrap().contains(&log.id().to_string()));
    assert_eq!((header(claim, "ce_type"), &claim.key), (Some("loyalnest.claim"), &None));

    assert_eq!(commit.value, br#"{"points":5}{"points":-2}"#);
    assert_eq!(commit.key.as_deref(), Some(&b"abababab-abab-abab-abab-abababababab"[..]));
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_id", &appended.hash.to_string()[..]),
        ("ce_source", &format!("/logs/{}/0", log.id())[..]),
        ("ce_type", "points_earned"),
        ("ce_subject", "points_account/m/a"),
        ("loyalnest-events", "points_earned.v3,points_redeemed.v3"),
        ("loyalnest-metadata", r#"{"actor":"shopify"}"#),
    ] {
        assert_eq!(header(commit, name), Some(value), "{name}");
    }
    // One header and the value are the record, byte by byte.
    let (name, head) = &commit.headers[0];
    assert_eq!((name.as_str(), head.len()), ("loyalnest-frame", FRAME_LEN + 2));
    let whole = Record::decode([&head[..], &commit.value[..]].concat().into()).unwrap();
    assert_eq!((whole.frame, whole.body(), whole.hash), (read.frame, body, appended.hash));
    assert_eq!((header(outcome, "ce_type"), &outcome.value[..]), (Some("loyalnest.outcome"), &[][..]));
    let whole = Record::decode(outcome.headers[0].1.clone().into()).unwrap();
    assert_eq!((whole.body(), whole.hash), (Bytes::from_static(b"~~no"), refused.hash));
}

/// A mirror or a tracing agent adds headers of its own; another key is another record.
#[tokio::test]
async fn other_headers_are_no_part_of_history_but_the_key_is() {
    let topic = Topic::new().await;
    let log = topic.log();
    log.claim(0, |_| Ok(())).await.unwrap().append(commit(1)).unwrap().await.unwrap();
    let end = || async {
        let mut reader = log.reader(0, None).unwrap();
        let batch = reader.next(10).await.unwrap();
        (batch.records.len(), batch.skipped.undecodable)
    };
    let genesis = topic.kafka.store.genesis;
    let mut content = topic.editor().read(4);
    for message in &mut content[0] {
        message.headers.push(("traceparent".to_owned(), b"00-1-2-01".to_vec()));
        message.headers.retain(|(name, _)| !name.starts_with("ce_"));
    }
    topic.editor().replace(&genesis, &content);
    topic.raise_doubts();
    assert_eq!(end().await, (2, 0));

    content[0][2].key = Some(b"another stream".to_vec());
    topic.editor().replace(&genesis, &content);
    topic.raise_doubts();
    assert_eq!(end().await, (1, 1));
}

/// Catches: any bytes of others are taken for those of a newer program.
#[tokio::test]
async fn what_others_put_into_the_topic_is_skipped_and_counted() {
    let topic = Topic::new().await;
    let log = topic.log();
    let mut writer = log.claim(0, |_| Ok(())).await.unwrap();
    writer.append(commit(1)).unwrap().await.unwrap();
    let empty = vec![("loyalnest-frame".to_owned(), Vec::new())];
    let strays = [
        Plain { headers: Vec::new(), key: None, value: b"hello".to_vec() },
        Plain { headers: Vec::new(), key: Some(b"key".to_vec()), value: vec![FORMAT + 1; FRAME_LEN] },
        Plain { headers: Vec::new(), key: None, value: Vec::new() },
        Plain { headers: empty, key: None, value: vec![FORMAT + 1] },
    ];
    topic.editor().write(&[strays.to_vec()]);
    writer.append(commit(2)).unwrap().await.unwrap();
    let mut reader = log.reader(0, None).unwrap();
    let mut kinds = Vec::new();
    loop {
        let batch = reader.next(10).await.unwrap();
        if batch.records.is_empty() {
            break;
        }
        kinds.extend(batch.records.iter().map(|record| record.frame.kind));
    }
    assert_eq!(kinds, [Kind::Claim, Kind::Commit, Kind::Commit]);
    assert_eq!(reader.skipped().undecodable, strays.len() as u64);
}

/// Catches: an owner that goes on behind what may be a newer program's claim.
#[tokio::test]
async fn what_a_newer_program_puts_into_the_topic_stops_the_owner() {
    let topic = Topic::new().await;
    let log = topic.log();
    let mut writer = log.claim(0, |_| Ok(())).await.unwrap();
    writer.append(commit(1)).unwrap().await.unwrap();
    let head = vec![("loyalnest-frame".to_owned(), vec![FORMAT + 1; 40])];
    topic.editor().write(&[vec![Plain { headers: head, key: None, value: b"{}".to_vec() }]]);
    let stopped = writer.append(commit(2)).unwrap().await.unwrap_err();
    assert!(matches!(stopped, Stopped::Diverged(Diverged { reason: Reason::Newer, .. })), "{stopped}");
}
