//! What lets a client in where a broker listens with TLS and asks for a password.
use std::{fmt::Write as _, fs, path::Path, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::free_ports;
use crate::run;

const USER: &str = "loyalnest";
const PASSWORD: &str = "only-for-tests";

/// A listener of one broker, with a certificate that an authority of its own signed.
pub(super) struct Secure {
    port: u16,
    /// The broker's key and certificate.
    identity: PathBuf,
    /// The authority's certificate.
    authority: PathBuf,
}

impl Secure {
    pub(super) fn make(folder: &Path) -> anyhow::Result<Self> {
        if !run::runs(Command::new("openssl").arg("version")) {
            run::install_package("openssl")?;
        }
        let openssl = |command: &str| -> anyhow::Result<()> {
            let done = Command::new("openssl").args(command.split(' ')).current_dir(folder).output()?;
            ensure!(done.status.success(), "openssl failed: {}", String::from_utf8_lossy(&done.stderr));
            Ok(())
        };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {new_key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"))?;
        openssl(&format!("req {new_key} -keyout broker.key -out broker.request -subj /CN=broker"))?;
        fs::write(folder.join("broker.names"), "subjectAltName=IP:127.0.0.1")?;
        openssl(
            "x509 -req -in broker.request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile broker.names \
             -out broker.crt",
        )?;
        let read = |file| fs::read_to_string(folder.join(file));
        let identity = folder.join("broker.pem");
        fs::write(&identity, read("broker.key")? + &read("broker.crt")?)?;
        let port = free_ports(1)?.into_iter().next().context("there is no free port")?;
        Ok(Self { port, identity, authority: folder.join("ca.pem") })
    }

    pub(super) fn listener(&self) -> String {
        format!("SECURE://127.0.0.1:{}", self.port)
    }

    /// What a client has to know.
    pub(super) fn told(&self) -> Value {
        json!({
            "url": format!("kafka://127.0.0.1:{}", self.port),
            "authority": self.authority, "user": USER, "password": PASSWORD,
        })
    }

    /// Where the storage of a broker learns of the user.
    pub(super) fn formats(&self) -> [String; 2] {
        ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")]
    }

    /// The broker's own settings.
    pub(super) fn settings(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let module = "org.apache.kafka.common.security";
        for (name, value) in [
            ("ssl.keystore.type", "PEM".to_owned()),
            ("ssl.keystore.location", self.identity.display().to_string()),
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512".to_owned()),
            (
                "plain.sasl.jaas.config",
                format!("{module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"),
            ),
            ("scram-sha-512.sasl.jaas.config", format!("{module}.scram.ScramLoginModule required;")),
        ] {
            writeln!(text, "listener.name.secure.{name}={value}")?;
        }
        Ok(text)
    }
}
