//! Live secret values taken out of a line: the line stays valid JSON, and nothing else changes.

use std::ops::Range;

use crate::redaction::Redaction;
use crate::secret::SecretValues;

/// What to replace in `line` (one JSON text) so that no value of `secrets` is in it, plain, encoded or behind JSON escapes.
#[must_use]
pub fn redact_secrets(line: &[u8], secrets: &SecretValues) -> Redaction {
    let mut redaction = Redaction::none();
    if secrets.is_empty() {
        return redaction;
    }
    let strings = strings(line);
    let mut done_to = 0;
    for (range, name) in secrets.all_in(line) {
        let Some((range, mark)) = replacement(line, &strings, range, name) else {
            continue;
        };
        if range.start >= done_to {
            done_to = range.end;
            redaction.hide(name);
            redaction.replace(range, mark);
        }
    }
    // A value spelled with escapes (`\u0073`) is seen only once decoded: then the whole string goes.
    let covered = redaction.ranges();
    for range in strings {
        let Some(raw) = line.get(range.clone()) else { continue };
        if !raw.contains(&b'\\')
            || covered
                .iter()
                .any(|done| done.start < range.end && range.start < done.end)
        {
            continue;
        }
        let quoted = [b"\"", raw, b"\""].concat();
        let Ok(decoded) = serde_json::from_slice::<String>(&quoted) else {
            continue;
        };
        if let Some(name) = secrets.first_in(decoded.as_bytes()) {
            redaction.hide(name);
            redaction.replace(range, mark(name));
        }
    }
    redaction
}

/// What to put where a value was found: inside one string its mark, in place of a number a string of its own. A hit across the
/// structure of the JSON text is none: no value stands there.
fn replacement(line: &[u8], strings: &[Range<usize>], hit: Range<usize>, name: &str) -> Option<(Range<usize>, String)> {
    let next = strings.partition_point(|string| string.end < hit.end);
    if strings
        .get(next)
        .is_some_and(|string| string.start <= hit.start && hit.end <= string.end)
    {
        return Some((whole_escapes(line, hit), mark(name)));
    }
    let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    if !line.get(hit.clone())?.iter().all(is_number) {
        return None;
    }
    let before = line
        .get(..hit.start)?
        .iter()
        .rev()
        .take_while(|byte| is_number(byte))
        .count();
    let after = line.get(hit.end..)?.iter().take_while(|byte| is_number(byte)).count();
    Some((hit.start - before..hit.end + after, format!("\"{}\"", mark(name))))
}

fn mark(name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'))
        .collect();
    format!("[redacted {name}]")
}

/// `range` widened so that it cuts no escape sequence in two.
fn whole_escapes(line: &[u8], range: Range<usize>) -> Range<usize> {
    let mut start = range.start;
    for back in 1..=5_usize {
        let Some(at) = range.start.checked_sub(back) else { break };
        let begins_escape = line.get(at) == Some(&b'\\') && backslashes_before(line, at).is_multiple_of(2);
        let length = if line.get(at + 1) == Some(&b'u') { 6 } else { 2 };
        if begins_escape && at + length > range.start {
            start = at;
        }
    }
    let mut end = range.end;
    let mut at = start;
    while at < range.end {
        let length = match (line.get(at), line.get(at + 1)) {
            (Some(b'\\'), Some(b'u')) => 6,
            (Some(b'\\'), Some(_)) => 2,
            _ => 1,
        };
        at += length;
        end = end.max(at);
    }
    start..end.min(line.len())
}

fn backslashes_before(line: &[u8], at: usize) -> usize {
    line.get(..at)
        .unwrap_or_default()
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
}

/// The insides of every string of a JSON text.
fn strings(line: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut escaped) = (None, false);
    for (index, byte) in line.iter().enumerate() {
        match (start, byte) {
            (Some(_), b'\\') if !escaped => escaped = true,
            (Some(from), b'"') if !escaped => {
                found.push(from..index);
                start = None;
            }
            (None, b'"') => start = Some(index + 1),
            _ => escaped = false,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::redact_secrets;
    use crate::secret::SecretValues;

    fn redacted(line: &str) -> String {
        let secrets = SecretValues::new([("key", b"n0t-for-you/42".as_slice())]);
        let out = redact_secrets(line.as_bytes(), &secrets)
            .apply(line.as_bytes())
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        assert!(!text.contains("n0t-for-you"), "{text}");
        text
    }

    #[test]
    fn only_the_value_changes() {
        assert_eq!(
            redacted(r#"{"a":"x n0t-for-you/42 y","b":1.50}"#),
            r#"{"a":"x [redacted key] y","b":1.50}"#
        );
        assert_eq!(redacted(r#"{"a":"n0t-for-you\/42"}"#), r#"{"a":"[redacted key]"}"#);
        assert_eq!(
            redacted(r#"{"a":"bjB0LWZvci15b3UvNDI="}"#).matches("redacted").count(),
            1
        );
    }

    #[test]
    fn escapes_are_not_cut_and_do_not_hide() {
        // The `n` of a line break in front completes the value.
        assert_eq!(redacted("{\"a\":\"x\\n0t-for-you/42\"}"), r#"{"a":"x[redacted key]"}"#);
        assert_eq!(
            redacted(r#"{"a":"\u006e0t-for-you\u002f42","b":"c"}"#),
            r#"{"a":"[redacted key]","b":"c"}"#
        );
    }

    #[test]
    fn a_number_that_is_a_secret_becomes_a_mark() {
        let secrets = SecretValues::new([("pin", b"12345678".as_slice())]);
        let line = br#"{"a":-1123456789.5,"b":"12345678"}"#;
        let out = redact_secrets(line, &secrets).apply(line).unwrap();
        assert_eq!(out, br#"{"a":"[redacted pin]","b":"[redacted pin]"}"#);
    }

    #[test]
    fn honest_lines_stay_as_they_are() {
        let line = r#"{"a":"n0t-for-me \u0041\\","b":[1,2]}"#;
        assert_eq!(redacted(line), line);
    }
}
