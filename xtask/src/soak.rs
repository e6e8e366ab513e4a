//! Campaigns: tests at another size, one after the other, shown while they run.
use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, ensure};

use crate::{
    counts::Counts,
    run::{ALL_FEATURES, cargo, install_programs},
    services::Servers,
};

/// Of campaigns on the executable: what is built for the tests is built for them.
const ON_EXECUTABLE: &[&str] = &["--features", ALL_FEATURES];

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
        let tests = ["suite", "scenarios::crash::"];
        (cycles > 0).then_some(Self::on_executable(tests, setting))
    }

    /// So many power cuts must lose nothing that was answered; 0 leaves it out.
    pub(crate) fn power_cuts(cuts: u32) -> Option<Self> {
        let setting = ("LOYALNEST_POWER_CUTS", cuts.to_string());
        (cuts > 0).then_some(Self::on_executable(["suite", "outlasts_a_power_cut"], setting))
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
        let campaign = Self::on_executable(["suite", "scenarios::nodes"], setting);
        (times > 0).then_some(Self { on_servers: true, ..campaign })
    }

    /// So many people are erased, each with a kill at a step of it; 0 leaves it out.
    pub(crate) fn erasures(erasures: u32) -> Option<Self> {
        let setting = ("LOYALNEST_ERASURES", erasures.to_string());
        (erasures > 0).then_some(Self::on_executable(["suite", "killed_at_any_step"], setting))
    }

    /// So many times parts of an installation come from older backups; 0 leaves it out.
    pub(crate) fn restores(restores: u32) -> Option<Self> {
        let setting = ("LOYALNEST_RESTORES", restores.to_string());
        (restores > 0).then_some(Self::on_executable(["suite", "no_combination_of_old_and_new"], setting))
    }

    /// One that drives the executable on files.
    const fn on_executable(tests: [&'static str; 2], setting: (&'static str, String)) -> Self {
        Self { package: "loyalnest", features: ON_EXECUTABLE, tests, setting, on_servers: false }
    }

    /// One that needs no more than its package.
    const fn alone(package: &'static str, tests: [&'static str; 2], setting: (&'static str, String)) -> Self {
        Self { package, features: &[], tests, setting, on_servers: false }
    }
}

/// Runs the campaigns one after the other; a seed starts each of them.
pub(crate) fn run(campaigns: &[Campaign], seed: Option<u64>) -> anyhow::Result<()> {
    install_programs()?;
    let mut all = Counts::default();
    let servers = campaigns.iter().any(|campaign| campaign.on_servers).then(Servers::lease).transpose()?;
    let named = servers.as_ref().map(Servers::settings).unwrap_or_default();
    for Campaign { package, features, tests: [target, names], setting, on_servers } in campaigns {
        let mut settings = vec![setting.clone()];
        settings.extend(named.iter().filter(|_| *on_servers).cloned());
        settings.extend(seed.map(|seed| ("LOYALNEST_SEED", seed.to_string())));
        let arguments =
            [&["test", "--package", package][..], features, &["--test", target, names, "--", "--nocapture"]];
        let (counts, succeeded) = cargo_test(&arguments.concat(), &settings)?;
        ensure!(succeeded, "the campaign {target} {names} of {package} failed; its seed is printed above");
        ensure!(counts.passed > 0, "no test of {target} in {package} is called {names}");
        all += counts;
    }
    all.close()
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
