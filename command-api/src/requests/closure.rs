//! Who turned out to be the same person.
use std::collections::BTreeMap;

use domain::{Aggregate, StreamRef};
use event_schemas::{CustomerId, MerchantId};

use crate::commands::{Commander, Unavailable};

/// These customers with all whom they were merged into and all who were merged into those, each with whom they were merged
/// into themselves. A merge that was recorded a moment ago is seen from the one who is gone at once, and from the one who
/// lives on once the estate has begun to arrive there: whoever must have all of them asks again.
pub(crate) async fn closure(
    commander: &Commander,
    merchant: MerchantId,
    from: impl IntoIterator<Item = CustomerId>,
) -> Result<BTreeMap<CustomerId, Option<CustomerId>>, Unavailable> {
    let (mut found, mut ahead) = (BTreeMap::new(), from.into_iter().collect::<Vec<_>>());
    while let Some(customer) = ahead.pop() {
        if found.contains_key(&customer) {
            continue;
        }
        let into = commander.read(merchant, StreamRef::customer(customer), |known| match known {
            Aggregate::Customer(known) => known.merged_into(),
            _ => None,
        });
        let gone = commander.read(merchant, StreamRef::account(customer), |account| match account {
            Aggregate::PointsAccount(account) => account.absorbed().collect(),
            _ => Vec::new(),
        });
        let into = into.await?;
        ahead.extend(into);
        ahead.extend(gone.await?);
        found.insert(customer, into);
    }
    Ok(found)
}
