//! What a person does not see and a model reads: invisible characters and terminal escapes.

use crate::finding::is_invisible;

/// How a hidden character works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hidden {
    /// A soft hyphen, a mark of direction or a line separator: seen in honest texts.
    Odd,
    /// Joins or splits letters, changes the reading direction, or has no agreed meaning.
    Deceptive,
    /// Text in characters that are never shown (tags, runs of variation selectors).
    Smuggled,
    /// A control character that a terminal obeys.
    Terminal,
}

/// The worst hidden character of a text, with its code point and byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: Hidden,
    pub(crate) character: char,
}

/// The worst hidden character in `text`, if any. Joiners in emoji and in scripts that need them do not count, nor do the tags of
/// a flag and single variation selectors.
pub(crate) fn worst(text: &str) -> Option<Seen> {
    if !may_hide(text.as_bytes()) {
        return None;
    }
    let mut worst: Option<Seen> = None;
    let (mut before, mut in_flag) = ('\0', false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or('\0');
        in_flag = character == '\u{1f3f4}' || in_flag && is_tag(character);
        let kind = if in_flag { None } else { kind(before, character, after) };
        if let Some(kind) = kind.filter(|kind| worst.is_none_or(|worst| worst.kind < *kind)) {
            worst = Some(Seen { kind, character });
        }
        before = character;
    }
    worst
}

/// Bytes of a text that are looked at together.
const CHUNK_BYTES: usize = 512;

/// Whether any control or invisible character ([`is_invisible`]) may be in these bytes of UTF-8: looked at in whole registers, and
/// wrong only where a character shares its first bytes with one.
pub(crate) fn may_hide(bytes: &[u8]) -> bool {
    let chunks = (0..bytes.len()).step_by(CHUNK_BYTES).map(|from| {
        let rest = bytes.get(from..).unwrap_or_default();
        // With the rest of a character that begins at the end.
        rest.get(..CHUNK_BYTES + 2).unwrap_or(rest)
    });
    let mut hides = chunks.map(|chunk| {
        if chunk.is_ascii() {
            chunk.iter().fold(false, |any, byte| any | is_control(*byte))
        } else {
            may_hide_in(chunk)
        }
    });
    hides.any(|hides| hides)
}

fn may_hide_in(bytes: &[u8]) -> bool {
    let from = |skip: usize| bytes.get(skip..).unwrap_or_default();
    let places = from(0).iter().zip(from(1)).zip(from(2));
    let odd = places.map(|((a, b), c)| u8::from(begins_hidden(*a, *b, *c)));
    let last = match bytes {
        [.., a, b] => begins_hidden(*a, *b, 0) | begins_hidden(*b, 0, 0),
        [a] => begins_hidden(*a, 0, 0),
        [] => false,
    };
    odd.fold(u8::from(last), |all, odd| all | odd) != 0
}

/// By the first three bytes of a character. No branch: the compiler compares many at once.
fn begins_hidden(a: u8, b: u8, c: u8) -> bool {
    let is_in = |byte: u8, from: u8, to: u8| byte.wrapping_sub(from) <= to - from;
    let two = ((a == 0xC2) & (is_in(b, 0x80, 0x9F) | (b == 0xAD)))
        | ((a == 0xCD) & (b == 0x8F))
        | ((a == 0xD8) & (b == 0x9C));
    let general = (a == 0xE2)
        & (((b == 0x80) & (is_in(c, 0x8B, 0x8F) | is_in(c, 0xA8, 0xAE))) | ((b == 0x81) & is_in(c, 0xA0, 0xAF)));
    let three = (a == 0xE1) | ((a == 0xE3) & (b == 0x85)) | (a == 0xEE) | ((a == 0xEF) & (b != 0xBC) & (b != 0xBD));
    is_control(a) | two | general | three | (a >= 0xF0)
}

/// A control character of ASCII but for tabs and line ends.
fn is_control(byte: u8) -> bool {
    ((byte < b' ') & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')) | (byte == 0x7F)
}

fn kind(before: char, character: char, after: char) -> Option<Hidden> {
    if character.is_control() {
        return match character {
            '\t' | '\n' | '\r' => None,
            _ => Some(Hidden::Terminal),
        };
    }
    if !is_invisible(character) {
        return None;
    }
    match u32::from(character) {
        0xE0000..=0xE007F | 0xE0080..=0xE00FF | 0xE01F0..=0xE0FFF => Some(Hidden::Smuggled),
        0xFE00..=0xFE0F | 0xE0100..=0xE01EF => is_selector(before).then_some(Hidden::Smuggled),
        0x200C | 0x200D => (!needs_joiner(before) || !needs_joiner(after)).then_some(Hidden::Deceptive),
        0xAD | 0x200E | 0x200F | 0x61C | 0x2028 | 0x2029 => Some(Hidden::Odd),
        0xFEFF if before == '\0' => Some(Hidden::Odd),
        _ => Some(Hidden::Deceptive),
    }
}

fn is_tag(character: char) -> bool {
    matches!(u32::from(character), 0xE0020..=0xE007F)
}

fn is_selector(character: char) -> bool {
    matches!(u32::from(character), 0xFE00..=0xFE0F | 0xE0100..=0xE01EF)
}

/// Scripts and pictures in which joiners belong to the spelling.
fn needs_joiner(character: char) -> bool {
    matches!(u32::from(character),
        0x600..=0x8FF | 0x900..=0xDFF | 0xE00..=0x109F | 0x1780..=0x18AF | 0xFB50..=0xFDFF | 0xFE00..=0xFE0F | 0xFE70..=0xFEFC
        | 0x2190..=0x2BFF | 0x1F000..=0x1FBFF)
}

/// The text smuggled in tag characters, as ASCII; empty when there is none.
pub(crate) fn smuggled(text: &str) -> String {
    text.chars()
        .filter(|character| is_tag(*character))
        .filter_map(|character| char::from_u32(u32::from(character) - 0xE0000))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Hidden, may_hide, smuggled, worst};
    use crate::finding::is_invisible;

    #[test]
    fn no_hidden_character_is_passed_over() {
        for character in '\0'..=char::MAX {
            let is_hidden =
                is_invisible(character) || character.is_control() && !matches!(character, '\t' | '\n' | '\r');
            let text = format!("a{character}b");
            assert!(may_hide(text.as_bytes()) || !is_hidden, "{character:?}");
        }
        let honest = "plain caf\u{e9} \u{2013} \u{6f22}\u{ff0c}\u{3002} \u{43f}";
        assert!(!may_hide(honest.as_bytes()));
        for (before, behind) in [("", ""), (honest, ""), ("", honest), (honest, honest)] {
            assert!(may_hide(format!("{before}\u{200b}{behind}").as_bytes()));
        }
    }

    #[test]
    fn honest_texts_hide_nothing() {
        for text in [
            "plain\n\ttext",
            "👩‍💻 🏳️‍🌈 ❤️ café",
            "نیم\u{200c}فاصله",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ] {
            assert_eq!(worst(text), None, "{text:?}");
        }
    }

    #[test]
    fn each_way_of_hiding_is_told_apart() {
        for (text, kind) in [
            ("co\u{ad}operate", Hidden::Odd),
            ("a\u{200b}b", Hidden::Deceptive),
            ("a\u{200d} b", Hidden::Deceptive),
            ("a\u{202e}b", Hidden::Deceptive),
            ("a\u{e000}", Hidden::Deceptive),
            ("a\u{e0041}", Hidden::Smuggled),
            ("a\u{fe01}\u{fe02}", Hidden::Smuggled),
            ("a\u{1b}[8m", Hidden::Terminal),
            ("a\u{9b}8m", Hidden::Terminal),
        ] {
            assert_eq!(worst(text).map(|seen| seen.kind), Some(kind), "{text:?}");
        }
    }

    #[test]
    fn tags_are_read_as_what_they_spell() {
        assert_eq!(smuggled("a\u{e0068}b\u{e0069}"), "hi");
    }
}
