//! What was not read is never called clean.

use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;

pub(crate) static RULE: Rule = Rule {
    id: "inspect/not-inspected",
    summary: "something could not be read within bounds or not at all, so nothing can be said about it",
    severity: Severity::High,
    help: "send one JSON object a line, with texts of at most 256 KiB",
};

/// A text of `bytes` bytes that was not read.
pub(super) fn finding(at: &str, bytes: usize) -> Finding {
    Finding::new(
        &RULE,
        Confidence::High,
        at,
        format!("a text of {bytes} bytes was not inspected"),
    )
}

/// A line that could not be read as what it should be.
#[must_use]
pub fn unreadable_line(why: &str) -> Finding {
    Finding::new(&RULE, Confidence::High, "", why)
}
