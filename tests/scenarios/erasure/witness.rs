//! A log and keys that are both old agree with each other. The witness, which is kept elsewhere, does not.
use std::{fs, path::Path};

use serde_json::Value;

use super::*;
use crate::harness::{Folder, refused};

/// Copies a folder whole; what was there is gone.
pub(super) fn copied(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// An installation whose root key lies beside the data folder, with a copy from before the last change.
async fn set_back() -> (Folder, [(&'static str, String); 1]) {
    let folder = Folder::new();
    let root_key = folder.root().join("root.key").display().to_string();
    let environment = [("LOYALNEST_ROOT_KEY", root_key)];
    let given = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let server = Server::start_on(&folder, &given);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(100).await;
    shop.door.until_idle().await;
    assert!(server.end_by("TERM").0.success());
    copied(&folder.data(), &folder.root().join("backup"));
    let server = Server::start_on(&folder, &given);
    shop.at(&server).earn(&customer, 1, "later").await.expect(200);
    assert!(server.end_by("TERM").0.success());
    copied(&folder.root().join("backup"), &folder.data());
    (folder, environment)
}

#[tokio::test]
async fn a_whole_data_folder_from_a_backup_is_refused_until_its_loss_is_declared() {
    let (folder, environment) = set_back().await;
    let given = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let said = Server::try_start_with(&folder, &given).err().expect("it went on with old log and old keys");
    for wanted in ["root.key.witness", "was set back", "diverged", "loyalnest declare-loss"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let declare = ["declare-loss", "--json", "--data", "data"];
    let signed = [&declare[..], &["--by", "Ada", "--by", "Ben", "--why", "a test", "--yes"]].concat();
    let looked = run(&folder, &declare, &given);
    let report: Value = serde_json::from_slice(&looked.stdout).unwrap();
    assert_eq!(looked.status.code(), Some(1), "{report}");
    assert!(report["lost"].to_string().contains("witness"), "{report}");
    assert_eq!(run(&folder, &signed, &given).status.code(), Some(0));
    let server = Server::start_on(&folder, &given);
    assert!(server.end_by("TERM").0.success());
}

/// The planted bug does not ask the witness: nothing else finds that log and keys are both old.
#[cfg(feature = "planted-bugs")]
#[tokio::test]
async fn without_the_witness_nobody_finds_it() {
    let (folder, [(name, value)]) = set_back().await;
    let given = [(name, value.as_str()), ("LOYALNEST_PLANTED_BUG", "witness-not-asked")];
    let server = Server::start_on(&folder, &given);
    let health = Shop::open(&server).await.door.get("/healthz").await;
    assert_eq!(health.status, 200, "{}", health.text);
}

#[tokio::test]
async fn another_log_under_the_same_root_key_is_refused_and_a_witness_that_cannot_be_read_too() {
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[]);
    let folder = server.kill();
    let witness = folder.data().join("dev-root.key.witness");
    assert!(witness.exists(), "the first start wrote none");
    let other = Folder::new();
    drop(Server::start_on(&other, &[]));
    let theirs = fs::read(other.data().join("dev-root.key.witness")).unwrap();
    let ours = fs::read(&witness).unwrap();
    for (bytes, wanted) in [(theirs, "it is another one"), (b"{".to_vec(), "cannot be read")] {
        fs::write(&witness, bytes).unwrap();
        let said = refused(&folder);
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    fs::write(&witness, ours).unwrap();
    Server::start_on(&folder, &[]);
}
