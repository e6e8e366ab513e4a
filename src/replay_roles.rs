//! `verify` and its kin: what they print, and the codes they exit with.
use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use event_log::Log;
use projections::ReadStore;
use replay::{
    progress::Progress,
    rebuild::{self, Chosen},
    verify::{self, KeysAt, Verdict},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{data_folder::Files, rebuilds, settings::Settings};

/// Something was found: a fault, or rows that differ.
pub(crate) const FOUND: u8 = 1;
/// It could not be looked at, so nothing is known.
pub(crate) const UNKNOWN: u8 = 2;

/// Verifies the log of a data folder and says what was checked. 0: sound; 1: a fault; 2: could not check.
pub async fn verify(settings: &Settings, json: bool) -> ExitCode {
    let report = verify_log(settings, &mut progress(json)).await.context("could not verify");
    let Some(report) = told(report, json) else { return UNKNOWN.into() };
    let verdict = report.verdict();
    if json {
        println!("{}", with("verdict", serde_json::json!(verdict), &report));
    } else {
        print!("{report}");
    }
    match verdict {
        Verdict::Sound => ExitCode::SUCCESS,
        Verdict::Faulty => FOUND.into(),
        Verdict::Unchecked => UNKNOWN.into(),
    }
}

async fn verify_log(settings: &Settings, progress: &mut Progress) -> anyhow::Result<verify::Report> {
    let Files { log, keys, reads, .. } = Files::of(settings);
    let files = verify::Files { log, keys: keys_at(settings, keys), reads };
    if settings.log.is_file() {
        return Ok(verify::verify(&files, progress).await?);
    }
    let log = settings.log.open_read_only(&files.log).await?;
    Ok(verify::verify_log(&log, &files, progress).await?)
}

#[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "there are files only"))]
fn keys_at(settings: &Settings, file: PathBuf) -> KeysAt {
    #[cfg(feature = "postgres")]
    if let Some(address) = settings.stores.postgres() {
        let address = address.clone();
        let ask = move || privacy::KeyStore::counted_at(&address).map_err(|error| error_text(&error));
        return KeysAt::Asked(std::sync::Arc::new(ask));
    }
    KeysAt::File(file)
}

/// What to do with the read models.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// One of them; all if there is none.
    pub projection: Option<String>,
    /// Compare only, serve nothing new.
    pub dry_run: bool,
    /// Serve the generation before instead.
    pub roll_back: bool,
}

/// What a rebuild came to, ready to be told by whoever asked for it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RebuildDone)]
pub(crate) struct Done {
    /// 0: equal, or rolled back; 1: rows differed; 2: there was nothing to go back to.
    pub(crate) exit_code: u8,
    /// For programs.
    #[schema(value_type = Object)]
    report: Value,
    /// For people.
    text: String,
}

/// Rebuilds read models beside those that are served, compares, and swaps; the server does it if one is running. 0: equal,
/// or rolled back; 1: rows differed; 2: could not.
pub async fn rebuild(settings: &Settings, job: Rebuild, json: bool) -> ExitCode {
    let done = job.here_or_there(settings, &mut progress(json)).await;
    let done = done.context(if job.roll_back { "could not roll back" } else { "could not rebuild" });
    let Some(Done { exit_code, report, text }) = told(done, json) else { return UNKNOWN.into() };
    if json {
        println!("{report}");
    } else {
        print!("{text}");
    }
    exit_code.into()
}

impl Rebuild {
    async fn here_or_there(&self, settings: &Settings, progress: &mut Progress) -> anyhow::Result<Done> {
        let chosen = Chosen::of(self.projection.as_deref())?;
        let Files { log, reads, .. } = Files::of(settings);
        let Some(_lock) = settings.log.lock(&settings.data)? else {
            return rebuilds::hand_over(&settings.data, self, progress).await;
        };
        let opened = if settings.log.is_file() {
            rebuild::open(&log, &reads).await
        } else {
            rebuild::open_beside(settings.log.open_read_only(&log).await, &reads).await
        };
        match opened {
            Ok((log, store)) => Ok(self.work(&log, &store, chosen, progress, std::future::pending()).await?),
            Err(rebuild::Error::InUse) => rebuilds::hand_over(&settings.data, self, progress).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Does it. A way back cannot be cancelled.
    pub(crate) async fn work(
        &self,
        log: &Log,
        store: &ReadStore,
        chosen: Chosen,
        progress: &mut Progress,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Done, rebuild::Error> {
        if self.roll_back {
            let report = rebuild::roll_back(log, store, chosen, progress).await?;
            let exit_code = if report.is_complete() { 0 } else { UNKNOWN };
            let text = report.to_string();
            return Ok(Done {
                exit_code,
                report: with("rolled_back", report.is_complete().into(), &report),
                text,
            });
        }
        let report = rebuild::rebuild(log, store, chosen, self.dry_run, progress, cancelled).await?;
        let exit_code = if report.equal() { 0 } else { FOUND };
        let text = report.to_string();
        Ok(Done { exit_code, report: with("equal", report.equal().into(), &report), text })
    }
}

/// The error with its causes.
pub(crate) fn error_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

pub(crate) fn progress(json: bool) -> Progress {
    if json { Progress::silent() } else { Progress::on_stderr() }
}

/// What the job came to, or nothing once its error is told.
pub(crate) fn told<T>(result: anyhow::Result<T>, json: bool) -> Option<T> {
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

/// The report as an object with one more field in front of its own.
pub(crate) fn with(field: &str, value: Value, report: &impl Serialize) -> Value {
    let mut object = serde_json::Map::from_iter([(field.to_owned(), value)]);
    if let Ok(Value::Object(own)) = serde_json::to_value(report) {
        object.extend(own);
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data_folder, settings::Given};

    fn every(projection: Option<&str>) -> Rebuild {
        Rebuild { projection: projection.map(str::to_owned), dry_run: false, roll_back: false }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn exit_codes_tell_sound_from_faulty_and_from_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let of = |data| Settings::resolve(Given { data: Some(data), ..Given::default() }, None).unwrap();
        let settings = of(data.clone());
        let stores = data_folder::open(&settings).await.unwrap();
        assert_eq!(verify(&settings, true).await, ExitCode::SUCCESS);
        assert_eq!(
            rebuild(&settings, every(None), true).await,
            UNKNOWN.into(),
            "it is in use, and not by a server that is ready"
        );
        drop(stores);
        assert_eq!(rebuild(&settings, every(None), true).await, ExitCode::SUCCESS);
        assert_eq!(rebuild(&settings, every(Some("nonsense")), true).await, UNKNOWN.into());
        let roll_back = || Rebuild { roll_back: true, ..every(None) };
        assert_eq!(rebuild(&settings, roll_back(), true).await, ExitCode::SUCCESS);
        assert_eq!(rebuild(&settings, roll_back(), true).await, UNKNOWN.into(), "there is nothing before it");
        assert_eq!(verify(&of(folder.path().join("nowhere")), true).await, UNKNOWN.into());

        let log = std::fs::OpenOptions::new().write(true).open(data.join("log.db")).unwrap();
        log.set_len(log.metadata().unwrap().len() / 2).unwrap();
        assert_eq!(verify(&settings, true).await, FOUND.into());
    }
}
