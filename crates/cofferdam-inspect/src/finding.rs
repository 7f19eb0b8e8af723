//! The one type in which gate, scan and fuzz report what they saw.

use std::fmt::Write as _;

use crate::rule::Rule;

/// How bad it is if the finding is true. `High` and above block by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing, harmless.
    Info,
    /// A weakness that needs another one to matter.
    Low,
    /// Should be looked at.
    Medium,
    /// Blocks by default.
    High,
    /// Blocks by default; an attack in all likelihood.
    Critical,
}

impl Severity {
    /// As it is written in reports and policies.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How sure the rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// A hint.
    Low,
    /// Likely.
    Medium,
    /// Established by a parser or a schema, not guessed.
    High,
}

impl Confidence {
    /// As it is written in reports and policies.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One observation about one place in one message or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that made it; its `id` is stable, e.g. `argument/schema`.
    pub rule: &'static Rule,
    /// How bad it is if true.
    pub severity: Severity,
    /// How sure the rule is.
    pub confidence: Confidence,
    /// Where: a JSON pointer (RFC 6901) into the message, or `path:line:column` in a file.
    pub at: String,
    /// What was seen, in words safe to print (see [`show_safely`]).
    pub evidence: String,
}

impl Finding {
    /// A finding with the rule's own severity.
    #[must_use]
    pub fn new(
        rule: &'static Rule,
        confidence: Confidence,
        at: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity,
            confidence,
            at: at.into(),
            evidence: evidence.into(),
        }
    }

    /// Whether it blocks unless somebody decides otherwise.
    #[must_use]
    pub fn blocks_by_default(&self) -> bool {
        self.severity >= Severity::High
    }
}

/// Characters of a quoted value that are shown at most.
const SHOWN_CHARS_MAX: usize = 120;

/// `text` in a form that is safe on a terminal and in a log: at most 120 characters, everything that is a control
/// character, invisible or changes the reading direction written as `\u{…}`.
#[must_use]
pub fn show_safely(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(SHOWN_CHARS_MAX));
    for character in text.chars().take(SHOWN_CHARS_MAX) {
        if character.is_control() || is_invisible(character) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        let _ = write!(shown, "… ({} bytes)", text.len());
    }
    shown
}

/// Zero-width, bidirectional, tag, variation-selector and private-use characters: what a person cannot see. Control
/// characters are not among them ([`char::is_control`]).
#[must_use]
pub fn is_invisible(character: char) -> bool {
    matches!(u32::from(character),
        0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F
        | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
        | 0xFFF0..=0xFFFB | 0xE000..=0xF8FF | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF | 0xF0000..=0x10_FFFF)
}

#[cfg(test)]
mod tests {
    use super::{SHOWN_CHARS_MAX, show_safely};

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(
            show_safely("a\u{202e}b\u{1b}[2J\u{e0041}"),
            "a\\u{202e}b\\u{1b}[2J\\u{e0041}"
        );
        assert_eq!(show_safely("plain ä 漢"), "plain ä 漢");
    }

    #[test]
    fn long_values_are_cut_and_say_so() {
        let long = "x".repeat(SHOWN_CHARS_MAX + 1);
        assert_eq!(
            show_safely(&long),
            format!("{}… (121 bytes)", "x".repeat(SHOWN_CHARS_MAX))
        );
    }
}
