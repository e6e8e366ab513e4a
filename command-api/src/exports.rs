//! What a person is handed of their data: gathered from the log beside traffic, sealed under the person's own key, to be had
//! for some days, and gone with them.
mod aside;
mod csv;
mod document;
mod gather;
mod stored;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::NaiveDate;
use domain::{
    Aggregate, Command,
    privacy_request::{DeliverExport, PrepareExport},
};
use event_log::{Checkpoint, Log};
use event_schemas::{
    CommandKey, CorrelationId, CustomerId, Digest, FieldAddress, MerchantId, RecordId, RequestId, Sealed,
    StreamType,
    record::{Actor, Trace},
};
use group_commit::{Fault, Store};
use privacy::{KeyStore, Opened};
use uuid::Uuid;

pub(crate) use stored::{expire, purge};

use self::{
    aside::Aside,
    document::{About, File},
    gather::Told,
    stored::{Part, Prepared, Standing, Waiting},
};
use crate::{
    chance,
    clock::Clock,
    commands::{Commander, Envelope, Lane, Origin, Unavailable},
    policies::Parts,
    requests::{Kept, Redacted, Requests, is_erased},
    shops::Shops,
};

/// The files of an export, in the order in which they are had best.
pub(crate) const FILES: [&str; 3] = ["manifest.json", "data.json", "entries.csv"];
/// One pass over the log serves so many requests.
const AT_ONCE: usize = 64;
/// What is sealed as one: a file is cut into parts of this length.
const PART_LEN: usize = 1024 * 1024;
/// Bound into every sealed part beside the request, the file and the part's number.
const EVENT: u16 = 910;

/// An export was not made, or is not to be had. What failed is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the log could not be read")]
    Log(#[from] event_log::Error),
    #[error("a record could not be read")]
    Record(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the keys are not available")]
    Keys(#[from] privacy::Error),
    #[error("the store of exports is not available")]
    Store(#[from] Fault),
    #[error("the export could not be recorded")]
    Command(#[from] Unavailable),
    #[error("the erasure of the person is not certified yet")]
    NotCertified,
    #[error("the export was refused as {0}")]
    Refused(&'static str),
    #[error("a file could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// What becomes of asking for a file.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The file.
    File(Vec<u8>),
    /// No such data request of this shop.
    Unknown,
    /// It is being made.
    NotYet,
    /// Its time is over.
    Expired,
    /// The person was erased since.
    Erased,
}

/// All that makes and hands out exports; cheap to clone.
#[derive(Clone)]
pub(crate) struct Exports {
    log: Log,
    commander: Commander,
    keys: KeyStore,
    work: Store,
    clock: Clock,
    shops: Shops,
    requests: Requests,
    aside: Aside,
}

/// The key under which an export is sealed.
enum SealedBy {
    /// The person's own.
    Subject(CustomerId),
    /// That of a day, where nobody is known, or they are erased: files of a guest's orders, and such that nothing is held.
    Day(NaiveDate),
}

impl Exports {
    pub(crate) fn new(parts: &Parts) -> Self {
        let Parts { commander, keys, work, clock, .. } = parts;
        let requests = Requests::new(commander.clone(), keys.clone(), work.clone(), clock.clone());
        Self {
            log: parts.log.clone(),
            commander: parts.commander.clone(),
            keys: parts.keys.clone(),
            work: parts.work.clone(),
            clock: parts.clock.clone(),
            shops: parts.shops.clone(),
            requests,
            aside: Aside::default(),
        }
    }

    /// Makes what waits for this process: of requests whose streams it owns, one pass over the log for all of them. What
    /// was begun before a crash is done again. One that fails is left for a while, and the others go on. Says how many it
    /// made.
    pub(crate) async fn work_off(&self) -> Result<usize, Error> {
        let waiting = self.work.read(stored::waiting).await?;
        let all: HashSet<_> = waiting.iter().map(|waiting| waiting.kept.request).collect();
        self.aside.keep_only(&all);
        let is_due = |waiting: &Waiting| self.is_here(waiting) && !self.aside.has(waiting.kept.request);
        let mut asked = Vec::new();
        for Waiting { kept, round, prepared } in waiting.into_iter().filter(is_due) {
            let is_to_be_made = match prepared {
                Some(prepared) => self.record(&kept, prepared).await.map(|()| false),
                None if asked.len() < AT_ONCE => self.is_to_be_made(&kept).await,
                None => Ok(false),
            };
            match is_to_be_made {
                Ok(true) => asked.push((kept, round)),
                Ok(false) => {}
                Err(error) => self.aside.put(&kept, &error),
            }
        }
        if asked.is_empty() {
            return Ok(0);
        }
        let kept: Vec<_> = asked.iter().map(|(kept, _)| kept.clone()).collect();
        let gather::Gathered { of, read } =
            gather::gather(&self.log, &self.keys, &self.requests, &kept).await?;
        let mut made = 0;
        for ((kept, round), told) in asked.iter().zip(of) {
            let done = async { self.make(kept, *round, &read, told?).await };
            match done.await {
                Ok(()) => made += 1,
                Err(error) => self.aside.put(kept, &error),
            }
        }
        Ok(made)
    }

    /// Makes one export of what was gathered.
    async fn make(&self, kept: &Kept, round: u32, read: &[Checkpoint], told: Vec<Told>) -> Result<(), Error> {
        let shop = self.shops.by_id(kept.merchant);
        let about = About {
            kept,
            shop: shop.as_ref().map(|shop| shop.domain.as_str()),
            log: self.log.id(),
            read,
            made_at: self.clock.now(),
            redacted: self.redacted(kept).await?,
        };
        let files = document::files(&self.keys, &about, told).await?;
        self.keep(&about, round, files).await
    }

    /// A file of an export, for the shop that asks. When all were fetched, that is recorded.
    pub(crate) async fn fetch(
        &self,
        merchant: MerchantId,
        request: RequestId,
        file: usize,
        origin: Origin,
    ) -> Result<Fetched, Error> {
        let standing = self.work.read(move |work| stored::standing(work, merchant, request)).await?;
        let Some(standing) = standing else { return Ok(Fetched::Unknown) };
        match standing.status.as_str() {
            "ready" if standing.expires_at <= self.clock.now() => return Ok(Fetched::Expired),
            "ready" => {}
            "expired" => return Ok(Fetched::Expired),
            "erased" => return Ok(Fetched::Erased),
            _ => return Ok(Fetched::NotYet),
        }
        let Some(kept) = self.requests.kept(request).await? else { return Ok(Fetched::Unknown) };
        let bytes = match self.open(&kept, &standing, FILES[file]).await {
            Err(Error::Keys(error)) if is_erased(&error) => return Ok(Fetched::Erased),
            opened => opened?,
        };
        let Some(bytes) = bytes else { return Ok(Fetched::Erased) };
        let fetched = self.work.run(move |work| stored::fetched(work, request, 1 << file)).await?;
        if fetched.count_ones() as usize == FILES.len() {
            let deliver = DeliverExport { delivered_at: self.clock.now() };
            self.tell(&kept, "deliver", deliver.into(), origin).await?;
        }
        Ok(Fetched::File(bytes))
    }

    fn is_here(&self, Waiting { kept, .. }: &Waiting) -> bool {
        let partition = self.log.partition_of(kept.merchant.bytes(), kept.route.into_bytes());
        self.commander.owned().contains(&partition)
    }

    /// Whether files are to be made. Of an erased shop nobody is left to have any: its requests end without.
    async fn is_to_be_made(&self, kept: &Kept) -> Result<bool, Error> {
        if !self.is_received(kept).await? {
            // Kept a moment ago, and its record is still to come.
            self.aside.wait(kept.request);
            return Ok(false);
        }
        if !self.keys.is_erased(kept.merchant, None).await? {
            return Ok(true);
        }
        let at = self.clock.now();
        let nothing = Prepared { files: 0, bytes: 0, manifest: Digest([0; 16]), at };
        self.tell_prepared(kept, nothing).await?;
        let request = kept.request;
        self.work.run(move |work| stored::ended(work, request)).await?;
        Ok(false)
    }

    async fn is_received(&self, kept: &Kept) -> Result<bool, Error> {
        let received = self.commander.read(kept.merchant, kept.stream(), |request| match request {
            Aggregate::PrivacyRequest(request) => request.data_request().is_some(),
            _ => false,
        });
        Ok(received.await?)
    }

    /// Whether one of them was erased: then nothing but that is said of any, with the certificate.
    async fn redacted(&self, kept: &Kept) -> Result<Option<Redacted>, Error> {
        for subject in &kept.subjects {
            match self.requests.redacted(kept.merchant, *subject).await? {
                Some(Redacted { certificate: None }) => return Err(Error::NotCertified),
                Some(redacted) => return Ok(Some(redacted)),
                None => {}
            }
        }
        Ok(None)
    }

    /// Seals the files and keeps them, then records that they can be had.
    async fn keep(&self, about: &About<'_>, round: u32, files: Vec<File>) -> Result<(), Error> {
        let (kept, request) = (about.kept, about.kept.request);
        let by = match kept.subjects.first() {
            Some(subject) if about.redacted.is_none() => SealedBy::Subject(*subject),
            _ => SealedBy::Day(about.made_at.utc().date_naive()),
        };
        let manifest = self.keys.global_hash("export-manifest", digest(&SHA256, &files[0].bytes).as_ref());
        let bytes = files.iter().map(|file| file.bytes.len() as u64).sum();
        let prepared = Prepared {
            files: u32::try_from(files.len()).unwrap_or(u32::MAX),
            bytes,
            manifest: Digest(manifest.first_chunk().copied().unwrap_or_default()),
            at: about.made_at,
        };
        let mut parts = Vec::new();
        for file in files {
            for (number, part) in (0_u32..).zip(file.bytes.chunks(PART_LEN)) {
                // If they were erased a moment ago, the next look finds that.
                let Sealed(sealed) = self.seal(kept, &by, file.name, number, part).await?;
                parts.push(Part { name: file.name, number, sealed });
            }
        }
        let day = match by {
            SealedBy::Subject(_) => None,
            SealedBy::Day(day) => Some(day.to_string()),
        };
        let keep = move |work: &dyn group_commit::Session| {
            stored::keep(work, request, round, prepared, day.as_deref(), &parts)
        };
        if self.work.run(keep).await? { self.record(kept, prepared).await } else { Ok(()) }
    }

    /// Records that the files can be had, and lets them be had.
    async fn record(&self, kept: &Kept, prepared: Prepared) -> Result<(), Error> {
        self.tell_prepared(kept, prepared).await?;
        let expires_at = self.commander.read(kept.merchant, kept.stream(), |request| match request {
            Aggregate::PrivacyRequest(request) => request
                .data_request()
                .and_then(|request| request.prepared.as_ref())
                .map(|prepared| prepared.expires_at),
            _ => None,
        });
        let Some(expires_at) = expires_at.await? else { return Ok(()) };
        let request = kept.request;
        Ok(self.work.run(move |work| stored::ready(work, request, expires_at)).await?)
    }

    async fn tell_prepared(&self, kept: &Kept, prepared: Prepared) -> Result<(), Error> {
        let Prepared { files, bytes, manifest, at } = prepared;
        let prepare = PrepareExport { files, bytes, manifest_digest: manifest, prepared_at: at };
        let correlation = CorrelationId(chance::id());
        let origin = Origin { actor: Actor::System, correlation, trace: Trace::default(), causation: None };
        self.tell(kept, "prepare", prepare.into(), origin).await
    }

    async fn tell(&self, kept: &Kept, step: &str, command: Command, origin: Origin) -> Result<(), Error> {
        let content = self.keys.global_hash("privacy-request", kept.request.0.as_bytes());
        let envelope = Envelope {
            merchant: kept.merchant,
            stream: kept.stream(),
            command,
            key: CommandKey(Uuid::new_v5(&kept.request.0, step.as_bytes())),
            content: Digest(content.first_chunk().copied().unwrap_or_default()),
            occurred_at: self.clock.now(),
            origin,
            lane: Lane::Bulk,
        };
        match self.commander.send(envelope).await?.outcome {
            crate::Outcome::Rejected(rejection) => Err(Error::Refused(rejection.code())),
            crate::Outcome::Accepted | crate::Outcome::Unchanged => Ok(()),
        }
    }

    async fn seal(
        &self,
        kept: &Kept,
        by: &SealedBy,
        name: &str,
        number: u32,
        clear: &[u8],
    ) -> Result<Sealed, privacy::Error> {
        match by {
            SealedBy::Subject(subject) => {
                let sealer = self.keys.sealer(kept.merchant, *subject)?;
                sealer.seal(&address(kept, *subject, name, number), clear)
            }
            SealedBy::Day(day) => {
                self.keys.seal_for_day(kept.merchant, *day, row(kept, name, number), clear).await
            }
        }
    }

    /// A file in clear; nothing if it can never be read again.
    async fn open(
        &self,
        kept: &Kept,
        standing: &Standing,
        name: &'static str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let request = kept.request;
        let parts = self.work.read(move |work| stored::parts(work, request, name)).await?;
        let day = standing.day.as_deref().and_then(|day| day.parse::<NaiveDate>().ok());
        let mut file = Vec::new();
        for (number, sealed) in parts {
            let sealed = Sealed(sealed);
            match (day, kept.subjects.first()) {
                (Some(day), _) => {
                    let row = row(kept, name, number);
                    file.extend(self.keys.open_for_day(kept.merchant, day, row, &sealed).await?);
                }
                (None, Some(subject)) => {
                    match self.keys.open(&address(kept, *subject, name, number), &sealed).await? {
                        Opened::Clear(clear) => file.extend(clear),
                        Opened::Shredded { .. } => return Ok(None),
                    }
                }
                (None, None) => return Ok(None),
            }
        }
        Ok((!file.is_empty()).then_some(file))
    }
}

/// Where a part stands, as far as sealing binds it.
fn address(kept: &Kept, subject: CustomerId, name: &str, number: u32) -> FieldAddress {
    FieldAddress {
        merchant: kept.merchant,
        subject,
        stream_type: StreamType::PrivacyRequest.number(),
        stream: kept.request.0,
        version: u64::from(number),
        record: RecordId(kept.request.0),
        index: 0,
        event_type: EVENT,
        field: format!("export/{name}").into(),
    }
}

/// The same where the key is a day's.
fn row(kept: &Kept, name: &str, number: u32) -> Uuid {
    Uuid::new_v5(&kept.request.0, format!("export/{name}/{number}").as_bytes())
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exports")
    }
}
