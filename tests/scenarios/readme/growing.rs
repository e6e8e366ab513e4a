//! "Grow" of the README and the commands of `docs/events.md`, line by line as they are written there, on the servers of
//! the tests.
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use postgres_store::testing::TestDatabase;
use serde_json::Value;
use uuid::Uuid;

use super::{Piece, pieces};
use crate::harness::{EXECUTABLE, Folder, PATIENCE, Spoken, shell};

/// What a line says that starts a server only to see that it starts.
const ENDED: &str = "# Ctrl-C ends it";

/// What a reader has open: the lines exported so far hold for those that follow.
struct Terminal {
    folder: Folder,
    /// What the reader fills in.
    given: [(&'static str, String); 3],
    /// What is written, and what stands for it here: names and addresses that others may have already.
    ours: Vec<(String, String)>,
    exports: String,
}

/// What a section came to.
#[derive(Default)]
struct Came {
    /// Servers that were not ended.
    servers: Vec<Spoken>,
    /// What the other lines printed, each with its line.
    printed: Vec<(String, String)>,
}

impl Terminal {
    /// The same terminal before anything was exported.
    fn anew(&mut self) -> &mut Self {
        self.exports.clear();
        self
    }

    /// Every line of the section, one after the other.
    fn follow(&mut self, document: &str, heading: &str) -> Came {
        let mut came = Came::default();
        for piece in pieces(document, heading) {
            let Piece::Command(line) = piece else { panic!("{piece:?}") };
            if line.starts_with("export ") {
                self.exports += &format!("{}\n", self.own(&line));
            } else if line.starts_with("cargo run --features ") {
                came.servers.extend(self.serve(&line));
            } else {
                let printed = self.printed(&line);
                came.printed.push((line, printed));
            }
        }
        came
    }

    fn own(&self, line: &str) -> String {
        let ours = self.ours.iter();
        let line = ours.fold(line.to_owned(), |line, (written, ours)| line.replace(written, ours));
        match line.strip_prefix("cargo run ").and_then(|cargo| cargo.split_once(" -- ")) {
            Some((_, arguments)) => format!("exec '{EXECUTABLE}' {arguments}"),
            None => line,
        }
    }

    /// Starts the server of a line; if the line says so, does what it prints and ends it.
    fn serve(&mut self, line: &str) -> Option<Spoken> {
        let port = line.split(" --port ").nth(1).and_then(|rest| rest.split(' ').next());
        let line = port.map_or_else(|| line.to_owned(), |port| line.replace(port, "0"));
        let server = Spoken::of(&self.folder, self.shell(&line));
        if let Some(port) = port {
            self.ours.push((format!("http://127.0.0.1:{port}"), server.url.clone()));
        }
        if !line.contains(ENDED) {
            return Some(server);
        }
        let [earn, balance] = calls(&server).map(|call| self.answer(&call));
        assert!(earn["points"] == 50 && balance["available"].as_i64() >= Some(50), "{earn} {balance}");
        assert!(server.end_by("INT").success());
        None
    }

    fn answer(&self, call: &str) -> Value {
        let answer = self.printed(call);
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn printed(&self, line: &str) -> String {
        let output = self.shell(line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn shell(&self, line: &str) -> std::process::Command {
        let mut environment: Vec<(&str, &str)> =
            self.given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.push(("LOYALNEST_PORT", "0"));
        shell(&self.folder, &format!("{}{}", self.exports, self.own(line)), &environment)
    }

    fn has(&self, file: &str) -> bool {
        self.folder.root().join(file).exists()
    }
}

/// Events with points, a line each.
fn moved(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The calls that a server printed: the one that earns, and the one that shows the balance.
fn calls(server: &Spoken) -> [String; 2] {
    let said = server.printed();
    let calls: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    let [earn, balance] = calls[..] else { panic!("two calls in {said}") };
    [earn, balance].map(str::to_owned)
}

/// Asks until the answer is as it must be.
fn until(what: &str, ask: impl Fn() -> Value, holds: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if holds(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {answer}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn growing_works_as_it_is_written() {
    let [everything, stores] = [TestDatabase::create(), TestDatabase::create()];
    let broker = event_log::kafka::testing::broker();
    let [topic, nodes] = ["grow", "nodes"].map(|name| format!("{name}-{}", Uuid::new_v4().simple()));
    let ours = [
        ("--log \"$KAFKA\"", format!("--log \"$KAFKA/{topic}\"")),
        ("-t loyalnest ", format!("-t {topic} ")),
        ("$KAFKA/nodes", format!("$KAFKA/{nodes}")),
        ("localhost:9092", broker.trim_start_matches("kafka://").to_owned()),
    ];
    let mut terminal = Terminal {
        folder: Folder::new(),
        given: [("DATABASE", everything.url()), ("KAFKA", broker), ("STORES", stores.url())],
        ours: ours.map(|(written, ours)| (written.to_owned(), ours)).to_vec(),
        exports: String::new(),
    };

    let Came { printed, .. } = terminal.follow("README.md", "## Grow: Postgres");
    let [(_, verified), (_, rows)] = &printed[..] else { panic!("{printed:?}") };
    assert!(verified.contains("Sound") && rows.contains("(3 rows)"), "{verified}\n{rows}");
    let left = ["log.db", "keys.db", "work.db", "read.db"]
        .map(|file| terminal.has(&format!("data-postgres/{file}")));
    assert!(terminal.has("data-postgres/snap.db") && left == [false; 4], "{left:?}");

    let Came { printed, servers } = terminal.anew().follow("README.md", "## Grow: Kafka");
    let [(_, verified), (_, events), (list, _)] = &printed[..] else { panic!("{printed:?}") };
    assert!(verified.contains("Sound"), "{verified}");
    let earned = moved(events);
    assert!(earned.len() > 100 && earned.iter().any(|event| event["points"] == 50), "{events}");
    grown(&terminal, &servers, list);
    drop(servers);

    let Came { printed, .. } = terminal.anew().follow("docs/events.md", "# Reading the log on Kafka");
    let [(_, values), (_, headers)] = &printed[..] else { panic!("{printed:?}") };
    assert_eq!(&moved(values), &earned);
    assert!(headers.lines().count() >= earned.len(), "{headers}");
    assert!(headers.lines().all(|line| line.contains("ce_specversion=1.0")), "{headers}");
}

/// Three nodes know each other and share the partitions, and any of them takes a command for any account.
fn grown(terminal: &Terminal, servers: &[Spoken], list: &str) {
    let [a, b, c] = servers else { panic!("{} servers", servers.len()) };
    let share = |listed: &Value| {
        let [nodes, partitions] = ["nodes", "partitions"].map(|part| listed[part].as_array().unwrap());
        let owned = |url: &str| partitions.iter().any(|partition| partition["owner"] == url);
        nodes.iter().map(|node| &node["name"]).eq(["a", "b", "c"]) && owned(&a.url) && owned(&b.url)
    };
    until("three nodes share the partitions", || terminal.answer(list), share);
    let [earn, balance] = calls(a);
    let (earn, balance) = (earn.replace(&a.url, &b.url), balance.replace(&a.url, &c.url));
    // A partition may still be between two owners.
    until("b takes a command", || terminal.answer(&earn), |earned| earned["points"] == 50);
    until("c has folded it", || terminal.answer(&balance), |seen| seen["available"].as_i64() >= Some(50));
}
