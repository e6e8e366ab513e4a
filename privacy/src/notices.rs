//! What this process has to forget of what it remembers, so that nothing that was read before a fence is used behind it.
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use event_schemas::MerchantId;

use crate::{
    keys::{DataKeyId, Owner},
    schema::NOBODY,
};

/// Who began before more than this many notices is asked to begin again.
const KEPT_MAX: usize = 10_000;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A subject, or with [`NOBODY`] the whole shop, was fenced.
    Fenced(MerchantId, [u8; 16]),
    /// A fence got its certificate, or a shop's keys were replaced.
    Changed(MerchantId, [u8; 16]),
    /// Epochs were opened or destroyed, and rows are wrapped anew.
    Epochs,
    /// Keys of days are gone.
    Days,
}

impl Notice {
    /// As it is stored.
    pub(crate) fn stored(self) -> (u32, [u8; 16], [u8; 16]) {
        match self {
            Self::Fenced(merchant, subject) => (1, merchant.bytes(), subject),
            Self::Changed(merchant, subject) => (2, merchant.bytes(), subject),
            Self::Epochs => (3, NOBODY, NOBODY),
            Self::Days => (4, NOBODY, NOBODY),
        }
    }

    /// What is stored; a kind that is not known here is one of a newer program.
    pub(crate) fn load(what: u32, merchant: [u8; 16], subject: [u8; 16]) -> Option<Self> {
        let merchant = MerchantId::from_bytes(merchant);
        match what {
            1 => Some(Self::Fenced(merchant, subject)),
            2 => Some(Self::Changed(merchant, subject)),
            3 => Some(Self::Epochs),
            4 => Some(Self::Days),
            _ => None,
        }
    }

    /// Whether what is remembered of this key may be old.
    pub(crate) fn concerns(self, id: DataKeyId) -> bool {
        match (self, id.owner) {
            (Self::Fenced(merchant, subject) | Self::Changed(merchant, subject), owner) => {
                let is_owner = matches!(owner, Owner::Subject(owner) if owner.bytes() == subject);
                merchant == id.merchant && (subject == NOBODY || is_owner)
            }
            (Self::Epochs, _) | (Self::Days, Owner::Day(_)) => true,
            (Self::Days, Owner::Subject(_)) => false,
        }
    }

    fn concerns_merchant(self, id: MerchantId) -> bool {
        match self {
            Self::Fenced(merchant, subject) | Self::Changed(merchant, subject) => {
                merchant == id && subject == NOBODY
            }
            Self::Epochs => true,
            Self::Days => false,
        }
    }

    fn stops(self, id: DataKeyId) -> bool {
        matches!(self, Self::Fenced(..)) && self.concerns(id)
    }
}

/// How many notices a piece of work has seen when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// The last notices that this process obeyed.
#[derive(Default)]
pub(crate) struct Notices {
    count: AtomicU64,
    last: Mutex<VecDeque<Notice>>,
}

/// The notices, with no other coming in between.
pub(crate) struct Held<'a> {
    count: &'a AtomicU64,
    last: MutexGuard<'a, VecDeque<Notice>>,
}

impl Notices {
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::Acquire))
    }

    /// Whether a fence came since; nothing if too many notices came to tell.
    pub(crate) fn stop_since(&self, mark: Mark, id: DataKeyId) -> Option<bool> {
        if self.mark() == mark {
            return Some(false);
        }
        self.hold().any_since(mark, |notice| notice.stops(id))
    }

    pub(crate) fn hold(&self) -> Held<'_> {
        // Every step leaves valid notices behind, also if a thread panicked in between.
        Held { count: &self.count, last: self.last.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Held<'_> {
    pub(crate) fn push(&mut self, notice: Notice) {
        if self.last.len() == KEPT_MAX {
            self.last.pop_front();
        }
        self.last.push_back(notice);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether what was read at `mark` may be old; so it is also if too many notices came to tell.
    pub(crate) fn concern_since(&self, mark: Mark, id: DataKeyId) -> bool {
        self.any_since(mark, |notice| notice.concerns(id)).unwrap_or(true)
    }

    pub(crate) fn concern_merchant_since(&self, mark: Mark, id: MerchantId) -> bool {
        self.any_since(mark, |notice| notice.concerns_merchant(id)).unwrap_or(true)
    }

    /// Nothing if too many came since to tell.
    fn any_since(&self, Mark(mark): Mark, is_one: impl Fn(Notice) -> bool) -> Option<bool> {
        let new = self.count.load(Ordering::Acquire).saturating_sub(mark);
        let new = usize::try_from(new).ok().filter(|new| *new <= self.last.len())?;
        Some(self.last.iter().rev().take(new).any(|one| is_one(*one)))
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{CustomerId, FieldAddress, RecordId};
    use group_commit::Fault;
    use uuid::Uuid;

    use super::*;
    use crate::{Error, KeyStore, RootKey};

    const SHOP: MerchantId = MerchantId::from_bytes([1; 16]);
    const ADA: CustomerId = CustomerId::from_bytes([3; 16]);

    fn email() -> FieldAddress {
        FieldAddress {
            merchant: SHOP,
            subject: ADA,
            stream_type: 2,
            stream: ADA.0,
            version: 1,
            record: RecordId(Uuid::from_u128(5)),
            index: 0,
            event_type: 6,
            field: "email".into(),
        }
    }

    /// Tried with a fence taken for granted when too many came: a living person is answered as erased.
    #[tokio::test]
    async fn whoever_began_too_many_notices_ago_is_asked_to_begin_again_and_not_told_of_an_erasure() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::from_bytes([7; 32]);
        let store = KeyStore::create_or_open(&folder.path().join("keys.db"), &root, [9; 16]).await.unwrap();
        store.ensure_merchant(SHOP).await.unwrap();
        store.ensure_subject(SHOP, ADA).await.unwrap();
        let sealer = store.sealer(SHOP, ADA).unwrap();
        let other = Notice::Fenced(SHOP, [4; 16]);
        (0..KEPT_MAX).for_each(|_| store.vault.obey(other));
        let sealed = sealer.seal(&email(), b"ada").unwrap();
        store.vault.obey(other);
        let refused = sealer.seal(&email(), b"ada");
        assert!(matches!(refused, Err(Error::Unavailable(Fault::Away(_)))), "{refused:?}");
        assert!(store.open(&email(), &sealed).await.is_ok());
        let sealer = store.sealer(SHOP, ADA).unwrap();
        assert!(sealer.seal(&email(), b"ada").is_ok(), "who begins again may");
        store.vault.obey(Notice::Fenced(SHOP, ADA.bytes()));
        assert!(matches!(sealer.seal(&email(), b"ada"), Err(Error::Redacted { .. })));
    }

    /// What is read while epochs come and go is not remembered, and was then taken for a shop that is not known: a soak of
    /// restores found it, and this test did before what was read was given itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_shop_is_known_while_epochs_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::from_bytes([7; 32]);
        let store = KeyStore::create_or_open(&folder.path().join("keys.db"), &root, [9; 16]).await.unwrap();
        store.ensure_merchant(SHOP).await.unwrap();
        store.ensure_subject(SHOP, ADA).await.unwrap();
        let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let turning = {
            let (store, is_over) = (store.clone(), is_over.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    store.vault.obey(Notice::Epochs);
                    std::thread::yield_now();
                }
            })
        };
        let sealed: Vec<_> = (0..500)
            .map(|_| store.sealer(SHOP, ADA).and_then(|sealer| sealer.seal(&email(), b"ada")))
            .collect();
        is_over.store(true, Ordering::Release);
        turning.join().unwrap();
        assert!(sealed.iter().any(Result::is_ok), "{sealed:?}");
        // More came in between than anybody remembers.
        let again = |error: &Error| matches!(error, Error::Unavailable(Fault::Away(_)));
        assert!(sealed.iter().all(|sealed| sealed.as_ref().err().is_none_or(again)), "{sealed:?}");
    }
}
