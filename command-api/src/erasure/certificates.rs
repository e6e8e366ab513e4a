//! What a redaction is certified with: what its records say, when they were written, and who signs it.
use event_log::LogId;
use event_schemas::{CertificateId, CertificateText, Timestamp, privacy_request::RedactionScope};
use privacy::certificate::{Counts, FORMAT, Level, Scan, Scope, Statement, Times};
use uuid::Uuid;

use domain::privacy_request::{Certify, Finalize, Redaction};

use super::{PortError, Process, Request, setback::Cause, whom};
use crate::planted;

impl Process {
    /// Certifies that nothing that is in use opens anything, and has it shown from here on.
    pub(super) async fn certify(&self, request: &Request, redaction: &Redaction) -> Result<Certify, Cause> {
        let at = self.parts.clock.now();
        let until = after(at, self.periods.rotate + self.periods.keep_epochs);
        let statement = self.statement(request, redaction, Level::Live, at, until)?;
        let (certificate_id, certificate) = self.issue(request, redaction, &statement).await?;
        Ok(Certify { certificate_id, certificate, at })
    }

    /// Certifies that no copy opens anything either; none while an epoch that could is there.
    pub(super) async fn finalize(
        &self,
        request: &Request,
        redaction: &Redaction,
    ) -> Result<Option<Finalize>, Cause> {
        let epoch = redaction.destroyed.as_ref().map_or(0, |destroyed| destroyed.epoch);
        let Some(destroyed_at) = self.epoch_gone(epoch) else { return Ok(None) };
        let at = self.parts.clock.now();
        let statement = self.statement(request, redaction, Level::Final, at, destroyed_at)?;
        let (certificate_id, certificate) = self.issue(request, redaction, &statement).await?;
        Ok(Some(Finalize { certificate_id, certificate, at }))
    }

    /// Has the log witnessed, signs, and has the certificate named to whoever reads what is shredded.
    async fn issue(
        &self,
        request: &Request,
        redaction: &Redaction,
        statement: &Statement,
    ) -> Result<(CertificateId, CertificateText), Cause> {
        if let Some(witness) = &self.witness {
            witness.witness().await.map_err(|error| Cause::new("witness-away", error))?;
        }
        let unwritable = |error: PortError| Cause::new("certificate-unwritable", error);
        let issued = self.parts.keys.issue(statement).and_then(|certificate| certificate.text());
        let text = issued.map_err(|error| unwritable(error.into()))?;
        let text = CertificateText::try_new(text).map_err(|error| unwritable(error.to_string().into()))?;
        let (merchant, whom) = (request.merchant, whom(redaction));
        let place = match statement.level {
            Level::Live => "certify",
            Level::Final => "certify-final",
        };
        planted::erasure_at(place).await;
        self.parts.keys.certify(merchant, &whom, &statement.certificate).await?;
        planted::erasure_past(place).await;
        Ok((certificate_id(request, statement.level), text))
    }

    fn statement(
        &self,
        request: &Request,
        redaction: &Redaction,
        level: Level,
        issued: Timestamp,
        epoch_destroyed: Timestamp,
    ) -> Result<Statement, Cause> {
        let (Some(fenced), Some(destroyed), Some(purged), Some(verified)) =
            (&redaction.fenced, &redaction.destroyed, &redaction.purged, &redaction.verified)
        else {
            return Err(Cause::new("step-missing", "a step that was recorded is not in the state"));
        };
        let live = certificate_id(request, Level::Live).to_string();
        Ok(Statement {
            format: FORMAT.to_owned(),
            level,
            certificate: certificate_id(request, level).to_string(),
            live: (level == Level::Final).then_some(live),
            log: log_id(self.parts.log.id()),
            merchant: request.merchant,
            request: request.id.0,
            scope: match redaction.requested.scope {
                RedactionScope::Customer => Scope::Customer,
                RedactionScope::Shop => Scope::Shop,
            },
            subjects: redaction.requested.subjects.clone(),
            times: Times {
                requested: redaction.requested.requested_at,
                fenced: fenced.at,
                destroyed: destroyed.at,
                purged: purged.at,
                verified: verified.at,
                issued,
            },
            fence: fenced.fence,
            destroyed: Counts {
                keys: destroyed.keys,
                directory_rows: destroyed.directory_rows,
                tombstones: destroyed.tombstones,
            },
            purged: purged.purged.iter().map(|(store, rows)| (store.as_str().to_owned(), *rows)).collect(),
            scanned: verified
                .scanned
                .iter()
                .map(|scanned| Scan {
                    partition: scanned.partition,
                    from: scanned.from,
                    to: scanned.to,
                    head: Some(scanned.head.as_str().to_owned()),
                    records: scanned.records,
                    fields: scanned.fields,
                })
                .collect(),
            epoch: destroyed.epoch,
            epoch_destroyed,
        })
    }
}

/// The name of a request's certificate, which is the same however often it is issued.
fn certificate_id(request: &Request, level: Level) -> CertificateId {
    let level = match level {
        Level::Live => "live",
        Level::Final => "final",
    };
    CertificateId(Uuid::new_v5(&request.id.0, level.as_bytes()))
}

fn log_id(id: LogId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// The time so much later.
pub(super) fn after(time: Timestamp, period: chrono::TimeDelta) -> Timestamp {
    Timestamp::from_micros(time.micros().saturating_add(period.num_microseconds().unwrap_or(i64::MAX)))
}
