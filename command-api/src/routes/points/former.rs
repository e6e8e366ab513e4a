//! Under whose key a source was honoured: somebody who turned out to be this customer brought their sources along.
use domain::{Aggregate, StreamRef, points_account::State};
use event_schemas::{CustomerId, Digest, MerchantId};
use http_edge::Problem;

use crate::app::App;

/// Who a source is digested for: the customer, or who they were before a merge if the account honours it from then.
/// `purpose` and `id` make the digest, `honours` finds it in the account.
pub(super) async fn told_for(
    app: &App,
    merchant: MerchantId,
    customer: CustomerId,
    (purpose, id): (&str, &[u8]),
    honours: impl Fn(&State, Digest) -> bool + Send + 'static,
) -> Result<CustomerId, Problem> {
    let mut digests = Vec::new();
    for former in formers(app, merchant, customer).await? {
        // The key of whoever was erased is gone, and with it what it was used for.
        if let Ok(digest) = app.subject_digest(merchant, former, purpose, id) {
            digests.push((former, digest));
        }
    }
    if digests.is_empty() {
        return Ok(customer);
    }
    let find = move |aggregate: &Aggregate| match aggregate {
        Aggregate::PointsAccount(account) => {
            digests.iter().find(|(_, digest)| honours(account, *digest)).map(|(former, _)| *former)
        }
        _ => None,
    };
    let former = app.commander.glance(merchant, StreamRef::account(customer), find).await?;
    Ok(former.unwrap_or(customer))
}

/// Everybody whose account this customer's account took in, and whom those had taken in.
async fn formers(app: &App, merchant: MerchantId, customer: CustomerId) -> Result<Vec<CustomerId>, Problem> {
    let absorbed = |aggregate: &Aggregate| match aggregate {
        Aggregate::PointsAccount(account) => account.absorbed().collect(),
        _ => Vec::new(),
    };
    let mut formers = app.commander.glance(merchant, StreamRef::account(customer), absorbed).await?;
    let mut seen = 0;
    while let Some(former) = formers.get(seen).copied() {
        formers.extend(app.commander.read(merchant, StreamRef::account(former), absorbed).await?);
        seen += 1;
    }
    Ok(formers)
}
