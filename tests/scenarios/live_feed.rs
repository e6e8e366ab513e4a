//! The live feed over the wire: what happens at a shop, without gap or repeat, whatever happens to the connection.
//!
//! Seen to catch: a place that does not move with the events handed out; `Last-Event-ID` taken as "from now on"; a
//! consumer that fell behind and is served on; no heartbeat.
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::harness::{Feed, Heard, Server, Shop, shared};

fn points(heard: &[Heard]) -> Vec<i64> {
    heard.iter().filter_map(Heard::points).collect()
}

async fn earns(shop: &Shop, customer: &str, points: std::ops::RangeInclusive<i64>) {
    for points in points {
        shop.earn(customer, points, &format!("source-{points}")).await.expect(200);
    }
}

#[tokio::test]
async fn what_is_done_is_heard_and_what_is_refused_too() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let mut feed = Feed::open(&shop, "?topics=points,redemptions", None).await;
    let elsewhere = Shop::open(shared()).await;
    elsewhere.enrol_with(999).await;
    earns(&shop, &customer, 5..=5).await;
    shop.redeem(&customer, 4_000).await.problem(409, "insufficient-points");
    let earned = feed.moves(1).await.remove(0);
    let Heard::Event { name, data, .. } = &earned else { panic!("{earned:?}") };
    assert_eq!((name.as_str(), &data["outcome"]), ("points", &Value::from("accepted")), "{data}");
    assert_eq!((earned.points(), data["customer_id"].as_str()), (Some(5), Some(customer.as_str())), "{data}");
    let refused = loop {
        match feed.next().await {
            Heard::Event { data, .. } if data["outcome"] == "rejected" => break data,
            Heard::End => panic!("the feed ended before the refusal"),
            other => assert_eq!(other.points(), None, "{other:?}"),
        }
    };
    assert_eq!(refused["reason"], "insufficient-points", "{refused}");
}

#[tokio::test]
async fn whoever_resumes_after_a_crash_hears_each_event_once_and_in_order() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let customer = shop.enrol().await;
    let mut feed = Feed::open(&shop, "", None).await;
    earns(&shop, &customer, 1..=20).await;
    let before = feed.moves(20).await;
    assert_eq!(points(&before), Vec::from_iter(1..=20));

    let server = Server::start_on(&server.kill(), &[]);
    while feed.next().await != Heard::End {}
    let shop = shop.at(&server);
    earns(&shop, &customer, 21..=40).await;
    for left_after in [3, 19, 20] {
        let mut feed = Feed::open(&shop, "", Some(before[left_after - 1].id())).await;
        let missed = feed.moves(40 - left_after).await;
        let first = i64::try_from(left_after).unwrap() + 1;
        assert_eq!(points(&missed), Vec::from_iter(first..=40), "left after {left_after}");
    }
}

#[tokio::test]
async fn an_orderly_stop_ends_the_feed_and_its_last_id_is_good_at_the_next_server() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let customer = shop.enrol().await;
    let mut feed = Feed::open(&shop, "?topics=points", None).await;
    earns(&shop, &customer, 1..=3).await;
    let heard = feed.moves(3).await;
    let (status, folder) = server.end_by("TERM");
    assert!(status.success(), "an open feed held the server up: {status}");
    assert_eq!(feed.next().await, Heard::End);
    let server = Server::start_on(&folder, &[]);
    let shop = shop.at(&server);
    let mut feed = Feed::open(&shop, "?topics=points", Some(heard[2].id())).await;
    earns(&shop, &customer, 4..=4).await;
    assert_eq!(points(&feed.moves(1).await), [4]);
}

#[tokio::test]
async fn a_quiet_feed_has_a_heartbeat() {
    let shop = Shop::open(shared()).await;
    let mut feed = Feed::open(&shop, "?topics=settings", None).await;
    assert_eq!(feed.next().await, Heard::Heartbeat);
}

/// Bytes that are on their way to a consumer lie in the machine's buffers, so it must fall far behind to be slow.
const FAR_BEHIND: usize = 9_000;
/// Clients that act at once.
const CLIENTS: usize = 12;

/// A connection that holds little of what it does not read.
async fn slow_consumer(shop: &Shop) -> TcpStream {
    let address = shop.door.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(address.parse().unwrap()).await.unwrap().into_std().unwrap();
    slow.set_nonblocking(false).unwrap();
    let token = &shop.token;
    write!(slow, "GET /v1/api/live HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
        .unwrap();
    slow
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_falls_behind_is_told_to_read_anew_and_let_go() {
    let server = Server::start();
    let shop = Shop::open(&server).await.unthrottled().await;
    let mut slow = slow_consumer(&shop).await;
    slow.read_exact(&mut [0; 1]).unwrap();

    let clients = (0..CLIENTS).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move {
            let customer = shop.enrol().await;
            for number in 0..FAR_BEHIND / CLIENTS {
                shop.earn(&customer, 1, &format!("source-{number}")).await.expect(200);
            }
        })
    });
    for client in Vec::from_iter(clients) {
        client.await.unwrap();
    }
    shop.door.until_idle().await;
    let mut told = Vec::new();
    // It fails if nothing comes for so long, which is another end than that of the connection.
    let ended =
        slow.set_read_timeout(Some(Duration::from_secs(60))).and_then(|()| slow.read_to_end(&mut told));
    let told = String::from_utf8_lossy(&told);
    let last = told.rsplit("event: ").next().unwrap_or_default();
    assert!(ended.is_ok(), "it is still served: …{last}");
    let heard = told.matches("points-earned").count();
    assert!(last.starts_with("resync") && last.contains("too-slow"), "{heard} events, then …{last}");
    assert!(heard < FAR_BEHIND, "all {heard} events were heard");
    // Another consumer was not held up by it.
    let mut feed = Feed::open(&shop, "?topics=points", None).await;
    let customer = shop.enrol_with(7).await;
    assert_eq!(points(&feed.moves(1).await), [7], "{customer}");
}
