//! The only texts that may stand in an event in clear: codes, shop domains, product ids, time zones, certificates, digests.
use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// What was expected of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Expected(pub &'static str);

/// A parser's own words quote what stood there; that nothing stood there is told in its words, which name the field.
pub(crate) fn expected<E: serde::de::Error>(error: E, what: &'static str) -> E {
    if error.to_string().starts_with("missing field") { error } else { E::custom(Expected(what)) }
}

macro_rules! checked_text {
    ($($(#[$doc:meta])* $name:ident: $expected:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the text.
            pub fn try_new(text: impl Into<String>) -> Result<Self, Expected> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(Expected($expected)) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Expected;
            fn from_str(text: &str) -> Result<Self, Expected> {
                Self::try_new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $expected })
            }
        }

        impl crate::personal::Plain for $name {}
    )*};
}

checked_text! {
    /// A reason or kind in kebab-case, such as `goodwill`.
    Code: "kebab-case text of 1 to 64 characters", |text| {
        (1..=64).contains(&text.len())
            && text.split('-').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            })
    };
    /// A shop's myshopify.com domain in lower case.
    ShopDomain: "a domain such as my-shop.myshopify.com", |text| {
        text.strip_suffix(".myshopify.com").is_some_and(|name| {
            !name.is_empty()
                && name.len() <= 63
                && !name.starts_with('-')
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
    };
    /// A SHA-256 digest of something that names nobody, such as a chain's head.
    Hash: "64 hexadecimal digits in lower case", |text| {
        text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    /// A signed certificate of an erasure, as it is handed out: it names people by our random ids only.
    CertificateText: "a JSON object of at most 256 KiB", |text| {
        text.len() <= 256 << 10 && text.starts_with('{') && text.ends_with('}')
    };
    /// Shopify's product id as digits.
    ProductId: "a product id of 1 to 20 digits", |text| {
        (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    /// A product tag as merchants write it.
    ProductTag: "a tag of 1 to 255 characters", |text| (1..=255).contains(&text.chars().count());
    /// A name that a shop gave to something it sells or gives away.
    Title: "a text of 1 to 255 characters", |text| (1..=255).contains(&text.chars().count());
    /// A name of the IANA time zone database; whether the zone exists is checked at the edge.
    TimeZone: "an IANA time zone such as Europe/Berlin", |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b))
    };
}

impl Code {
    /// A code written in our own source.
    ///
    /// # Panics
    /// If the text is not kebab-case: a mistake in the source.
    #[must_use]
    pub fn fixed(text: &'static str) -> Self {
        Self::try_new(text).unwrap_or_else(|expected| panic!("{text}: {expected}"))
    }
}

impl ProductTag {
    /// Whether Shopify takes both for one tag: upper and lower case do not matter.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || self.0.to_lowercase() == other.0.to_lowercase()
    }
}

impl TimeZone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }
}

/// A keyed digest: it compares contents and dies with its key; nobody without the key can make it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    fn digits(self, buffer: &mut [u8; 32]) -> &str {
        Uuid::from_bytes(self.0).simple().encode_lower(buffer)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits(&mut [0; 32]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.digits(&mut [0; 32]))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 16]>::deserialize(deserializer).map(Self);
        }
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .ok()
            .filter(|_| text.len() == 32)
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| D::Error::custom("expected 32 hexadecimal digits"))
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "a keyed digest, 32 hexadecimal digits" })
    }
}

impl crate::personal::Plain for Digest {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_domains_hold_only_what_they_are_for() {
        for good in ["goodwill", "order-2", "a"] {
            assert!(Code::try_new(good).is_ok(), "{good}");
        }
        for bad in ["", "Goodwill", "a--b", "-a", "a b", "jon@example.com"] {
            assert!(Code::try_new(bad).is_err(), "{bad}");
        }
        assert!(ShopDomain::try_new("demo-1.myshopify.com").is_ok());
        for bad in [
            "demo.example.com",
            "-x.myshopify.com",
            "Demo.myshopify.com",
            ".myshopify.com",
            "a.b.myshopify.com",
        ] {
            assert!(ShopDomain::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_reads_back_what_it_wrote() {
        let digest = Digest([7; 16]);
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"07\"").is_err());
    }
}
