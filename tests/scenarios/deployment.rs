//! The files that users deploy with say what `docker-compose` and the executable understand.
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// What a user sets before `docker compose up`.
const GIVEN: &[(&str, &str)] = &[
    ("POSTGRES_PASSWORD", "passw0rd"),
    ("LOYALNEST_WEBHOOK_SECRET", "s3cr3t"),
    ("LOYALNEST_OPERATOR_TOKEN", "0perat0r"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// `docker-compose` with what a user has set, less one variable; it needs no daemon for this.
fn compose(arguments: &[&str], without: Option<&str>) -> Result<String, String> {
    let mut command = Command::new("docker-compose");
    command.arg("--file").arg(root().join("docker-compose.yml")).args(arguments);
    for (variable, value) in GIVEN.iter().filter(|(variable, _)| Some(*variable) != without) {
        command.env(variable, value);
    }
    let output = command.output().expect("docker-compose is there");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn the_compose_file_is_understood_and_every_store_keeps_a_volume() {
    let sorted = |text: String| {
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(
        sorted(compose(&["config", "--services"], None).unwrap()),
        ["kafka", "postgres", "project", "read", "root-key", "write-1", "write-2"]
    );
    assert_eq!(
        sorted(compose(&["config", "--volumes"], None).unwrap()),
        ["kafka", "keys", "postgres", "project", "read", "witness", "write-1", "write-2"]
    );
    let written = compose(&["config"], None).unwrap();
    assert_eq!(written.matches("condition: service_healthy").count(), 5, "{written}");
    assert_eq!(written.matches("stop_grace_period: ").count(), 4, "{written}");
    assert!(!written.contains(":latest"), "{written}");
}

#[test]
fn the_compose_file_has_no_secret_of_its_own() {
    for (variable, _) in GIVEN {
        let refused = compose(&["config"], Some(variable)).unwrap_err();
        assert!(refused.contains("set "), "{variable}: {refused}");
    }
}

#[test]
fn the_executable_knows_every_setting_of_the_compose_file() {
    let written = compose(&["config"], None).unwrap();
    let settings: BTreeMap<&str, &str> = written
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("LOYALNEST_"))
        .map(|(name, value)| (name, value.trim_matches(['"', '\''])))
        .collect();
    assert!(settings.len() > 5, "{written}");
    let run = |settings: &BTreeMap<&str, &str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loyalnest"));
        let output = command.env_clear().envs(settings).arg("settings").output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (understood, shown) = run(&settings);
    assert!(understood, "{shown}");
    let help = Command::new(env!("CARGO_BIN_EXE_loyalnest")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for (name, value) in &settings {
        assert!(help.contains(&format!("[env: {name}")), "there is no setting {name}");
        let is_secret = name.ends_with("SECRET") || name.ends_with("TOKEN");
        assert_eq!(!is_secret && !value.contains('@'), shown.contains(value), "{name} in {shown}");
    }
    assert!(!shown.contains("passw0rd"), "{shown}");
    let spoiled = BTreeMap::from([("LOYALNEST_LOG", "kafka:/kafka")]);
    assert!(!run(&spoiled).0, "an address that is none was taken");
}

#[test]
fn the_image_is_built_by_our_compiler_with_every_feature_that_is_no_planted_bug() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let compiler = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    let features = manifest["features"].as_table().unwrap().keys();
    let features: Vec<_> = features.map(String::as_str).filter(|name| *name != "planted-bugs").collect();
    let image = read("Dockerfile");
    assert!(image.contains(&format!("FROM rust:{compiler}-bookworm AS build")), "{compiler}");
    assert!(image.contains(&format!("--features {}\n", features.join(","))), "{features:?}");
    assert!(image.contains("\nUSER loyalnest\n"));
}
