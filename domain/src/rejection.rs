//! Every way in which the rules refuse a command, one entry each. Codes never change; clients match on them.
use event_schemas::{Code, Currency, CustomerId, Points, merchant::LimitPeriod, points::Overflow};
use serde::{Deserialize, Serialize};

/// One line of the list of rejections, for documentation and for tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectionKind {
    /// Stable name in kebab-case.
    pub code: &'static str,
    /// What happened, in a few words.
    pub title: &'static str,
    /// When it happens.
    pub doc: &'static str,
}

macro_rules! rejections {
    ($(
        #[doc = $doc:literal]
        $name:ident $({ $( #[doc = $field_doc:literal] $field:ident: $type:ty ),* $(,)? })? = $code:literal, $title:literal;
    )*) => {
        /// Why a command was refused: a value, kept in the log and answered again to the same command.
        ///
        /// Its JSON is `{"code": …}` with the fields beside it.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "code")]
        pub enum Rejection { $(
            #[doc = $doc]
            #[serde(rename = $code)]
            $name $({ $( #[doc = $field_doc] $field: $type, )* })?,
        )* }

        impl Rejection {
            /// Stable, documented, safe to match on in a client.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $( Self::$name { .. } => $code, )* }
            }

            /// What happened, in a few words.
            #[must_use]
            pub const fn title(&self) -> &'static str {
                match self { $( Self::$name { .. } => $title, )* }
            }
        }

        /// All rejections.
        pub const REJECTIONS: &[RejectionKind] =
            &[ $( RejectionKind { code: $code, title: $title, doc: $doc.trim_ascii() }, )* ];
    };
}

rejections! {
    /// The points that can be spent do not cover the redemption or adjustment.
    InsufficientPoints {
        /// Points asked for.
        needed: Points,
        /// Points that can be spent.
        available: Points,
    } = "insufficient-points", "Not enough points";
    /// A sum of points would leave the range of a signed 64-bit integer.
    PointsOverflow = "points-overflow", "Too many points";
    /// A sum of money would leave the range of a signed 64-bit integer of minor units.
    AmountOverflow = "amount-overflow", "The amount is too large";
    /// Earning and redeeming need at least one point.
    PointsNotPositive = "points-not-positive", "Points must be above zero";
    /// An adjustment of zero changes nothing and so has no reason.
    AdjustmentZero = "adjustment-zero", "An adjustment cannot be zero";
    /// The same source, entry, refund or redemption was seen before with other content.
    SourceConflict = "source-conflict", "The same source was used with other content";
    /// The shop never joined.
    UnknownMerchant = "unknown-merchant", "The shop is unknown";
    /// The shop joined before.
    ShopExists = "shop-exists", "The shop exists already";
    /// The settings are no longer those that the change was made of.
    SettingsChanged = "settings-changed", "The settings were changed meanwhile";
    /// The setting's value is outside its range, or contradicts another one.
    InvalidSetting {
        /// JSON pointer into the settings document.
        pointer: String,
        /// What was expected there.
        expected: String,
    } = "invalid-setting", "The setting's value is out of range";
    /// Nothing but refunds is known of the order.
    UnknownOrder = "unknown-order", "The order is unknown";
    /// The order belongs to another customer.
    OrderHasCustomer = "order-has-customer", "The order has a customer already";
    /// The order is in another currency.
    CurrencyMismatch {
        /// The order's currency.
        expected: Currency,
        /// The currency found.
        found: Currency,
    } = "currency-mismatch", "The currency differs from the order's";
    /// No points were reserved, or no reward was requested, under this id.
    UnknownRedemption = "unknown-redemption", "The redemption is unknown";
    /// The reservation ended the other way: committed or released.
    ReservationEnded = "reservation-ended", "The reservation has ended";
    /// The redemption's points were never spent, so nothing can come back.
    PointsNotSpent = "points-not-spent", "The points were not spent";
    /// Only a completed redemption whose code nobody used can be cancelled.
    RedemptionNotCancellable {
        /// `code-used`, or how far the redemption is.
        reason: Option<Code>,
    } = "redemption-not-cancellable", "The redemption cannot be cancelled";
    /// The redemption took the other way: it failed, or its code was issued.
    RedemptionEnded = "redemption-ended", "The redemption has ended";
    /// The redemption cannot complete before its code is issued.
    CodeNotIssued = "code-not-issued", "The code is not issued yet";
    /// The account is frozen: what a person or a program asks of it is refused.
    AccountFrozen = "account-frozen", "The account is frozen";
    /// The account ended when its customer was merged; another one goes on in its place.
    AccountMerged {
        /// Whose account goes on.
        into: CustomerId,
    } = "account-merged", "The account was merged into another one";
    /// The person was erased: nothing is asked of them or given to them any more.
    AccountRedacted = "account-redacted", "The customer was erased";
    /// The shop was erased: whoever joins again is another one.
    ShopRedacted = "shop-redacted", "The shop was erased";
    /// Nobody asked anything under this id, or another kind of thing.
    UnknownRequest = "unknown-request", "The privacy request is unknown";
    /// A step comes when all those before it are recorded.
    StepTooEarly = "step-too-early", "An earlier step of the privacy request is missing";
    /// The request came to its end.
    RequestEnded = "request-ended", "The privacy request has ended";
    /// An account cannot be merged into itself.
    MergeToSelf = "merge-to-self", "An account cannot be merged into itself";
    /// The account has no lot with this id that could be spent.
    LotUnknown = "lot-unknown", "The lot is unknown";
    /// The points lie in more lots than can give points at once; fewer points can be had.
    TooManyLots {
        /// So many lots at most.
        max: usize,
    } = "too-many-lots", "The points come from too many awards to be taken at once";
    /// No points left this account under this transfer.
    TransferUnknown = "transfer-unknown", "The transfer is unknown";
    /// The transfer ended the other way: it arrived or came back.
    TransferEnded = "transfer-ended", "The transfer has ended";
    /// Points cannot be transferred to the account that they are on.
    TransferToSelf = "transfer-to-self", "Points cannot be transferred to the same account";
    /// The action earned as often as it may in this period.
    ActionLimitReached {
        /// So often.
        limit: u32,
        /// In each of these.
        per: LimitPeriod,
    } = "action-limit-reached", "The action's limit is reached";
    /// The programme awards nothing for this action.
    ActionNotConfigured = "action-not-configured", "The action earns nothing";
    /// The date lies in the past, or no date can be computed from the rule.
    InvalidExpiry = "invalid-expiry", "The expiry date is not valid";
    /// The shop's catalogue has no such reward.
    UnknownReward = "unknown-reward", "The reward is unknown";
    /// The reward was taken out of the catalogue.
    RewardRetired = "reward-retired", "The reward can no longer be had";
    /// A reward takes off more than nothing, and at most everything.
    InvalidBenefit = "invalid-benefit", "The reward's benefit is not valid";
    /// A till's entries are numbered from 1 up to the largest signed 64-bit integer.
    InvalidSequence = "invalid-sequence", "The sequence number is not valid";
    /// The command belongs to another type of stream: a fault of the sender.
    WrongStream = "wrong-stream", "The command belongs to another type of stream";
}

impl Rejection {
    /// Whether whoever is asked was erased: a regular end for whatever asks by itself, and nothing to look into.
    #[must_use]
    pub const fn is_of_the_erased(&self) -> bool {
        matches!(self, Self::AccountRedacted | Self::ShopRedacted)
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title())
    }
}

impl From<Overflow> for Rejection {
    fn from(_: Overflow) -> Self {
        Self::PointsOverflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_read_back_as_it_was_written() {
        let usd = Currency::try_new("USD").unwrap();
        let jpy = Currency::try_new("JPY").unwrap();
        for (rejection, json) in [
            (
                Rejection::InsufficientPoints { needed: Points(11), available: Points(10) },
                r#"{"code":"insufficient-points","needed":11,"available":10}"#,
            ),
            (
                Rejection::CurrencyMismatch { expected: usd, found: jpy },
                r#"{"code":"currency-mismatch","expected":"USD","found":"JPY"}"#,
            ),
            (Rejection::SourceConflict, r#"{"code":"source-conflict"}"#),
        ] {
            assert_eq!(serde_json::to_string(&rejection).unwrap(), json);
            assert_eq!(serde_json::from_str::<Rejection>(json).unwrap(), rejection);
        }
        let before_it_gave_a_reason = r#"{"code":"redemption-not-cancellable"}"#;
        let read: Rejection = serde_json::from_str(before_it_gave_a_reason).unwrap();
        assert_eq!(read, Rejection::RedemptionNotCancellable { reason: None });
    }

    #[test]
    fn codes_are_kebab_case_unique_and_explained() {
        for (i, kind) in REJECTIONS.iter().enumerate() {
            assert!(Code::try_new(kind.code).is_ok(), "{}", kind.code);
            assert!(!kind.title.is_empty() && kind.doc.ends_with('.'), "{}", kind.code);
            assert!(REJECTIONS[..i].iter().all(|other| other.code != kind.code), "{}", kind.code);
        }
    }
}
