//! Whether bytes are one JSON value within our limits, before anything is built from them.
use memchr::memchr2;
use serde::de::{Deserialize, IgnoredAny};

/// Why bytes are not taken as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not UTF-8.
    #[error("the body is not UTF-8")]
    Utf8,
    /// Not one JSON value.
    #[error("the body is not JSON (line {line}, column {column})")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Nested deeper than allowed.
    #[error("the body is nested deeper than {max} levels")]
    TooDeep {
        /// Levels allowed.
        max: usize,
    },
}

/// Checks UTF-8, depth and syntax.
///
/// # Errors
/// What is wrong first.
pub fn check_json(bytes: &[u8], depth_max: usize) -> Result<(), Malformed> {
    read_json::<IgnoredAny>(bytes, depth_max).map(drop)
}

/// The same, and what `T` takes of it in the same pass.
///
/// # Errors
/// What is wrong first; [`Malformed::Syntax`] also for JSON that is no `T`.
pub fn read_json<'a, T: Deserialize<'a>>(bytes: &'a [u8], depth_max: usize) -> Result<T, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8)?;
    if depth(bytes) > depth_max {
        return Err(Malformed::TooDeep { max: depth_max });
    }
    serde_json::from_str(text)
        .map_err(|error| Malformed::Syntax { line: error.line(), column: error.column() })
}

/// The deepest nesting of arrays and objects, found without recursion.
fn depth(mut bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        bytes = rest;
        match byte {
            b'"' => bytes = behind_text(rest),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What follows the quotation mark that ends a text.
fn behind_text(mut bytes: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', bytes) {
        if bytes[at] == b'"' {
            return &bytes[at + 1..];
        }
        bytes = bytes.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_inside_text_do_not_nest() {
        assert_eq!(check_json(br#"{"a":"[[[[\"[["}"#, 1), Ok(()));
    }

    #[test]
    fn what_is_not_json_within_the_limits_is_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check_json(deep(32).as_bytes(), 32), Ok(()));
        assert_eq!(check_json(deep(33).as_bytes(), 32), Err(Malformed::TooDeep { max: 32 }));
        assert_eq!(check_json(deep(100_000).as_bytes(), 32), Err(Malformed::TooDeep { max: 32 }));
        assert_eq!(check_json(b"\"\xff\"", 32), Err(Malformed::Utf8));
        for bad in ["", "{", "{} {}", "\"\u{0}\"", "\u{0}", "{'a':1}", "NaN"] {
            assert!(matches!(check_json(bad.as_bytes(), 32), Err(Malformed::Syntax { .. })), "{bad:?}");
        }
    }
}
