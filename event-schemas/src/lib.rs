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
pub mod pos_device;
pub mod privacy_request;
pub mod product;
pub mod record;
pub mod redemption;
pub mod reward;
pub mod sample;
pub mod stream;
pub mod text;
pub mod time;

pub use catalogue::{EVENTS, Event, EventKind, StreamType};
pub use ids::{
    CertificateId, CommandKey, CorrelationId, CustomerId, DeviceId, EntryId, EventId, MerchantId, OrderId,
    RecordId, RedemptionId, RefundId, RequestId, RewardId, StaffId, TransferId,
};
pub use money::{Currency, Money, Rate};
pub use personal::{FieldAddress, Personal, Plain, Sealed};
pub use points::{Overflow, Points};
pub use stream::StreamRef;
pub use text::{CertificateText, Code, Digest, Hash, ProductId, ProductTag, ShopDomain, TimeZone, Title};
pub use time::Timestamp;
