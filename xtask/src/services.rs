//! Real servers that measurements and tests need, each in a temporary folder on a free port: `cargo xtask services`.
mod postgres;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
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
const SERVICES: &[Service] = &[Service { name: "postgres", start: postgres::start, end_signal: "INT" }];

/// A server that was started.
pub(crate) struct Started {
    /// Its process.
    process: u32,
    /// Where it listens.
    url: String,
}

/// A server that runs, as `up` notes it for `down`.
#[derive(Serialize, Deserialize)]
struct Running {
    process: u32,
    /// When the process began, so that another one with its number is left alone.
    began: u64,
    folder: PathBuf,
    url: String,
}

/// How long a server may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);

/// Starts what does not run yet, and says where everything listens.
pub(crate) fn up() -> anyhow::Result<()> {
    for service in SERVICES {
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
    service: &'static Service,
    pub(crate) url: String,
    is_ours: bool,
}

impl Lease {
    /// The service with this name.
    pub(crate) fn of(name: &str) -> anyhow::Result<Self> {
        let service =
            SERVICES.iter().find(|service| service.name == name).context("there is no such service")?;
        match service.running()? {
            Some(running) => Ok(Self { service, url: running.url, is_ours: false }),
            None => Ok(Self { service, url: service.start()?.url, is_ours: true }),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = self.service.end()
        {
            eprintln!(
                "{} did not end: {error:#}; `cargo xtask services down` tries again",
                self.service.name
            );
        }
    }
}

impl Service {
    /// The server, if it runs.
    fn running(&self) -> anyhow::Result<Option<Running>> {
        let noted = self.noted()?;
        Ok(noted.filter(|running| began(running.process) == Some(running.began)))
    }

    fn noted(&self) -> anyhow::Result<Option<Running>> {
        match fs::read_to_string(self.note()?) {
            Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn start(&self) -> anyhow::Result<Running> {
        // What is noted does not run any more, so its folder is of no use.
        self.end()?;
        let folder = tempfile::Builder::new().prefix(&format!("{}-", self.name)).tempdir()?.keep();
        let Started { process, url } =
            (self.start)(&folder).inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        let began = began(process).with_context(|| format!("{} ended at once", self.name))?;
        let running = Running { process, began, folder, url };
        fs::write(self.note()?, serde_json::to_string(&running)?)?;
        Ok(running)
    }

    fn end(&self) -> anyhow::Result<()> {
        let Some(running) = self.noted()? else { return Ok(()) };
        let lives = || began(running.process) == Some(running.began);
        if lives() {
            let asked = Command::new("kill")
                .args(["-s", self.end_signal])
                .arg(running.process.to_string())
                .status()?;
            ensure!(asked.success(), "{} could not be asked to end", self.name);
        }
        let deadline = Instant::now() + END_WITHIN;
        while lives() {
            if Instant::now() > deadline {
                bail!("{} (process {}) did not end", self.name, running.process);
            }
            sleep(Duration::from_millis(20));
        }
        fs::remove_dir_all(&running.folder).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        Ok(fs::remove_file(self.note()?)?)
    }

    /// Where it is noted that it runs.
    fn note(&self) -> anyhow::Result<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services");
        fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{}.json", self.name)))
    }
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
