//! A Kafka or a Postgres of one test alone, which stops it and starts it again.
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde::Deserialize;

use super::process::{signal, try_signal};

/// Names the program that starts servers.
const SERVICES: &str = "LOYALNEST_TEST_SERVICES";

/// What the program says of a server.
#[derive(Deserialize)]
struct Told {
    url: String,
    processes: Vec<u32>,
    folder: PathBuf,
}

/// The server; it ends with this.
pub(crate) struct OwnServer {
    pub(crate) url: String,
    /// Where it keeps what it stores.
    pub(crate) folder: PathBuf,
    processes: Vec<u32>,
    runner: Child,
    said: BufReader<ChildStdout>,
}

impl OwnServer {
    /// A Kafka of one broker, or of three.
    pub(crate) fn kafka(brokers: u8) -> Self {
        Self::start(&["own-kafka", &brokers.to_string()])
    }

    pub(crate) fn postgres() -> Self {
        Self::start(&["own-postgres"])
    }

    fn start(arguments: &[&str]) -> Self {
        let missing = format!(
            "{SERVICES} is not set: this test needs a server of its own. `cargo xtask test` sets it; by hand it is the \
             path of the built xtask"
        );
        let program = std::env::var(SERVICES).expect(&missing);
        let mut runner = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It ends with its input; whoever interrupts the test must not end it before the servers.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(runner.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let Told { url, processes, folder } =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("no server: {error}: {line}"));
        Self { url, folder, processes, runner, said }
    }

    /// Sends a signal such as `STOP` to its only process, or to this broker.
    pub(crate) fn signal(&self, number: usize, name: &str) {
        signal(self.processes[number - 1], name);
    }

    /// Stops its first process and all that it started, until what this gives is dropped.
    pub(crate) fn stand_still(&self) -> StandingStill {
        let first = self.processes[0];
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        let children = children.split_whitespace().map(|child| child.parse().unwrap());
        // The first one first, so that it starts no more of them. Others may have ended meanwhile.
        let stopped = std::iter::once(first).chain(children).filter(|process| try_signal(*process, "STOP"));
        StandingStill(stopped.collect())
    }

    /// Starts it again, ended or not, and waits until it takes requests.
    pub(crate) fn restart(&mut self, number: usize) {
        writeln!(self.runner.stdin.as_mut().unwrap(), "{number}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        self.processes[number - 1] = line.trim().parse().expect("it did not start again");
    }
}

/// Processes that go on when this is dropped.
pub(crate) struct StandingStill(Vec<u32>);

impl Drop for StandingStill {
    fn drop(&mut self) {
        for process in self.0.iter().rev() {
            // Whoever ended in between needs no word.
            try_signal(*process, "CONT");
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        drop(self.runner.stdin.take());
        drop(self.runner.wait());
    }
}
