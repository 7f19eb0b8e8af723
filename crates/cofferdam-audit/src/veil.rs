//! Secret values that never stand in the record: something else stands in their place.

use crate::group::Entry;
use std::fmt::Debug;
use std::ops::Range;

/// The record flag that says that something stands in the place of secret values.
pub(crate) const VEILED: u16 = 1;
/// Full stand-ins in one part of a record; further values become [`SHORT`], so that nothing grows without bound.
const FULL_MAX: usize = 64;
/// As long as the shortest value that is looked for.
const SHORT: &[u8] = b"[secret]";
/// Bytes of a JSON escape, at most: `\u0041`.
const ESCAPE_BYTES_MAX: usize = 6;
/// What stands in the place of facts that could not be kept readable.
const FACTS_VEILED: &str = r#"{"veiled":"facts"}"#;

/// Knows the secret values of a session.
pub trait Veiling: Debug + Send + Sync {
    /// Calls `hide` with each place in `bytes` that holds a secret value, in order and without overlap, and with what is to stand there:
    /// printable ASCII without `"` and `\`.
    fn find(&self, bytes: &[u8], hide: &mut dyn FnMut(Range<usize>, &str));
}

/// An entry's facts and payload where something in them was replaced; the other part is as it was.
#[derive(Debug, Default)]
pub(crate) struct Veiled {
    pub(crate) facts: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
}

impl Veiled {
    /// The entry as it is to be written.
    pub(crate) fn of<'a>(&'a self, entry: &Entry<'a>) -> Entry<'a> {
        Entry {
            kind: entry.kind,
            facts: self.facts.as_deref().unwrap_or(entry.facts),
            payload: self.payload.as_deref().unwrap_or(entry.payload),
        }
    }
}

/// What is to be written instead of an entry; `None` where no secret value stands in it.
pub(crate) fn veil(veiling: &dyn Veiling, entry: &Entry<'_>) -> Option<Veiled> {
    let facts = replaced(veiling, entry.facts.as_bytes(), true).map(readable);
    let payload = replaced(veiling, entry.payload, false);
    (facts.is_some() || payload.is_some()).then_some(Veiled { facts, payload })
}

fn replaced(veiling: &dyn Veiling, bytes: &[u8], is_json: bool) -> Option<Vec<u8>> {
    if bytes.is_empty() {
        return None;
    }
    let (mut out, mut done, mut count) = (Vec::new(), 0, 0);
    veiling.find(bytes, &mut |place, instead| {
        let from = if is_json {
            escape_begin(bytes, place.start).max(done)
        } else {
            place.start
        };
        out.extend_from_slice(bytes.get(done..from).unwrap_or_default());
        out.extend_from_slice(if count < FULL_MAX { instead.as_bytes() } else { SHORT });
        done = place.end;
        count += 1;
    });
    (count > 0).then(|| {
        out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        out
    })
}

/// Where the JSON escape begins in whose middle `at` lies, or `at`: half an escape would make the whole text unreadable.
fn escape_begin(bytes: &[u8], at: usize) -> usize {
    let earliest = at.saturating_sub(ESCAPE_BYTES_MAX - 1);
    let is_escape = |begin: &usize| {
        let Some((before, [b'\\', kind, ..])) = bytes.split_at_checked(*begin) else {
            return false;
        };
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        let length = if *kind == b'u' { ESCAPE_BYTES_MAX } else { 2 };
        backslashes % 2 == 0 && begin + length > at
    };
    (earliest..at).find(is_escape).unwrap_or(at)
}

/// Facts are JSON; where a value stood outside a text they would not be any more.
fn readable(facts: Vec<u8>) -> String {
    let is_json = serde_json::from_slice::<serde_json::Value>(&facts).is_ok();
    let text = String::from_utf8(facts).ok().filter(|_| is_json);
    text.unwrap_or_else(|| FACTS_VEILED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{SHORT, Veiling, veil};
    use crate::group::Entry;
    use crate::kind::Kind;
    use std::ops::Range;

    /// Hides one word.
    #[derive(Debug)]
    struct Word(&'static str);

    impl Veiling for Word {
        fn find(&self, bytes: &[u8], hide: &mut dyn FnMut(Range<usize>, &str)) {
            let mut at = 0;
            while at + self.0.len() <= bytes.len() {
                let place = at..at + self.0.len();
                if &bytes[place.clone()] == self.0.as_bytes() {
                    at = place.end;
                    hide(place, "[secret W hmac-sha256:00]");
                } else {
                    at += 1;
                }
            }
        }
    }

    fn entry<'a>(facts: &'a str, payload: &'a [u8]) -> Entry<'a> {
        Entry {
            kind: Kind::Notice,
            facts,
            payload,
        }
    }

    #[test]
    fn facts_stay_json_wherever_a_value_stands() {
        for (facts, expected) in [
            (r#"{"a":"x nsecret12 y"}"#, r#"{"a":"x [secret W hmac-sha256:00] y"}"#),
            (r#"{"a":"\nsecret12"}"#, r#"{"a":"[secret W hmac-sha256:00]"}"#),
            (r#"{"a":"\\nsecret12"}"#, r#"{"a":"\\[secret W hmac-sha256:00]"}"#),
            (r#"{"a":"\\\nsecret12"}"#, r#"{"a":"\\[secret W hmac-sha256:00]"}"#),
        ] {
            let veiled = veil(&Word("nsecret12"), &entry(facts, b"")).unwrap();
            assert_eq!(veiled.facts.as_deref(), Some(expected), "{facts}");
        }
        let hexadecimal = veil(&Word("41secret"), &entry(r#"{"a":"\u0041secret"}"#, b"")).unwrap();
        assert_eq!(
            hexadecimal.facts.as_deref(),
            Some(r#"{"a":"[secret W hmac-sha256:00]"}"#)
        );
        let number = veil(&Word("12345678"), &entry(r#"{"a":12345678}"#, b"")).unwrap();
        assert_eq!(number.facts.as_deref(), Some(r#"{"veiled":"facts"}"#));
    }

    #[test]
    fn many_values_make_nothing_longer() {
        let payload = b"secret12".repeat(1_000);
        let veiled = veil(&Word("secret12"), &entry("{}", &payload))
            .unwrap()
            .payload
            .unwrap();
        assert!(veiled.len() < payload.len() + 64 * 32 && veiled.ends_with(SHORT));
        assert!(!veiled.windows(8).any(|window| window == b"secret12"));
    }

    #[test]
    fn nothing_found_is_nothing_changed() {
        assert!(veil(&Word("secret12"), &entry(r#"{"a":1}"#, b"secret1 2")).is_none());
    }
}
