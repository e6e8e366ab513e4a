//! Brokers that are killed, paused and restarted under writers and readers.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::{
    super::settings::{Copies, values},
    history::{at_end, resumed, stopped},
    own::Brokers,
    *,
};
use crate::{
    Reason, Timing, Writer,
    conformance::{commit, numbers_of, within},
    kafka::{Announced, Owners},
    mutation::{Mutation, plant},
};

const TIMING: Timing =
    Timing { append_timeout: Duration::from_secs(3), claim_timeout: Duration::from_secs(120) };

/// An owner under load as the contract has it: what is in doubt it looks for after the next claim, and decides again only
/// what is not there. A number per command.
struct Owner {
    log: Log,
    writer: Option<Writer>,
    /// Of commands that were answered, in order.
    answered: Vec<u32>,
    doubts: u32,
}

impl Owner {
    fn new(log: &Log) -> Self {
        Self { log: log.clone().with_timing(TIMING), writer: None, answered: Vec::new(), doubts: 0 }
    }

    /// Claims until it may, and answers what it finds.
    async fn claim(&mut self) {
        self.writer = None;
        let claims = async {
            loop {
                let mut found = Vec::new();
                let claimed = self.log.claim(0, |record| {
                    found.push(record.clone());
                    Ok(())
                });
                match claimed.await {
                    Ok(writer) => return (writer, numbers_of(&found)),
                    Err(Error::Storage(_) | Error::ClaimTimedOut { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let (writer, answered) = within("a claim", claims).await;
        (self.writer, self.answered) = (Some(writer), answered);
    }

    /// Works until so many more commands were answered; each once.
    async fn work(&mut self, commands: usize) {
        let until = self.answered.len() + commands;
        within(&format!("{until} answers"), self.work_until(until)).await;
    }

    async fn work_until(&mut self, commands: usize) {
        while self.answered.len() < commands {
            if self.writer.is_none() {
                self.claim().await;
            }
            let first = self.answered.last().map_or(0, |last| last + 1);
            let Some(writer) = &mut self.writer else { continue };
            let sent: Vec<_> =
                (first..first + 8).map(|number| (number, writer.append(commit(number)))).collect();
            let mut is_in_doubt = false;
            for (number, pending) in sent {
                let is_answered = match pending {
                    Ok(pending) => pending.await.is_ok(),
                    Err(_) => false,
                };
                if is_answered {
                    self.answered.push(number);
                } else {
                    is_in_doubt = true;
                }
            }
            if is_in_doubt {
                self.doubts += 1;
                self.resolve().await;
            }
        }
    }

    /// Claims anew; whatever was answered must be found.
    async fn resolve(&mut self) {
        let answered = self.answered.clone();
        self.claim().await;
        assert!(self.answered.starts_with(&answered), "lost: {:?} of {answered:?}", self.answered);
    }
}

/// Follows the log until it has seen this number; trouble passes, another history does not.
fn follow(log: &Log, last: u32) -> JoinHandle<Vec<u32>> {
    let mut reader = log.reader(0, None).unwrap();
    let reads = async move {
        let mut seen = Vec::new();
        while seen.last() < Some(&last) {
            match reader.next(100).await {
                Ok(batch) if batch.records.is_empty() => drop(reader.changed().await),
                Ok(batch) => seen.extend(numbers_of(&batch.records)),
                Err(Error::Storage(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        seen
    };
    tokio::spawn(async move { within(&format!("command {last} read"), reads).await })
}

/// Nothing answered is lost or doubled, and whoever read all the time saw the same.
async fn compared(log: &Log, owner: &Owner, followed: JoinHandle<Vec<u32>>) {
    let straight = follow(log, *owner.answered.last().unwrap()).await.unwrap();
    let followed = followed.await.unwrap();
    let answered = &owner.answered;
    assert!(answered.iter().copied().eq(0..u32::try_from(answered.len()).unwrap()), "{answered:?}");
    assert!(straight.starts_with(answered), "{straight:?}");
    assert!(answered.starts_with(&followed), "{followed:?}");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// With answers given on the sending, not on the report and the reading back, this was seen to lose some. With nothing told
/// again, the owner that was announced to nobody stayed unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_or_paused_under_load_loses_no_answer_and_stops_no_reader() {
    let mut brokers = Brokers::start(1);
    let log = init(&brokers.address, 1, None).await.unwrap();
    let mut owner = Owner::new(&log);
    let followed = follow(&log, 500);
    owner.work(100).await;

    let owners = Owners::open(&brokers.address, log.id()).await.unwrap();
    let announced = Announced { term: 1, place: "http://a".to_owned() };
    brokers.signal(1, "KILL");
    owners.announce(0, &announced);
    until("word that nobody took the announcement", || owners.is_missed()).await;
    let restarted = tokio::task::spawn_blocking(move || {
        brokers.restart(1);
        brokers
    });
    owner.work(100).await;
    let brokers = restarted.await.unwrap();
    assert!(owner.doubts > 0, "nothing was in doubt, so nothing was tried");
    let hears = Owners::open(&brokers.address, log.id()).await.unwrap();
    until("the owner that was announced to nobody", || hears.of(0).as_ref() == Some(&announced)).await;

    brokers.signal(1, "STOP");
    let doubts = owner.doubts;
    let Some(writer) = &mut owner.writer else { panic!("it works") };
    let paused = writer.append(commit(owner.answered.len() as u32)).unwrap().await;
    assert!(paused.is_err(), "a broker that stands still answered");
    brokers.signal(1, "CONT");
    owner.resolve().await;
    owner.work(320).await;
    // A busy machine may have given it another reason.
    assert!(owner.doubts <= doubts + 2, "it did not go on by itself");
    compared(&log, &owner, followed).await;
}

/// The bug tried in the test before is found by the same comparison. In the end a broker leads that was not in sync, which
/// only a topic allows whose settings were changed behind the owner's back. What a reader does that does not look again is
/// planted in the test below. With no copies asked for, the topic of the owners was on one broker, which is Kafka's default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_leader_is_replaced_and_one_that_was_not_in_sync_stops_everybody() {
    let mut brokers = Brokers::start(3);
    let log = init(&brokers.address, 1, None).await.unwrap();
    drop(Owners::open(&brokers.address, log.id()).await.unwrap());
    let owners = Address { topic: format!("{}.owners", brokers.address.topic), ..brokers.address.clone() };
    assert_eq!(Cluster::connect(&owners).unwrap().look().await.unwrap().topic.unwrap().replicas, 3);
    let mut owner = Owner::new(&log);
    let followed = follow(&log, 180);
    owner.work(50).await;
    let dead = brokers.leader().await;
    brokers.signal(dead, "KILL");
    owner.work(50).await;
    assert!(owner.doubts > 0, "nothing was in doubt, so nothing was tried");

    let leader = brokers.leader().await;
    let other = (1..=3).find(|broker| ![dead, leader].contains(broker)).unwrap();
    brokers.signal(other, "KILL");
    let next = u32::try_from(owner.answered.len()).unwrap();
    let Some(writer) = &mut owner.writer else { panic!("it works") };
    assert!(writer.append(commit(next)).unwrap().await.is_err(), "one broker has it, and it was answered");
    let read = follow(&log, *owner.answered.last().unwrap()).await.unwrap();
    assert!(read.starts_with(&owner.answered), "what was answered can be read all the time");

    let brokers = tokio::task::spawn_blocking(move || {
        brokers.restart(dead);
        brokers.restart(other);
        brokers
    });
    owner.resolve().await;
    owner.work(100).await;
    compared(&log, &owner, followed).await;

    let brokers = brokers.await.unwrap();
    allow_what_loses_records(&brokers.address).await;
    let (brokers, leader) = alone(brokers).await;
    owner.work(16).await;
    let running = at_end(&log).await;
    let checkpoint = running.checkpoint();
    let brokers = overthrown(brokers, leader).await;
    assert_eq!(stopped(running).await, Reason::LastReadGone);
    assert_eq!(resumed(&log, checkpoint).await, Reason::LastReadGone);
    is_told(&mut owner).await;
    drop(brokers);
}

/// Whoever is alive may lead, and a record counts wherever it is.
async fn allow_what_loses_records(address: &Address) {
    let values = values(Copies::of(3));
    let changed = values.iter().map(|(name, value)| match *name {
        "unclean.leader.election.enable" => (*name, "true"),
        "min.insync.replicas" => (*name, "1"),
        _ => (*name, value.as_str()),
    });
    testing::change(address, &changed.collect::<Vec<_>>()).await.unwrap();
}

/// Only the leader has the log from now on. Of the others one is away; the other one has a vote and nothing else.
async fn alone(mut brokers: Brokers) -> (Brokers, usize) {
    let leader = brokers.leader().await;
    let ended = move || {
        let voter = leader % 3 + 1;
        brokers.end(voter);
        brokers.votes_only(voter);
        brokers.restart(voter);
        brokers.end(voter % 3 + 1);
        brokers
    };
    (tokio::task::spawn_blocking(ended).await.unwrap(), leader)
}

/// The only broker that has the last records dies, and one without them comes back.
async fn overthrown(mut brokers: Brokers, leader: usize) -> Brokers {
    let back = (leader % 3 + 1) % 3 + 1;
    brokers.signal(leader, "KILL");
    let restarted = move || {
        brokers.restart(back);
        brokers
    };
    tokio::task::spawn_blocking(restarted).await.unwrap()
}

/// Into a log that shrank an owner answers nothing, and claims nothing in it.
async fn is_told(owner: &mut Owner) {
    let Some(mut writer) = owner.writer.take() else { panic!("it works") };
    let covering = writer.covering();
    if let Ok(pending) = writer.append(commit(9_999)) {
        assert!(pending.await.is_err(), "an answer into a log that shrank");
    }
    let claims = async {
        loop {
            match owner.log.claim_from(0, covering.clone(), |_| Ok(())).await.map(drop) {
                Err(Error::Storage(_) | Error::ClaimTimedOut { .. }) => {}
                claimed => return claimed,
            }
        }
    };
    let claimed = within("word of the log that shrank", claims).await;
    assert!(matches!(claimed, Err(Error::Diverged(_))), "{claimed:?}");
}

/// The power fails before the system has written down what the broker confirmed; it comes back without the last records.
fn cut_power(mut brokers: Brokers, length: u64) -> Brokers {
    brokers.signal(1, "KILL");
    std::fs::File::options().write(true).open(brokers.segment()).unwrap().set_len(length).unwrap();
    brokers.restart(1);
    brokers
}

/// Offsets that were given out are given out again.
#[tokio::test]
async fn a_leader_without_the_last_records_stops_its_owner_and_running_and_resuming_readers() {
    let brokers = Brokers::start(1);
    let log = init(&brokers.address, 1, None).await.unwrap();
    let mut owner = Owner::new(&log);
    owner.work(16).await;
    // Nothing is under way, and somebody slow may have had to decide again.
    let (kept, kept_numbers) = (brokers.segment().metadata().unwrap().len(), owner.answered.clone());
    let older = at_end(&log).await.checkpoint();
    owner.work(16).await;
    let (running, mut careless) = (at_end(&log).await, at_end(&log).await);
    let checkpoint = running.checkpoint();
    let brokers = cut_power(brokers, kept);

    let planted = plant(&[Mutation::SkipRecheck]);
    within("a reader that does not look again and goes on", async {
        loop {
            match careless.next(100).await {
                Ok(_) => return,
                Err(Error::Storage(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    drop(planted);

    assert_eq!(stopped(running).await, Reason::LastReadGone);
    assert_eq!(resumed(&log, checkpoint).await, Reason::LastReadGone);
    is_told(&mut owner).await;
    // What the log still has is a history of its own, from which whoever remembers no more can go on.
    let log = open(&brokers.address, None).await.unwrap();
    assert_eq!(log.contradicts(&older).await.unwrap(), None);
    let mut owner = Owner::new(&log);
    owner.claim().await;
    assert_eq!(owner.answered, kept_numbers);
    owner.work(32).await;
}
