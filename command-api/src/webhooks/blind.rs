//! Blind references: what leads to a person, as its kind and its keyed hash, so that an erasure finds what mentions them
//! and nothing else does. The hashes are those of the directory.
use std::collections::{BTreeSet, HashSet};

use event_schemas::MerchantId;
use privacy::{KeyStore, Kind};

use super::translate::Private;

const HASH_LEN: usize = 32;
/// A kind's number, and a hash.
const LEN: usize = 1 + HASH_LEN;

/// The blind references of all that was found, one after the other, each once.
pub(crate) fn references(
    keys: &KeyStore,
    merchant: MerchantId,
    found: Vec<(Kind, Private)>,
) -> Result<Vec<u8>, privacy::Error> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<_> = found.into_iter().map(|(kind, Private(text))| (kind, text)).collect();
    let hashes = keys.reference_hashes(merchant, &found)?;
    let references: Vec<_> = found.iter().map(|(kind, _)| *kind).zip(hashes).collect();
    Ok(joined(&[], &references))
}

/// Blind references with more of them.
pub(crate) fn joined(known: &[u8], more: &[(Kind, [u8; HASH_LEN])]) -> Vec<u8> {
    let known = each(known).map(|(kind, hash)| (kind, *hash));
    let more = more.iter().map(|(kind, hash)| (kind.number(), *hash));
    let all: BTreeSet<_> = known.chain(more).collect();
    all.into_iter().flat_map(|(kind, hash)| std::iter::once(kind).chain(hash)).collect()
}

/// What is looked for of one person.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sought {
    /// The person's own ids and orders.
    own: HashSet<[u8; HASH_LEN]>,
    /// Where they can be reached.
    contacts: HashSet<[u8; HASH_LEN]>,
}

impl Sought {
    /// Adds the directory's hash of a reference.
    pub(crate) fn add(&mut self, kind: Kind, hash: [u8; HASH_LEN]) {
        self.add_numbered(kind.number(), hash);
    }

    /// Adds blind references.
    pub(crate) fn add_all(&mut self, references: &[u8]) {
        each(references).for_each(|(kind, hash)| self.add_numbered(kind, *hash));
    }

    fn add_numbered(&mut self, kind: u8, hash: [u8; HASH_LEN]) {
        if is_contact(kind) {
            self.contacts.insert(hash)
        } else {
            self.own.insert(hash)
        };
    }

    /// Whether what has these blind references is this person's. What names another customer is that customer's, whatever
    /// address it carries: two people may share one.
    pub(crate) fn are_in(&self, references: &[u8]) -> bool {
        let is_own = |(_, hash): (u8, &[u8; HASH_LEN])| self.own.contains(hash);
        let names_another = each(references).any(|(kind, _)| kind == Kind::ShopifyCustomer.number());
        each(references).any(is_own)
            || !names_another && each(references).any(|(_, hash)| self.contacts.contains(hash))
    }
}

/// Those of orders, and of the addresses of guests, which are under orders.
pub(crate) fn of_orders(references: &[u8]) -> impl Iterator<Item = (Kind, [u8; HASH_LEN])> {
    each(references).filter_map(|(number, hash)| {
        let kind = [Kind::Order, Kind::GuestEmail].into_iter().find(|kind| kind.number() == number)?;
        Some((kind, *hash))
    })
}

const fn is_contact(kind: u8) -> bool {
    kind == Kind::Email.number() || kind == Kind::Phone.number()
}

/// The kinds' numbers and the hashes.
pub(super) fn each(references: &[u8]) -> impl Iterator<Item = (u8, &[u8; HASH_LEN])> {
    references.as_chunks::<LEN>().0.iter().filter_map(|reference| {
        let (kind, hash) = reference.split_first()?;
        Some((*kind, hash.try_into().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blind(references: &[(Kind, u8)]) -> Vec<u8> {
        references.iter().flat_map(|(kind, n)| std::iter::once(kind.number()).chain([*n; HASH_LEN])).collect()
    }

    #[test]
    fn references_are_joined_each_once() {
        let known = blind(&[(Kind::Order, 4), (Kind::Email, 2)]);
        let more = [(Kind::Phone, [3; HASH_LEN]), (Kind::Order, [4; HASH_LEN])];
        let all = joined(&known, &more);
        assert_eq!(all.len(), 3 * LEN);
        assert_eq!(joined(&all, &more), all);
        assert!(joined(&[], &[]).is_empty());
    }

    /// Catches, tried: an address alone taking the body of another customer who shares it.
    #[test]
    fn a_person_is_found_by_what_is_theirs_and_another_who_shares_an_address_is_not() {
        let mut sought = Sought::default();
        sought.add_all(&blind(&[(Kind::ShopifyCustomer, 1), (Kind::Email, 2), (Kind::Phone, 3)]));
        sought.add(Kind::Order, [4; HASH_LEN]);
        for (references, found) in [
            (vec![(Kind::ShopifyCustomer, 1)], true),
            (vec![(Kind::Order, 4)], true),
            (vec![(Kind::Order, 9), (Kind::Email, 2)], true),
            (vec![(Kind::Phone, 3)], true),
            (vec![(Kind::Order, 9), (Kind::ShopifyCustomer, 8), (Kind::Email, 2)], false),
            (vec![(Kind::ShopifyCustomer, 8), (Kind::ShopifyCustomer, 1)], true),
            (vec![(Kind::Order, 9), (Kind::Email, 8)], false),
            (vec![], false),
        ] {
            assert_eq!(sought.are_in(&blind(&references)), found, "{references:?}");
        }
    }
}
