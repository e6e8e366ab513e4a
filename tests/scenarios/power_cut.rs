//! A power cut at any instant: what was answered outlasts a disk that forgets every write since a file's last sync.
//!
//! The server runs under load with its calls traced. From the trace the files are built as a cut could have left them:
//! unsynced writes lost, torn or out of order, unsynced names lost. A server on these files must then keep what was
//! answered before that instant, by the checks of the crash campaign.
use std::{
    panic::AssertUnwindSafe,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use futures::FutureExt as _;
use rand::Rng as _;

use super::crash::{Campaign, Journal};
use crate::harness::{Disk, Door, Event, Folder, Loss, PATIENCE, Seed, Server, events};

/// Cuts of one recording.
const CUTS: usize = 12;
/// How long the recorded server is under load.
const LOAD: Duration = Duration::from_millis(1_200);
/// How many of the newest answers are asked for again one by one after a cut; the balances cover all of them.
const NEWEST: usize = 25;

/// A server's life under load: what it did to its files, and what it answered when.
struct Recording {
    events: Vec<Event>,
    campaign: Campaign,
    journal: Journal,
    /// The first answers were there, so that every later cut must keep them.
    begun_us: u64,
}

impl Recording {
    async fn make(seed: &mut Seed, load: Duration, environment: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let trace = folder.root().join("trace");
        let server = Server::traced(&folder, environment, &trace);
        let campaign = Campaign::begin(&server).await;
        let begun_us = micros(SystemTime::now());
        let clients = campaign.load(&server, seed);
        // How long there is load is a size, not a wait for something.
        tokio::time::sleep(load).await;
        let process = server.id();
        drop(server.kill());
        let journal = Journal::of(clients).await;
        until_written(&trace, process);
        let events = events(&trace, &folder.data().canonicalize().unwrap());
        Self { events, campaign, journal, begun_us }
    }

    /// The files as a cut before this event could leave them.
    fn image(&self, before: usize, loss: Loss, seed: &mut Seed) -> Folder {
        let (mut disk, folder) = (Disk::default(), Folder::new());
        self.events[..before].iter().for_each(|event| disk.apply(&event.what));
        std::fs::create_dir(folder.data()).unwrap();
        disk.after_power_cut(loss, &mut seed.rng, &folder.data());
        folder
    }

    /// Any event after the first answers.
    fn any_event(&self, seed: &mut Seed) -> usize {
        let first = self.events.partition_point(|event| event.at_us <= self.begun_us);
        seed.rng.random_range(first..self.events.len())
    }

    /// Cuts before this event, starts a server on what is left, and gives what is wrong with it.
    async fn cut(&self, before: usize, loss: Loss, seed: &mut Seed) -> Vec<String> {
        let folder = self.image(before, loss, seed);
        let server = match Server::try_start_on(&folder) {
            Ok(server) => server,
            Err(refused) => return vec![refused],
        };
        let (known, open) = self.until(self.events[before].at_us);
        let mut campaign = self.campaign.clone();
        [&known, &open].into_iter().for_each(|journal| campaign.note(journal));
        campaign.note_placed(&known);
        campaign.journal = known;
        let verified = AssertUnwindSafe(campaign.verify(&server, open, seed)).catch_unwind();
        tokio::select! {
            verified = verified => match verified {
                Ok(()) => campaign.violations,
                Err(_) => vec!["a check met an answer that it could not even read".to_owned()],
            },
            sick = until_sick(&server) => vec![sick],
        }
    }

    /// The journal as it stood then: what was answered long before, and what is looked at one by one.
    fn until(&self, cut_us: u64) -> (Journal, Journal) {
        let Journal { mut placed, mut sent } = self.journal.clone();
        placed.retain(|placed| micros(placed.sent_at) < cut_us);
        sent.retain(|sent| micros(sent.sent_at) < cut_us);
        for placed in &mut placed {
            placed.answered = placed.answered.filter(|at| micros(*at) < cut_us);
        }
        for sent in &mut sent {
            sent.answered = sent.answered.filter(|at| micros(*at) < cut_us);
            sent.answer = sent.answer.take().filter(|_| sent.answered.is_some());
        }
        // Absent sorts before present, and what is unanswered must be sent again: newest last.
        placed.sort_by_key(|placed| (placed.answered.is_none(), placed.answered));
        sent.sort_by_key(|sent| (sent.answered.is_none(), sent.answered));
        let answered = |all: usize, open: usize| all.saturating_sub(open + NEWEST);
        let open_placed = placed.iter().filter(|placed| placed.answered.is_none()).count();
        let open_sent = sent.iter().filter(|sent| sent.answered.is_none()).count();
        let open = Journal {
            placed: placed.split_off(answered(placed.len(), open_placed)),
            sent: sent.split_off(answered(sent.len(), open_sent)),
        };
        (Journal { placed, sent }, open)
    }
}

/// A server that has lost history says so, and would never come to an end with its work.
async fn until_sick(server: &Server) -> String {
    let door = Door::at(&server.ready.url, &server.ready.operator_token);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = door.get("/healthz").await;
        if health.status != 200 {
            return health.text;
        }
        assert!(Instant::now() < deadline, "it says nothing of what it lost: {}", health.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

/// The tracer outlives the process by a moment, and its last line is the process's end.
fn until_written(trace: &Path, process: u32) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read(trace).unwrap();
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned();
        let is_end = |line: &str| line.starts_with(&process.to_string()) && line.contains("+++ killed");
        if tail.lines().any(is_end) {
            return;
        }
        assert!(Instant::now() < deadline, "the trace does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn cuts() -> usize {
    let given = std::env::var("LOYALNEST_POWER_CUTS").ok();
    given.map_or(CUTS, |text| text.parse().expect("LOYALNEST_POWER_CUTS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlasts_a_power_cut_at_any_instant() {
    let (mut seed, cuts) = (Seed::new(), cuts());
    let losses = [Loss::Everything, Loss::Tails, Loss::Scattered];
    let (mut done, mut load) = (0, LOAD);
    while done < cuts {
        let recording = Recording::make(&mut seed, load, &[]).await;
        for loss in losses.into_iter().cycle().take((cuts - done).min(CUTS)) {
            let before = recording.any_event(&mut seed);
            let violations = recording.cut(before, loss, &mut seed).await;
            assert!(violations.is_empty(), "{loss:?} before event {before}: {violations:#?}");
            done += 1;
        }
        println!("{done} power cuts survived, {} calls in the last recording", recording.events.len());
        // Long enough for checkpoints, which move pages from the write-ahead logs into the files.
        load = if load == LOAD { LOAD * 5 } else { LOAD };
    }
}

/// Nothing was answered yet, so the start may find less or more, but it must be a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_during_the_first_start_leaves_what_can_be_started() {
    let mut seed = Seed::new();
    let recording = Recording::make(&mut seed, Duration::ZERO, &[]).await;
    for loss in [Loss::Everything, Loss::Tails, Loss::Scattered, Loss::Tails] {
        let before = seed.rng.random_range(1..recording.events.len());
        let folder = recording.image(before, loss, &mut seed);
        let started = Server::try_start_on(&folder);
        assert!(started.is_ok(), "{loss:?} before event {before}: {:?}", started.err());
    }
}

/// The same checks must catch a store that never syncs, or they prove nothing. They see nothing wrong with what a kill
/// at the same instant leaves.
#[cfg(feature = "planted-bugs")]
async fn is_caught(store: &str) {
    let mut seed = Seed::new();
    let bug = format!("synchronous-off:{store}");
    let recording = Recording::make(&mut seed, LOAD, &[("LOYALNEST_PLANTED_BUG", &bug)]).await;
    for _ in 0..CUTS {
        let before = recording.any_event(&mut seed);
        if !recording.cut(before, Loss::Everything, &mut seed).await.is_empty() {
            let after_kill = recording.cut(before, Loss::Nothing, &mut seed).await;
            assert!(after_kill.is_empty(), "{after_kill:#?}");
            return;
        }
    }
    panic!("{store}.db was never synced, and no power cut showed it");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_never_syncs_is_caught() {
    is_caught("log").await;
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_store_that_never_syncs_is_caught() {
    is_caught("keys").await;
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_that_never_syncs_is_caught() {
    is_caught("work").await;
}

/// Why `kill -9` is not enough of a test: the system keeps what the process wrote.
#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_alone_does_not_show_a_missing_sync() {
    let while_loaded = [("LOYALNEST_PLANTED_BUG", "synchronous-off:log")];
    let violations = super::crash::campaign(&Folder::new(), &mut Seed::new(), 3, &while_loaded).await;
    assert!(violations.is_empty(), "{violations:#?}");
}
