//! Events of a person at one shop.
mod customer_registered;
mod customer_updated;

pub use customer_registered::{CustomerRegistered, RegisteredBy};
pub use customer_updated::CustomerUpdated;
