//! Opening sealed fields: the clear value, the proof that it was erased, or an error; never a blank.
use std::collections::{HashMap, HashSet};

use event_schemas::{FieldAddress, Sealed};

use crate::{
    Error, KeyStore,
    aead::Cipher,
    keys::DataKeyId,
    seal::binding,
    vault::{Fence, KeyState},
};

/// What a sealed field holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Opened {
    /// The bytes that were sealed: the JSON of the field's value.
    Clear(Vec<u8>),
    /// Its subject was erased.
    Shredded {
        /// The certificate of the erasure, once there is one.
        certificate: Option<String>,
    },
}

impl KeyStore {
    /// Opens one field.
    ///
    /// # Errors
    /// [`Error::DoesNotOpen`] if the value was changed or moved; [`Error::KeyMissing`] if there is no key although
    /// nothing was erased; [`Error::UnknownMerchant`], [`Error::Damaged`], [`Error::Unavailable`].
    pub async fn open(&self, address: &FieldAddress, sealed: &Sealed) -> Result<Opened, Error> {
        let mut opened = self.open_many(&[(address, sealed)]).await?;
        opened.pop().unwrap_or(Err(Error::DoesNotOpen))
    }

    /// Opens a page of fields with at most one read; the answers are in the fields' order, each with its own fault.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store could not be read at all.
    pub async fn open_many(
        &self,
        fields: &[(&FieldAddress, &Sealed)],
    ) -> Result<Vec<Result<Opened, Error>>, Error> {
        // Again if a fence came, or the lease ended, while it was opened.
        loop {
            let watch = self.watch().await?;
            let opened = self.open_once(fields).await?;
            if fields.iter().all(|(address, _)| self.vault.stands(watch, key_of(address))) {
                return Ok(opened);
            }
        }
    }

    async fn open_once(
        &self,
        fields: &[(&FieldAddress, &Sealed)],
    ) -> Result<Vec<Result<Opened, Error>>, Error> {
        let states = self.states(fields.iter().map(|(address, _)| key_of(address)).collect()).await?;
        // A page mostly holds one person's fields in a row; more than one key is never unwrapped at a time.
        let mut last: Option<(DataKeyId, Result<Cipher, Fence>)> = None;
        Ok(fields
            .iter()
            .map(|(address, sealed)| {
                let id = key_of(address);
                let cipher = match last.take().filter(|(of, _)| *of == id) {
                    Some((_, cipher)) => cipher,
                    None => self.cipher(id, states.get(&id))?,
                };
                let opened = match &cipher {
                    Ok(cipher) => cipher.open(&binding(address), &sealed.0).map(Opened::Clear),
                    Err(fence) => Ok(Opened::Shredded { certificate: fence.certificate.clone() }),
                };
                last = Some((id, cipher));
                opened
            })
            .collect())
    }

    fn cipher(&self, id: DataKeyId, state: Option<&KeyState>) -> Result<Result<Cipher, Fence>, Error> {
        let Some(state) = state else {
            self.merchant(id.merchant)?;
            return Err(self.vault.missed(id));
        };
        match self.data_key(id, state)? {
            Ok(key) => key.cipher().map(Ok),
            Err(fence) => Ok(Err(fence)),
        }
    }

    async fn states(&self, ids: HashSet<DataKeyId>) -> Result<HashMap<DataKeyId, KeyState>, Error> {
        let (mut states, mut unknown) = (HashMap::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match self.vault.cached(id) {
                Some(state) => drop(states.insert(id, state)),
                None => unknown.push(id),
            }
        }
        if !unknown.is_empty() {
            let read = self.look(move |session| {
                let found = unknown.into_iter().map(|id| Ok((id, session.find(id)?)));
                found.collect::<Result<Vec<_>, Error>>()
            });
            states.extend(read.await?.into_iter().filter_map(|(id, state)| Some((id, state?))));
        }
        Ok(states)
    }
}

fn key_of(address: &FieldAddress) -> DataKeyId {
    DataKeyId::subject(address.merchant, address.subject)
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clear(clear) => write!(f, "Clear({} bytes)", clear.len()),
            Self::Shredded { certificate } => {
                f.debug_struct("Shredded").field("certificate", certificate).finish()
            }
        }
    }
}
