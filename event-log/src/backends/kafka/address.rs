//! Where a log on Kafka is: `kafka://host:port,host:port/topic`.

use std::{fmt, path::Path, str::FromStr};

use super::security::{NotSecurity, Security};

const SCHEME: &str = "kafka://";
const TOPIC: &str = "loyalnest";
/// Kafka's own limit.
const TOPIC_LEN_MAX: usize = 249;

/// The brokers to ask first, the topic of the log, and how both sides prove who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub(super) brokers: String,
    pub(super) topic: String,
    pub(super) security: Security,
}

impl Address {
    /// The same place, reached by TLS and with a password as a file of settings says.
    ///
    /// # Errors
    /// [`NotSecurity`] names the file, the setting and what was expected; never a value.
    pub fn secured_by(self, file: &Path) -> Result<Self, NotSecurity> {
        Ok(Self { security: Security::read(file)?, ..self })
    }
}

/// A text that is no address of a log on Kafka.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected kafka://HOST:PORT, several brokers by comma, and /TOPIC if it is not {TOPIC}")]
pub struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(SCHEME).ok_or(NotAnAddress)?;
        let (brokers, topic) = rest.split_once('/').unwrap_or((rest, TOPIC));
        let is_broker = |broker: &str| {
            let host_and_port = broker.rsplit_once(':');
            host_and_port
                .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if !brokers.split(',').all(is_broker) || !is_topic(topic) {
            return Err(NotAnAddress);
        }
        Ok(Self { brokers: brokers.to_owned(), topic: topic.to_owned(), security: Security::default() })
    }
}

/// Names and addresses of machines; nothing that could be a user or a password.
fn is_host(host: &str) -> bool {
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let inner = if is_bracketed { &host[1..host.len() - 1] } else { host };
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || (is_bracketed && byte == b':');
    !inner.is_empty() && inner.bytes().all(fits)
}

fn is_topic(topic: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !topic.is_empty()
        && topic.len() <= TOPIC_LEN_MAX
        && topic != "."
        && topic != ".."
        && topic.bytes().all(fits)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.brokers, self.topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_and_topic_are_taken_apart() {
        for (text, brokers, topic) in [
            ("kafka://localhost:9092", "localhost:9092", TOPIC),
            ("kafka://a:1,b.example:2/points", "a:1,b.example:2", "points"),
            ("kafka://[::1]:9092/x", "[::1]:9092", "x"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.brokers.as_str(), address.topic.as_str()), (brokers, topic));
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "localhost:9092",
            "kafka://",
            "kafka://localhost",
            "kafka://localhost:0",
            "kafka://localhost:99999",
            "kafka://a:1,",
            "kafka://me:secret@a:1",
            "kafka://a:1/",
            "kafka://a:1/..",
            "kafka://a:1/two/parts",
            "kafka://a:1/t?x=1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}
