//! Every measurement that needs no server runs, once and tiny, so that none of them rots. Nothing is judged.
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// The tests of the whole workspace build the executable beside this one; for these alone, build it first.
#[test]
fn every_measurement_that_needs_no_server_finds_figures() {
    let benches = Path::new(env!("CARGO_BIN_EXE_benches"));
    let executable = benches.with_file_name("loyalnest");
    assert!(executable.exists(), "there is no {}; run cargo build first", executable.display());
    let run = |argument: &str| {
        let run = Command::new(benches).args(["--json", argument]).stderr(Stdio::inherit()).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        String::from_utf8(run.stdout).unwrap()
    };
    let found: serde_json::Value = serde_json::from_str(&run("--smoke")).unwrap();
    let rows = found["rows"].as_array().unwrap();
    // So few accounts may fit into memory that the process had before.
    let found_any = |row: &serde_json::Value| row["ours"].as_u64() > Some(0) || row["measured"] == "memory";
    assert!(rows.iter().all(found_any), "{found:#}");
    for line in run("--list").lines() {
        let (name, _) = line.split_once(':').unwrap();
        let measured = rows.iter().any(|row| row["measured"] == name);
        let needs_server = ["postgres", "kafka"].iter().any(|server| name.contains(server));
        assert!(measured || needs_server, "{name} found nothing: {found:#}");
    }
}
