//! Why the key store could not answer. No text holds a reference, a value or a key.
use std::{io, path::PathBuf};

use event_schemas::{CustomerId, MerchantId};
use group_commit::StoreError;

use crate::Kind;

/// A fault of the key store, or its refusal to serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store was made under another root key.
    #[error("the root key has fingerprint {found}, but the key store was made under {expected}")]
    WrongRootKey {
        /// Fingerprint that the store remembers.
        expected: String,
        /// Fingerprint of the key that was given.
        found: String,
    },
    /// The root key's file could not be made or read.
    #[error("the root key file {} could not be used", path.display())]
    RootKeyFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the root key's file.
    #[error("the root key file {} may be read by others; give it mode 0600", path.display())]
    RootKeyExposed {
        /// Its path.
        path: PathBuf,
    },
    /// The root key's file does not hold a key.
    #[error("the root key file {} does not hold 64 hexadecimal digits", path.display())]
    RootKeyMalformed {
        /// Its path.
        path: PathBuf,
    },
    /// The ring of epochs could not be used.
    #[error("the ring of epochs {} could not be used", path.display())]
    Ring {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The root key is rotated, and what the old one wrapped is deleted, but not cleared away from its medium.
    #[error(
        "the new root key is the right one from now on, but what the old one wrapped is not cleared away yet (VACUUM FULL of loyalnest_epochs.epoch_key does it, and so does the next end of an epoch)"
    )]
    OldRootLeft {
        /// Why.
        source: Box<Self>,
    },
    /// Rows hang under an epoch whose key is not in the ring.
    #[error(
        "the key of epoch {epoch} is not in the ring: it was destroyed, so that nothing opens this copy of the key store, or the ring beside the root key is missing"
    )]
    EpochGone {
        /// The epoch.
        epoch: u32,
    },
    /// The key store's file could not be made.
    #[error("the key store {} could not be made", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store belongs to another log.
    #[error("the key store belongs to another log")]
    OtherLog,
    /// The store was written by a newer version of this program.
    #[error("the key store has format {found}, this program knows {known}")]
    UnknownFormat {
        /// Format of the file.
        found: u32,
        /// Format that this program reads and writes.
        known: u32,
    },
    /// The store is older than the log: rows that records rely on are missing.
    #[error("the key store is behind the log: it has seen {store} inserts, the log {log}")]
    Behind {
        /// Inserts that the store counted.
        store: u64,
        /// Inserts that the log has seen.
        log: u64,
    },
    /// No keys were ever made for the merchant.
    #[error("merchant {merchant} has no keys")]
    UnknownMerchant {
        /// The merchant.
        merchant: MerchantId,
    },
    /// A key is missing although nothing was erased: an alarm, never a blank.
    #[error("a key of merchant {merchant} is missing although it was never destroyed: {what}")]
    KeyMissing {
        /// The merchant.
        merchant: MerchantId,
        /// Whose or which key.
        what: String,
    },
    /// The subject is being erased or was; nothing is sealed for it any more.
    #[error("subject {subject} of merchant {merchant} is erased")]
    Redacted {
        /// The merchant.
        merchant: MerchantId,
        /// The subject.
        subject: CustomerId,
    },
    /// The whole shop is being erased or was.
    #[error("merchant {merchant} is erased")]
    ShopErased {
        /// The merchant.
        merchant: MerchantId,
    },
    /// Keys were to be destroyed while processes may still use them.
    #[error("somebody of merchant {merchant} is not fenced, so nothing of theirs is destroyed")]
    NotFenced {
        /// The merchant.
        merchant: MerchantId,
    },
    /// A reference belonged to a person who was erased; it never gets an id again.
    #[error("a reference of kind {} belonged to an erased person", kind.name())]
    Erased {
        /// The reference's kind.
        kind: Kind,
    },
    /// A row does not open under the key that wrapped it.
    #[error("the key store is damaged: {what} does not open")]
    Damaged {
        /// Which row.
        what: String,
    },
    /// A ciphertext was changed, or stands elsewhere than where it was sealed.
    #[error("a sealed value does not open: it was changed or moved")]
    DoesNotOpen,
    /// A field was to be sealed under a key that is not its subject's.
    #[error("a field's address names another subject than the key belongs to")]
    Misaddressed,
    /// The cryptographic library refused to work.
    #[error("the cryptographic library failed")]
    Crypto,
    /// The store did not answer; whether a write is durable is unknown, asking again is safe.
    #[error("the key store is unavailable")]
    Unavailable(#[from] group_commit::Fault),
}

impl Error {
    /// Whether what is remembered may only be behind a rotation by somebody else.
    pub(crate) const fn may_be_of_a_rotation(&self) -> bool {
        matches!(self, Self::EpochGone { .. } | Self::KeyMissing { .. })
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<aws_lc_rs::error::Unspecified> for Error {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}
