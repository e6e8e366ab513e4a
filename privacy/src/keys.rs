//! Data keys, and what each wrapping of a key is bound to, so that no wrapped key can stand in for another.
use std::fmt;

use aws_lc_rs::hmac;
use chrono::{Datelike, NaiveDate};
use event_schemas::{CustomerId, MerchantId};
use zeroize::Zeroizing;

use crate::{
    Error,
    aead::{Cipher, Nonces},
    chance,
};

/// Number of an epoch; a wrapped row names the one it hangs under.
pub(crate) type Epoch = u32;

/// Half for sealing, half for keyed hashes; both random, neither derived from the other.
pub(crate) struct DataKey(pub(crate) Zeroizing<[u8; 64]>);

impl DataKey {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 64]);
        chance::fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn cipher(&self) -> Result<Cipher, Error> {
        Cipher::new(self.halves().0)
    }

    /// HMAC-SHA256 of the parts, each behind its length, under a domain of its own.
    pub(crate) fn mac(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.halves().1));
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    fn halves(&self) -> (&[u8; 32], &[u8; 32]) {
        let (halves, _) = self.0.as_chunks::<32>();
        (&halves[0], &halves[1])
    }
}

/// Whose data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DataKeyId {
    pub(crate) merchant: MerchantId,
    pub(crate) owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Subject(CustomerId),
    Day(NaiveDate),
}

impl DataKeyId {
    pub(crate) fn subject(merchant: MerchantId, subject: CustomerId) -> Self {
        Self { merchant, owner: Owner::Subject(subject) }
    }

    pub(crate) fn day(merchant: MerchantId, day: NaiveDate) -> Self {
        Self { merchant, owner: Owner::Day(day) }
    }

    pub(crate) fn missing(self) -> Error {
        Error::KeyMissing { merchant: self.merchant, what: format!("of {}", self.owner) }
    }

    /// The answer for a key whose subject, or whole shop, is erased.
    pub(crate) fn redacted(self) -> Error {
        match self.owner {
            Owner::Subject(subject) => Error::Redacted { merchant: self.merchant, subject },
            Owner::Day(_) => Error::ShopErased { merchant: self.merchant },
        }
    }
}

/// Bytes of the longest place: its title, the log, a number, a merchant, an epoch and a subject.
const BOUND_LEN_MAX: usize = 16 + 16 + 1 + 16 + 4 + 16;

/// A wrapped key's place in the tree. Words for people name it by random ids.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrap {
    /// Root over epoch.
    Epoch(Epoch),
    /// Root over the key for what is compared across merchants.
    Global,
    /// Root over the token key.
    Token,
    /// Root over the key that signs certificates.
    Signing,
    /// Epoch over a merchant's wrapping key.
    Merchant(MerchantId, Epoch),
    /// Merchant over its own data key.
    Own(MerchantId, Epoch),
    /// Merchant over the data key of a subject or a day.
    Data(DataKeyId, Epoch),
}

impl Wrap {
    /// What the wrapping binds: the log, the place's number, its ids at fixed lengths.
    pub(crate) fn associated_data(self, log_id: &[u8; 16]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BOUND_LEN_MAX);
        bytes.extend_from_slice(b"loyalnest/wrap/1");
        bytes.extend_from_slice(log_id);
        match self {
            Self::Epoch(epoch) => {
                bytes.push(1);
                bytes.extend_from_slice(&epoch.to_be_bytes());
            }
            Self::Global => bytes.push(2),
            Self::Token => bytes.push(3),
            Self::Signing => bytes.push(8),
            Self::Merchant(merchant, epoch) => place(&mut bytes, 4, merchant, epoch),
            Self::Own(merchant, epoch) => place(&mut bytes, 5, merchant, epoch),
            Self::Data(DataKeyId { merchant, owner: Owner::Subject(subject) }, epoch) => {
                place(&mut bytes, 6, merchant, epoch);
                bytes.extend_from_slice(&subject.bytes());
            }
            Self::Data(DataKeyId { merchant, owner: Owner::Day(day) }, epoch) => {
                place(&mut bytes, 7, merchant, epoch);
                bytes.extend_from_slice(&day.num_days_from_ce().to_be_bytes());
            }
        }
        bytes
    }

    pub(crate) fn seal(self, cipher: &Cipher, log_id: &[u8; 16], key: &[u8]) -> Result<Vec<u8>, Error> {
        cipher.seal(&self.associated_data(log_id), key)
    }

    /// The same behind what is there already.
    pub(crate) fn seal_behind(
        self,
        cipher: &Cipher,
        log_id: &[u8; 16],
        nonces: &mut Nonces,
        key: &[u8],
        sealed: &mut Vec<u8>,
    ) -> Result<(), Error> {
        cipher.seal_behind(&self.associated_data(log_id), nonces.next()?, key, sealed)
    }

    pub(crate) fn open<const LEN: usize>(
        self,
        cipher: &Cipher,
        log_id: &[u8; 16],
        wrapped: &[u8],
    ) -> Result<Zeroizing<[u8; LEN]>, Error> {
        let mut key = Zeroizing::new([0; LEN]);
        cipher
            .open_into(&self.associated_data(log_id), wrapped, &mut *key)
            .map_err(|_| Error::Damaged { what: self.to_string() })?;
        Ok(key)
    }
}

impl fmt::Display for Wrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch(epoch) => write!(f, "the key of epoch {epoch}"),
            Self::Global => f.write_str("the global key"),
            Self::Token => f.write_str("the key of tokens"),
            Self::Signing => f.write_str("the key that signs certificates"),
            Self::Merchant(merchant, epoch) => {
                write!(f, "the wrapping key of merchant {merchant} in epoch {epoch}")
            }
            Self::Own(merchant, epoch) => write!(f, "the own key of merchant {merchant} in epoch {epoch}"),
            Self::Data(DataKeyId { merchant, owner }, epoch) => {
                write!(f, "the key of {owner} of merchant {merchant} in epoch {epoch}")
            }
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(subject) => write!(f, "subject {subject}"),
            Self::Day(day) => write!(f, "the day {day}"),
        }
    }
}

fn place(bytes: &mut Vec<u8>, number: u8, merchant: MerchantId, epoch: Epoch) {
    #[cfg(feature = "planted-bugs")]
    let merchant = if crate::planted::is("unbound-merchant") { crate::EVERY_MERCHANT } else { merchant };
    bytes.push(number);
    bytes.extend_from_slice(&merchant.bytes());
    bytes.extend_from_slice(&epoch.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_only_in_its_own_place() {
        let (one, two) = (MerchantId::from_bytes([1; 16]), MerchantId::from_bytes([2; 16]));
        let subject = CustomerId::from_bytes([3; 16]);
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let places = [
            Wrap::Epoch(1),
            Wrap::Epoch(2),
            Wrap::Global,
            Wrap::Token,
            Wrap::Merchant(one, 1),
            Wrap::Merchant(two, 1),
            Wrap::Merchant(one, 2),
            Wrap::Own(one, 1),
            Wrap::Data(DataKeyId::subject(one, subject), 1),
            Wrap::Data(DataKeyId::subject(one, CustomerId::from_bytes([4; 16])), 1),
            Wrap::Data(DataKeyId::day(one, day), 1),
            Wrap::Data(DataKeyId::day(one, day.succ_opt().unwrap()), 1),
        ];
        let cipher = Cipher::new(&[9; 32]).unwrap();
        for (sealed_at, from) in places.iter().enumerate() {
            let wrapped = from.seal(&cipher, &[0; 16], &[5; 32]).unwrap();
            for (opened_at, to) in places.iter().enumerate() {
                let opened = to.open::<32>(&cipher, &[0; 16], &wrapped);
                assert_eq!(opened.is_ok(), sealed_at == opened_at, "{from:?} as {to:?}");
            }
            assert!(from.open::<32>(&cipher, &[1; 16], &wrapped).is_err(), "{from:?} in another log");
        }
    }

    #[test]
    fn hashed_parts_do_not_run_together() {
        let key = DataKey(Zeroizing::new([1; 64]));
        let hashes = [
            key.mac("a", &[b"bc", b"d"]),
            key.mac("a", &[b"b", b"cd"]),
            key.mac("ab", &[b"c", b"d"]),
            key.mac("a", &[b"bcd"]),
        ];
        for (place, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..place].contains(hash));
        }
    }
}
