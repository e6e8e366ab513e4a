//! What makes a struct an event's payload, and a struct inside one plain.
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::personal::{Seal, SealError};

/// One event's data. Written closed (just these fields), read open (unknown fields are ignored).
pub trait Payload: Serialize + DeserializeOwned + JsonSchema {
    /// Seals every personal field that is still in clear.
    fn seal(&mut self, seal: &mut dyn Seal) -> Result<(), SealError>;

    /// Lifts data of version `from` to version `from + 1`. Only called for versions below the current one.
    fn upcast(from: u16, _data: Value) -> Result<Value, String> {
        Err(format!("there is no upcast from version {from}"))
    }

    /// A sample with every field filled, for golden files and documentation.
    fn sample() -> Self;
}

/// The upcast of an event whose older versions only lack fields that have a default.
pub(crate) fn with_defaults(_from: u16, data: Value) -> Result<Value, String> {
    Ok(data)
}

/// Defines a payload: every field must be [`Classified`](crate::personal::Classified) or it does not compile.
///
/// ```
/// event_schemas::payload! {
///     /// Somebody was named.
///     Named {
///         /// The name.
///         name: Option<event_schemas::Personal<String>>,
///     }
///     sample: Self { name: sealed() }
/// }
/// ```
///
/// A plain text may hold anything, so it is not classified:
/// ```compile_fail,E0277
/// event_schemas::payload! {
///     /// Somebody was named.
///     Named {
///         /// The name.
///         name: String,
///     }
///     sample: Self { name: String::new() }
/// }
/// ```
#[macro_export]
macro_rules! payload {
    (
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty ),* $(,)?
        }
        sample: $sample:expr
        $(, upcast: $upcast:expr)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl $crate::payload::Payload for $name {
            fn seal(
                &mut self,
                _seal: &mut dyn $crate::personal::Seal,
            ) -> Result<(), $crate::personal::SealError> {
                $( $crate::personal::Classified::seal_with(&mut self.$field, stringify!($field), _seal)?; )*
                Ok(())
            }

            $(
                fn upcast(from: u16, data: serde_json::Value) -> Result<serde_json::Value, String> {
                    $upcast(from, data)
                }
            )?

            fn sample() -> Self {
                use $crate::sample::*;
                let _ = CUSTOMER;
                $sample
            }
        }
    };
}

/// Defines a struct that may stand inside payloads because every field of it is plain.
#[macro_export]
macro_rules! plain {
    (
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty ),* $(,)?
        }
    ) => {
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $(#[$doc])*
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl $crate::personal::Plain for $name where $( $type: $crate::personal::Plain, )* {}
    };
}

/// Defines an enum of kebab-case words that may stand inside payloads.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$word_doc:meta])* $word:ident = $text:literal ),* $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $name {
            $( $(#[$word_doc])* #[serde(rename = $text)] $word, )*
        }

        impl $name {
            /// The word as it is written everywhere outside.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$word => $text, )* }
            }
        }

        impl $crate::personal::Plain for $name {}
    };
}
