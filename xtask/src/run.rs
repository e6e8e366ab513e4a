//! Runs cargo and other programs, and installs those that are missing.
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Every feature there is to test; release builds refuse `planted-bugs`.
pub(crate) const ALL_FEATURES: &str = "planted-bugs,kafka,postgres";

/// Programs that the tests drive, and the Debian package of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("docker-compose", "docker-compose"),
    ("jq", "jq"),
    ("kcat", "kcat"),
    ("pkg-config", "pkg-config"),
    ("strace", "strace"),
];

/// Libraries that the full build is made with, as `pkg-config` knows them, and the Debian package of each.
const LIBRARIES: &[(&str, &str)] = &[("openssl", "libssl-dev")];

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.envs(build_setting());
    cargo
}

/// What cargo is told by a variable: where CI builds from nothing, notes for a next build only take time.
pub(crate) fn build_setting() -> Option<(&'static str, String)> {
    std::env::var_os("CI").map(|_| ("CARGO_INCREMENTAL", "0".to_owned()))
}

pub(crate) fn install_programs() -> anyhow::Result<()> {
    PROGRAMS.iter().try_for_each(|(program, package)| install(program, package))?;
    let is_there = |library: &str| runs(Command::new("pkg-config").args(["--exists", library]));
    let mut missing = LIBRARIES.iter().filter(|(library, _)| !is_there(library));
    missing.try_for_each(|(_, package)| install_package(package))
}

/// Installs a program with the system's package manager, if it is missing.
pub(crate) fn install(program: &str, package: &str) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if is_there { Ok(()) } else { install_package(package) }
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
