//! Losses that two people declared: `declare-loss` writes them into the log, and whoever looks at it hears of them.
use event_log::{AdmittedRecord, Kind};
use serde::Deserialize;

/// What such a record says.
#[derive(Deserialize)]
struct Declared {
    loss_declared: Loss,
}

#[derive(Deserialize)]
struct Loss {
    at: String,
    by: Vec<String>,
    why: String,
    records: u64,
    records_remembered: u64,
}

/// What to tell of a record that declares a loss.
pub(super) fn declared(record: &AdmittedRecord) -> Option<String> {
    if record.frame.kind != Kind::Barrier || record.body.is_empty() {
        return None;
    }
    let Declared { loss_declared: loss } = serde_json::from_slice(&record.body).ok()?;
    let Loss { at, by, why, records, records_remembered } = loss;
    Some(format!(
        "partition {}, position {}: on {at} {} declared that records were lost ({why}); {records} were left, \
         {records_remembered} were remembered",
        record.partition,
        record.position,
        by.join(" and "),
    ))
}
