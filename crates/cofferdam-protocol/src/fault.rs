//! Names what made the grammar fail. Off the hot path: `serde_json` has already refused the text.

use serde_json::value::RawValue;

use crate::reason::Reason;
use crate::strict::Fault;

/// The fault of a text that `serde_json` refused, noticing something at `offset`. `unless_known` is what it amounts to if nothing
/// more telling is wrong.
pub(crate) fn grammar_fault(text: &str, offset: usize, unless_known: Reason) -> Fault {
    if let Some(fault) = lexical_fault(text.as_bytes()).filter(|fault| fault.offset <= offset.saturating_add(1)) {
        return fault;
    }
    let reason = if number_around(text, offset).is_some_and(is_out_of_range) {
        Reason::NumberOutOfRange
    } else {
        unless_known
    };
    Fault { reason, offset }
}

/// The first byte or escape that no JSON text may hold, whatever its structure.
fn lexical_fault(text: &[u8]) -> Option<Fault> {
    let mut in_string = false;
    let mut at = 0_usize;
    while let Some(byte) = text.get(at) {
        let reason = match byte {
            0 => Some(Reason::Nul),
            b'\t' | b'\n' | b'\r' if !in_string => None,
            0x01..=0x1f => Some(Reason::ControlCharacter),
            0x7f if !in_string => Some(Reason::ControlCharacter),
            _ => None,
        };
        if let Some(reason) = reason {
            return Some(Fault { reason, offset: at });
        }
        let length = match byte {
            b'\\' if in_string => {
                let escape = escape_at(text, at);
                if escape.is_half_pair {
                    return Some(Fault {
                        reason: Reason::LoneSurrogate,
                        offset: at,
                    });
                }
                escape.length
            }
            b'"' => {
                in_string = !in_string;
                1
            }
            _ => 1,
        };
        at = at.saturating_add(length);
    }
    None
}

struct Escape {
    length: usize,
    is_half_pair: bool,
}

/// The escape whose backslash stands at `at`, with the low half of its pair if it has one.
fn escape_at(text: &[u8], at: usize) -> Escape {
    match code_unit(text, at) {
        Some(0xd800..=0xdbff) => {
            let is_pair = code_unit(text, at.saturating_add(6)).is_some_and(|low| (0xdc00..=0xdfff).contains(&low));
            Escape {
                length: 12,
                is_half_pair: !is_pair,
            }
        }
        Some(unit) => Escape {
            length: 6,
            is_half_pair: (0xdc00..=0xdfff).contains(&unit),
        },
        None => Escape {
            length: 2,
            is_half_pair: false,
        },
    }
}

/// The UTF-16 code unit that a `\uXXXX` at `at` names.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at.checked_add(6)?)?.strip_prefix(b"\\u")?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u16::from_str_radix(digits, 16).ok()
}

/// A JSON number that a double rounds to infinity.
fn is_out_of_range(number: &str) -> bool {
    serde_json::from_str::<&RawValue>(number).is_ok() && number.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// The run of characters numbers are made of, around `offset`.
fn number_around(text: &str, offset: usize) -> Option<&str> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let bytes = text.as_bytes();
    let before = bytes
        .get(..offset)?
        .iter()
        .rev()
        .take_while(|byte| is_part(byte))
        .count();
    let behind = bytes.get(offset..)?.iter().take_while(|byte| is_part(byte)).count();
    text.get(offset.checked_sub(before)?..offset.checked_add(behind)?)
}
