//! Golden files: every version ever written stays readable, and schemas follow the code.
use std::{fs, path::PathBuf};

use event_schemas::{EVENTS, Event, EventKind};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn golden(kind: &EventKind, version: u16) -> (PathBuf, String) {
    let path = folder("golden").join(kind.stream).join(format!("{}.v{version}.json", kind.name));
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is missing: run `cargo xtask generate`", path.display()));
    (path, text)
}

#[test]
fn every_version_ever_written_still_decodes() {
    for kind in EVENTS {
        for version in 1..=kind.version {
            let (path, text) = golden(kind, version);
            if let Err(error) = Event::decode(kind.number, version, &text) {
                panic!("{} no longer decodes: {error}", path.display());
            }
        }
    }
}

#[test]
fn the_current_version_is_written_as_its_golden_file_says() {
    for kind in EVENTS {
        let (path, text) = golden(kind, kind.version);
        let written: serde_json::Value = serde_json::from_str(&(kind.sample)().unwrap()).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            written,
            expected,
            "{}: a changed payload needs a new version and an upcast",
            path.display()
        );
        let event = Event::decode(kind.number, kind.version, &text).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&event.to_json().unwrap()).unwrap(), expected);
    }
}

#[test]
fn schemas_are_committed_as_the_code_has_them() {
    for kind in EVENTS {
        let path = folder("schemas").join(format!("{}.v{}.json", kind.name, kind.version));
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let current = format!("{}\n", serde_json::to_string_pretty(&(kind.schema)()).unwrap());
        assert!(committed == current, "{} has drifted: run `cargo xtask generate`", path.display());
    }
}

#[test]
fn no_golden_file_is_without_its_event() {
    for folder in fs::read_dir(folder("golden")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let known = EVENTS.iter().any(|kind| name.starts_with(&format!("{}.v", kind.name)));
            assert!(known, "{name} belongs to no event: events are never removed");
        }
    }
}
