//! Fixed values for samples, each recognisable in a golden file.
use uuid::Uuid;

use crate::{
    CertificateId, CertificateText, Currency, CustomerId, DeviceId, Digest, EntryId, Money, OrderId,
    Personal, Points, RedemptionId, RefundId, RequestId, RewardId, Timestamp, Title, TransferId,
    personal::Sealed,
};

const fn id(last: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + last)
}

/// A customer.
pub const CUSTOMER: CustomerId = CustomerId(id(0xc1));
/// An order.
pub const ORDER: OrderId = OrderId(id(0x01));
/// A refund.
pub const REFUND: RefundId = RefundId(id(0x02));
/// An entry, and so a lot.
pub const ENTRY: EntryId = EntryId(id(0xe1));
/// Another entry.
pub const OTHER_ENTRY: EntryId = EntryId(id(0xe2));
/// A redemption.
pub const REDEMPTION: RedemptionId = RedemptionId(id(0xd1));
/// Another customer.
pub const OTHER_CUSTOMER: CustomerId = CustomerId(id(0xc2));
/// A transfer.
pub const TRANSFER: TransferId = TransferId(id(0x71));
/// A reward.
pub const REWARD: RewardId = RewardId(id(0x61));
/// A till.
pub const DEVICE: DeviceId = DeviceId(id(0x51));
/// A request about a person's data.
pub const REQUEST: RequestId = RequestId(id(0x41));
/// A certificate.
pub const CERTIFICATE: CertificateId = CertificateId(id(0x42));
/// Another certificate.
pub const OTHER_CERTIFICATE: CertificateId = CertificateId(id(0x43));
/// A keyed digest.
pub const DIGEST: Digest = Digest([0xab; 16]);

/// 2026-03-01T12:00:00Z.
#[must_use]
pub fn time() -> Timestamp {
    Timestamp::from_micros(1_772_366_400_000_000)
}

/// 2027-03-02T00:00:00Z.
#[must_use]
pub fn expiry() -> Timestamp {
    Timestamp::from_micros(1_803_945_600_000_000)
}

/// A certificate as it is handed out.
#[must_use]
pub fn certificate() -> CertificateText {
    let text = r#"{"statement":"{}","signature":"","public_key":""}"#;
    CertificateText::try_new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A name of a shop's.
#[must_use]
pub fn title(text: &str) -> Title {
    Title::try_new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// US dollars.
#[must_use]
pub fn usd(minor: i64) -> Money {
    Money { minor, currency: Currency::try_new("USD").unwrap_or_else(|error| panic!("{error}")) }
}

/// Points.
#[must_use]
pub const fn points(points: i64) -> Points {
    Points(points)
}

/// A sealed value.
#[must_use]
pub fn sealed() -> Option<Personal<String>> {
    Some(Personal::Sealed(Sealed(b"sealed bytes".to_vec())))
}
