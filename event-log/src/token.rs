//! A position as clients see it: one opaque text that names the history it belongs to.

use std::{fmt, str::FromStr};

use crate::{Hash, LogId, Position, ids::hex};

/// Bytes of the log's id and of the head that a token shows: enough to notice another history.
const PREFIX_LEN: usize = 4;

/// A position with the log and the head of the chain it was seen in: `<log>-<partition>-<position>-<head>`, the outer
/// parts being the first eight hex digits of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PositionToken {
    log: [u8; PREFIX_LEN],
    partition: u16,
    position: Position,
    head: [u8; PREFIX_LEN],
}

/// A text is not a position that any log gave out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a position as an earlier answer gave it")]
pub struct NotAPosition;

impl PositionToken {
    /// The token of a record's place; `head` is the chain's head after it.
    pub fn new(log: LogId, partition: u16, position: Position, head: Hash) -> Self {
        Self { log: prefix(log.as_bytes()), partition, position, head: prefix(head.as_bytes()) }
    }

    /// Whether the token was given out by this log.
    pub fn is_of(&self, log: LogId) -> bool {
        self.log == prefix(log.as_bytes())
    }

    /// The partition; not checked against any log's count.
    pub const fn partition(&self) -> u16 {
        self.partition
    }

    /// The place in the partition.
    pub const fn position(&self) -> Position {
        self.position
    }
}

fn prefix(bytes: &[u8]) -> [u8; PREFIX_LEN] {
    bytes.first_chunk().copied().unwrap_or_default()
}

impl fmt::Display for PositionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.log, f)?;
        write!(f, "-{}-{}-", self.partition, self.position)?;
        hex(&self.head, f)
    }
}

impl FromStr for PositionToken {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(NotAPosition);
        let token = Self {
            log: unhex(part()?)?,
            partition: number(part()?)?,
            position: Position::new(number(part()?)?),
            head: unhex(part()?)?,
        };
        let fits = i64::try_from(token.position.get()).is_ok() && parts.next().is_none();
        fits.then_some(token).ok_or(NotAPosition)
    }
}

/// Digits only: the standard parser would also take a plus sign.
fn number<T: FromStr>(text: &str) -> Result<T, NotAPosition> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(NotAPosition)
}

fn unhex(text: &str) -> Result<[u8; PREFIX_LEN], NotAPosition> {
    let plain = text.len() == 2 * PREFIX_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u32::from_str_radix(text, 16).ok().filter(|_| plain);
    value.map(u32::to_be_bytes).ok_or(NotAPosition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> PositionToken {
        let (log, head) = (LogId::from_bytes([0xab; 16]), Hash::from_bytes([0x0c; 32]));
        PositionToken::new(log, 7, Position::new(42), head)
    }

    #[test]
    fn a_token_reads_back_as_it_was_written() {
        assert_eq!(token().to_string(), "abababab-7-42-0c0c0c0c");
        assert_eq!("abababab-7-42-0c0c0c0c".parse(), Ok(token()));
    }

    #[test]
    fn a_token_knows_its_log() {
        assert!(token().is_of(LogId::from_bytes([0xab; 16])));
        assert!(!token().is_of(LogId::from_bytes([0xac; 16])));
    }

    #[test]
    fn what_no_log_gave_out_is_refused() {
        for text in [
            "",
            "abababab-7-42",
            "abababab-7-42-0c0c0c0c-1",
            "abababab-+7-42-0c0c0c0c",
            "abababab-7--0c0c0c0c",
            "abababab-70000-42-0c0c0c0c",
            "abababab-7-9223372036854775808-0c0c0c0c",
            "ababab-7-42-0c0c0c0c",
            "+bababab-7-42-0c0c0c0c",
        ] {
            assert_eq!(text.parse::<PositionToken>(), Err(NotAPosition), "{text}");
        }
    }
}
