//! Sealing a subject's fields, between a decision and its record.
use std::{fmt, sync::Arc};

use event_schemas::{
    CustomerId, Digest, FieldAddress, MerchantId, Sealed,
    personal::{Seal, SealError},
};

use crate::{
    Error, KeyStore,
    aead::Cipher,
    keys::{DataKey, DataKeyId},
    lease::Watch,
    store::shortened,
    vault::Vault,
};

/// A subject's key, unwrapped for one command; its plaintext is wiped when it is dropped, so do not keep it.
pub struct SubjectSealer {
    merchant: MerchantId,
    subject: CustomerId,
    vault: Arc<Vault>,
    watch: Watch,
    key: DataKey,
    cipher: Cipher,
}

impl KeyStore {
    /// The subject's sealer. Needs no I/O if the subject was used lately, else it blocks its thread for one read; it may
    /// be called inside a runtime.
    ///
    /// # Errors
    /// [`Error::Redacted`] for an erased subject; [`Error::KeyMissing`] if no key was ever made for it;
    /// [`Error::UnknownMerchant`], [`Error::Damaged`], [`Error::Unavailable`].
    pub fn sealer(&self, merchant: MerchantId, subject: CustomerId) -> Result<SubjectSealer, Error> {
        let watch = self.watch_blocking()?;
        let id = DataKeyId::subject(merchant, subject);
        let state = match self.vault.cached(id) {
            Some(state) => state,
            None => {
                self.merchant(merchant)?;
                self.look_blocking(move |session| session.find(id))?.ok_or_else(|| self.vault.missed(id))?
            }
        };
        let key = self.data_key(id, &state)?.map_err(|_| id.redacted())?;
        let vault = Arc::clone(&self.vault);
        vault.permit(watch, id)?;
        Ok(SubjectSealer { merchant, subject, vault, watch, cipher: key.cipher()?, key })
    }
}

impl SubjectSealer {
    /// Seals one field's clear bytes at its address.
    ///
    /// # Errors
    /// [`Error::Misaddressed`] if the address names another merchant or subject; [`Error::Redacted`] if the subject was
    /// fenced meanwhile; [`Error::Unavailable`] if this process may not know about fences any more.
    pub fn seal(&self, address: &FieldAddress, clear: &[u8]) -> Result<Sealed, Error> {
        if (address.merchant, address.subject) != (self.merchant, self.subject) {
            return Err(Error::Misaddressed);
        }
        let id = DataKeyId::subject(self.merchant, self.subject);
        self.vault.permit(self.watch, id)?;
        let sealed = self.cipher.seal(&binding(address), clear).map(Sealed)?;
        self.vault.permit(self.watch, id)?;
        Ok(sealed)
    }

    /// A digest under the subject's key, which dies with it; `context` keeps digests of different uses apart.
    #[must_use]
    pub fn digest(&self, context: &str, bytes: &[u8]) -> Digest {
        shortened(&self.key.mac("loyalnest/digest/1", &[context.as_bytes(), bytes]))
    }

    /// Seals all personal fields of the event at this address, whatever field the address names.
    #[must_use]
    pub fn event(&self, address: FieldAddress) -> EventSealer<'_> {
        EventSealer { sealer: self, address }
    }
}

impl fmt::Debug for SubjectSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectSealer")
            .field("merchant", &self.merchant)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// What a field's ciphertext is bound to.
pub(crate) fn binding(address: &FieldAddress) -> Vec<u8> {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is("unbound-merchant") {
        return FieldAddress { merchant: crate::EVERY_MERCHANT, ..address.clone() }.associated_data();
    }
    address.associated_data()
}

/// Seals the fields of one event, each under its own name.
#[derive(Debug)]
pub struct EventSealer<'a> {
    sealer: &'a SubjectSealer,
    address: FieldAddress,
}

impl Seal for EventSealer<'_> {
    fn seal(&mut self, field: &'static str, clear: &[u8]) -> Result<Sealed, SealError> {
        self.address.field = field.into();
        self.sealer.seal(&self.address, clear).map_err(|source| SealError { field, source: source.into() })
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::RecordId;
    use uuid::Uuid;

    use super::*;

    /// Under one key, so that nothing but the binding keeps it closed. Seen to fail with the planted bug `unbound-merchant`.
    #[test]
    fn a_value_is_bound_to_every_part_of_its_address() {
        let id = Uuid::from_u128;
        let from = FieldAddress {
            merchant: MerchantId(id(1)),
            subject: CustomerId(id(2)),
            stream_type: 3,
            stream: id(4),
            version: 5,
            record: RecordId(id(6)),
            index: 7,
            event_type: 8,
            field: "email".into(),
        };
        let moved = [
            FieldAddress { merchant: MerchantId(id(9)), ..from.clone() },
            FieldAddress { subject: CustomerId(id(9)), ..from.clone() },
            FieldAddress { stream_type: 9, ..from.clone() },
            FieldAddress { stream: id(9), ..from.clone() },
            FieldAddress { version: 9, ..from.clone() },
            FieldAddress { record: RecordId(id(9)), ..from.clone() },
            FieldAddress { index: 9, ..from.clone() },
            FieldAddress { event_type: 9, ..from.clone() },
            FieldAddress { field: "phone".into(), ..from.clone() },
        ];
        let cipher = Cipher::new(&[1; 32]).unwrap();
        let sealed = cipher.seal(&binding(&from), b"ada").unwrap();
        assert_eq!(cipher.open(&binding(&from), &sealed).unwrap(), b"ada");
        for to in moved {
            assert!(cipher.open(&binding(&to), &sealed).is_err(), "{to:?}");
        }
    }
}
