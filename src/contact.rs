//! How another process finds the server that has a data folder open: a small file that only the folder's owner can read.
//!
//! The file is only a hint. Whether a server runs is told by the log's lock, so one that a crash left behind misleads
//! nobody, and its token opens nothing.
use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_edge::Auth;
use privacy::MerchantScope;
use serde::{Deserialize, Serialize};

/// Knows the operator, and whoever can read the data folder.
pub(crate) struct Local {
    operator: Arc<dyn Auth>,
    token: String,
}

impl Local {
    /// With a token that is drawn here.
    pub(crate) fn new(operator: Arc<dyn Auth>) -> anyhow::Result<Self> {
        Ok(Self { operator, token: token()? })
    }

    /// What is left in the data folder for whoever can read it.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

impl Auth for Local {
    fn merchant(&self, _: &str) -> Option<MerchantScope> {
        None
    }

    fn operator(&self, token: &str) -> bool {
        let equal = aws_lc_rs::constant_time::verify_slices_are_equal;
        equal(token.as_bytes(), self.token.as_bytes()).is_ok() || self.operator.operator(token)
    }
}

/// In the data folder, as long as a server is ready there.
const FILE: &str = "serving.json";

/// Where a server can be asked for a job on its data folder.
#[derive(Serialize, Deserialize)]
pub(crate) struct Contact {
    /// Such as `http://127.0.0.1:8080`.
    pub(crate) url: String,
    /// What it takes such jobs by; it lives as long as the process and is good for nothing else.
    pub(crate) token: String,
}

/// The file while its server runs. It goes when this is dropped.
pub(crate) struct Left(PathBuf);

impl Contact {
    /// Leaves word in the data folder.
    pub(crate) fn leave(&self, data: &Path) -> anyhow::Result<Left> {
        let (file, unfinished) = (data.join(FILE), data.join(format!("{FILE}.new")));
        remove(&unfinished)?;
        let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        opened.write_all(serde_json::to_string(self)?.as_bytes())?;
        fs::rename(&unfinished, &file)?;
        Ok(Left(file))
    }

    /// What the server of this data folder left.
    pub(crate) fn of(data: &Path) -> anyhow::Result<Self> {
        match fs::read(data.join(FILE)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == ErrorKind::NotFound => anyhow::bail!(
                "another program has this data folder open, and it is no server that is ready: a server that is \
                 starting or stopping, or another job on the folder. Try again when it is"
            ),
            Err(error) => Err(error).context("the running server cannot be found"),
        }
    }
}

/// Removes what a server left that is no more. Only for whoever holds the log's lock.
pub(crate) fn forget(data: &Path) -> anyhow::Result<()> {
    remove(&data.join(FILE)).context("could not remove what the last server left")
}

/// A token that nobody can guess.
fn token() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("could not draw a token")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn remove(file: &Path) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!("Could not remove {FILE}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_can_read_what_a_server_leaves_and_it_goes_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let left = Contact { url: "http://here".to_owned(), token: token().unwrap() }.leave(folder.path());
        let file = folder.path().join(FILE);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Contact::of(folder.path()).unwrap().url, "http://here");
        drop(left.unwrap());
        assert!(Contact::of(folder.path()).is_err() && fs::read_dir(folder.path()).unwrap().count() == 0);
    }

    #[test]
    fn what_a_crash_left_is_forgotten_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for name in [FILE.to_owned(), format!("{FILE}.new")] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        forget(folder.path()).unwrap();
        assert!(Contact::of(folder.path()).is_err());
        let contact = Contact { url: "http://there".to_owned(), token: String::new() };
        let _left = contact.leave(folder.path()).unwrap();
        assert_eq!(Contact::of(folder.path()).unwrap().url, "http://there");
    }
}
