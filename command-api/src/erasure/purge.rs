//! What was kept of people outside the log, store by store: removed, and counted in the same transaction.
use std::collections::BTreeMap;

use domain::StreamRef;
use event_log::PositionToken;
use event_schemas::{Code, CustomerId, MerchantId, RequestId, Timestamp};
use group_commit::{Session, StoreError, values};
use privacy::Whom;

use super::{Process, bugs::Bug, setback::Cause, steps::Request};
use crate::{
    exports, idempotency,
    requests::{self, Kept},
    webhooks::purge as inbox,
};

/// Notes what was removed of a store, on top of what an earlier try removed.
fn note(work: &dyn Session, request: RequestId, store: &str, removed: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO erasure_removed(request, store, removed) VALUES (?1, ?2, ?3) \
        ON CONFLICT(request, store) DO UPDATE SET removed = erasure_removed.removed + excluded.removed";
    work.execute(sql, values![&request.bytes(), store, removed.cast_signed()]).map(drop)
}

fn noted(work: &dyn Session, request: RequestId) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT store, removed FROM erasure_removed WHERE request = ?1";
    work.all(sql, values![&request.bytes()], |row| Ok((row.at(0)?, row.at(1)?)))
}

/// Removes what requests with an idempotency key left, also the call that asked for this.
fn forget_requests(
    work: &dyn Session,
    merchant: MerchantId,
    request: RequestId,
    whom: &Whom,
) -> Result<u64, StoreError> {
    match whom {
        Whom::Shop => idempotency::forget_shop(work, merchant),
        Whom::Person(subjects) => {
            let named = subjects.iter().map(|subject| subject.0).chain([request.0]);
            named.map(|whom| idempotency::forget(work, merchant, whom)).sum()
        }
    }
}

impl Process {
    /// Removes what is there before the keys are destroyed. What the directory has of the people is kept first: it has
    /// nothing of them afterwards, and a delivery may end without effect in between, which it finds then.
    pub(super) async fn purge_early(
        &self,
        request: &Request,
        whom: &Whom,
        asked_at: Timestamp,
    ) -> Result<(), Cause> {
        if let Whom::Person(subjects) = whom {
            let references = self.parts.keys.references_of(request.merchant, whom).await?;
            let (merchant, route) = (request.merchant, request.stream.route);
            let kept = Kept { request: request.id, merchant, route, subjects: subjects.clone() };
            let keep =
                self.parts.work.run(move |work| requests::add_people(work, &kept, &references, asked_at));
            keep.await?;
        }
        self.remove(request, whom, self.bugs.has(Bug::ForgetsEarly)).await
    }

    /// Removes what the store of the inbox holds of the people, and by what it was found. It may be repeated; what is
    /// counted stays counted.
    pub(super) async fn purge_work(&self, request: &Request, whom: &Whom) -> Result<(), Cause> {
        self.remove(request, whom, true).await
    }

    async fn remove(&self, request: &Request, whom: &Whom, is_last: bool) -> Result<(), Cause> {
        let deliveries = self.inbox.find(request.merchant, request.id, whom).await?;
        let (id, merchant, whom) = (request.id, request.merchant, whom.clone());
        let removed = self.parts.work.run(move |work| {
            let references = requests::people(work, id)?.unwrap_or_default();
            if is_last {
                requests::forget(work, id)?;
            }
            let mut removed = remove(work, merchant, id, &whom, &deliveries)?;
            removed.push(("exports", exports::purge(work, merchant, people(&whom), &references)?));
            removed.iter().try_for_each(|(store, removed)| note(work, id, store, *removed))
        });
        removed.await?;
        Ok(())
    }

    /// Everything outside the key store, once the streams said that they forgot: what was removed by the name of its store.
    pub(super) async fn purge(
        &self,
        request: &Request,
        whom: &Whom,
        marks: &[PositionToken],
    ) -> Result<BTreeMap<Code, u64>, Cause> {
        // What came in between the fence and the destruction.
        self.purge_work(request, whom).await?;
        let mut purged: BTreeMap<Code, u64> = BTreeMap::new();
        purged.insert(Code::fixed("snapshots"), self.renew(request.merchant, whom).await?);
        if let Some(models) = self.readers.behind(marks).await? {
            let models = models.purge(request.merchant, whom).await;
            purged.extend(models.map_err(|error| Cause::new("read-models-hold-on", error))?);
        }
        let id = request.id;
        for (store, removed) in self.parts.work.read(move |work| noted(work, id)).await? {
            let store =
                Code::try_new(store).map_err(|error| Cause::new("store-unavailable", error.to_string()))?;
            purged.insert(store, removed);
        }
        Ok(purged)
    }

    /// Has the owners save the streams of these people anew, over what they were; how many streams those are.
    async fn renew(&self, merchant: MerchantId, whom: &Whom) -> Result<u64, Cause> {
        let streams: Vec<StreamRef> = match whom {
            Whom::Shop => vec![StreamRef::merchant(merchant)],
            Whom::Person(subjects) => {
                let of = |subject| [StreamRef::customer(subject), StreamRef::account(subject)];
                subjects.iter().copied().flat_map(of).collect()
            }
        };
        self.parts.commander.forget(merchant, &streams).await?;
        Ok(streams.len() as u64)
    }

    /// Forgets the counts of a request whose record has them.
    pub(super) async fn forget_counts(&self, request: &Request) -> Result<(), Cause> {
        let id = request.id;
        let forget = "DELETE FROM erasure_removed WHERE request = ?1";
        self.parts.work.run(move |work| work.execute(forget, values![&id.bytes()])).await?;
        Ok(())
    }
}

/// The people; none for everybody in the shop.
fn people(whom: &Whom) -> Option<&[CustomerId]> {
    match whom {
        Whom::Person(subjects) => Some(subjects),
        Whom::Shop => None,
    }
}

/// Removes everything of these people, by the name of what held it.
fn remove(
    work: &dyn Session,
    merchant: MerchantId,
    request: RequestId,
    whom: &Whom,
    deliveries: &[i64],
) -> Result<Vec<(&'static str, u64)>, StoreError> {
    let inbox::Purged { deliveries, dead_letters, open } = inbox::purge(work, deliveries)?;
    Ok(vec![
        ("inbox", deliveries),
        ("dead-letters", dead_letters),
        ("open-deliveries", open),
        ("idempotency-keys", forget_requests(work, merchant, request, whom)?),
    ])
}
