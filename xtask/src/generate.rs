//! Generated files. Schemas and the OpenAPI document are rewritten; a golden sample is written once and then only read.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use event_schemas::EVENTS;

use crate::run::{ALL_FEATURES, output_of};

pub(crate) fn run() -> anyhow::Result<()> {
    let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../event-schemas");
    for kind in EVENTS {
        let file = format!("{}.v{}.json", kind.name, kind.version);
        let schema = serde_json::to_string_pretty(&(kind.schema)())?;
        write(&crate_folder.join("schemas").join(&file), &schema)?;
        let golden = crate_folder.join("golden").join(kind.stream).join(&file);
        if !golden.exists() {
            let sample: serde_json::Value = serde_json::from_str(&(kind.sample)()?)?;
            write(&golden, &serde_json::to_string_pretty(&sample)?)?;
        }
    }
    // As the tests are built, so that nothing is built for this alone.
    let built = ["run", "--quiet", "--package", "loyalnest", "--features", ALL_FEATURES, "--", "openapi"];
    let document = output_of(&built)?;
    write(&crate_folder.join("../docs/openapi.json"), document.trim_end())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().context("a file stands in a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(path, format!("{text}\n")).with_context(|| format!("could not write {}", path.display()))
}
