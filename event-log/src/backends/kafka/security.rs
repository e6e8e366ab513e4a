//! How a client and the brokers prove who they are: a file of settings in the words of Kafka's C client.

use std::{collections::BTreeMap, fmt, fs, io, path::Path, path::PathBuf};

use rdkafka::{ClientConfig, error::RDKafkaErrorCode};

const PROTOCOL: &str = "security.protocol";
const MECHANISM: &str = "sasl.mechanism";
const USER: &str = "sasl.username";
const PASSWORD: &str = "sasl.password";

/// What may stand in the file. Nothing else: nobody switches the checks off, and what a log needs is not for a file to say.
const SETTINGS: &[&str] = &[
    PROTOCOL,
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    MECHANISM,
    USER,
    PASSWORD,
];

/// The values of the settings; never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Security(BTreeMap<&'static str, String>);

/// The file of settings is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct NotSecurity {
    file: PathBuf,
    reason: String,
    #[source]
    source: Option<io::Error>,
}

impl Security {
    pub(super) fn read(file: &Path) -> Result<Self, NotSecurity> {
        let failed = |reason, source| NotSecurity { file: file.to_owned(), reason, source };
        let text =
            fs::read_to_string(file).map_err(|error| failed("could not be read".to_owned(), Some(error)))?;
        Self::parse(&text).map_err(|reason| failed(reason, None))
    }

    /// Lines `name=value`; empty lines and those that begin with `#` say nothing.
    fn parse(text: &str) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        let lines = (1..).zip(text.lines().map(str::trim));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) =
                line.split_once('=').ok_or_else(|| format!("line {number}: expected name=value"))?;
            let known = SETTINGS.iter().find(|known| **known == name.trim());
            let known = known.ok_or_else(|| {
                format!("line {number}: there is no such setting; there are {}", SETTINGS.join(", "))
            })?;
            if value.trim().is_empty() || values.insert(*known, value.trim().to_owned()).is_some() {
                return Err(format!("line {number}: expected {known} once, and with a value"));
            }
        }
        Self(values).checked()
    }

    /// The client would not ask for what its protocol does not use, and connect without it.
    fn checked(self) -> Result<Self, String> {
        let protocol = self.0.get(PROTOCOL).map(|protocol| protocol.to_lowercase());
        let (has_tls, has_password) = match protocol.as_deref() {
            Some("ssl") => (true, false),
            Some("sasl_ssl") => (true, true),
            Some("sasl_plaintext") => (false, true),
            _ => return Err(format!("expected {PROTOCOL}=SSL, SASL_SSL or SASL_PLAINTEXT")),
        };
        let unused = |name: &&&str| {
            (name.starts_with("ssl.") && !has_tls) || (name.starts_with("sasl.") && !has_password)
        };
        if let Some(unused) = self.0.keys().find(unused) {
            return Err(format!("{unused} says nothing with this {PROTOCOL}"));
        }
        if !has_password {
            return Ok(self);
        }
        let missing = [MECHANISM, USER, PASSWORD].into_iter().find(|name| !self.0.contains_key(name));
        if let Some(missing) = missing {
            return Err(format!("{missing} is missing"));
        }
        match self.0.get(MECHANISM).map(String::as_str) {
            Some("SCRAM-SHA-256" | "SCRAM-SHA-512") => Ok(self),
            Some("PLAIN") if has_tls => Ok(self),
            Some("PLAIN") => {
                Err(format!("PLAIN sends the password as it is, so it needs {PROTOCOL}=SASL_SSL"))
            }
            _ => Err(format!("expected {MECHANISM}=SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN")),
        }
    }

    pub(super) fn apply(&self, config: &mut ClientConfig) {
        for (name, value) in &self.0 {
            config.set(*name, value);
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What somebody should look at whose client or broker is not let in.
pub(super) fn what_to_check(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::SSL => Some(
            "no connection by TLS. Check ssl.ca.location, that the broker's certificate is for the host of the \
             address, and that the listener speaks TLS",
        ),
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            Some("the brokers refuse the user. Check sasl.username, sasl.password and sasl.mechanism")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAM: &str = "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=me\nsasl.password=hunter2=\n";

    #[test]
    fn a_file_says_how_to_connect_and_its_password_is_never_shown() {
        let security = Security::parse(&format!("# ours\n\n{SCRAM}ssl.ca.location = /etc/ca.pem\n")).unwrap();
        let mut config = ClientConfig::new();
        security.apply(&mut config);
        for (name, value) in [(PASSWORD, "hunter2="), ("ssl.ca.location", "/etc/ca.pem"), (USER, "me")] {
            assert_eq!(config.get(name), Some(value));
        }
        assert!(!format!("{security:?}").contains("hunter2"));
    }

    /// With the check of what belongs together left out, the second half was seen to connect without TLS.
    #[test]
    fn what_is_wrong_is_named_and_no_value_is() {
        for (text, wanted) in [
            ("", "expected security.protocol=SSL"),
            ("security.protocol=hunter2", "expected security.protocol=SSL"),
            ("hunter2", "line 1: expected name=value"),
            (
                "security.protocol=SSL\nhunter2=x",
                "line 2: there is no such setting; there are security.protocol",
            ),
            ("enable.ssl.certificate.verification=false", "line 1: there is no such setting"),
            ("security.protocol=SSL\nsecurity.protocol=SSL", "line 2: expected security.protocol once"),
            ("security.protocol=", "line 1: expected security.protocol once, and with a value"),
            ("security.protocol=SSL\nsasl.password=hunter2", "sasl.password says nothing"),
            ("security.protocol=SASL_PLAINTEXT\nssl.ca.location=hunter2", "ssl.ca.location says nothing"),
            ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "sasl.username is missing"),
            (&SCRAM.replace("SCRAM-SHA-512", "hunter2"), "expected sasl.mechanism=SCRAM-SHA-512"),
            (
                &SCRAM.replace("SCRAM-SHA-512", "PLAIN").replace("SASL_SSL", "SASL_PLAINTEXT"),
                "needs security.protocol=SASL_SSL",
            ),
        ] {
            let said = Security::parse(text).unwrap_err();
            assert!(said.contains(wanted) && !said.contains("hunter2"), "{wanted}: {said}");
        }
        let nowhere = Security::read(Path::new("nowhere.properties")).unwrap_err().to_string();
        assert_eq!(nowhere, "nowhere.properties: could not be read");
    }
}
