//! A test program: built by cargo, and run as cargo would run it, but beside others.
use std::{
    env,
    io::{self, BufRead as _, BufReader},
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Deserialize;

use crate::{
    counts::Counts,
    run::{ALL_FEATURES, cargo},
};

/// Programs whose tests often wait for servers and processes of their own, by their source: they begin first, with so many
/// tests at once besides one for each core.
const WAITING: &[(&str, usize)] =
    &[("tests/main.rs", 1), ("event-log/src/lib.rs", 3), ("privacy/tests/suite/on_postgres.rs", 1)];

/// Before and behind what failed tests printed.
const REASONS: &str = "failures:";

/// A line of what cargo says about a build.
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact(Artifact),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// One that is to be run.
pub(super) struct Program {
    /// Its source, from the root of the checkout.
    name: String,
    executable: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    /// How many of its tests run at once; nobody knows it of several programs in one.
    threads: Option<usize>,
}

/// One that has ended.
pub(super) struct Ran {
    pub(super) name: String,
    pub(super) took: Duration,
    pub(super) counts: Counts,
    /// Tests that failed, or how the program ended if it did not say.
    pub(super) failed: Vec<String>,
    threads: Option<usize>,
    printed: Vec<String>,
    /// Its tests and when they ended, in that order.
    ended: Vec<(String, Duration)>,
}

/// Builds every test program, in the order in which they are to run; nothing if one does not compile.
pub(super) fn build() -> anyhow::Result<Option<Vec<Program>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate stands in a checkout")?;
    let mut build = cargo()
        .args(["test", "--workspace", "--features", ALL_FEATURES, "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo did not start")?;
    let output = build.stdout.take().context("cargo has an output")?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut programs = Vec::new();
    for line in BufReader::new(output).lines() {
        programs.extend(Program::of(&line?, root, cores)?);
    }
    if !build.wait()?.success() {
        return Ok(None);
    }
    programs.sort_by_key(|program| {
        WAITING.iter().position(|(name, _)| program.name == *name).unwrap_or(WAITING.len())
    });
    programs.push(Program::examples(root));
    Ok(Some(programs))
}

impl Program {
    /// The program that cargo tells of in this line, if any.
    fn of(line: &str, root: &Path, cores: usize) -> anyhow::Result<Option<Self>> {
        let message = serde_json::from_str(line).with_context(|| format!("cargo said {line}"))?;
        let Message::CompilerArtifact(Artifact { manifest_path, target, profile, executable }) = message
        else {
            return Ok(None);
        };
        let Some(executable) = executable.filter(|_| profile.test) else { return Ok(None) };
        let source = target.src_path.strip_prefix(root).unwrap_or(&target.src_path);
        let name = source.display().to_string();
        let folder = manifest_path.parent().context("a manifest stands in a folder")?.to_owned();
        let besides = WAITING.iter().find(|(waiting, _)| name == *waiting).map_or(0, |(_, besides)| *besides);
        let threads = cores + besides;
        let arguments = vec![format!("--test-threads={threads}")];
        Ok(Some(Self { name, executable, arguments, folder, threads: Some(threads) }))
    }

    /// The examples of the documentation, which cargo builds and runs by itself.
    fn examples(root: &Path) -> Self {
        let arguments = ["test", "--workspace", "--features", ALL_FEATURES, "--no-fail-fast", "--doc"];
        Self {
            name: "examples of the documentation".to_owned(),
            executable: cargo().get_program().into(),
            arguments: arguments.map(str::to_owned).to_vec(),
            folder: root.to_owned(),
            threads: None,
        }
    }

    /// Runs it to its end. What has failed or takes long is shown at once, everything else by [`Ran::show`].
    pub(super) fn run(self, filter: Option<&str>, settings: &[(&str, String)]) -> anyhow::Result<Ran> {
        let (started, (output, prints)) = (Instant::now(), io::pipe()?);
        let Self { name, executable, arguments, folder, threads } = self;
        let mut child = Command::new(executable)
            .args(arguments)
            .args(filter)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("CARGO_MANIFEST_DIR", &folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(prints.try_clone()?)
            .stderr(prints)
            .spawn()
            .with_context(|| format!("{name} did not start"))?;
        let mut ran = Ran::new(name, threads);
        for line in BufReader::new(output).split(b'\n') {
            ran.heard(String::from_utf8_lossy(&line?).into_owned(), started.elapsed());
        }
        let status = child.wait()?;
        let says_so = ran.printed.iter().any(|line| line.starts_with("test result: "));
        if ran.counts.failed == 0 && !(status.success() && says_so) {
            // It died, or a test ended it.
            ran.counts.failed = 1;
            ran.failed.push(format!("it ended early: {status}"));
        }
        ran.took = started.elapsed();
        Ok(ran)
    }
}

impl Ran {
    fn new(name: String, threads: Option<usize>) -> Self {
        let (printed, failed, ended) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, took: Duration::ZERO, counts: Counts::default(), failed, threads, printed, ended }
    }

    fn heard(&mut self, line: String, at: Duration) {
        self.counts.add(&line);
        if let Some((test, result)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... ")) {
            let test = test.trim_end_matches(" - should panic").to_owned();
            self.ended.push((test.clone(), at));
            if result == "FAILED" {
                println!("{}: {line}", self.name);
                self.failed.push(test);
            }
        } else if line.ends_with(" seconds") && line.contains(" has been running for over ") {
            println!("{}: {line}", self.name);
        }
        self.printed.push(line);
    }

    /// Everything it printed, unless it had nothing to do.
    pub(super) fn show(&self) {
        if self.counts.passed == 0 && self.counts.failed == 0 {
            return;
        }
        println!("\n── {} in {} s", self.name, self.took.as_secs());
        self.printed.iter().for_each(|line| println!("{line}"));
    }

    /// What its failed tests printed: a program says it between two lines of the same words.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &str> {
        let lines = self.printed.iter().map(String::as_str).skip_while(|line| *line != REASONS);
        lines.skip(1).take_while(|line| *line != REASONS)
    }

    /// How long each of its tests took. A program does not say so; but it begins them by name, the first ones at once
    /// and each other one when one has ended.
    pub(super) fn durations(&self) -> Vec<(Duration, String)> {
        let Some(threads) = self.threads else { return Vec::new() };
        let mut by_name: Vec<_> = self.ended.iter().collect();
        by_name.sort_unstable();
        let began =
            |index: usize| index.checked_sub(threads).map_or(Duration::ZERO, |before| self.ended[before].1);
        let took = by_name
            .iter()
            .enumerate()
            .map(|(index, (name, end))| (end.saturating_sub(began(index)), format!("{}: {name}", self.name)));
        took.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/checkout";

    /// A shell in the place of a test program.
    fn ran(script: &str) -> Ran {
        let arguments = ["-c", script].map(str::to_owned).to_vec();
        let (name, executable, folder) = ("tests".to_owned(), "/bin/sh".into(), "/".into());
        Program { name, executable, arguments, folder, threads: Some(2) }.run(None, &[]).unwrap()
    }

    /// With cargo's word that it ended well taken for its own, the first was seen to pass.
    #[test]
    fn a_program_that_ends_before_its_last_test_has_failed() {
        for script in ["echo 'test a ... ok'", "kill -9 $$", "exit 1"] {
            let ran = ran(script);
            assert_eq!((ran.counts.failed, ran.failed.len()), (1, 1), "{script}");
        }
        let whole = ran("echo 'test a ... ok'; echo 'test result: ok. 1 passed; 0 failed; 0 ignored'");
        assert_eq!((whole.counts.passed, whole.counts.failed, whole.failed.len()), (1, 0, 0));
    }

    #[test]
    fn what_failed_is_known_by_name_and_everything_that_was_said_is_kept() {
        let result = "test result: FAILED. 0 passed; 1 failed; 0 ignored";
        let ran = ran(&format!("echo why >&2; echo 'test a::b ... FAILED'; echo '{result}'; exit 101"));
        assert_eq!((ran.counts.failed, &ran.failed[..]), (1, &["a::b".to_owned()][..]));
        assert_eq!(ran.printed, ["why", "test a::b ... FAILED", result]);
        assert_eq!(ran.reasons().count(), 0);
    }

    #[test]
    fn why_tests_failed_is_said_without_everything_else() {
        let ran = ran("echo 'test a ... FAILED'; printf '\nfailures:\n\na: broken\n\nfailures:\n    a\n'");
        assert_eq!(ran.reasons().collect::<String>(), "a: broken");
    }

    #[test]
    fn a_test_begins_when_one_before_it_has_ended() {
        let mut ran = Ran::new("t".to_owned(), Some(2));
        for (test, second) in [("b", 1), ("c", 4), ("a", 5), ("d", 6)] {
            ran.heard(format!("test {test} ... ok"), Duration::from_secs(second));
        }
        let took: Vec<_> = ran.durations().iter().map(|(took, _)| took.as_secs()).collect();
        assert_eq!(took, [5, 1, 3, 2]);
    }

    #[test]
    fn of_what_cargo_builds_the_test_programs_are_run() {
        let artifact = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{ROOT}/event-log/Cargo.toml",
                "target":{{"src_path":"{ROOT}/event-log/src/lib.rs"}},"profile":{{"test":{test}}},
                "executable":"/built/event_log-1"}}"#
            )
        };
        let program = |line: &str| Program::of(line, Path::new(ROOT), 2).unwrap();
        let found = program(&artifact(true)).unwrap();
        assert_eq!((found.name, found.threads), ("event-log/src/lib.rs".to_owned(), Some(5)));
        assert_eq!(found.folder, Path::new("/checkout/event-log"));
        assert!(program(&artifact(false)).is_none());
        assert!(program(r#"{"reason":"build-finished","success":true}"#).is_none());
        for (waiting, _) in WAITING {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(waiting).exists(), "{waiting}");
        }
    }
}
