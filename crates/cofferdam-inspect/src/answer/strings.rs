//! The strings of a JSON text with their places, found without parsing it into a tree. The decoder has accepted the text before.

use std::borrow::Cow;
use std::ops::Range;

/// One string of a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its bytes between the quotes.
    pub(super) range: Range<usize>,
    pub(super) is_key: bool,
    /// The nearest name it stands under.
    pub(super) key: Range<usize>,
}

/// One open object or array.
#[derive(Debug)]
pub(super) struct Level {
    is_object: bool,
    expects_key: bool,
    key: Range<usize>,
    index: usize,
}

/// Calls `see` with every string of `line` (one JSON text), in order, and with the objects and arrays around it.
pub(super) fn walk(line: &[u8], mut see: impl FnMut(Piece, &[Level])) {
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b'"' => {
                let range = at + 1..end_of_string(line, at + 1);
                at = range.end;
                let is_key = levels.last().is_some_and(|level| level.expects_key);
                if let (true, Some(level)) = (is_key, levels.last_mut()) {
                    level.key = range.clone();
                }
                let key = levels.last().map_or(0..0, |level| level.key.clone());
                see(Piece { range, is_key, key }, &levels);
            }
            b'{' | b'[' => {
                let key = levels.last().map_or(0..0, |level| level.key.clone());
                let is_object = *byte == b'{';
                levels.push(Level {
                    is_object,
                    expects_key: is_object,
                    key,
                    index: 0,
                });
            }
            b'}' | b']' => drop(levels.pop()),
            b':' | b',' => {
                if let Some(level) = levels.last_mut() {
                    level.expects_key = *byte == b',' && level.is_object;
                    level.index += usize::from(*byte == b',');
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where the string that begins at `from` has its closing quote, or the line's end.
fn end_of_string(line: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = line.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        match line.get(at + found) {
            Some(b'\\') => at += found + 2,
            _ => return at + found,
        }
    }
    line.len()
}

/// The JSON pointer (RFC 6901) of what stands at these levels.
pub(super) fn pointer(line: &[u8], levels: &[Level]) -> String {
    let mut pointer = String::new();
    for level in levels {
        pointer.push('/');
        if level.is_object {
            let key = line.get(level.key.clone()).map(decode).unwrap_or_default();
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        } else {
            pointer.push_str(&level.index.to_string());
        }
    }
    pointer
}

/// What a raw string says; itself where it holds no escape.
pub(super) fn decode(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return std::str::from_utf8(raw).map_or_else(|_cause| String::from_utf8_lossy(raw), Cow::Borrowed);
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_cause| String::from_utf8_lossy(raw), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::{pointer, walk};

    #[test]
    fn every_string_is_seen_in_its_place() {
        let line = br#"{"a":[1,"b",{"c/d":"e\"f"}],"g":{"h":"i"}}"#;
        let mut seen = Vec::new();
        walk(line, |piece, levels| {
            if !piece.is_key {
                let text = String::from_utf8_lossy(&line[piece.range]).into_owned();
                seen.push((pointer(line, levels), text));
            }
        });
        let expected = [("/a/1", "b"), ("/a/2/c~1d", r#"e\"f"#), ("/g/h", "i")];
        assert_eq!(seen, expected.map(|(at, text)| (at.to_owned(), text.to_owned())));
    }
}
