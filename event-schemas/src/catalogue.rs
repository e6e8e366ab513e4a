//! Every event there is, one line each: number in the record, wire name, current version. Numbers and names never change.
use schemars::Schema;

use crate::personal::{Seal, SealError};

/// One line of the catalogue, for tools that walk all events.
#[derive(Clone, Copy)]
pub struct EventKind {
    /// Number in the record.
    pub number: u16,
    /// Wire name in kebab-case.
    pub name: &'static str,
    /// Current version; older ones are lifted by the payload's upcast.
    pub version: u16,
    /// The stream type's wire name.
    pub stream: &'static str,
    /// JSON Schema of the current version.
    pub schema: fn() -> Schema,
    /// JSON of the sample of the current version.
    pub sample: fn() -> Result<String, serde_json::Error>,
}

/// An event's bytes could not be read. Never skipped: what is unknown stops its reader.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No event has this number: a newer program wrote it.
    #[error("no event has the number {number}; a newer program wrote this record")]
    UnknownType {
        /// The number found.
        number: u16,
    },
    /// The version is newer than this program's.
    #[error("{name} has version {found}, this program knows up to {known}")]
    NewerVersion {
        /// The event's wire name.
        name: &'static str,
        /// The version found.
        found: u16,
        /// The version known.
        known: u16,
    },
    /// An older version could not be lifted.
    #[error("{name} of version {from} could not be lifted: {reason}")]
    Upcast {
        /// The event's wire name.
        name: &'static str,
        /// The version that could not be lifted.
        from: u16,
        /// Why.
        reason: String,
    },
    /// The JSON is not this event's.
    #[error("{name} of version {version} has data of another shape (line {}, column {})", .source.line(), .source.column())]
    Data {
        /// The event's wire name.
        name: &'static str,
        /// The version found.
        version: u16,
        /// Where it broke.
        source: serde_json::Error,
    },
}

macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $stream:ident = $stream_number:literal, $stream_name:literal, $module:path, $enum:ident {
            $( $event:ident = $number:literal, $name:literal, v $version:literal; )*
        }
    )*) => {
        /// The types of stream, numbered as in the record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum StreamType { $( $(#[$doc])* $stream = $stream_number, )* }

        impl StreamType {
            /// Number in the record.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The type with this number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $( $stream_number => Some(Self::$stream), )* _ => None }
            }

            /// Wire name in kebab-case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$stream => $stream_name, )* }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub enum $enum { $( #[doc = $name] $event(inner::$enum::$event), )* }

            $( impl From<inner::$enum::$event> for $enum {
                fn from(event: inner::$enum::$event) -> Self {
                    Self::$event(event)
                }
            } )*

            impl From<$enum> for Event {
                fn from(event: $enum) -> Self {
                    Self::$stream(event)
                }
            }
        )*

        /// Where the payloads of each enum live.
        #[expect(non_snake_case, reason = "the macro names a module after its enum")]
        mod inner { $( pub(super) mod $enum { pub(in super::super) use $module::{ $( $event, )* }; } )* }

        /// Any event.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event { $( $(#[$doc])* $stream($enum), )* }

        impl Event {
            /// The type of stream that holds such events.
            #[must_use]
            pub const fn stream_type(&self) -> StreamType {
                match self { $( Self::$stream(_) => StreamType::$stream, )* }
            }

            /// Number in the record.
            #[must_use]
            pub const fn number(&self) -> u16 {
                match self { $( Self::$stream(event) => match event { $( $enum::$event(_) => $number, )* }, )* }
            }

            /// Version in which it is written.
            #[must_use]
            pub const fn version(&self) -> u16 {
                match self { $( Self::$stream(event) => match event { $( $enum::$event(_) => $version, )* }, )* }
            }

            /// Wire name in kebab-case.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$stream(event) => match event { $( $enum::$event(_) => $name, )* }, )* }
            }

            /// The data as JSON; fails while a personal field is in clear.
            pub fn to_json(&self) -> Result<String, serde_json::Error> {
                match self { $( Self::$stream(event) => match event {
                    $( $enum::$event(data) => serde_json::to_string(data), )*
                }, )* }
            }

            /// Appends the data as JSON; fails while a personal field is in clear, and may have appended a part then.
            pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
                match self { $( Self::$stream(event) => match event {
                    $( $enum::$event(data) => serde_json::to_writer(out, data), )*
                }, )* }
            }

            /// Seals every personal field that is still in clear.
            pub fn seal(&mut self, seal: &mut dyn Seal) -> Result<(), SealError> {
                match self { $( Self::$stream(event) => match event {
                    $( $enum::$event(data) => $crate::payload::Payload::seal(data, seal), )*
                }, )* }
            }

            /// Reads an event back, lifting older versions.
            pub fn decode(number: u16, version: u16, json: &str) -> Result<Self, DecodeError> {
                match number {
                    $( $( $number => {
                        let data = $crate::catalogue::decode_payload($name, version, $version, json)?;
                        Ok(Self::$stream($enum::$event(data)))
                    } )* )*
                    _ => Err(DecodeError::UnknownType { number }),
                }
            }
        }

        /// All events, in the order of the catalogue.
        pub const EVENTS: &[EventKind] = &[ $( $( EventKind {
            number: $number,
            name: $name,
            version: $version,
            stream: $stream_name,
            schema: || schemars::schema_for!(inner::$enum::$event),
            sample: || serde_json::to_string(&<inner::$enum::$event as $crate::payload::Payload>::sample()),
        }, )* )* ];
    };
}

events! {
    /// A shop and its programme.
    Merchant = 1, "merchant", crate::merchant, MerchantEvent {
        MerchantInstalled = 101, "merchant-installed", v 2;
        MerchantUninstalled = 102, "merchant-uninstalled", v 1;
        ProgramSettingsUpdated = 103, "program-settings-updated", v 2;
        CurrencySettingsUpdated = 104, "currency-settings-updated", v 2;
        SubscriptionUpdated = 106, "subscription-updated", v 1;
        MerchantReinstalled = 107, "merchant-reinstalled", v 1;
        ShopRedacted = 108, "shop-redacted", v 1;
    }
    /// A person at one shop.
    Customer = 2, "customer", crate::customer, CustomerEvent {
        CustomerRegistered = 201, "customer-registered", v 1;
        CustomerUpdated = 202, "customer-updated", v 1;
        CustomersMerged = 205, "customers-merged", v 1;
        CustomerDisabled = 206, "customer-disabled", v 1;
        CustomerEnabled = 207, "customer-enabled", v 1;
        CustomerDeleted = 208, "customer-deleted", v 1;
        CustomerRedacted = 209, "customer-redacted", v 1;
    }
    /// An order, and what it comes to.
    LoyaltyOrder = 3, "loyalty-order", crate::loyalty_order, LoyaltyOrderEvent {
        OrderObserved = 301, "order-observed", v 4;
        OrderRefunded = 302, "order-refunded", v 3;
        OrderAttachedToCustomer = 303, "order-attached-to-customer", v 1;
        OrderQualified = 304, "order-qualified", v 2;
        OrderDisqualified = 305, "order-disqualified", v 2;
        OrderWaiting = 306, "order-waiting", v 2;
        OrderCancelled = 307, "order-cancelled", v 2;
        OrderTransactionSeen = 308, "order-transaction-seen", v 1;
        OrderCodeReturned = 309, "order-code-returned", v 1;
    }
    /// One customer's ledger.
    PointsAccount = 4, "points-account", crate::points_account, PointsAccountEvent {
        PointsAccountOpened = 401, "points-account-opened", v 1;
        PointsEarned = 402, "points-earned", v 2;
        PointsClawedBack = 403, "points-clawed-back", v 2;
        PointsReserved = 404, "points-reserved", v 2;
        PointsRedeemed = 405, "points-redeemed", v 1;
        PointsReservationReleased = 406, "points-reservation-released", v 2;
        PointsReinstated = 407, "points-reinstated", v 4;
        PointsAdjusted = 408, "points-adjusted", v 3;
        PointsReleaseScheduled = 409, "points-release-scheduled", v 2;
        PointsReleased = 410, "points-released", v 2;
        PointsVoided = 411, "points-voided", v 1;
        PointsExpired = 412, "points-expired", v 1;
        PointsExpiryExtended = 413, "points-expiry-extended", v 1;
        PointsExpiryWarned = 414, "points-expiry-warned", v 1;
        PointsTransferredOut = 415, "points-transferred-out", v 1;
        PointsTransferredIn = 416, "points-transferred-in", v 2;
        PointsTransferCompleted = 417, "points-transfer-completed", v 1;
        PointsTransferReturned = 418, "points-transfer-returned", v 1;
        PointsAccountMerged = 419, "points-account-merged", v 1;
        PointsAccountAbsorbed = 420, "points-account-absorbed", v 1;
        PointsAccountFrozen = 421, "points-account-frozen", v 1;
        PointsAccountUnfrozen = 422, "points-account-unfrozen", v 1;
        OrderSettled = 423, "order-settled", v 1;
        EstatePartMoved = 424, "estate-part-moved", v 1;
        EstatePartAbsorbed = 425, "estate-part-absorbed", v 1;
        PointsAccountRedacted = 426, "points-account-redacted", v 1;
    }
    /// One exchange of points for a reward.
    Redemption = 5, "redemption", crate::redemption, RedemptionEvent {
        RedemptionRequested = 501, "redemption-requested", v 2;
        DiscountCodeIssued = 502, "discount-code-issued", v 1;
        RedemptionCompleted = 503, "redemption-completed", v 1;
        RedemptionFailed = 504, "redemption-failed", v 1;
        RedemptionCancelled = 505, "redemption-cancelled", v 1;
        RedemptionExpired = 506, "redemption-expired", v 1;
    }
    /// What points can be exchanged for.
    Reward = 6, "reward", crate::reward, RewardEvent {
        RewardDefined = 601, "reward-defined", v 1;
        RewardRetired = 602, "reward-retired", v 1;
    }
    /// What a shop sells, as far as the programme needs to know.
    Product = 7, "product", crate::product, ProductEvent {
        ProductSynced = 701, "product-synced", v 1;
        ProductRemoved = 702, "product-removed", v 1;
    }
    /// A till that sends what happened while it was offline.
    PosDevice = 8, "pos-device", crate::pos_device, PosDeviceEvent {
        PosBatchReceived = 801, "pos-batch-received", v 1;
        PosEntryAccepted = 802, "pos-entry-accepted", v 2;
        PosEntryRejected = 803, "pos-entry-rejected", v 1;
    }
    /// What somebody asks about a person's data, or a shop's: to forget it, or to hand it over.
    PrivacyRequest = 9, "privacy-request", crate::privacy_request, PrivacyRequestEvent {
        RedactionRequested = 901, "redaction-requested", v 1;
        RedactionFenced = 902, "redaction-fenced", v 1;
        SubjectKeyDestroyed = 903, "subject-key-destroyed", v 1;
        ReadModelsPurged = 904, "read-models-purged", v 1;
        RedactionVerified = 905, "redaction-verified", v 1;
        RedactionCompleted = 906, "redaction-completed", v 1;
        RedactionFinalized = 907, "redaction-finalized", v 1;
        RedactionFailed = 908, "redaction-failed", v 1;
        DataRequestReceived = 909, "data-request-received", v 1;
        DataExportPrepared = 910, "data-export-prepared", v 1;
        DataExportDelivered = 911, "data-export-delivered", v 1;
        PrivacyRecordExpired = 912, "privacy-record-expired", v 1;
    }
}

/// Reads one payload: the current version straight, older ones lifted version by version.
fn decode_payload<P: crate::payload::Payload>(
    name: &'static str,
    found: u16,
    known: u16,
    json: &str,
) -> Result<P, DecodeError> {
    let broken = |source| DecodeError::Data { name, version: found, source };
    if found > known || found == 0 {
        return Err(DecodeError::NewerVersion { name, found, known });
    }
    if found == known {
        return serde_json::from_str(json).map_err(broken);
    }
    let lifted = (found..known).try_fold(serde_json::from_str(json).map_err(broken)?, |data, from| {
        P::upcast(from, data).map_err(|reason| DecodeError::Upcast { name, from, reason })
    })?;
    serde_json::from_value(lifted).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, EventKind};

    /// A test-only event that has changed twice: seconds became milliseconds, then a channel was added.
    #[expect(unreachable_pub, reason = "the macro is written for public payloads")]
    mod visit {
        use serde_json::{Value, json};

        crate::payload! {
            /// A visit.
            VisitRecorded {
                /// Length.
                length_ms: u64,
                /// Where.
                channel: crate::Code,
            }
            sample: Self { length_ms: 1500, channel: crate::Code::fixed("web") },
            upcast: upcast
        }

        fn upcast(from: u16, mut data: Value) -> Result<Value, String> {
            match from {
                1 => {
                    let seconds = data["length_s"].as_u64().ok_or("length_s is not a number")?;
                    data["length_ms"] = json!(seconds * 1000);
                }
                _ => data["channel"] = json!("unknown"),
            }
            Ok(data)
        }
    }

    #[expect(unreachable_pub, dead_code, reason = "the macro is written for the crate's own catalogue")]
    mod catalogue {
        use super::{DecodeError, EventKind};
        use crate::personal::{Seal, SealError};
        events! {
            /// Visits.
            Visit = 9, "visit", crate::catalogue::tests::visit, VisitEvent {
                VisitRecorded = 901, "visit-recorded", v 3;
            }
        }
    }

    fn decoded(version: u16, json: &str) -> Result<catalogue::Event, DecodeError> {
        catalogue::Event::decode(901, version, json)
    }

    fn visit(length_ms: u64, channel: &'static str) -> catalogue::Event {
        catalogue::VisitEvent::from(visit::VisitRecorded { length_ms, channel: crate::Code::fixed(channel) })
            .into()
    }

    #[test]
    fn every_older_version_is_lifted_step_by_step() {
        assert_eq!(decoded(1, r#"{"length_s":2}"#).unwrap(), visit(2000, "unknown"));
        assert_eq!(decoded(2, r#"{"length_ms":1500}"#).unwrap(), visit(1500, "unknown"));
        assert_eq!(decoded(3, r#"{"length_ms":1500,"channel":"web"}"#).unwrap(), visit(1500, "web"));
        assert_eq!(catalogue::EVENTS[0].version, 3);
    }

    #[test]
    fn what_an_upcast_cannot_lift_is_an_error_that_names_the_version() {
        let error = decoded(1, r#"{"length_s":"two"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "visit-recorded of version 1 could not be lifted: length_s is not a number"
        );
    }

    #[test]
    fn a_newer_version_and_an_unknown_type_are_errors_and_never_skipped() {
        assert!(matches!(decoded(4, "{}"), Err(DecodeError::NewerVersion { found: 4, known: 3, .. })));
        assert!(matches!(
            catalogue::Event::decode(902, 1, "{}"),
            Err(DecodeError::UnknownType { number: 902 })
        ));
    }

    #[test]
    fn readers_are_open_to_unknown_fields() {
        assert_eq!(decoded(3, r#"{"length_ms":1,"channel":"web","later":[1]}"#).unwrap(), visit(1, "web"));
    }

    #[test]
    fn numbers_and_names_are_unique() {
        for (i, one) in super::EVENTS.iter().enumerate() {
            for other in &super::EVENTS[i + 1..] {
                assert!(
                    one.number != other.number && one.name != other.name,
                    "{} and {}",
                    one.name,
                    other.name
                );
            }
        }
    }
}
