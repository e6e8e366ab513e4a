//! Owners that keep the contract, clients that retry, and every fault at once; a checker then compares what clients were
//! told with what the log says. Planted bugs prove that the checker would find them.
//!
//! Time is paused and everything runs on one thread, so a seed gives the same run again.

mod checker;
mod owner;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
    time::{sleep, timeout},
};

use self::{
    checker::check,
    owner::{Owner, OwnerBug},
};
use crate::{
    Class, Timing, chance,
    faulty::{Faulty, Plan},
    memory::Memory,
    mutation::{Mutation, plant},
};

const NODES: usize = 2;
const CLIENTS: u64 = 4;
const COMMANDS_PER_CLIENT: u64 = 12;
const RUNS: u64 = 400;
const RUNS_TO_FIND_A_BUG: u64 = 2_000;

const TIMING: Timing =
    Timing { append_timeout: Duration::from_millis(300), claim_timeout: Duration::from_secs(3) };

/// A change of the one account there is; it may not fall below zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Command {
    id: u64,
    change: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Accepted,
    Rejected,
}

/// A client that hears nothing, or that the owner went away, asks again.
struct Request {
    command: Command,
    answer: oneshot::Sender<Verdict>,
}

/// What a client knows of one command, in the order of the whole run.
#[derive(Clone, Copy, Debug)]
struct Told {
    command: Command,
    verdict: Verdict,
    invoked: u64,
    answered: u64,
}

/// What everybody in one run shares.
struct World {
    store: Memory,
    mailboxes: RefCell<Vec<Option<mpsc::UnboundedSender<Request>>>>,
    told: RefCell<Vec<Told>>,
    /// Halts of owners, none of which is justified on a log that nobody touched.
    halts: RefCell<Vec<String>>,
    clock: Cell<u64>,
    done: Cell<bool>,
    bug: Option<OwnerBug>,
}

impl World {
    fn tick(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }
}

/// One run; the violations that the checker found.
fn run(class: Class, seed: u64, bug: Option<OwnerBug>) -> Vec<String> {
    chance::seed(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let world = Rc::new(World {
            store: Memory::init(1, class),
            mailboxes: RefCell::new(vec![None; NODES]),
            told: RefCell::default(),
            halts: RefCell::default(),
            clock: Cell::new(0),
            done: Cell::new(false),
            bug,
        });
        let mut nodes = JoinSet::new();
        for node in 0..NODES {
            nodes.spawn_local(live(world.clone(), node, seed));
        }
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn_local(ask(world.clone(), client, seed));
        }
        let all_told = timeout(Duration::from_secs(600), clients.join_all()).await.is_ok();
        world.done.set(true);
        nodes.shutdown().await;
        // What is under way arrives, and is part of history or is not.
        sleep(Duration::from_secs(30)).await;
        let mut violations = check(&world).await;
        if !all_told {
            violations.push("a client was never told".to_owned());
        }
        violations
    })
}

/// A machine: its processes start, pause, die, and start again.
async fn live(world: Rc<World>, node: usize, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed * 1_000 + node as u64);
    while !world.done.get() {
        let plan = Plan {
            seed: rng.random(),
            lose_report: 10,
            lose: 10,
            delay_report: 30,
            late: 15,
            twice: 20,
            delay_max: Duration::from_millis(900),
            crash_after_steps: rng.random_bool(0.6).then(|| rng.random_range(1..200)),
        };
        let process = Faulty::new(&world.store.log(), plan);
        let pauses = tokio::task::spawn_local(pause_at_times(process.clone(), rng.random()));
        let (mailbox, requests) = mpsc::unbounded_channel();
        world.mailboxes.borrow_mut()[node] = Some(mailbox);
        Owner::new(world.clone(), process.log().with_timing(TIMING), requests, rng.random())
            .serve(&process)
            .await;
        pauses.abort();
        world.mailboxes.borrow_mut()[node] = None;
        sleep(Duration::from_millis(rng.random_range(10..500))).await;
    }
}

async fn pause_at_times(process: Faulty, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        sleep(Duration::from_millis(rng.random_range(50..2_000))).await;
        process.pause();
        sleep(Duration::from_millis(rng.random_range(10..1_500))).await;
        process.resume();
    }
}

/// Asks for one command after the other, each until it is answered, wherever somebody listens.
async fn ask(world: Rc<World>, client: u64, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed * 1_000 + 500 + client);
    for number in 0..COMMANDS_PER_CLIENT {
        let command = Command { id: client * 1_000 + number, change: rng.random_range(-6..=5) };
        let invoked = world.tick();
        let verdict = loop {
            let node = rng.random_range(0..NODES);
            let (answer, answered) = oneshot::channel();
            if let Some(mailbox) = &world.mailboxes.borrow()[node] {
                drop(mailbox.send(Request { command, answer }));
            }
            if let Ok(Ok(verdict)) = timeout(Duration::from_millis(400), answered).await {
                break verdict;
            }
            if world.done.get() {
                return;
            }
            sleep(Duration::from_millis(rng.random_range(1..100))).await;
        };
        let answered = world.tick();
        world.told.borrow_mut().push(Told { command, verdict, invoked, answered });
        sleep(Duration::from_millis(rng.random_range(0..60))).await;
    }
}

#[track_caller]
fn holds(class: Class) {
    for seed in 0..RUNS {
        let violations = run(class, seed, None);
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    }
}

/// Some seed brings the bug to light as the expected violation.
#[track_caller]
fn is_found_out(class: Class, mutations: &[Mutation], bug: Option<OwnerBug>, expected: &str) {
    let _planted = plant(mutations);
    let shows = |seed| run(class, seed, bug).iter().any(|violation| violation.contains(expected));
    assert!((0..RUNS_TO_FIND_A_BUG).any(shows), "no run showed: {expected}");
}

#[test]
fn every_answer_is_true_on_a_conditional_store() {
    holds(Class::Conditional);
}

#[test]
fn every_answer_is_true_on_an_open_store() {
    holds(Class::Open);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let _planted = plant(&[Mutation::AcknowledgeBeforeReadBack]);
    let [one, again] = [(); 2].map(|()| (0..20).map(|seed| run(Class::Open, seed, None)).collect::<Vec<_>>());
    assert_eq!(one, again);
    assert!(one.iter().any(|violations| !violations.is_empty()));
}

#[test]
fn acknowledging_before_delivery_is_found_out() {
    for class in [Class::Conditional, Class::Open] {
        is_found_out(
            class,
            &[Mutation::AcknowledgeBeforeDelivery, Mutation::AcknowledgeBeforeReadBack],
            None,
            "lost",
        );
    }
}

#[test]
fn acknowledging_before_read_back_is_found_out() {
    is_found_out(Class::Open, &[Mutation::AcknowledgeBeforeReadBack], None, "lost");
}

#[test]
fn one_writer_id_for_all_and_reading_back_by_place_is_found_out() {
    is_found_out(Class::Open, &[Mutation::ReuseWriterId, Mutation::ReadBackByPlace], None, "lost");
}

#[test]
fn serving_before_the_claim_is_read_back_is_found_out() {
    is_found_out(Class::Open, &[Mutation::ClaimWithoutReadBack], None, "halted");
}

#[test]
fn admitting_on_height_only_is_found_out() {
    is_found_out(Class::Open, &[Mutation::AdmitOnHeightOnly], None, "wrongly decided");
}

#[test]
fn a_conditional_store_without_a_fence_is_found_out() {
    is_found_out(Class::Conditional, &[Mutation::SkipFence], None, "halted");
}

#[test]
fn rejecting_without_a_record_is_found_out() {
    is_found_out(Class::Open, &[], Some(OwnerBug::RejectAtOnce), "stale");
}

#[test]
fn answering_a_duplicate_from_speculative_state_is_found_out() {
    is_found_out(Class::Open, &[], Some(OwnerBug::AnswerDuplicatesAtOnce), "lost");
}

#[test]
fn answering_a_doubt_without_a_claim_is_found_out() {
    is_found_out(Class::Open, &[], Some(OwnerBug::GuessAfterDoubt), "two answers");
}

#[test]
fn deciding_again_after_a_doubt_without_looking_is_found_out() {
    for class in [Class::Conditional, Class::Open] {
        is_found_out(class, &[], Some(OwnerBug::DecideAgainWithoutLooking), "recorded twice");
    }
}
