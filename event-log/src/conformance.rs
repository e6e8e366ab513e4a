//! What every backend must do, as one suite; a backend's file ends by calling it.

mod cases;
mod corruption;
mod faults;
mod passes;

use std::time::Duration;

use bytes::Bytes;

use crate::{
    AdmittedRecord, Appended, Diverged, Error, Kind, Log, NewKind, NewRecord, Pending, REFERENCE_ROUTE,
    Reader, Skipped, Timing, Writer,
};

pub(crate) use cases::*;
pub(crate) use corruption::*;
pub(crate) use faults::*;
pub(crate) use passes::*;

/// Longest wait for a server, or for what it brings about; a busy machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Waits for what must happen by itself; the test fails with its name if it does not.
pub(crate) async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(PATIENCE, happens).await;
    happened.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// A store to try, with at least four partitions and nothing in it.
pub(crate) trait Fixture {
    fn log(&self) -> Log;

    /// Closes the store and opens it again.
    async fn reopen(self) -> Self;

    /// Changes partition 0 behind the log's back.
    fn tamper(&self, tamper: Tamper);

    /// Every so many records are edited where a test would edit each: more where an edit takes seconds.
    fn edited_every(&self) -> usize {
        1
    }

    /// How long a record may take where a test waits for one that never comes.
    fn quick(&self) -> Timing {
        QUICK
    }
}

/// What an editor may do to the records of a partition, counted from 0.
#[derive(Clone, Debug)]
pub(crate) enum Tamper {
    Edit(usize, Bytes),
    Delete(usize),
    Swap(usize, usize),
}

macro_rules! conformance {
    ($name:ident, $fixture:expr) => {
        $crate::conformance::conformance!(
            $name, $fixture,
            records_come_back_in_order_as_they_were_written,
            every_record_extends_the_chain_from_genesis,
            pipelined_answers_come_in_order,
            partitions_are_histories_of_their_own,
            a_claim_hands_over_every_record_once,
            a_claim_from_a_covering_checkpoint_hands_over_the_rest,
            a_checkpoint_of_what_was_sent_comes_when_all_of_it_is_admitted,
            a_record_is_read_again_at_its_position_and_nowhere_else,
            a_failing_owner_stops_its_claim,
            records_for_another_partition_or_too_large_are_not_sent,
            readers_refuse_a_record_of_another_partition,
            readers_follow_while_a_writer_appends,
            reading_resumes_from_any_checkpoint,
            a_reopened_log_goes_on_where_it_was,
            a_paused_writer_is_fenced_when_it_wakes,
            of_two_claimers_one_owns_the_partition,
            a_record_behind_a_lost_one_is_never_admitted,
            a_lost_report_is_a_doubt_and_the_next_claim_finds_the_record,
            a_lost_record_is_a_doubt_and_the_next_claim_does_not_find_it,
            a_report_out_of_time_is_a_doubt,
            a_crash_between_any_two_steps_loses_no_answer,
            an_edited_record_is_found,
            a_deleted_record_is_found,
            a_record_of_a_newer_format_stops_readers_and_claims,
            swapped_records_are_found,
            a_shrunk_log_stops_running_and_resumed_readers,
            a_shrunk_log_stops_its_owner_before_it_answers,
            one_pass_gives_each_partition_what_its_reader_gives,
            a_pass_begins_and_ends_at_any_places,
            a_pass_finds_what_a_reader_finds,
            a_shrunk_log_stops_a_running_pass,
        );
    };
    ($name:ident, $fixture:expr, $($case:ident),+ $(,)?) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    $crate::conformance::$case($fixture).await;
                }
            )+
        }
    };
}
pub(crate) use conformance;

/// The partition that most cases use.
const PARTITION: u16 = 0;

pub(crate) const QUICK: Timing =
    Timing { append_timeout: Duration::from_secs(1), claim_timeout: Duration::from_secs(5) };

pub(crate) fn commit(number: u32) -> NewRecord {
    NewRecord {
        kind: NewKind::Commit,
        merchant: [(number % 3) as u8; 16],
        route: REFERENCE_ROUTE,
        stream: [9; 16],
        key_count: u64::from(number),
        body: Bytes::copy_from_slice(&number.to_be_bytes()),
    }
}

async fn claim(log: &Log) -> Writer {
    log.claim(PARTITION, |_| Ok(())).await.unwrap()
}

async fn append(writer: &mut Writer, number: u32) -> Appended {
    writer.append(commit(number)).unwrap().await.unwrap()
}

fn append_all(writer: &mut Writer, numbers: impl IntoIterator<Item = u32>) -> Vec<Pending> {
    numbers.into_iter().map(|number| writer.append(commit(number)).unwrap()).collect()
}

async fn append_and_wait(writer: &mut Writer, numbers: impl IntoIterator<Item = u32>) -> Vec<Appended> {
    let mut appended = Vec::new();
    for pending in append_all(writer, numbers) {
        appended.push(pending.await.unwrap());
    }
    appended
}

/// Everything up to the end.
async fn read_on(reader: &mut Reader) -> Result<Vec<AdmittedRecord>, Error> {
    let mut records = Vec::new();
    loop {
        let batch = reader.next(3).await?;
        if batch.records.is_empty() {
            return Ok(records);
        }
        records.extend(batch.records);
    }
}

async fn read_all(log: &Log) -> Result<(Vec<AdmittedRecord>, Skipped), Error> {
    let mut reader = log.reader(PARTITION, None)?;
    Ok((read_on(&mut reader).await?, reader.skipped()))
}

/// The numbers of the commits.
async fn numbers(log: &Log) -> Vec<u32> {
    numbers_of(&read_all(log).await.unwrap().0)
}

pub(crate) fn numbers_of(records: &[AdmittedRecord]) -> Vec<u32> {
    let commits = records.iter().filter(|record| record.frame.kind == Kind::Commit);
    commits.map(|record| u32::from_be_bytes(record.body[..].try_into().unwrap())).collect()
}

fn diverged<T>(result: Result<T, Error>) -> Option<Diverged> {
    match result.err()? {
        Error::Diverged(diverged) => Some(diverged),
        _ => None,
    }
}
