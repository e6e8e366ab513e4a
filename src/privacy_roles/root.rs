//! `privacy rotate-root`: whatever the root key wraps, wrapped by another one.
use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use privacy::{Error, RootKey};
use serde_json::json;

use crate::{
    data_folder, nodes,
    replay_roles::{UNKNOWN, told},
    settings::Settings,
    witness,
};

/// Has the key in `to`, made if there is none, take the place of the root key of the settings. No server may run. 0: it
/// has; 2: it could not, and the old key is still the right one, unless the words say otherwise.
pub async fn rotate_root(settings: &Settings, to: &Path, json: bool) -> ExitCode {
    let rotated = rotate(settings, to).await.context("could not rotate the root key");
    let Some(fingerprint) = told(rotated, json) else { return UNKNOWN.into() };
    let old = settings.root_key.display();
    if json {
        println!("{}", json!({"rotated": true, "root_key": to, "fingerprint": fingerprint}));
    } else {
        println!(
            "The root key is now the one in {} (fingerprint {fingerprint}): start with --root-key {0}.\n\
             Keep a copy of it, and destroy {old} with all its copies: it opens nothing more.",
            to.display()
        );
    }
    ExitCode::SUCCESS
}

async fn rotate(settings: &Settings, to: &Path) -> anyhow::Result<String> {
    let new = if to.exists() { RootKey::load_file(to) } else { RootKey::create_file(to) };
    let new = new.context("the new key cannot be used")?;
    // Before: a start with the new key must not find that nobody remembers anything.
    witness::copy(settings, to)?;
    let stores = match data_folder::open_again(settings).await {
        Err(error) if is_done(&error, &new) => {
            // Opened once by the new key, the store has what the old one wrapped destroyed.
            let settings = Settings { root_key: to.to_owned(), ..settings.clone() };
            data_folder::open_again(&settings).await?;
            return Ok(new.fingerprint());
        }
        opened => opened?,
    };
    nodes::ensure_none(settings, &stores.log).await?;
    stores.keys.rotate_root(&new).await?;
    Ok(new.fingerprint())
}

/// Whether an earlier call came so far that the new key is the right one.
fn is_done(error: &anyhow::Error, new: &RootKey) -> bool {
    let is_under_new = |cause: &(dyn std::error::Error + 'static)| matches!(cause.downcast_ref(), Some(Error::WrongRootKey { expected, .. }) if *expected == new.fingerprint());
    error.chain().any(is_under_new)
}
