//! Certificates of erasure: what was destroyed, purged and looked at, signed; verified without us. They hold random ids and
//! counts only.
use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use event_schemas::{CustomerId, MerchantId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    KeyStore,
    signing::{PUBLIC_LEN, SIGNATURE_LEN},
};

/// What every statement of this version begins with.
pub const FORMAT: &str = "loyalnest-erasure/1";

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing that is in use opens anything of the person; copies from before, together with the keys of their epoch, would.
    Live,
    /// The last epoch that could open it is destroyed.
    Final,
}

/// Who was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// A person.
    Customer,
    /// Everybody in a shop.
    Shop,
}

/// When each step was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// The request was recorded.
    pub requested: Timestamp,
    /// Nothing opened or sealed for them any more.
    pub fenced: Timestamp,
    /// Keys and directory rows were destroyed.
    pub destroyed: Timestamp,
    /// Every store had purged.
    pub purged: Timestamp,
    /// Every sealed field in the log had refused to open.
    pub verified: Timestamp,
    /// This certificate was issued.
    pub issued: Timestamp,
}

/// What was destroyed in the key store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Wrapped keys that were overwritten.
    pub keys: u64,
    /// Rows of the directory that were deleted.
    pub directory_rows: u64,
    /// Keyed hashes that stay, so that nothing late brings the person back.
    pub tombstones: u64,
}

/// A part of the log that was read to see that nothing opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// The partition.
    pub partition: u32,
    /// The first position.
    pub from: u64,
    /// The last position.
    pub to: u64,
    /// The chain's hash at the last position, in hexadecimal digits, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Records that were read.
    pub records: u64,
    /// Sealed fields that were tried; none opened.
    pub fields: u64,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`FORMAT`].
    pub format: String,
    /// How far the erasure has come.
    pub level: Level,
    /// The certificate's own id.
    pub certificate: String,
    /// The id of the live certificate that a final one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// The log.
    pub log: Uuid,
    /// The merchant.
    pub merchant: MerchantId,
    /// The request.
    pub request: Uuid,
    /// Who was erased.
    pub scope: Scope,
    /// The persons' random ids; none for a shop, and none where nothing was held.
    pub subjects: Vec<CustomerId>,
    /// When each step was done.
    pub times: Times,
    /// The fence's number.
    pub fence: u64,
    /// What was destroyed.
    pub destroyed: Counts,
    /// What each store purged.
    pub purged: BTreeMap<String, u64>,
    /// What was read of the log.
    pub scanned: Vec<Scan>,
    /// The last epoch whose key, together with a copy from before, could open anything.
    pub epoch: u32,
    /// When that epoch's key was destroyed, or until when it will be.
    pub epoch_destroyed: Timestamp,
}

/// A signed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The statement's JSON, byte for byte what was signed.
    pub statement: String,
    /// The Ed25519 signature in hexadecimal digits.
    pub signature: String,
    /// The key that verifies it, in hexadecimal digits.
    pub public_key: String,
}

/// Why a text is no certificate, or none of this installation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// It is not the JSON of a certificate.
    #[error("this is not a certificate of erasure")]
    Malformed(#[source] serde_json::Error),
    /// What is signed is no statement of this version.
    #[error("the certificate's statement cannot be read")]
    Statement(#[source] serde_json::Error),
    /// The statement is of another version.
    #[error("the statement has the format {found}, this program knows {FORMAT}")]
    Format {
        /// What it says.
        found: String,
    },
    /// A key or a signature is none.
    #[error("{field} is not {expected} hexadecimal digits")]
    Digits {
        /// Which.
        field: &'static str,
        /// How many digits it needs.
        expected: usize,
    },
    /// Somebody else signed it.
    #[error("it is signed by {found}, not by the expected key {expected}")]
    OtherKey {
        /// The key that was asked for, in hexadecimal digits.
        expected: String,
        /// The key that the certificate names.
        found: String,
    },
    /// The signature is not that of the statement: one of them was changed.
    #[error("the signature does not fit the statement: one of them was changed")]
    Signature,
}

impl KeyStore {
    /// The statement, signed.
    ///
    /// # Errors
    /// [`Invalid::Statement`] if it cannot be written, which nobody has seen.
    pub fn issue(&self, statement: &Statement) -> Result<Certificate, Invalid> {
        let statement = serde_json::to_string(statement).map_err(Invalid::Statement)?;
        let signature = hex::encode(self.sign(statement.as_bytes()));
        Ok(Certificate { statement, signature, public_key: hex::encode(self.public_key()) })
    }
}

impl Certificate {
    /// Reads the JSON that [`Certificate::text`] wrote.
    ///
    /// # Errors
    /// [`Invalid::Malformed`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        serde_json::from_str(text).map_err(Invalid::Malformed)
    }

    /// The certificate as one line of JSON.
    ///
    /// # Errors
    /// [`Invalid::Malformed`] if it cannot be written, which nobody has seen.
    pub fn text(&self) -> Result<String, Invalid> {
        serde_json::to_string(self).map_err(Invalid::Malformed)
    }

    /// What it says, if its signature is that of the key it names, and that is the `expected` one where there is one.
    /// Needs nothing but the certificate. Without an expected key it proves only that nobody changed it since it was
    /// signed by somebody.
    ///
    /// # Errors
    /// [`Invalid`] says what does not fit.
    pub fn verify(&self, expected: Option<[u8; PUBLIC_LEN]>) -> Result<Statement, Invalid> {
        let public: [u8; PUBLIC_LEN] = digits("public_key", &self.public_key)?;
        let signature: [u8; SIGNATURE_LEN] = digits("signature", &self.signature)?;
        if let Some(expected) = expected.filter(|expected| *expected != public) {
            let (expected, found) = (hex::encode(expected), self.public_key.clone());
            return Err(Invalid::OtherKey { expected, found });
        }
        UnparsedPublicKey::new(&ED25519, public)
            .verify(self.statement.as_bytes(), &signature)
            .map_err(|_| Invalid::Signature)?;
        let statement: Statement = serde_json::from_str(&self.statement).map_err(Invalid::Statement)?;
        if statement.format != FORMAT {
            return Err(Invalid::Format { found: statement.format });
        }
        Ok(statement)
    }
}

fn digits<const LEN: usize>(field: &'static str, text: &str) -> Result<[u8; LEN], Invalid> {
    let mut bytes = [0; LEN];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| Invalid::Digits { field, expected: 2 * LEN })?;
    Ok(bytes)
}
