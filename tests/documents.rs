//! What the documents promise by name is there.
use std::{
    fs,
    path::{Path, PathBuf},
};

/// All sources below this folder, without what is built.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The names of tests in the tables of a document: what is long and a sentence with underscores.
fn named(document: &str) -> Vec<&str> {
    let rows = document.lines().filter(|line| line.starts_with('|'));
    let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    quoted
        .filter(|name| name.matches('_').count() >= 3 && !name.contains(['/', ' ', '.', '-', '=']))
        .collect()
}

/// With a name changed in the document this was seen to fail.
#[test]
fn every_test_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(root, &mut found);
    let all: String = found.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let document = fs::read_to_string(root.join("docs/testing.md")).unwrap();
    let named: Vec<&str> = named(&document).into_iter().filter(|name| name.to_lowercase() == *name).collect();
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<&&str> = named.iter().filter(|name| !all.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
