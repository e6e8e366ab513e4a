//! An inbox that was restored from an older backup holds again what an erasure removed: it is removed again. What somebody
//! asked to have and it knows nothing of is kept again.
use std::{collections::HashSet, sync::Arc};

use chrono::TimeDelta;
use domain::{Aggregate, DueKind, privacy_request::DataRequest};
use event_schemas::{RequestId, Timestamp};
use futures::future::try_join_all;
use group_commit::values;

use super::{
    PAGE, Process,
    certificates::after,
    setback::Cause,
    steps::{Request, whom},
};
use crate::{
    owner::DueQuery,
    requests::{self, Kept},
    webhooks::purge as inbox,
};

/// Longer than any request is shown.
const LATEST: TimeDelta = TimeDelta::days(400);

impl Process {
    /// Removes what mentions the erased and is there again, in all shops.
    pub(super) async fn purge_restored(&self) -> Result<(), Cause> {
        let shops = self.parts.shops.all();
        // At once, so that one pass over the inbox serves all.
        let buried =
            try_join_all(shops.iter().map(|shop| self.inbox.find_buried(shop.merchant))).await?.concat();
        if buried.is_empty() {
            return Ok(());
        }
        let purged = self.parts.work.run(move |work| inbox::purge(work, &buried)).await?;
        tracing::warn!(
            deliveries = purged.deliveries,
            "The inbox held deliveries of erased people, as an older copy of it does; they are removed again"
        );
        Ok(())
    }

    /// Keeps again what somebody asked to have and was not given, if the store of the inbox knows nothing of it.
    async fn hand_over_again(&self, request: &Request) -> Result<(), Cause> {
        let asked = self.parts.commander.read(request.merchant, request.stream, |asked| match asked {
            Aggregate::PrivacyRequest(asked) => asked.data_request().cloned(),
            _ => None,
        });
        let Some(DataRequest { received, prepared: None, .. }) = asked.await? else { return Ok(()) };
        let (merchant, route) = (request.merchant, request.stream.route);
        let kept = Kept { request: request.id, merchant, route, subjects: received.subjects };
        let keep = self.parts.work.run(move |work| requests::keep_export(work, &kept, received.requested_at));
        Ok(keep.await?)
    }

    /// Removes again what the requests of a partition removed, as far as the store of the inbox knows nothing of it.
    pub(super) async fn purge_again(self: &Arc<Self>, partition: u16, now: Timestamp) -> Result<(), Cause> {
        let known = "SELECT DISTINCT request FROM erasure_removed";
        let known = self.parts.work.read(move |work| work.all(known, values![], |row| row.at::<[u8; 16]>(0)));
        let known: HashSet<[u8; 16]> = known.await?.into_iter().collect();
        let up_to = after(now, LATEST);
        let mut query = DueQuery { kind: DueKind::Privacy, up_to, merchant: None, after: None, limit: PAGE };
        loop {
            let page = self.parts.commander.due(partition, query).await?;
            let unknown = page.iter().filter(|due| !known.contains(due.stream.id.as_bytes()));
            for due in unknown {
                let (merchant, stream) = (due.merchant, due.stream);
                let request = Request { merchant, id: RequestId(stream.id), stream };
                match self.read(&request).await? {
                    Some(redaction) if redaction.purged.is_some() => {
                        self.purge_work(&request, &whom(&redaction)).await?;
                    }
                    Some(_) => {}
                    None => self.hand_over_again(&request).await?,
                }
            }
            if page.len() < PAGE {
                return Ok(());
            }
            query.after = page.last().copied();
        }
    }
}
