//! JSON-RPC request ids.

use std::fmt;

use crate::reason::Reason;

/// Longest id that is accepted, in bytes of its JSON text.
pub const ID_BYTES_MAX: usize = 1024;
/// Largest magnitude every double holds exactly (2^53).
const EXACT_MAX: u64 = 1 << 53;

/// A request id. `1` and `"1"` are two ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A plain integer, at most 2^53 in magnitude.
    Number(i64),
    /// A string, decoded.
    Text(Box<str>),
}

impl Id {
    /// Reads an id from its JSON text (no surrounding whitespace).
    ///
    /// # Errors
    /// [`Reason::IdTooLong`], [`Reason::NullId`], [`Reason::IdNotExact`], or [`Reason::IdMalformed`] for fractions, exponents,
    /// `-0`, booleans and everything else.
    pub fn from_json(raw: &str) -> Result<Self, Reason> {
        if raw.len() > ID_BYTES_MAX {
            return Err(Reason::IdTooLong);
        }
        match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Box<str>>(raw)
                .map(Self::Text)
                .map_err(|_syntax| Reason::IdMalformed),
            Some(b'-' | b'0'..=b'9') => integer(raw).map(Self::Number),
            _ if raw == "null" => Err(Reason::NullId),
            _ => Err(Reason::IdMalformed),
        }
    }

    /// The id as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => serde_json::Value::from(&**text).to_string(),
        }
    }
}

/// `Display` shows the id as a peer wrote it in JSON, so that `1` and `"1"` stay apart.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// A plain JSON integer that every double holds exactly.
fn integer(raw: &str) -> Result<i64, Reason> {
    let (is_negative, digits) = raw.strip_prefix('-').map_or((false, raw), |digits| (true, digits));
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = digits == "0";
    if !is_plain || (digits.starts_with('0') && !is_zero) || (is_zero && is_negative) {
        return Err(Reason::IdMalformed);
    }
    let magnitude = digits
        .parse::<u64>()
        .ok()
        .filter(|magnitude| *magnitude <= EXACT_MAX)
        .ok_or(Reason::IdNotExact)?;
    let number = i64::try_from(magnitude).map_err(|_beyond| Reason::IdNotExact)?;
    Ok(if is_negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::{ID_BYTES_MAX, Id};
    use crate::reason::Reason;

    #[test]
    fn integers_up_to_2_to_the_53_are_ids() {
        for (raw, number) in [
            ("0", 0),
            ("7", 7),
            ("-1", -1),
            ("9007199254740992", 1 << 53),
            ("-9007199254740992", -(1 << 53)),
        ] {
            assert_eq!(Id::from_json(raw), Ok(Id::Number(number)));
            assert_eq!(Id::Number(number).to_json(), raw);
        }
    }

    #[test]
    fn integers_beyond_are_not_exact() {
        for raw in [
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551616",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(Id::from_json(raw), Err(Reason::IdNotExact), "{raw}");
        }
    }

    #[test]
    fn what_is_not_a_plain_integer_or_string_is_malformed() {
        for raw in [
            "-0",
            "1.0",
            "1e3",
            "1E0",
            "-",
            "01",
            "true",
            "false",
            "{}",
            "[1]",
            "",
            "+1",
            "0x1",
            "NaN",
            "\"unfinished",
        ] {
            assert_eq!(Id::from_json(raw), Err(Reason::IdMalformed), "{raw}");
        }
        assert_eq!(Id::from_json("null"), Err(Reason::NullId));
    }

    #[test]
    fn strings_are_decoded_and_differ_from_numbers() {
        assert_eq!(Id::from_json(r#""a\u0062""#), Ok(Id::Text("ab".into())));
        assert_ne!(Id::from_json("1"), Id::from_json("\"1\""));
        assert_eq!(Id::Text("a\"b".into()).to_string(), r#""a\"b""#);
    }

    #[test]
    fn the_limit_counts_the_quotes() {
        let longest = format!("\"{}\"", "a".repeat(ID_BYTES_MAX - 2));
        assert!(Id::from_json(&longest).is_ok());
        assert_eq!(Id::from_json(&format!("{longest} ")), Err(Reason::IdTooLong));
    }
}
