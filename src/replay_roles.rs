//! `verify` and its kin: what they print, and the codes they exit with.
use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use replay::{
    progress::Progress,
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
