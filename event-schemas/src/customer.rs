//! Events of a person at one shop.
mod customer_redacted;
mod customer_registered;
mod customer_standing;
mod customer_updated;
mod customers_merged;

pub use customer_redacted::CustomerRedacted;
pub use customer_registered::{CustomerRegistered, RegisteredBy};
pub use customer_standing::{CustomerDeleted, CustomerDisabled, CustomerEnabled};
pub use customer_updated::CustomerUpdated;
pub use customers_merged::CustomersMerged;
