//! Builds what ships and the measurements, each by itself so that neither changes the other, and runs them.
use anyhow::ensure;

use crate::{
    run::cargo,
    services::{Lease, POSTGRES},
};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    for package in ["loyalnest", "benches"] {
        let built = cargo().args(["build", "--release", "--package", package]).status()?;
        ensure!(built.success(), "{package} could not be built");
    }
    let only_asks =
        arguments.iter().any(|argument| ["--help", "-h", "--list", "--smoke"].contains(&argument.as_str()));
    let postgres = if only_asks { None } else { Some(Lease::of(POSTGRES)?) };
    let mut measure = cargo();
    measure.args(["run", "--quiet", "--release", "--package", "benches", "--"]).args(arguments);
    if let Some(postgres) = &postgres {
        measure.args(["--postgres", &postgres.url]);
    }
    ensure!(measure.status()?.success(), "the measurements did not come to an end");
    Ok(())
}
