//! Where the members of JSON objects and the elements of arrays lie in text that is known to be JSON.
//!
//! This judges nothing: [`crate::strict`] did. It only finds brackets, quotes and commas, and answers `None` where they do not match
//! up, so that it can also be let loose on broken text to salvage an id.

use std::ops::Range;

use memchr::memchr2;

/// One member of an object: where its key (without the quotes) and its value lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberRange {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// Walks the parts of one object or array, in order. Ends early where the structure breaks.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    text: &'a [u8],
    /// Where the next part, a separator or the closing bracket is expected; `None` once the structure broke.
    at: Option<usize>,
    close: u8,
    end: Option<usize>,
}

impl<'a> Parts<'a> {
    /// Parts of the object or array whose opening bracket stands at `open`.
    pub(crate) fn of(text: &'a [u8], open: usize) -> Self {
        let (at, close) = match text.get(open) {
            Some(b'{') => (Some(open.saturating_add(1)), b'}'),
            Some(b'[') => (Some(open.saturating_add(1)), b']'),
            _ => (None, 0),
        };
        Self {
            text,
            at,
            close,
            end: None,
        }
    }

    /// Whether the walk reached the closing bracket. If so, the position behind it.
    pub(crate) fn end(&self) -> Option<usize> {
        self.end
    }

    /// The next member of an object.
    pub(crate) fn next_member(&mut self) -> Option<MemberRange> {
        let open = self.next_start()?;
        if self.text.get(open) != Some(&b'"') {
            self.at = None;
            return None;
        }
        self.at = None;
        let after_key = string_end(self.text, open)?;
        let key = open.saturating_add(1)..after_key.saturating_sub(1);
        let colon = skip_space(self.text, after_key);
        if self.text.get(colon) != Some(&b':') {
            return None;
        }
        let value = self.value_at(skip_space(self.text, colon.saturating_add(1)))?;
        Some(MemberRange { key, value })
    }

    /// The next element of an array.
    pub(crate) fn next_element(&mut self) -> Option<Range<usize>> {
        let start = self.next_start()?;
        self.at = None;
        self.value_at(start)
    }

    /// Where the next part starts; takes note of the end.
    fn next_start(&mut self) -> Option<usize> {
        let at = skip_space(self.text, self.at?);
        let byte = *self.text.get(at)?;
        if byte == self.close {
            self.at = None;
            self.end = Some(at.saturating_add(1));
            return None;
        }
        Some(at)
    }

    /// The value that starts at `start`; moves on behind it and behind one comma.
    fn value_at(&mut self, start: usize) -> Option<Range<usize>> {
        let end = value_end(self.text, start)?;
        let next = skip_space(self.text, end);
        self.at = match self.text.get(next) {
            Some(b',') => Some(next.saturating_add(1)),
            Some(byte) if *byte == self.close => Some(next),
            _ => None,
        };
        Some(start..end)
    }
}

/// The first position at or behind `at` that is not JSON whitespace.
pub(crate) fn skip_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at.saturating_add(
        rest.iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .count(),
    )
}

/// Where the whitespace before `at` starts.
pub(crate) fn space_start(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    at.saturating_sub(
        before
            .iter()
            .rev()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .count(),
    )
}

/// All members of the object that opens at `open`; `None` where the structure breaks.
pub(crate) fn walk_members(text: &[u8], open: usize) -> Option<Vec<MemberRange>> {
    let mut parts = Parts::of(text, open);
    let mut members = Vec::new();
    while let Some(member) = parts.next_member() {
        members.push(member);
    }
    parts.end().map(|_closed| members)
}

/// The position behind the value that starts at `start`.
fn value_end(text: &[u8], start: usize) -> Option<usize> {
    match *text.get(start)? {
        b'"' => string_end(text, start),
        b'{' | b'[' => container_end(text, start),
        _ => {
            let rest = text.get(start..)?;
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']' | b':' | b'"' | b' ' | b'\t' | b'\r' | b'\n'));
            let length = length.unwrap_or(rest.len());
            (length > 0).then(|| start.saturating_add(length))
        }
    }
}

/// The position behind the string whose opening quote stands at `open`.
fn string_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open.checked_add(1)?;
    loop {
        let rest = text.get(at..)?;
        let found = memchr2(b'"', b'\\', rest)?;
        let behind = at.checked_add(found)?.checked_add(1)?;
        if rest.get(found) == Some(&b'"') {
            return Some(behind);
        }
        at = behind.checked_add(1)?;
    }
}

/// The position behind the object or array that opens at `open`. Counts brackets of both kinds alike; no recursion.
fn container_end(text: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = open;
    loop {
        let rest = text.get(at..)?;
        let found = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?;
        let here = at.checked_add(found)?;
        at = here.checked_add(1)?;
        match rest.get(found) {
            Some(b'"') => at = string_end(text, here)?,
            Some(b'{' | b'[') => depth = depth.checked_add(1)?,
            _ => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;

    fn members(text: &str) -> (Vec<(&str, &str)>, Option<usize>) {
        let mut parts = Parts::of(text.as_bytes(), 0);
        let mut found = Vec::new();
        while let Some(member) = parts.next_member() {
            found.push((text.get(member.key).unwrap(), text.get(member.value).unwrap()));
        }
        (found, parts.end())
    }

    #[test]
    fn members_keep_their_exact_text() {
        let text = r#"{ "a" : 1.0 ,"b\"c":[1,{"}":"]"}],"":"\\" ,"n":null}"#;
        let (found, end) = members(text);
        assert_eq!(
            found,
            [
                ("a", "1.0"),
                ("b\\\"c", r#"[1,{"}":"]"}]"#),
                ("", r#""\\""#),
                ("n", "null")
            ]
        );
        assert_eq!(end, Some(text.len()));
        assert_eq!(members("{}"), (vec![], Some(2)));
        assert_eq!(members("{ }x"), (vec![], Some(3)));
    }

    #[test]
    fn elements_keep_their_exact_text() {
        let text = r#"[ 1, "a,]" ,[[]], {"k":2}]"#;
        let mut parts = Parts::of(text.as_bytes(), 0);
        let mut found = Vec::new();
        while let Some(element) = parts.next_element() {
            found.push(text.get(element).unwrap());
        }
        assert_eq!(found, ["1", r#""a,]""#, "[[]]", r#"{"k":2}"#]);
        assert_eq!(parts.end(), Some(text.len()));
    }

    #[test]
    fn broken_structure_has_no_end() {
        for text in [
            r#"{"a":1"#,
            r#"{"a" 1}"#,
            r#"{"a":}"#,
            r#"{"a":[1}"#,
            r#"{"a":"x}"#,
            r#"{a:1}"#,
            "",
            "7",
            r#"{"a":1]"#,
            "{\"a\":\"\\",
        ] {
            assert_eq!(members(text).1, None, "{text}");
        }
    }
}
