//! A key store that is older than the log, as one from a backup is: before anything opens, each erasure that the log knows
//! of is done again.
use std::collections::BTreeMap;

use anyhow::Context as _;
use event_log::{AdmittedRecord, Class, Diverged, FETCH_RECORDS_MAX, Kind, Log, Position, Reason};
use event_schemas::{
    CertificateId, CustomerId, Event, MerchantId, StreamType,
    catalogue::PrivacyRequestEvent,
    privacy_request::RedactionScope,
    record::{RawAnswer, View},
};
use privacy::{KeyStore, Whom};
use uuid::Uuid;

/// What the log says of an erasure.
#[derive(Default)]
struct Erasure {
    whom: Option<Whom>,
    fenced: bool,
    destroyed: bool,
    certificate: Option<CertificateId>,
}

type Erasures = BTreeMap<(MerchantId, Uuid), Erasure>;

/// Brings the store up to date with the log, or refuses it. `witnessed` is the count that the witness remembers.
pub(crate) async fn catch_up(log: &Log, keys: &KeyStore, witnessed: u64) -> anyhow::Result<()> {
    let last = last_count(log).await.context("could not look at the end of the log")?;
    let seen = last.max(witnessed);
    if keys.ensure_at_least(seen).await.is_ok() {
        return Ok(());
    }
    #[cfg(feature = "planted-bugs")]
    if std::env::var("LOYALNEST_PLANTED_BUG").is_ok_and(|planted| planted == "erasures-not-redone") {
        return Ok(());
    }
    let (highest, erasures) = read(log).await.context("could not read the log's erasures")?;
    let seen = highest.max(witnessed);
    let all = erasures.len();
    let mut done = 0_usize;
    for ((merchant, request), Erasure { whom, fenced, destroyed, certificate }) in erasures {
        let Some(whom) = whom.filter(|_| fenced) else { continue };
        let certificate = certificate.filter(|_| destroyed).map(|certificate| certificate.to_string());
        let again = async || -> Result<(), privacy::Error> {
            keys.fence(merchant, &whom, request).await?;
            if destroyed {
                keys.destroy(merchant, &whom, request).await?;
            }
            match certificate {
                Some(certificate) => keys.certify(merchant, &whom, &certificate).await,
                None => Ok(()),
            }
        };
        again().await.with_context(|| format!("could not do again what the request {request} had erased"))?;
        done += 1;
    }
    tracing::warn!("The key store is older than the log: {done} of {all} erasures were done again");
    keys.ensure_at_least(seen).await.context(
        "keys that records rely on are missing, and no log can bring them back: restore a newer copy of the key store",
    )
}

/// The highest count that the last record of any partition has seen of the store. An owner opens no store that is behind its
/// partition, so counts only rise in it, and this is the highest of all; but for a log on Kafka that ends in a record of a
/// former owner, which nobody admits. The witness remembers what was admitted there, and the next owner looks again.
async fn last_count(log: &Log) -> Result<u64, event_log::Error> {
    let mut highest = 0;
    for partition in 0..log.partitions() {
        let end = log.end(partition);
        if end > Position::START {
            highest = highest.max(count_at(log, partition, end).await?);
        }
    }
    Ok(highest)
}

/// Anybody may have put something behind the last record of an open log. Readers skip it, so what stands before it is asked.
async fn count_at(log: &Log, partition: u16, end: Position) -> Result<u64, event_log::Error> {
    match log.record_at(partition, end).await {
        Ok(record) => return Ok(record.frame.key_count),
        Err(event_log::Error::Diverged(Diverged { reason: Reason::Undecodable, .. }))
            if log.class() == Class::Open => {}
        Err(error) => return Err(error),
    }
    let (mut highest, mut reader) = (0, log.reader(partition, None)?);
    loop {
        let records = reader.next(FETCH_RECORDS_MAX).await?.records;
        if records.is_empty() {
            return Ok(highest);
        }
        highest = records.iter().map(|record| record.frame.key_count).fold(highest, u64::max);
    }
}

/// The highest count of all records, and every erasure.
async fn read(log: &Log) -> anyhow::Result<(u64, Erasures)> {
    let (mut highest, mut erasures) = (0, Erasures::new());
    let mut sweeper = log.sweep(&[])?;
    loop {
        let records = sweeper.next(FETCH_RECORDS_MAX).await?.records;
        if records.is_empty() {
            return Ok((highest, erasures));
        }
        for record in &records {
            highest = highest.max(record.frame.key_count);
            if record.frame.kind == Kind::Commit {
                take(&mut erasures, record)?;
            }
        }
    }
}

fn take(erasures: &mut Erasures, record: &AdmittedRecord) -> anyhow::Result<()> {
    let view = View::open(&record.body)?;
    let RawAnswer::Events(events) = view.answer else { return Ok(()) };
    if view.meta.stream_type != StreamType::PrivacyRequest {
        return Ok(());
    }
    let whose = (MerchantId::from_bytes(record.frame.merchant), Uuid::from_bytes(record.frame.stream));
    let erasure = erasures.entry(whose).or_default();
    for event in &events {
        let Event::PrivacyRequest(event) = event.decode()? else { continue };
        match event {
            PrivacyRequestEvent::RedactionRequested(requested) => {
                erasure.whom = Some(whom(requested.scope, requested.subjects));
            }
            PrivacyRequestEvent::RedactionFenced(_) => erasure.fenced = true,
            PrivacyRequestEvent::SubjectKeyDestroyed(_) => erasure.destroyed = true,
            PrivacyRequestEvent::RedactionCompleted(completed) => {
                erasure.certificate = Some(completed.certificate_id);
            }
            PrivacyRequestEvent::RedactionFinalized(finalized) => {
                erasure.certificate = Some(finalized.certificate_id);
            }
            _ => {}
        }
    }
    Ok(())
}

fn whom(scope: RedactionScope, subjects: Vec<CustomerId>) -> Whom {
    match scope {
        RedactionScope::Customer => Whom::Person(subjects),
        RedactionScope::Shop => Whom::Shop,
    }
}

#[cfg(test)]
mod tests {
    use event_log::memory;
    use privacy::RootKey;

    use super::*;

    /// Catches: the last records alone, so that the witness remembers for nothing.
    #[tokio::test]
    async fn a_store_below_what_the_witness_remembers_is_refused_though_the_log_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::from_bytes([7; 32]);
        let keys = KeyStore::create_or_open(&folder.path().join("keys.db"), &root, [9; 16]).await.unwrap();
        keys.ensure_merchant(MerchantId::from_bytes([1; 16])).await.unwrap();
        let log = memory::init(2, Class::Conditional);
        for witnessed in [0, 1] {
            catch_up(&log, &keys, witnessed).await.unwrap();
        }
        let refused = format!("{:#}", catch_up(&log, &keys, 2).await.unwrap_err());
        assert!(
            refused.contains("restore a newer copy") && refused.contains("has seen 1 inserts"),
            "{refused}"
        );
    }
}
