//! Brokers that speak TLS and ask who one is.

use std::{fs, path::PathBuf};

use super::{own::Brokers, *};
use crate::conformance::{commit, numbers_of};

/// A broker and a folder for what clients are told.
struct Secured {
    brokers: Brokers,
    folder: tempfile::TempDir,
}

impl Secured {
    fn start() -> Self {
        Self { brokers: Brokers::start_secure(), folder: tempfile::tempdir().unwrap() }
    }

    /// The settings that let in by this mechanism.
    fn settings(&self, mechanism: &str) -> String {
        let said = |name| self.brokers.secure(name);
        format!(
            "security.protocol=SASL_SSL\nssl.ca.location={}\nsasl.mechanism={mechanism}\nsasl.username={}\n\
             sasl.password={}\n",
            said("authority"),
            said("user"),
            said("password"),
        )
    }

    fn file(&self, settings: &str) -> PathBuf {
        let file = self.folder.path().join("kafka.properties");
        fs::write(&file, settings).unwrap();
        file
    }

    /// The secure listener, reached with these settings.
    fn address(&self, settings: &str) -> Address {
        let address: Address = format!("{}/secured", self.brokers.secure("url")).parse().unwrap();
        address.secured_by(&self.file(settings)).unwrap()
    }

    /// Another authority, which signed nothing.
    fn stranger(&self) -> PathBuf {
        let arguments =
            "req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=other";
        let made = std::process::Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        self.folder.path().join("other.pem")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_made_written_and_read_through_tls_and_with_a_password() {
    let secured = Secured::start();
    let address = secured.address(&secured.settings("SCRAM-SHA-512"));
    let log = init(&address, 2, None).await.unwrap();
    log.claim(0, |_| Ok(())).await.unwrap().append(commit(7)).unwrap().await.unwrap();
    let plain = open(&secured.address(&secured.settings("PLAIN")), None).await.unwrap();
    let read = plain.reader(0, None).unwrap().next(10).await.unwrap();
    assert_eq!(numbers_of(&read.records), [7]);
}

/// With every failure told as a broker that does not answer, this was seen to fail; with the client's check of
/// certificates switched off, its first line was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_in_is_told_what_to_change_and_no_password() {
    let secured = Secured::start();
    let scram = secured.settings("SCRAM-SHA-512");
    init(&secured.address(&scram), 1, None).await.unwrap();
    let (authority, password) = (secured.brokers.secure("authority"), secured.brokers.secure("password"));
    let stranger = secured.stranger().display().to_string();
    for (settings, wanted) in [
        (scram.replace(authority, &stranger), "Check ssl.ca.location"),
        (scram.replace(authority, "/nowhere/ca.pem"), "ssl.ca.location"),
        (scram.replace(password, "hunter2"), "Check sasl.username, sasl.password"),
        (scram.replace("SHA-512", "SHA-256"), "sasl.mechanism"),
    ] {
        let told = open(&secured.address(&settings), None).await.err().unwrap().to_string();
        assert!(told.contains(wanted) && told.contains("kafka://127.0.0.1"), "{wanted}: {told}");
        assert!(!told.contains("hunter2") && !told.contains(password), "{told}");
    }
    let bare: Address = format!("{}/secured", secured.brokers.secure("url")).parse().unwrap();
    let told = open(&bare, None).await.err().unwrap().to_string();
    assert!(told.contains("security.protocol"), "{told}");
}
