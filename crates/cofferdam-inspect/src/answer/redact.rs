//! Live secret values taken out of a line: the line stays valid JSON, and nothing else changes.
//!
//! A value is looked for in what the strings say, not in how they are spelled: as it is, encoded, broken by spaces or invisible
//! characters, and put together from neighbouring strings of one name (the text pieces of a result).

use std::collections::HashMap;
use std::ops::Range;

use super::strings::{Piece, walk};
use crate::finding::is_invisible;
use crate::redaction::Redaction;
use crate::secret::SecretValues;

/// What to replace in `line` (one JSON text) so that no value of `secrets` is in it, plain, encoded or behind JSON escapes.
#[must_use]
pub fn redact_secrets(line: &[u8], secrets: &SecretValues) -> Redaction {
    let mut redaction = Redaction::none();
    if secrets.is_empty() {
        return redaction;
    }
    let mut pieces = Vec::new();
    walk(line, |piece, _| pieces.push(piece));
    let mut hits = numbers(line, &pieces, secrets);
    let said = View::of(line, pieces.iter(), true);
    hits.extend(said.hits(secrets));
    hits.extend(said.squeezed().hits(secrets));
    for group in groups(line, &pieces) {
        hits.extend(View::of(line, group.into_iter(), false).hits(secrets));
    }
    for hit in merged(hits) {
        redaction.hide(hit.name);
        let text = mark(
            hit.name,
            hit.is_number.then_some("\""),
            redaction.hidden_count,
            is_in_key(&pieces, &hit.range),
        );
        redaction.replace(hit.range, text);
    }
    redaction
}

/// A place that holds a secret or a part of one.
#[derive(Debug)]
struct Hit<'s> {
    range: Range<usize>,
    name: &'s str,
    is_number: bool,
}

/// What strings say, byte by byte, with the place of each byte in the line.
#[derive(Debug, Default)]
struct View {
    bytes: Vec<u8>,
    /// Where each byte is spelled: start and length of a character or escape, and which string.
    spelled: Vec<(usize, u8, usize)>,
}

impl View {
    /// The given strings one behind the other, `is_apart` with a byte between them that no value holds.
    fn of<'p>(line: &[u8], pieces: impl Iterator<Item = &'p Piece>, is_apart: bool) -> Self {
        let mut view = Self::default();
        for (number, piece) in pieces.enumerate() {
            view.take(line, piece.range.clone(), number);
            if is_apart {
                view.push(0, (piece.range.end, 0, number));
            }
        }
        view
    }

    fn push(&mut self, byte: u8, place: (usize, u8, usize)) {
        self.bytes.push(byte);
        self.spelled.push(place);
    }

    fn take(&mut self, line: &[u8], range: Range<usize>, number: usize) {
        let mut at = range.start;
        while at < range.end {
            let Some(byte) = line.get(at) else { break };
            if *byte != b'\\' {
                // A character is never cut, whatever bytes a secret has.
                let length = utf8_length(*byte);
                for byte in line
                    .get(at..range.end.min(at + usize::from(length)))
                    .unwrap_or_default()
                {
                    self.push(*byte, (at, length, number));
                }
                at += usize::from(length);
                continue;
            }
            let (character, length) = escape(line.get(at..range.end).unwrap_or_default());
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                self.push(byte, (at, length, number));
            }
            at += usize::from(length);
        }
    }

    /// The same without whitespace and invisible characters, where there are any.
    fn squeezed(&self) -> Self {
        let mut squeezed = Self::default();
        let text = String::from_utf8_lossy(&self.bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) || !text.contains(|character: char| is_gap(character)) {
            return squeezed;
        }
        for (at, character) in text.char_indices().filter(|(_, character)| !is_gap(*character)) {
            let end = at + character.len_utf8();
            squeezed.bytes.extend(self.bytes.get(at..end).unwrap_or_default());
            squeezed.spelled.extend(self.spelled.get(at..end).unwrap_or_default());
        }
        squeezed
    }

    /// Where the line spells what is secret: one place for each string that holds a part.
    fn hits<'s>(&self, secrets: &'s SecretValues) -> Vec<Hit<'s>> {
        let mut hits = Vec::new();
        for (found, name) in secrets.all_in(&self.bytes) {
            let mut open: Option<(Range<usize>, usize)> = None;
            for (start, length, number) in self.spelled.get(found).unwrap_or_default() {
                let end = start + usize::from(*length);
                match &mut open {
                    Some((range, same)) if same == number => range.end = range.end.max(end),
                    _ => {
                        hits.extend(open.take().map(|(range, _)| Hit::in_string(range, name)));
                        open = Some((*start..end, *number));
                    }
                }
            }
            hits.extend(open.map(|(range, _)| Hit::in_string(range, name)));
        }
        hits
    }
}

impl<'s> Hit<'s> {
    fn in_string(range: Range<usize>, name: &'s str) -> Self {
        Self {
            range,
            name,
            is_number: false,
        }
    }
}

/// Bytes of the UTF-8 character that begins with `first`.
fn utf8_length(first: u8) -> u8 {
    match first {
        0xF0.. => 4,
        0xE0..=0xEF => 3,
        0xC0..=0xDF => 2,
        _ => 1,
    }
}

/// What breaks a value up for the eye and not for who reads it.
fn is_gap(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n') || character != '\0' && is_invisible(character)
}

/// The character that an escape at the beginning of `raw` stands for, and the escape's length in bytes.
fn escape(raw: &[u8]) -> (char, u8) {
    let unit = |at: usize| {
        let digits = raw.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match raw.get(1) {
        Some(b'u') => {
            let units = [unit(0).unwrap_or(0xFFFD), unit(6).unwrap_or(0)];
            match char::decode_utf16(units).next() {
                Some(Ok(character)) => (character, if character > '\u{ffff}' { 12 } else { 6 }),
                _ => (char::REPLACEMENT_CHARACTER, 6),
            }
        }
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(other) => (char::from(*other), 2),
        None => ('\\', 1),
    }
}

/// Strings of one name that may be read as one text: those with at least two pieces.
fn groups<'p>(line: &[u8], pieces: &'p [Piece]) -> Vec<Vec<&'p Piece>> {
    let mut groups: HashMap<&[u8], Vec<&Piece>> = HashMap::new();
    for piece in pieces.iter().filter(|piece| !piece.is_key) {
        let key = line.get(piece.key.clone()).unwrap_or_default();
        groups.entry(key).or_default().push(piece);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Secrets that stand as numbers: a number becomes a string of its own.
fn numbers<'s>(line: &[u8], pieces: &[Piece], secrets: &'s SecretValues) -> Vec<Hit<'s>> {
    let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let mut hits = Vec::new();
    let mut from = 0;
    let ends = pieces.iter().map(|piece| piece.range.clone());
    for string in ends.chain(std::iter::once(line.len()..line.len())) {
        let gap = line.get(from..string.start).unwrap_or_default();
        for (found, name) in secrets.all_in(gap) {
            if !gap.get(found.clone()).is_some_and(|value| value.iter().all(is_number)) {
                continue;
            }
            let before = gap.get(..found.start).unwrap_or_default();
            let after = gap.get(found.end..).unwrap_or_default();
            let start = found.start - before.iter().rev().take_while(|byte| is_number(byte)).count();
            let end = found.end + after.iter().take_while(|byte| is_number(byte)).count();
            hits.push(Hit {
                range: from + start..from + end,
                name,
                is_number: true,
            });
        }
        from = string.end;
    }
    hits
}

/// In order and without overlap.
fn merged(mut hits: Vec<Hit<'_>>) -> Vec<Hit<'_>> {
    hits.sort_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end)));
    let mut merged: Vec<Hit<'_>> = Vec::with_capacity(hits.len());
    for hit in hits {
        match merged.last_mut() {
            Some(last) if hit.range.start < last.range.end => last.range.end = last.range.end.max(hit.range.end),
            _ => merged.push(hit),
        }
    }
    merged
}

fn is_in_key(pieces: &[Piece], range: &Range<usize>) -> bool {
    let next = pieces.partition_point(|piece| piece.range.end < range.end);
    pieces
        .get(next)
        .is_some_and(|piece| piece.is_key && piece.range.start <= range.start)
}

/// What stands in a secret's place. Names of members are numbered: two of them must not become the same.
fn mark(name: &str, quote: Option<&str>, number: usize, is_key: bool) -> String {
    let name: String = name
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'))
        .collect();
    let quote = quote.unwrap_or_default();
    let number = if is_key { format!(" {number}") } else { String::new() };
    format!("{quote}[redacted {name}{number}]{quote}")
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
        // The `n` of a line break is no letter.
        let broken = r#"{"a":"x\n0t-for-you/42"}"#.replace("n0t-for", "n0t_for");
        assert_eq!(redacted(&broken), broken);
        assert_eq!(
            redacted("{\"a\":\"x\\nn0t-for-you/42\"}"),
            r#"{"a":"x\n[redacted key]"}"#
        );
        assert_eq!(
            redacted(r#"{"a":"x\\\u006e0t-for-you\u002f42 \u0041y","b":"c"}"#),
            r#"{"a":"x\\[redacted key] \u0041y","b":"c"}"#
        );
    }

    #[test]
    fn what_is_broken_up_is_put_together() {
        assert_eq!(
            redacted(r#"{"content":[{"type":"text","text":"it is n0t-fo"},{"type":"text","text":"r-you/42!"}]}"#),
            r#"{"content":[{"type":"text","text":"it is [redacted key]"},{"type":"text","text":"[redacted key]!"}]}"#
        );
        assert_eq!(
            redacted("{\"a\":\"n0t-\\nfor \u{200b}-you/42 y\"}"),
            r#"{"a":"[redacted key] y"}"#
        );
        assert_eq!(
            redacted(r#"{"a":["n0t-","for-","you/","42"]}"#)
                .matches("redacted")
                .count(),
            4
        );
    }

    #[test]
    fn names_of_members_stay_apart() {
        assert_eq!(
            redacted(r#"{"n0t-for-you/42":1,"n0t-for-you\/42":2}"#),
            r#"{"[redacted key 1]":1,"[redacted key 2]":2}"#
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
