//! What every store on Postgres needs: an address, a connection, migrations, and errors that say what to change.
//!
//! No error and no `Debug` shows a password.
mod address;
mod error;
mod promise;
mod schema;
#[cfg(feature = "testing")]
pub mod testing;

pub use address::Address;
pub use error::Error;
pub use schema::Schema;
