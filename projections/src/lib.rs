//! Events to tables: the read models, the runner that keeps them up with the log, and their queries.
//!
//! Every row belongs to one merchant, and every query takes a [`privacy::MerchantScope`]. Personal fields stay sealed.
//! Rows and checkpoint change in one transaction, so each event counts once. This crate never sees `domain`: events
//! carry their results, and nothing here repeats a rule.
mod account_event;
pub mod account_lots;
mod address;
mod answered;
pub mod audit_log;
mod catch_up;
mod column;
mod conditions;
pub mod customers;
mod differences;
mod digest;
mod elsewhere;
mod erasure;
mod error;
mod fold;
mod folding;
pub mod gdpr_redaction_log;
pub mod gdpr_requests;
mod generations;
mod live;
mod lost;
pub mod merchants;
pub mod orders;
mod parked;
mod partition;
mod planted;
pub mod points_balance;
pub mod points_liability;
pub mod points_statement;
pub mod pos_devices;
pub mod pos_offline_queue;
#[cfg(feature = "postgres")]
mod postgres;
pub mod products;
pub mod program_settings;
mod progress;
mod projection;
mod recorded;
pub mod redemptions;
pub mod reward_catalog;
mod runner;
mod served;
mod session;
mod shadow;
mod sqlite;
mod standstill;
mod store;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod together;

pub use group_commit::{StoreError, Value, ValueRef};

pub use address::{NoReadAddress, ReadAddress};
pub use answered::{Answered, EventSeen, Outcome};
pub use catch_up::OnRecords;
pub use column::{ColumnType, Json, Kind, Origin};
pub use differences::{Cell, Change, Changed, Difference, Differences};
pub use digest::{RowsHash, TableDigest};
pub use error::Error;
pub use progress::{Progress, Reached, Report};
pub use projection::{Definition, OfRecords, Projection, Unfoldable};
pub use recorded::Recorded;
pub use runner::Projections;
pub use served::{Served, ServedState, served};
pub use shadow::{Compared, RolledBack, Shadow};
pub use store::ReadStore;
pub use table::{Key, Row};

/// Every projection there is, one line each.
#[must_use]
pub fn all() -> &'static [Definition] {
    const ALL: &[Definition] = &[
        Definition::of::<merchants::Merchants>(),
        Definition::of::<program_settings::ProgramSettingsByShop>(),
        Definition::of::<customers::Customers>(),
        Definition::of::<orders::Orders>(),
        Definition::of::<points_balance::PointsBalance>(),
        Definition::of::<points_statement::PointsStatement>(),
        Definition::of::<account_lots::AccountLots>(),
        Definition::of::<points_liability::PointsLiability>(),
        Definition::of::<redemptions::Redemptions>(),
        Definition::of::<reward_catalog::RewardCatalog>(),
        Definition::of::<products::Products>(),
        Definition::of::<pos_devices::PosDevices>(),
        Definition::of::<pos_offline_queue::PosOfflineQueue>(),
        Definition::of::<gdpr_requests::GdprRequests>(),
        Definition::of::<gdpr_redaction_log::GdprRedactionLog>(),
        Definition::of_records::<audit_log::AuditLog>(),
    ];
    ALL
}
