//! Runs cargo, shows what it prints, and counts what it ran.
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};

use crate::services::{KAFKA, Lease, POSTGRES};

/// The features of campaigns on the executable; release builds refuse `planted-bugs`.
const FEATURES: &str = "planted-bugs";
/// Every feature there is to test.
const ALL_FEATURES: &str = "planted-bugs,kafka,postgres";

/// Programs that the tests drive, and the Debian package of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("docker-compose", "docker-compose"),
    ("pkg-config", "pkg-config"),
    ("strace", "strace"),
];

/// Libraries that the full build is made with, as `pkg-config` knows them, and the Debian package of each.
const LIBRARIES: &[(&str, &str)] = &[("openssl", "libssl-dev")];

pub(crate) fn test(filter: Option<&str>) -> anyhow::Result<()> {
    let started = Instant::now();
    install_programs()?;
    if filter.is_none() {
        step("formatting", &["fmt", "--all", "--check"])?;
        step(
            "lints",
            &["clippy", "--workspace", "--all-targets", "--features", ALL_FEATURES, "--", "-D", "warnings"],
        )?;
        step("lints of the lean default", &["clippy", "--quiet", "--", "-D", "warnings"])?;
    }
    let servers = Servers::lease()?;
    let mut arguments = vec!["test", "--workspace", "--features", ALL_FEATURES, "--no-fail-fast"];
    arguments.extend(filter);
    let (mut counts, succeeded) = cargo_test(&arguments, &servers.settings()?)?;
    drop(servers);
    if !succeeded && counts.failed == 0 {
        // A target that does not compile, or a test process that died, has no line of its own.
        counts.failed = 1;
    }
    println!("\nall tests in {} s", started.elapsed().as_secs());
    counts.close()
}

/// Names this program to tests that need servers of their own.
const SERVICES: &str = "LOYALNEST_TEST_SERVICES";

/// The servers that tests work on, and the variables that name them to tests.
struct Servers([(&'static str, Lease); 2]);

impl Servers {
    fn lease() -> anyhow::Result<Self> {
        println!("── servers");
        let postgres = Lease::of(POSTGRES).context("tests need a Postgres")?;
        let kafka = Lease::of(KAFKA).context("tests need a Kafka")?;
        Ok(Self([("LOYALNEST_TEST_POSTGRES", postgres), ("LOYALNEST_TEST_KAFKA", kafka)]))
    }

    fn settings(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut settings: Vec<_> =
            self.0.iter().map(|(variable, lease)| (*variable, lease.url.clone())).collect();
        settings.push((SERVICES, std::env::current_exe()?.display().to_string()));
        Ok(settings)
    }
}

/// Tests that the soak runs at another size.
pub(crate) struct Campaign {
    package: &'static str,
    /// The features it needs, besides the package's own.
    features: &'static [&'static str],
    /// The test target, and what the names of its tests contain.
    tests: [&'static str; 2],
    /// The variable that sets its size.
    setting: (&'static str, String),
    /// It works on real servers.
    on_servers: bool,
}

impl Campaign {
    /// The executable is killed this often under load; 0 leaves it out.
    pub(crate) fn crashes(cycles: u32) -> Option<Self> {
        let setting = ("LOYALNEST_CRASH_CYCLES", cycles.to_string());
        let features = &["--features", FEATURES];
        let tests = ["suite", "crash"];
        (cycles > 0).then_some(Self { package: "loyalnest", features, tests, setting, on_servers: false })
    }

    /// So many power cuts must lose nothing that was answered; 0 leaves it out.
    pub(crate) fn power_cuts(cuts: u32) -> Option<Self> {
        let setting = ("LOYALNEST_POWER_CUTS", cuts.to_string());
        let (features, tests) = (&["--features", FEATURES], ["suite", "outlasts_a_power_cut"]);
        (cuts > 0).then_some(Self { package: "loyalnest", features, tests, setting, on_servers: false })
    }

    /// So many seeded worlds must come through; 0 leaves it out.
    pub(crate) fn simulations(simulations: u32) -> Option<Self> {
        let setting = ("LOYALNEST_SIMULATIONS", simulations.to_string());
        let tests = ["campaign", "whatever_goes_wrong"];
        (simulations > 0).then_some(Self::alone("simulation", tests, setting))
    }

    /// So many edited logs must be found; 0 leaves it out.
    pub(crate) fn mutants(mutants: u32) -> Option<Self> {
        let setting = ("LOYALNEST_MUTANTS", mutants.to_string());
        let tests = ["suite", "every_mutant_is_found"];
        (mutants > 0).then_some(Self::alone("replay", tests, setting))
    }

    /// So many random histories must keep the account's laws; 0 leaves it out.
    pub(crate) fn laws(cases: u32) -> Option<Self> {
        let setting = ("LOYALNEST_CASES", cases.to_string());
        (cases > 0).then_some(Self::alone("domain", ["laws", "account"], setting))
    }

    /// So many random shops must come out as in the plain model of the ledger; 0 leaves it out.
    pub(crate) fn ledger(cases: u32) -> Option<Self> {
        let setting = ("LOYALNEST_CASES", cases.to_string());
        (cases > 0).then_some(Self::alone("domain", ["model", ""], setting))
    }

    /// The exhaustive model of the log's contract in its large form.
    pub(crate) fn model(wanted: bool) -> Option<Self> {
        let setting = ("LOYALNEST_MODEL", "full".to_owned());
        wanted.then_some(Self::alone("event-log", ["model", ""], setting))
    }

    /// What may happen to several nodes, so many times longer than in the tests; 0 leaves it out.
    pub(crate) fn nodes(times: u32) -> Option<Self> {
        let setting = ("LOYALNEST_NODES_SIZE", times.to_string());
        let (features, tests) = (&["--features", ALL_FEATURES], ["suite", "scenarios::nodes"]);
        (times > 0).then_some(Self { package: "loyalnest", features, tests, setting, on_servers: true })
    }

    /// So many people are erased, each with a kill at a step of it; 0 leaves it out.
    pub(crate) fn erasures(erasures: u32) -> Option<Self> {
        let setting = ("LOYALNEST_ERASURES", erasures.to_string());
        let (features, tests) = (&["--features", FEATURES], ["suite", "killed_at_any_step"]);
        (erasures > 0).then_some(Self { package: "loyalnest", features, tests, setting, on_servers: false })
    }

    /// So many times parts of an installation come from older backups; 0 leaves it out.
    pub(crate) fn restores(restores: u32) -> Option<Self> {
        let setting = ("LOYALNEST_RESTORES", restores.to_string());
        let (features, tests) = (&["--features", FEATURES], ["suite", "no_combination_of_old_and_new"]);
        (restores > 0).then_some(Self { package: "loyalnest", features, tests, setting, on_servers: false })
    }

    /// One that needs no more than its package.
    const fn alone(package: &'static str, tests: [&'static str; 2], setting: (&'static str, String)) -> Self {
        Self { package, features: &[], tests, setting, on_servers: false }
    }
}

/// Runs the campaigns one after the other; a seed starts each of them.
pub(crate) fn soak(campaigns: &[Campaign], seed: Option<u64>) -> anyhow::Result<()> {
    install_programs()?;
    let mut all = Counts::default();
    let servers = campaigns.iter().any(|campaign| campaign.on_servers).then(Servers::lease).transpose()?;
    let named = servers.as_ref().map(Servers::settings).transpose()?.unwrap_or_default();
    for Campaign { package, features, tests: [target, names], setting, on_servers } in campaigns {
        let mut settings = vec![setting.clone()];
        settings.extend(named.iter().filter(|_| *on_servers).cloned());
        settings.extend(seed.map(|seed| ("LOYALNEST_SEED", seed.to_string())));
        let arguments =
            [&["test", "--package", package][..], features, &["--test", target, names, "--", "--nocapture"]];
        let (counts, succeeded) = cargo_test(&arguments.concat(), &settings)?;
        ensure!(succeeded, "the campaign {target} {names} of {package} failed; its seed is printed above");
        all.passed += counts.passed;
        all.failed += counts.failed;
        all.ignored += counts.ignored;
    }
    all.close()
}

#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Adds a line like `test result: ok. 3 passed; 0 failed; 0 ignored; …`, if it is one.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let number = |word: &str| {
            let before = rest.split(word).next().unwrap_or_default().trim_end();
            before.rsplit([' ', ';']).next().and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        self.ignored += number("ignored");
    }

    /// The line that a reader trusts, and the verdict.
    fn close(&self) -> anyhow::Result<()> {
        println!("{} passed, {} failed", self.passed, self.failed);
        ensure!(self.ignored == 0, "{} tests were skipped: the project has no skipped tests", self.ignored);
        ensure!(self.passed > 0, "no test ran");
        ensure!(self.failed == 0, "{} tests failed", self.failed);
        Ok(())
    }
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn install_programs() -> anyhow::Result<()> {
    PROGRAMS.iter().try_for_each(|(program, package)| install(program, package))?;
    let is_there = |library: &str| runs(Command::new("pkg-config").args(["--exists", library]));
    let mut missing = LIBRARIES.iter().filter(|(library, _)| !is_there(library));
    missing.try_for_each(|(_, package)| install_package(package))
}

/// Installs a program with the system's package manager, if it is missing.
pub(crate) fn install(program: &str, package: &str) -> anyhow::Result<()> {
    if runs(Command::new(program).arg("--version")) { Ok(()) } else { install_package(package) }
}

/// Installs a Debian package.
pub(crate) fn install_package(package: &str) -> anyhow::Result<()> {
    println!("── installing {package}");
    let installed = runs(Command::new("apt-get").args(["update", "-qq"]))
        && runs(Command::new("apt-get").args(["install", "-y", "-qq", package]));
    ensure!(installed, "{package} is needed, and apt-get could not install it; install it and try again");
    Ok(())
}

pub(crate) fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What a cargo command prints.
pub(crate) fn output_of(arguments: &[&str]) -> anyhow::Result<String> {
    let output = cargo().args(arguments).stderr(Stdio::inherit()).output().context("cargo did not start")?;
    ensure!(output.status.success(), "cargo {} failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

fn step(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    println!("── {name}");
    let status = cargo().args(arguments).status().context("cargo did not start")?;
    if !status.success() {
        println!("0 passed, 1 failed");
        bail!("{name} failed");
    }
    Ok(())
}

fn cargo_test(arguments: &[&str], settings: &[(&str, String)]) -> anyhow::Result<(Counts, bool)> {
    println!("── tests");
    let mut run = cargo()
        .args(arguments)
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo did not start")?;
    let output = run.stdout.take().context("cargo has an output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        counts.add(&line);
        println!("{line}");
    }
    Ok((counts, run.wait()?.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_targets_are_added_up() {
        let mut counts = Counts::default();
        counts.add(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.08s",
        );
        counts.add(
            "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1s",
        );
        counts.add("test something ... ok");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (15, 2, 1));
    }
}
