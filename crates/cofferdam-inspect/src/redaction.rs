//! What must not leave: a list of replacements in a line, everything else staying byte for byte.

use std::ops::Range;

use crate::finding::show_safely;

/// Replacements inside one line, in ascending order and without overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redaction {
    replacements: Vec<(Range<usize>, Vec<u8>)>,
    /// What was taken out, for the record: the first names, each safe to print and bounded.
    pub hidden: Vec<String>,
    /// How many were taken out.
    pub hidden_count: usize,
}

/// Names of what was taken out that are kept; the payload in the record holds them all.
const HIDDEN_NAMES_MAX: usize = 32;

impl Redaction {
    /// Nothing is replaced.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether the line stays as it is.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.replacements.is_empty()
    }

    /// Notes that `name` was taken out.
    pub fn hide(&mut self, name: &str) {
        self.hidden_count += 1;
        if self.hidden.len() < HIDDEN_NAMES_MAX {
            self.hidden.push(show_safely(name));
        }
    }

    /// Replace `range` (bytes of the line) by `bytes`. Order and overlap are settled by [`Redaction::apply`].
    pub fn replace(&mut self, range: Range<usize>, bytes: impl Into<Vec<u8>>) {
        self.replacements.push((range, bytes.into()));
    }

    /// This and then `next`, which is made for `line` as this one leaves it. What does not fit stays what does not fit.
    #[must_use]
    pub fn then(self, next: impl FnOnce(&[u8]) -> Self, line: &[u8]) -> Self {
        if self.is_none() {
            return next(line);
        }
        let Some(between) = self.apply(line) else { return self };
        let next = next(&between);
        if next.is_none() {
            return self;
        }
        // A range outside the line does not fit, so that the line is not sent.
        let outside = (line.len() + 1..line.len() + 1, Vec::new());
        let whole = next.apply(&between).map_or(outside, |last| (0..line.len(), last));
        let mut both = Self {
            replacements: vec![whole],
            ..self
        };
        both.hidden.extend(next.hidden);
        both.hidden.truncate(HIDDEN_NAMES_MAX);
        both.hidden_count += next.hidden_count;
        both
    }

    /// The line with every replacement made, or `None` when a replacement lies outside the line or overlaps another:
    /// then the line must not be sent at all.
    #[must_use]
    pub fn apply(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut ordered: Vec<_> = self.replacements.iter().collect();
        ordered.sort_by_key(|(range, _)| range.start);
        let mut out = Vec::with_capacity(line.len());
        let mut kept_to = 0;
        for (range, bytes) in ordered {
            out.extend_from_slice(line.get(kept_to..range.start)?);
            out.extend_from_slice(bytes);
            kept_to = range.end;
        }
        out.extend_from_slice(line.get(kept_to..)?);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::Redaction;

    #[test]
    fn replacements_change_nothing_else() {
        let mut redaction = Redaction::none();
        redaction.replace(6..9, "xy");
        redaction.replace(0..1, "");
        assert_eq!(redaction.apply(b"abcdefghij").as_deref(), Some(&b"bcdefxyj"[..]));
    }

    #[test]
    fn one_after_the_other() {
        let (mut first, mut second) = (Redaction::none(), Redaction::none());
        first.replace(0..2, "xyz");
        second.replace(2..4, "");
        assert_eq!(
            first
                .clone()
                .then(|_| second.clone(), b"abcd")
                .apply(b"abcd")
                .as_deref(),
            Some(&b"xyd"[..])
        );
        second.replace(9..9, "");
        assert_eq!(first.then(|_| second, b"abcd").apply(b"abcd"), None);
    }

    #[test]
    fn overlapping_or_outside_means_do_not_send() {
        let mut overlapping = Redaction::none();
        overlapping.replace(0..5, "");
        overlapping.replace(3..6, "");
        assert_eq!(overlapping.apply(b"abcdefghij"), None);
        let mut outside = Redaction::none();
        outside.replace(8..12, "");
        assert_eq!(outside.apply(b"abcdefghij"), None);
    }
}
