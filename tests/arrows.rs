//! The arrows between crates, and what no file may do, kept true.
use std::path::{Path, PathBuf};

/// Which of our crates each of our crates may see.
const ARROWS: &[(&str, &[&str])] = &[
    ("event-schemas", &[]),
    ("event-log", &["postgres-store"]),
    ("group-commit", &["postgres-store", "seeded"]),
    ("domain", &["event-schemas"]),
    ("privacy", &["event-schemas", "group-commit", "postgres-store", "seeded"]),
    ("http-edge", &["event-schemas", "privacy"]),
    ("postgres-store", &[]),
    ("projections", &["event-schemas", "event-log", "group-commit", "postgres-store", "privacy", "seeded"]),
    (
        "command-api",
        &[
            "domain",
            "event-schemas",
            "event-log",
            "privacy",
            "postgres-store",
            "group-commit",
            "http-edge",
            "seeded",
        ],
    ),
    ("query-api", &["event-schemas", "event-log", "privacy", "projections", "http-edge"]),
    ("replay", &["domain", "event-schemas", "event-log", "group-commit", "privacy", "projections"]),
    (
        "benches",
        &[
            "command-api",
            "domain",
            "event-log",
            "event-schemas",
            "group-commit",
            "http-edge",
            "privacy",
            "projections",
        ],
    ),
    ("seeded", &[]),
    (
        "simulation",
        &[
            "command-api",
            "domain",
            "event-log",
            "event-schemas",
            "group-commit",
            "http-edge",
            "privacy",
            "projections",
            "seeded",
        ],
    ),
    ("xtask", &["event-schemas"]),
];

/// What the rules of loyalty must not stand on.
const IMPURE: [&str; 11] = [
    "tokio",
    "rusqlite",
    "axum",
    "reqwest",
    "rand",
    "futures",
    "tracing",
    "async-trait",
    "event-log",
    "privacy",
    "metrics",
];

/// Longest file, in lines.
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// The names under `[dependencies]` and the like.
fn dependencies(manifest: &toml::Table, sections: &[&str]) -> Vec<String> {
    let tables = sections.iter().filter_map(|section| manifest.get(*section)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

fn members() -> Vec<String> {
    let manifest = manifest(".");
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).filter(|member| member != ".").collect()
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Our own files: every member's, the executable's and this suite's.
fn all_sources() -> Vec<PathBuf> {
    let own = ["src".to_owned(), "tests".to_owned()];
    members().into_iter().chain(own).flat_map(|folder| sources(&root().join(folder))).collect()
}

/// Files outside `allowed` in which a line of code, not a comment, has this text.
fn naming(text: &str, allowed: &[&str]) -> Vec<PathBuf> {
    let code = |line: &str| !line.trim_start().starts_with("//") && line.contains(text);
    let outside = all_sources().into_iter().filter(|path| {
        let path = path.strip_prefix(root()).unwrap();
        !allowed.iter().any(|allowed| path.starts_with(allowed)) && !path.starts_with("tests")
    });
    outside.filter(|path| std::fs::read_to_string(path).unwrap().lines().any(code)).collect()
}

#[test]
fn crates_see_only_those_that_the_architecture_allows() {
    let members = members();
    assert_eq!(members.len(), ARROWS.len(), "{members:?} differ from the arrows");
    for (name, allowed) in ARROWS {
        let manifest = manifest(name);
        assert_eq!(manifest["package"]["name"].as_str(), Some(*name));
        let seen = dependencies(&manifest, &["dependencies", "build-dependencies", "dev-dependencies"]);
        let forbidden: Vec<_> = seen
            .iter()
            .filter(|seen| members.contains(seen) && !allowed.contains(&seen.as_str()) && seen != name)
            .collect();
        assert!(forbidden.is_empty(), "{name} must not see {forbidden:?}");
    }
}

#[test]
fn the_rules_stand_on_nothing_that_waits_stores_or_draws() {
    let seen = dependencies(&manifest("domain"), &["dependencies"]);
    let impure: Vec<_> = seen.iter().filter(|seen| IMPURE.contains(&seen.as_str())).collect();
    assert!(impure.is_empty(), "domain must not see {impure:?}");
    for path in sources(&root().join("domain/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in [".await", "async fn", "Utc::now", "SystemTime", "Instant::now", "now_v7", "new_v4"] {
                assert!(!line.contains(word), "{word} in {}: {line}", path.display());
            }
        }
    }
}

#[test]
fn one_file_names_the_aggregate_framework() {
    assert_eq!(
        naming(
            "cqrs_es",
            &["command-api/src/cqrs.rs", "command-api/src/cqrs", "benches/src/peers/postgres_es.rs"]
        ),
        Vec::<PathBuf>::new()
    );
}

/// The auditor's tests play the editor of the file.
#[test]
fn nobody_but_the_log_reads_or_writes_its_table() {
    for words in ["FROM log ", "FROM log\"", "INTO log ", "INTO log(", "UPDATE log "] {
        assert_eq!(naming(words, &["event-log", "replay/tests"]), Vec::<PathBuf>::new(), "{words}");
    }
}

#[test]
fn no_dependency_bypasses_the_workspaces_table() {
    for folder in members().iter().map(String::as_str).chain(["."]) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let manifest = manifest(folder);
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for (name, value) in table.iter().filter(|(name, _)| *name != folder) {
                let shared = value.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(shared, Some(true), "{name} of {folder} has a version of its own");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_none_is_too_long() {
    for path in all_sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", path.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_test_is_skipped() {
    for path in all_sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        let skipped = text.lines().any(|line| line.trim_start().starts_with(concat!("#[", "ignore")));
        assert!(!skipped, "{} skips a test", path.display());
    }
}
