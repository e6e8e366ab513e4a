//! The published language: ids, points, money, personal fields, every event with its version, and the record that holds them.
pub mod catalogue;
pub mod customer;
pub mod ids;
pub mod loyalty_order;
pub mod merchant;
pub mod money;
pub mod payload;
pub mod personal;
pub mod points;
pub mod points_account;
pub mod record;
pub mod redemption;
pub mod sample;
pub mod stream;
pub mod text;
pub mod time;

pub use catalogue::{EVENTS, Event, EventKind, StreamType};
pub use ids::{
    CommandKey, CorrelationId, CustomerId, EntryId, EventId, MerchantId, OrderId, RecordId, RedemptionId,
    RefundId, StaffId,
};
pub use money::{Currency, Money, Rate};
pub use personal::{FieldAddress, Personal, Plain, Sealed};
pub use points::{Overflow, Points};
pub use stream::StreamRef;
pub use text::{Code, Digest, ProductId, ProductTag, ShopDomain, TimeZone};
pub use time::Timestamp;
