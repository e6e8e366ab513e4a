//! What passes between the nodes of one installation: sealed as a whole, under a key that each of them derives.
use crate::{Error, KeyStore, aead::Cipher};

/// Seals and opens messages of one purpose; another installation, or another purpose, opens none of them.
pub struct Channel(Cipher);

impl KeyStore {
    /// The channel of this purpose between all who hold the root key.
    ///
    /// # Errors
    /// If the library refuses the key.
    pub fn channel(&self, purpose: &str) -> Result<Channel, Error> {
        let key = self.vault.token.mac("loyalnest/channel/1", &[purpose.as_bytes()]);
        Cipher::new(&key).map(Channel)
    }
}

impl Channel {
    /// The sealed message, bound to what it is `about`.
    ///
    /// # Errors
    /// As [`KeyStore::channel`].
    pub fn seal(&self, about: &[u8], clear: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.seal(about, clear)
    }

    /// What was sealed about the same.
    ///
    /// # Errors
    /// [`Error::DoesNotOpen`]: by somebody else, about something else, or changed on its way.
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.open(about, sealed)
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootKey;

    async fn store(folder: &std::path::Path, name: &str, root: &RootKey, log: u8) -> KeyStore {
        KeyStore::create_or_open(&folder.join(name), root, [log; 16]).await.unwrap()
    }

    #[tokio::test]
    async fn a_message_opens_for_the_same_installation_purpose_and_matter_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::generate().unwrap();
        let own = store(folder.path(), "keys.db", &root, 1).await;
        let sealed = own.channel("asks").unwrap().seal(b"one", b"clear").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"clear"));
        assert_eq!(own.channel("asks").unwrap().open(b"one", &sealed).unwrap(), b"clear");
        let other = store(folder.path(), "other.db", &root, 1).await;
        for (store, purpose, about) in
            [(&own, "asks", "two"), (&own, "other", "one"), (&other, "asks", "one")]
        {
            let opened = store.channel(purpose).unwrap().open(about.as_bytes(), &sealed);
            assert!(matches!(opened, Err(Error::DoesNotOpen)), "{purpose} {about}");
        }
    }
}
