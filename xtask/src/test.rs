//! `cargo xtask test`: formatting, lints, and every test program, with the seconds of each.
mod program;

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

use self::program::{Program, Ran};
use crate::{
    counts::Counts,
    run::{ALL_FEATURES, build_setting, cargo, install_programs},
    services::Servers,
};

/// So many test programs run at once; most of the long ones wait for servers more than they work.
const SIDE_BY_SIDE: usize = 2;
/// So many of the slowest tests are named.
const NAMED: usize = 15;

/// A part of the run, and how long it took.
type Step = (Duration, String);

/// Runs everything, or only tests whose name contains the filter.
pub(crate) fn run(filter: Option<&str>) -> anyhow::Result<()> {
    let started = Instant::now();
    install_programs()?;
    let (mut steps, ran) = thread::scope(|scope| {
        // They are fetched and start while cargo works; whatever ends this scope waits for them, and ends them.
        let servers = scope.spawn(Servers::lease);
        let mut steps = if filter.is_none() { look()? } else { Vec::new() };
        let (programs, step) = timed("building the tests", program::build);
        steps.push(step);
        let Some(programs) = programs? else {
            println!("0 passed, 1 failed");
            bail!("a test program could not be built");
        };
        let (servers, step) = timed("waiting for the servers", || servers.join());
        steps.push(step);
        let Ok(servers) = servers else { bail!("what starts the servers failed") };
        let servers = servers?;
        println!("── {} test programs, {SIDE_BY_SIDE} at once", programs.len());
        let settings: Vec<_> = servers.settings().into_iter().chain(build_setting()).collect();
        let ran = run_all(programs, filter, &settings)?;
        Ok((steps, ran))
    })?;
    steps.retain(|(took, _)| took.as_secs() > 0);
    tell_times(&steps, &ran);
    let mut counts = Counts::default();
    for ran in &ran {
        counts += ran.counts;
        // Once more where the end of a long output is all that is looked at.
        ran.reasons().for_each(|line| println!("{line}"));
        ran.failed.iter().for_each(|failed| println!("FAILED {}: {failed}", ran.name));
    }
    println!("\nall tests in {} s", started.elapsed().as_secs());
    counts.close()
}

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> (T, Step) {
    println!("── {name}");
    let begun = Instant::now();
    let done = work();
    (done, (begun.elapsed(), name.to_owned()))
}

/// What can be said of the sources without running them.
fn look() -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (name, arguments) in [
        ("formatting", &["fmt", "--all", "--check"][..]),
        (
            "lints",
            &["clippy", "--workspace", "--all-targets", "--features", ALL_FEATURES, "--", "-D", "warnings"],
        ),
        ("lints of the lean default", &["clippy", "--quiet", "--", "-D", "warnings"]),
    ] {
        let (status, step) = timed(name, || cargo().args(arguments).status());
        steps.push(step);
        if !status?.success() {
            println!("0 passed, 1 failed");
            bail!("{name} failed");
        }
    }
    Ok(steps)
}

/// Runs the programs side by side, in this order, and shows what each printed once it has ended.
fn run_all(
    programs: Vec<Program>,
    filter: Option<&str>,
    settings: &[(&str, String)],
) -> anyhow::Result<Vec<Ran>> {
    let (waiting, all) = (Mutex::new(VecDeque::from(programs)), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let run_on = || -> anyhow::Result<()> {
        while let Some(program) = next() {
            let ran = program.run(filter, settings)?;
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            ran.show();
            all.push(ran);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(run_on)).collect();
        lanes.into_iter().try_for_each(|lane| match lane.join() {
            Ok(ended) => ended,
            Err(_) => bail!("what runs the test programs failed"),
        })
    })?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Says where the time went, so that whoever adds a slow test sees it.
fn tell_times(steps: &[Step], ran: &[Ran]) {
    let tell = |took: Duration, what: &str| {
        println!("{:>4}.{} s  {what}", took.as_secs(), took.subsec_millis() / 100);
    };
    println!("\n── seconds of each step and test program that took any");
    let programs = ran.iter().map(|ran| (ran.took, &ran.name)).filter(|(took, _)| took.as_secs() > 0);
    steps.iter().map(|(took, name)| (*took, name)).chain(programs).for_each(|(took, name)| tell(took, name));
    let mut tests: Vec<_> = ran.iter().flat_map(Ran::durations).collect();
    tests.sort_unstable_by(|one, other| other.cmp(one));
    println!("\n── the slowest tests");
    tests.iter().take(NAMED).for_each(|(took, name)| tell(*took, name));
    println!();
}
