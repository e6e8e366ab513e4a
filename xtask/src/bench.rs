//! Builds what ships and the measurements, each by itself so that neither changes the other, and runs them.
use anyhow::ensure;

use crate::{
    run::{cargo, output_of},
    services::Lease,
};

/// What ships is built with, as the image is.
const FEATURES: &str = "kafka,postgres";
const MEASURE: [&str; 6] = ["run", "--quiet", "--release", "--package", "benches", "--"];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    for package in [&["loyalnest", "--features", FEATURES][..], &["benches"]] {
        let built = cargo().args(["build", "--release", "--package"]).args(package).status()?;
        ensure!(built.success(), "{} could not be built", package[0]);
    }
    let only_asks =
        arguments.iter().any(|argument| ["--help", "-h", "--list", "--smoke"].contains(&argument.as_str()));
    let mut leases = Vec::new();
    if !only_asks {
        let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
        for service in output_of(&[&MEASURE[..], &["--needs"], &given].concat())?.lines() {
            leases.push((format!("--{service}"), Lease::of(service)?));
        }
    }
    let mut measure = cargo();
    measure.args(MEASURE).args(arguments);
    for (option, lease) in &leases {
        measure.args([option, &lease.url]);
    }
    ensure!(measure.status()?.success(), "the measurements did not come to an end");
    Ok(())
}
