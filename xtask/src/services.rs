//! Real servers that measurements and tests need, each in a temporary folder on a free port: `cargo xtask services`.
mod kafka;
mod ports;
mod postgres;

use std::{
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// One line of the registry.
pub(crate) struct Service {
    /// Its name, and its file's.
    name: &'static str,
    /// Starts it in this folder, which is empty and its own.
    start: fn(&Path) -> anyhow::Result<Started>,
    /// What asks it to end, whoever is still connected.
    end_signal: &'static str,
}

/// Every service, one line each.
const SERVICES: &[Service] = &[
    Service { name: POSTGRES, start: postgres::start, end_signal: "INT" },
    // What brokers keep is thrown away with them, so they need not end in order.
    Service { name: KAFKA, start: kafka::one, end_signal: "KILL" },
    Service { name: KAFKA_OF_THREE, start: kafka::three, end_signal: "KILL" },
];

/// A Postgres of its own.
pub(crate) const POSTGRES: &str = "postgres";
/// A Kafka of one broker.
pub(crate) const KAFKA: &str = "kafka";
/// A Kafka of three brokers.
pub(crate) const KAFKA_OF_THREE: &str = "kafka-of-three";

/// A server that was started.
pub(crate) struct Started {
    /// Its processes.
    processes: Vec<u32>,
    /// Where it listens.
    url: String,
}

/// A server that runs, as `up` notes it for `down`.
#[derive(Serialize, Deserialize)]
struct Running {
    processes: Vec<Process>,
    folder: PathBuf,
    url: String,
}

/// A process of it.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Process {
    id: u32,
    /// When it began, so that another one with its number is left alone.
    began: u64,
}

/// How long a server may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);

/// Starts of these what does not run yet, and says where everything listens.
pub(crate) fn up(names: &[&str]) -> anyhow::Result<()> {
    for service in SERVICES.iter().filter(|service| names.contains(&service.name)) {
        let running = match service.running()? {
            Some(running) => running,
            None => service.start()?,
        };
        println!("{}: {}", service.name, running.url);
    }
    Ok(())
}

/// Ends what runs, and removes what it stored.
pub(crate) fn down() -> anyhow::Result<()> {
    SERVICES.iter().try_for_each(Service::end)
}

/// A service for as long as this lives; one that ran before goes on.
pub(crate) struct Lease {
    pub(crate) url: String,
    guard: Option<Child>,
}

impl Lease {
    /// The service with this name.
    pub(crate) fn of(name: &str) -> anyhow::Result<Self> {
        let service = Service::named(name)?;
        if let Some(running) = service.running()? {
            return Ok(Self { url: running.url, guard: None });
        }
        // It waits for the end of its input, which comes however this program ends.
        let guard = Command::new(std::env::current_exe()?)
            .args(["end-service", name])
            .stdin(Stdio::piped())
            // A Ctrl-C is not meant for it.
            .process_group(0)
            .spawn()
            .context("could not start what ends the service")?;
        let mut lease = Self { url: String::new(), guard: Some(guard) };
        lease.url = service.start()?.url;
        Ok(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            // It says by itself what went wrong.
            drop(guard.wait());
        }
    }
}

/// Names this program to tests that need servers of their own.
const THIS_PROGRAM: &str = "LOYALNEST_TEST_SERVICES";

/// The servers that tests work on, and the variables that name them to tests.
pub(crate) struct Servers {
    leases: [(&'static str, Lease); 2],
    this_program: PathBuf,
}

impl Servers {
    pub(crate) fn lease() -> anyhow::Result<Self> {
        println!("── servers");
        // A build may put another program in its place later.
        let this_program = std::env::current_exe()?;
        let postgres = Lease::of(POSTGRES).context("tests need a Postgres")?;
        let kafka = Lease::of(KAFKA).context("tests need a Kafka")?;
        let leases = [("LOYALNEST_TEST_POSTGRES", postgres), ("LOYALNEST_TEST_KAFKA", kafka)];
        Ok(Self { leases, this_program })
    }

    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let urls = self.leases.iter().map(|(variable, lease)| (*variable, lease.url.clone()));
        urls.chain([(THIS_PROGRAM, self.this_program.display().to_string())]).collect()
    }
}

/// Brokers of its own for whoever started this.
pub(crate) fn own_kafka(brokers: u8, secure: bool) -> anyhow::Result<()> {
    kafka::own(brokers.into(), secure)
}

/// A Postgres of its own for whoever started this.
pub(crate) fn own_postgres() -> anyhow::Result<()> {
    postgres::own()
}

/// Ends a service when whoever leased it is gone.
pub(crate) fn end_after_input(name: &str) -> anyhow::Result<()> {
    let service = Service::named(name)?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    service.end().with_context(|| format!("{name} did not end; `cargo xtask services down` tries again"))
}

impl Service {
    fn named(name: &str) -> anyhow::Result<&'static Self> {
        SERVICES.iter().find(|service| service.name == name).context("there is no such service")
    }

    /// The server, if it runs.
    fn running(&self) -> anyhow::Result<Option<Running>> {
        let noted = self.noted()?;
        Ok(noted.filter(|running| running.processes.iter().all(Process::lives)))
    }

    fn noted(&self) -> anyhow::Result<Option<Running>> {
        match fs::read_to_string(self.note()?) {
            Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn start(&self) -> anyhow::Result<Running> {
        // What is noted does not run any more, so its folder is of no use.
        self.end()?;
        let folder = tempfile::Builder::new().prefix(&format!("{}-", self.name)).tempdir()?.keep();
        let Started { processes, url } =
            (self.start)(&folder).inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        let processes: Vec<Process> = processes
            .into_iter()
            .map(|id| began(id).map(|began| Process { id, began }))
            .collect::<Option<_>>()
            .with_context(|| format!("{} ended at once", self.name))?;
        let running = Running { processes, folder, url };
        fs::write(self.note()?, serde_json::to_string(&running)?)?;
        Ok(running)
    }

    fn end(&self) -> anyhow::Result<()> {
        let Some(running) = self.noted()? else { return Ok(()) };
        for process in running.processes.iter().filter(|process| process.lives()) {
            let asked =
                Command::new("kill").args(["-s", self.end_signal]).arg(process.id.to_string()).status()?;
            ensure!(asked.success() || !process.lives(), "{} could not be asked to end", self.name);
        }
        let deadline = Instant::now() + END_WITHIN;
        while let Some(process) = running.processes.iter().find(|process| process.lives()) {
            if Instant::now() > deadline {
                bail!("{} (process {}) did not end", self.name, process.id);
            }
            sleep(Duration::from_millis(20));
        }
        fs::remove_dir_all(&running.folder).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        Ok(fs::remove_file(self.note()?)?)
    }

    /// Where it is noted that it runs.
    fn note(&self) -> anyhow::Result<PathBuf> {
        Ok(cache()?.join(format!("{}.json", self.name)))
    }
}

impl Process {
    fn lives(&self) -> bool {
        began(self.id) == Some(self.began)
    }
}

/// What is kept about services between two runs; it goes with the target folder.
fn cache() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// When a process began, in ticks since the machine started; nothing if it has ended.
fn began(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may itself hold spaces and brackets; state is the first field behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_beginning_until_it_ends() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let first = began(child.id());
        assert!(first.is_some() && first == began(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(began(child.id()), None);
    }
}
