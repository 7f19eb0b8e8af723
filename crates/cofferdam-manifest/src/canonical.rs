//! RFC 8785 canonical JSON from text, refusing what two parsers could read differently.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// Integers up to this size are held exactly by every double.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// The canonical form of one JSON value. Depth is bounded by `serde_json` (128).
///
/// # Errors
/// A message for people when the text is not JSON, repeats a member or holds a number outside the range of a double.
pub(crate) fn canonical(text: &str) -> Result<String, String> {
    // Checks grammar, depth and trailing data once, so that the walk below meets only well-formed text.
    serde_json::from_str::<IgnoredAny>(text).map_err(|cause| cause.to_string())?;
    let mut walk = Walk { rest: text };
    let mut out = String::with_capacity(text.len());
    walk.value(&mut out)?;
    Ok(out)
}

struct Walk<'t> {
    rest: &'t str,
}

impl<'t> Walk<'t> {
    fn value(&mut self, out: &mut String) -> Result<(), String> {
        match self.peek() {
            Some('{') => self.object(out),
            Some('[') => self.array(out),
            Some('"') => {
                let string = self.string()?;
                write_string(&string, out)
            }
            _ => self.scalar(out),
        }
    }

    fn object(&mut self, out: &mut String) -> Result<(), String> {
        let mut members: Vec<(Cow<'t, str>, String)> = Vec::new();
        self.step();
        while self.peek() != Some('}') {
            let key = self.string()?;
            self.expect(':')?;
            let mut value = String::new();
            self.value(&mut value)?;
            members.push((key, value));
            if self.peek() == Some(',') {
                self.step();
            }
        }
        self.step();
        // RFC 8785 section 3.2.3: by UTF-16 code units.
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        out.push('{');
        let mut before: Option<&str> = None;
        for (key, value) in &members {
            if before == Some(key) {
                return Err(format!("the member `{}` occurs twice", key.escape_debug()));
            }
            if before.is_some() {
                out.push(',');
            }
            write_string(key, out)?;
            out.push(':');
            out.push_str(value);
            before = Some(key);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String) -> Result<(), String> {
        self.step();
        out.push('[');
        while let Some(next) = self.peek() {
            match next {
                ']' => break,
                ',' => {
                    self.step();
                    out.push(',');
                }
                _ => self.value(out)?,
            }
        }
        self.step();
        out.push(']');
        Ok(())
    }

    /// The string that starts here, decoded.
    fn string(&mut self) -> Result<Cow<'t, str>, String> {
        self.peek();
        let mut escaped = false;
        let end = self.rest.bytes().enumerate().skip(1).find_map(|(at, byte)| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes.then_some(at + 1)
        });
        let literal = self.take(end.unwrap_or(0));
        if literal.contains('\\') {
            return serde_json::from_str::<String>(literal)
                .map(Cow::Owned)
                .map_err(|cause| cause.to_string());
        }
        let inner = literal.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
        inner
            .map(Cow::Borrowed)
            .ok_or_else(|| String::from("a string was expected"))
    }

    fn scalar(&mut self, out: &mut String) -> Result<(), String> {
        let end = self
            .rest
            .find(|c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace());
        let literal = self.take(end.unwrap_or(self.rest.len()));
        if matches!(literal, "true" | "false" | "null") {
            out.push_str(literal);
            return Ok(());
        }
        write_number(literal, out)
    }

    /// The next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.chars().next()
    }

    fn step(&mut self) {
        self.take(1);
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.peek() == Some(wanted) {
            self.step();
            return Ok(());
        }
        Err(format!("`{wanted}` was expected"))
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

fn write_string(string: &str, out: &mut String) -> Result<(), String> {
    // serde_json escapes exactly what RFC 8785 section 3.2.2.2 escapes, in the same spelling.
    out.push_str(&serde_json::to_string(string).map_err(|cause| cause.to_string())?);
    Ok(())
}

fn write_number(literal: &str, out: &mut String) -> Result<(), String> {
    let double: f64 = literal
        .parse()
        .map_err(|_cause| format!("`{literal}` is not a number"))?;
    if !double.is_finite() {
        return Err(String::from("a number is larger than any double"));
    }
    let digits = literal.strip_prefix('-').unwrap_or(literal);
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_small = digits.parse::<u64>().is_ok_and(|value| value <= EXACT_INTEGER_MAX);
    if is_integer && !is_small && format!("{double:.0}") != literal {
        // No canonical number looks like this: the canonical form of a double that large has other digits.
        out.push_str(literal);
        return Ok(());
    }
    out.push_str(&serde_json_canonicalizer::to_string(&double).map_err(|cause| cause.to_string())?);
    Ok(())
}
