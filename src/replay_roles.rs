//! `verify` and its kin: what they print, and the codes they exit with.
use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use replay::{
    progress::Progress,
    rebuild::{self, Job},
    verify::{self, Verdict},
};
use serde::Serialize;
use serde_json::Value;

use crate::data_folder::Files;

/// Something was found: a fault, or rows that differ.
const FOUND: u8 = 1;
/// It could not be looked at, so nothing is known.
const UNKNOWN: u8 = 2;

/// Verifies the log of a data folder and says what was checked. 0: sound; 1: a fault; 2: could not check.
pub async fn verify(data: &Path, json: bool) -> ExitCode {
    let files = Files::of(data);
    let files = verify::Files { log: files.log, keys: files.keys, reads: files.reads };
    let report = verify::verify(&files, &mut progress(json)).await.context("could not verify");
    let Some(report) = told(report, json) else { return UNKNOWN.into() };
    let verdict = report.verdict();
    if json {
        print_json(&report, "verdict", serde_json::json!(verdict));
    } else {
        print!("{report}");
    }
    match verdict {
        Verdict::Sound => ExitCode::SUCCESS,
        Verdict::Faulty => FOUND.into(),
        Verdict::Unchecked => UNKNOWN.into(),
    }
}

/// What to do with the read models.
pub struct Rebuild {
    /// One of them; all if there is none.
    pub projection: Option<String>,
    /// Compare only, serve nothing new.
    pub dry_run: bool,
    /// Serve the generation before instead.
    pub roll_back: bool,
}

/// Rebuilds read models beside those that are served, compares, and swaps. 0: equal, or rolled back; 1: rows differed;
/// 2: could not.
pub async fn rebuild(data: &Path, options: Rebuild, json: bool) -> ExitCode {
    let Files { log, reads, .. } = Files::of(data);
    let Rebuild { projection, dry_run, roll_back } = options;
    let job = Job { log, reads, projection };
    if roll_back {
        let rolled_back = rebuild::roll_back(&job).await.context("could not roll back");
        let Some(report) = told(rolled_back, json) else { return UNKNOWN.into() };
        if json {
            print_json(&report, "rolled_back", report.is_complete().into());
        } else {
            print!("{report}");
        }
        return if report.is_complete() { ExitCode::SUCCESS } else { UNKNOWN.into() };
    }
    let report = rebuild::rebuild(&job, dry_run, &mut progress(json)).await.context("could not rebuild");
    let Some(report) = told(report, json) else { return UNKNOWN.into() };
    if json {
        print_json(&report, "equal", report.equal().into());
    } else {
        print!("{report}");
    }
    if report.equal() { ExitCode::SUCCESS } else { FOUND.into() }
}

fn progress(json: bool) -> Progress {
    if json { Progress::silent() } else { Progress::on_stderr() }
}

/// What the job came to, or nothing once its error is told.
fn told<T>(result: anyhow::Result<T>, json: bool) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if json => {
            println!("{}", serde_json::json!({ "error": format!("{error:#}") }));
            None
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            None
        }
    }
}

/// One object on one line, with one more field in front of the report's own.
fn print_json(report: &impl Serialize, field: &str, value: Value) {
    let mut object = serde_json::Map::from_iter([(field.to_owned(), value)]);
    if let Ok(Value::Object(own)) = serde_json::to_value(report) {
        object.extend(own);
    }
    println!("{}", Value::Object(object));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data_folder,
        settings::{Given, Settings},
    };

    fn every(projection: Option<&str>) -> Rebuild {
        Rebuild { projection: projection.map(str::to_owned), dry_run: false, roll_back: false }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn exit_codes_tell_sound_from_faulty_and_from_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let given = Given { data: Some(data.clone()), ..Given::default() };
        let stores = data_folder::open(&Settings::resolve(given, None).unwrap()).await.unwrap();
        assert_eq!(verify(&data, true).await, ExitCode::SUCCESS);
        assert_eq!(rebuild(&data, every(None), true).await, UNKNOWN.into(), "it is in use");
        drop(stores);
        assert_eq!(rebuild(&data, every(None), true).await, ExitCode::SUCCESS);
        assert_eq!(rebuild(&data, every(Some("nonsense")), true).await, UNKNOWN.into());
        let roll_back = || Rebuild { roll_back: true, ..every(None) };
        assert_eq!(rebuild(&data, roll_back(), true).await, ExitCode::SUCCESS);
        assert_eq!(rebuild(&data, roll_back(), true).await, UNKNOWN.into(), "there is nothing before it");
        assert_eq!(verify(&folder.path().join("nowhere"), true).await, UNKNOWN.into());

        let log = std::fs::OpenOptions::new().write(true).open(data.join("log.db")).unwrap();
        log.set_len(log.metadata().unwrap().len() / 2).unwrap();
        assert_eq!(verify(&data, true).await, FOUND.into());
    }
}
