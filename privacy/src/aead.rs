//! AES-256-GCM-SIV under a random nonce: the one layout of every ciphertext in the log and in the key store.
//!
//! Layout: 1 (its number), nonce 12, ciphertext, tag 16.
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{Error, chance};

const LAYOUT: u8 = 1;
const TAG_LEN: usize = 16;
const HEAD_LEN: usize = 1 + NONCE_LEN;

/// How long a clear value of this length is once it is sealed.
pub(crate) const fn sealed_len(clear_len: usize) -> usize {
    HEAD_LEN + clear_len + TAG_LEN
}

/// Random nonces, drawn many at once: one by one they cost a fifth of what they are for.
pub(crate) struct Nonces {
    drawn: [u8; NONCE_LEN * 256],
    left: usize,
}

impl Nonces {
    pub(crate) const fn new() -> Self {
        Self { drawn: [0; NONCE_LEN * 256], left: 0 }
    }

    /// One that was not given before.
    pub(crate) fn next(&mut self) -> Result<[u8; NONCE_LEN], Error> {
        if self.left == 0 {
            chance::fill(&mut self.drawn)?;
            self.left = self.drawn.len() / NONCE_LEN;
        }
        self.left -= 1;
        let (nonces, _) = self.drawn.as_chunks::<NONCE_LEN>();
        Ok(nonces[self.left])
    }
}

/// An expanded key; the library wipes it when it is dropped.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, Error> {
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key)?)))
    }

    /// The ciphertext of `clear`, bound to `associated_data`.
    pub(crate) fn seal(&self, associated_data: &[u8], clear: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        chance::fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(sealed_len(clear.len()));
        self.seal_behind(associated_data, nonce, clear, &mut sealed)?;
        Ok(sealed)
    }

    /// The same behind what is there already, under a random nonce that nothing else is sealed under.
    pub(crate) fn seal_behind(
        &self,
        associated_data: &[u8],
        nonce: [u8; NONCE_LEN],
        clear: &[u8],
        sealed: &mut Vec<u8>,
    ) -> Result<(), Error> {
        sealed.push(LAYOUT);
        sealed.extend_from_slice(&nonce);
        let head = sealed.len();
        sealed.extend_from_slice(clear);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag =
            self.0.seal_in_place_separate_tag(nonce, Aad::from(associated_data), &mut sealed[head..])?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// What was sealed with the same `associated_data`, else [`Error::DoesNotOpen`].
    pub(crate) fn open(&self, associated_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let mut clear = vec![0; sealed.len().saturating_sub(HEAD_LEN + TAG_LEN)];
        self.open_into(associated_data, sealed, &mut clear)?;
        Ok(clear)
    }

    /// The same into a buffer of exactly the clear value's length, for keys that must not linger in a `Vec`.
    pub(crate) fn open_into(
        &self,
        associated_data: &[u8],
        sealed: &[u8],
        clear: &mut [u8],
    ) -> Result<(), Error> {
        let (&layout, rest) = sealed.split_first().ok_or(Error::DoesNotOpen)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Error::DoesNotOpen)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(Error::DoesNotOpen)?;
        if layout != LAYOUT || ciphertext.len() != clear.len() {
            return Err(Error::DoesNotOpen);
        }
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_separate_gather(nonce, Aad::from(associated_data), ciphertext, tag, clear)
            .map_err(|_| Error::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_only_under_the_same_key_and_binding() {
        let cipher = Cipher::new(&[1; 32]).unwrap();
        for clear in [&b""[..], b"x", &[7; 5_000]] {
            let sealed = cipher.seal(b"here", clear).unwrap();
            assert_eq!(cipher.open(b"here", &sealed).unwrap(), clear);
            assert!(matches!(cipher.open(b"there", &sealed), Err(Error::DoesNotOpen)));
            let other = Cipher::new(&[2; 32]).unwrap();
            assert!(matches!(other.open(b"here", &sealed), Err(Error::DoesNotOpen)));
        }
    }

    #[test]
    fn any_changed_or_missing_byte_keeps_it_closed() {
        let cipher = Cipher::new(&[1; 32]).unwrap();
        let sealed = cipher.seal(b"", b"clear").unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(cipher.open(b"", &changed).is_err(), "byte {place}");
            assert!(cipher.open(b"", &sealed[..place]).is_err(), "cut at {place}");
        }
    }

    /// Tried with one that is given twice where more are drawn.
    #[test]
    fn no_nonce_is_given_twice() {
        let mut nonces = Nonces::new();
        let given: std::collections::HashSet<_> = (0..1_000).map(|_| nonces.next().unwrap()).collect();
        assert_eq!(given.len(), 1_000);
    }

    #[test]
    fn the_same_value_never_looks_the_same_twice() {
        let cipher = Cipher::new(&[1; 32]).unwrap();
        assert_ne!(cipher.seal(b"", b"clear").unwrap(), cipher.seal(b"", b"clear").unwrap());
    }
}
