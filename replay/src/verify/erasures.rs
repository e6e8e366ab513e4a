//! Erasures as the log proves them: step by step, each certificate genuine and about nothing but what the log tells.
//!
//! Who signed is told as a note: that the key is the installation's an auditor learns elsewhere. What a certificate says
//! of the key store nobody can see in the log; what is shown here is that it was said, by whom, and that nothing says
//! otherwise.
use std::collections::{BTreeSet, HashMap};

use domain::{
    Decider as _,
    privacy_request::{Redaction, State},
};
use event_log::LogId;
use event_schemas::{
    CertificateId, CertificateText, MerchantId, RequestId, Timestamp,
    catalogue::PrivacyRequestEvent as Event,
    privacy_request::{RedactionScope, RedactionStep},
};
use privacy::certificate::{Certificate, Counts, FORMAT, Level, Scan, Scope, Statement, Times};

/// All requests so far.
#[derive(Default)]
pub(super) struct Erasures {
    requests: HashMap<(MerchantId, RequestId), State>,
    /// Who signed, in hexadecimal digits.
    signers: BTreeSet<String>,
    certificates: u64,
}

/// A certificate as its event has it.
struct Issued<'a> {
    level: Level,
    id: CertificateId,
    text: &'a CertificateText,
    at: Timestamp,
}

impl Erasures {
    /// Takes the next event of a request, or says what is wrong with it.
    pub(super) fn take(
        &mut self,
        log: LogId,
        merchant: MerchantId,
        request: RequestId,
        event: &Event,
    ) -> Result<(), String> {
        let state = self.requests.entry((merchant, request)).or_default();
        if let Some(step) = step_of(event) {
            let ahead = state.redaction().and_then(Redaction::ahead);
            if ahead != Some(step) {
                return Err(format!("the step {} is recorded where another one is ahead", step.as_str()));
            }
        }
        let issued = match event {
            Event::RedactionCompleted(done) => {
                let (id, text, at) = (done.certificate_id, &done.certificate, done.at);
                Some(Issued { level: Level::Live, id, text, at })
            }
            Event::RedactionFinalized(done) => {
                let (id, text, at) = (done.certificate_id, &done.certificate, done.at);
                Some(Issued { level: Level::Final, id, text, at })
            }
            _ => None,
        };
        if let (Some(issued), Some(redaction)) = (issued, state.redaction()) {
            let signer = genuine(log, merchant, request, redaction, &issued)?;
            self.signers.insert(signer);
            self.certificates += 1;
        }
        state.evolve(event);
        Ok(())
    }

    /// Who signed how many certificates, if there are any.
    pub(super) fn notes(&self) -> Option<String> {
        let signers: Vec<_> = self.signers.iter().map(String::as_str).collect();
        let count = self.certificates;
        (count > 0).then(|| format!("{count} certificates of erasure, signed by {}", signers.join(" and ")))
    }
}

/// The step that an event records.
const fn step_of(event: &Event) -> Option<RedactionStep> {
    match event {
        Event::RedactionFenced(_) => Some(RedactionStep::Fence),
        Event::SubjectKeyDestroyed(_) => Some(RedactionStep::Destroy),
        Event::ReadModelsPurged(_) => Some(RedactionStep::Purge),
        Event::RedactionVerified(_) => Some(RedactionStep::Verify),
        Event::RedactionCompleted(_) => Some(RedactionStep::Certify),
        Event::RedactionFinalized(_) => Some(RedactionStep::Finalize),
        Event::RedactionRequested(_)
        | Event::RedactionFailed(_)
        | Event::DataRequestReceived(_)
        | Event::DataExportPrepared(_)
        | Event::DataExportDelivered(_)
        | Event::PrivacyRecordExpired(_) => None,
    }
}

/// Who signed the certificate, if it states what the log does.
fn genuine(
    log: LogId,
    merchant: MerchantId,
    request: RequestId,
    redaction: &Redaction,
    issued: &Issued<'_>,
) -> Result<String, String> {
    let certificate = Certificate::parse(issued.text.as_str()).map_err(|invalid| invalid.to_string())?;
    let stated = certificate.verify(None).map_err(|invalid| invalid.to_string())?;
    let told = statement(log, merchant, request, redaction, issued, stated.epoch_destroyed);
    if told.as_ref() != Some(&stated) {
        return Err("the certificate states otherwise than the log".to_owned());
    }
    Ok(certificate.public_key)
}

/// What the log tells; when the epoch is gone only the certificate says.
fn statement(
    log: LogId,
    merchant: MerchantId,
    request: RequestId,
    redaction: &Redaction,
    issued: &Issued<'_>,
    epoch_destroyed: Timestamp,
) -> Option<Statement> {
    let Redaction { requested, fenced, destroyed, purged, verified, live, .. } = redaction;
    let (fenced, destroyed) = (fenced.as_ref()?, destroyed.as_ref()?);
    let (purged, verified) = (purged.as_ref()?, verified.as_ref()?);
    Some(Statement {
        format: FORMAT.to_owned(),
        level: issued.level,
        certificate: issued.id.to_string(),
        live: live.filter(|_| issued.level == Level::Final).map(|live| live.id.to_string()),
        log: RequestId::from_bytes(*log.as_bytes()).0,
        merchant,
        request: request.0,
        scope: match requested.scope {
            RedactionScope::Customer => Scope::Customer,
            RedactionScope::Shop => Scope::Shop,
        },
        subjects: requested.subjects.clone(),
        times: Times {
            requested: requested.requested_at,
            fenced: fenced.at,
            destroyed: destroyed.at,
            purged: purged.at,
            verified: verified.at,
            issued: issued.at,
        },
        fence: fenced.fence,
        destroyed: Counts {
            keys: destroyed.keys,
            directory_rows: destroyed.directory_rows,
            tombstones: destroyed.tombstones,
        },
        purged: purged.purged.iter().map(|(store, count)| (store.to_string(), *count)).collect(),
        scanned: verified
            .scanned
            .iter()
            .map(|one| Scan {
                partition: one.partition,
                from: one.from,
                to: one.to,
                head: Some(one.head.to_string()),
                records: one.records,
                fields: one.fields,
            })
            .collect(),
        epoch: destroyed.epoch,
        epoch_destroyed,
    })
}
