//! Control characters that a terminal obeys: text shown, overwritten or hidden, and commands to the terminal itself.

use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;
use crate::text::hidden::Seen;

pub(super) static RULE: Rule = Rule {
    id: "poison/terminal-escape",
    summary: "a text holds control characters (ANSI or OSC escapes, backspaces) that change what a terminal shows",
    severity: Severity::High,
    help: "ask the author to send plain text",
};

pub(super) fn finding(at: &str, seen: Seen) -> Finding {
    let evidence = format!("holds the control character U+{:04X}", u32::from(seen.character));
    Finding::new(&RULE, Confidence::High, at, evidence)
}
