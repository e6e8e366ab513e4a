//! A product was deleted, for good. Its tags stay known for orders that still name it.
use event_schemas::{Timestamp, product::ProductRemoved};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Tells that a product is no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoveProduct {
    /// When it was told; the message itself has no time.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &RemoveProduct) -> Result<Vec<Event>, Rejection> {
    let removed = (!state.removed).then(|| ProductRemoved { updated_at: Some(command.at) }.into());
    Ok(removed.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use event_schemas::{payload::Payload, product::ProductSynced};

    use super::*;
    use crate::testing::{fold, given};

    #[test]
    fn a_product_is_deleted_once_and_its_tags_stay_known() {
        let (synced, at) = (ProductSynced::sample(), Timestamp::EPOCH);
        let removed = Event::from(ProductRemoved { updated_at: Some(at) });
        given::<State>([synced.clone().into()]).when(RemoveProduct { at }).then([removed.clone()]);
        given::<State>([removed.clone()]).when(RemoveProduct { at }).then_unchanged();
        let state: State = fold([synced.clone().into(), removed]);
        assert!(state.removed() && state.synced() == Some(&synced));
    }
}
