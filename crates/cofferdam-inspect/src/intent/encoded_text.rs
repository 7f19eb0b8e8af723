//! Text that hides its meaning in an encoding.

use crate::finding::Severity;
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/encoded-text",
    summary: "a text holds an encoded instruction or command",
    severity: Severity::High,
    help: "decode it and judge what it says; honest descriptions need no encoding",
};
