//! A product of a shop: its tags, for what orders earn, and its title.
mod remove_product;
mod sync_product;

pub use remove_product::RemoveProduct;
pub use sync_product::SyncProduct;

use event_schemas::{StreamType, catalogue::ProductEvent as Event, product::ProductSynced};
use serde::{Deserialize, Serialize};

use crate::{Decider, Rejection, decider::commands};

commands! {
    Product {
        SyncProduct = "sync-product" in sync_product;
        RemoveProduct = "remove-product" in remove_product;
    }
}

/// A product after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    synced: Option<ProductSynced>,
    removed: bool,
}

impl State {
    /// The newest state seen; it stays when the product is removed.
    #[must_use]
    pub const fn synced(&self) -> Option<&ProductSynced> {
        self.synced.as_ref()
    }

    /// Whether it was deleted.
    #[must_use]
    pub const fn removed(&self) -> bool {
        self.removed
    }
}

impl Decider for State {
    const STREAM: StreamType = StreamType::Product;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::ProductSynced(synced) => self.synced = Some(synced.clone()),
            Event::ProductRemoved(_) => self.removed = true,
        }
    }
}
