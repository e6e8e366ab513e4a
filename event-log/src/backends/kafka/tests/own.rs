//! Brokers of one test alone.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rdkafka::{consumer::Consumer as _, metadata::MetadataPartition};

use super::*;
use crate::conformance::PATIENCE;

/// The program that starts servers, `xtask`.
const SERVICES: &str = "LOYALNEST_TEST_SERVICES";

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}")).1;
    rest.split_once(to).unwrap().0
}

/// Brokers of this test alone; they end with it.
pub(super) struct Brokers {
    runner: Child,
    said: BufReader<ChildStdout>,
    pub(super) address: Address,
    /// What it said of itself.
    told: String,
    processes: Vec<String>,
}

impl Brokers {
    pub(super) fn start(count: u16) -> Self {
        Self::start_with(&[&count.to_string()])
    }

    /// One broker that listens with TLS and a password as well.
    pub(super) fn start_secure() -> Self {
        Self::start_with(&["1", "--secure"])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let missing = format!(
            "{SERVICES} is not set: this test needs brokers of its own. `cargo xtask test` sets it; by hand it is \
             the path of the built xtask, such as target/debug/xtask"
        );
        let program = std::env::var(SERVICES).unwrap_or_else(|_| panic!("{missing}"));
        let mut runner = Command::new(program)
            .arg("own-kafka")
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
        // {"processes":[1,2,3],"url":"kafka://…"}
        let processes = between(&line, "[", "]").split(',').map(str::to_owned).collect();
        // The last of them: before it stands what is secure.
        let url =
            line.rsplit_once("\"url\":\"").map_or_else(|| panic!("no brokers: {line}"), |(_, rest)| rest);
        let address = format!("{}/own", url.split_once('"').unwrap().0).parse().unwrap();
        Self { runner, said, address, told: line, processes }
    }

    fn folder(&self, broker: usize) -> PathBuf {
        PathBuf::from(between(&self.told, "\"folder\":\"", "\"")).join(format!("broker-{broker}"))
    }

    /// What the first broker keeps of the log's first partition.
    pub(super) fn segment(&self) -> PathBuf {
        self.folder(1).join("data").join(format!("{}-0", self.address.topic)).join("00000000000000000000.log")
    }

    /// What it said of its secure listener under this name.
    pub(super) fn secure(&self, name: &str) -> &str {
        between(between(&self.told, "\"secure\":{", "}"), &format!("\"{name}\":\""), "\"")
    }

    pub(super) fn signal(&self, broker: usize, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.processes[broker - 1]]).status().unwrap();
        assert!(status.success());
    }

    /// The number of the broker that leads the partition, once one does.
    pub(super) async fn leader(&self) -> usize {
        let (consumer, topic) =
            (Cluster::connect(&self.address).unwrap().consumer(), self.address.topic.clone());
        let deadline = Instant::now() + PATIENCE;
        let ask = move || loop {
            assert!(Instant::now() < deadline, "nobody leads the partition after {PATIENCE:?}");
            let Ok(metadata) = consumer.fetch_metadata(Some(&topic), Duration::from_secs(10)) else {
                continue;
            };
            if let Some(leader) = metadata.topics()[0].partitions().first().map(MetadataPartition::leader)
                && leader > 0
            {
                return usize::try_from(leader).unwrap();
            }
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// Ends a broker in order, so that the others do without it at once.
    pub(super) fn end(&self, broker: usize) {
        self.signal(broker, "TERM");
        let status = format!("/proc/{}/stat", self.processes[broker - 1]);
        let deadline = Instant::now() + PATIENCE;
        // Whoever started it has not looked yet.
        while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains(") Z ")) {
            assert!(Instant::now() < deadline, "broker {broker} has not ended after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// When it is started again, this broker elects controllers and keeps no log.
    pub(super) fn votes_only(&self, broker: usize) {
        let file = self.folder(broker).join("server.properties");
        let settings = std::fs::read_to_string(&file).unwrap();
        let of_brokers = ["process.roles=", "advertised.listeners=", "inter.broker.listener.name="];
        let kept = settings.lines().filter(|line| !of_brokers.iter().any(|name| line.starts_with(name)));
        let kept: Vec<String> = kept
            .map(|line| match line.split_once(",CONTROLLER://") {
                Some((_, controller)) if line.starts_with("listeners=") => {
                    format!("listeners=CONTROLLER://{controller}")
                }
                _ => line.to_owned(),
            })
            .collect();
        std::fs::write(&file, format!("process.roles=controller\n{}\n", kept.join("\n"))).unwrap();
    }

    /// Starts a broker that was killed.
    pub(super) fn restart(&mut self, broker: usize) {
        writeln!(self.runner.stdin.as_mut().unwrap(), "{broker}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        self.processes[broker - 1] = line.trim().to_owned();
        assert!(!self.processes[broker - 1].is_empty(), "the broker did not start again");
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        drop(self.runner.stdin.take());
        drop(self.runner.wait());
    }
}
