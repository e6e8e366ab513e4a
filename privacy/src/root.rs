//! The root key: 32 random bytes that wrap everything else, and the file that holds them.
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

use crate::{Error, aead::Cipher};

/// The root of all keys. It shows only its fingerprint.
#[derive(Clone)]
pub struct RootKey {
    bytes: Zeroizing<[u8; 32]>,
    file: Option<PathBuf>,
}

impl RootKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes)?;
        Ok(Self { bytes, file: None })
    }

    /// The key with these bytes, as a key service hands it out.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes: Zeroizing::new(bytes), file: None }
    }

    /// Makes a new key and a file with mode 0600 that holds it as 64 hexadecimal digits; durable when it returns.
    ///
    /// # Errors
    /// If the file exists already or cannot be written.
    pub fn create_file(path: &Path) -> Result<Self, Error> {
        let key = Self { file: Some(path.to_owned()), ..Self::generate()? };
        let text = Zeroizing::new(hex::encode(key.bytes.as_slice()));
        let write = || {
            let mut file = private(path)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Ok(()), sync_folder)
        };
        write().map_err(|source| Error::RootKeyFile { path: path.to_owned(), source })?;
        Ok(key)
    }

    /// Reads the key from its file.
    ///
    /// # Errors
    /// If the file is missing, is not such a file, or if others than its owner may read it.
    pub fn load_file(path: &Path) -> Result<Self, Error> {
        let fault = |source| Error::RootKeyFile { path: path.to_owned(), source };
        if exposed(&fs::metadata(path).map_err(fault)?) {
            return Err(Error::RootKeyExposed { path: path.to_owned() });
        }
        let text = Zeroizing::new(fs::read(path).map_err(fault)?);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), &mut *bytes)
            .map_err(|_| Error::RootKeyMalformed { path: path.to_owned() })?;
        Ok(Self { bytes, file: Some(path.to_owned()) })
    }

    /// The file that holds the key, if one does.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// A name for the key that says nothing about it: 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let named = Zeroizing::new([&b"loyalnest/root-fingerprint/1"[..], &*self.bytes].concat());
        hex::encode(&digest::digest(&digest::SHA256, &named).as_ref()[..8])
    }

    pub(crate) fn cipher(&self) -> Result<Cipher, Error> {
        Cipher::new(&self.bytes)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", self.fingerprint())
    }
}

/// A new file that only its owner may use.
pub(crate) fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn exposed(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn exposed(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev-root.key");
        let made = RootKey::create_file(&path).unwrap();
        assert_eq!(RootKey::load_file(&path).unwrap().bytes, made.bytes);
        assert!(matches!(RootKey::create_file(&path), Err(Error::RootKeyFile { .. })));
        assert_eq!(RootKey::load_file(&path).unwrap().bytes, made.bytes);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev-root.key");
        RootKey::create_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(RootKey::load_file(&path), Err(Error::RootKeyExposed { .. })));
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev-root.key");
        private(&path).unwrap().write_all(b"not a key").unwrap();
        let error = RootKey::load_file(&path).unwrap_err();
        assert!(matches!(error, Error::RootKeyMalformed { .. }));
        assert!(!format!("{error} {error:?}").contains("not a key"));
    }

    #[test]
    fn a_key_shows_only_its_fingerprint() {
        let key = RootKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), format!("RootKey({})", key.fingerprint()));
        assert_ne!(key.fingerprint(), RootKey::from_bytes([8; 32]).fingerprint());
    }
}
