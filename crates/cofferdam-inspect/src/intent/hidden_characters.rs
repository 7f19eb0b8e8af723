//! Characters that a person does not see and a model reads.

use crate::finding::{Confidence, Finding, Severity, show_safely};
use crate::rule::Rule;
use crate::text::hidden::{Hidden, Seen, smuggled};

pub(super) static RULE: Rule = Rule {
    id: "poison/hidden-characters",
    summary: "a text holds characters that are invisible, have no agreed meaning or change the reading direction",
    severity: Severity::High,
    help: "ask the author to remove them; what is forwarded is cleaned only when the manifest says so",
};

pub(super) fn finding(at: &str, seen: Seen, text: &str) -> Finding {
    let mut evidence = format!("holds U+{:04X}", u32::from(seen.character));
    let spelled = smuggled(text);
    if seen.kind == Hidden::Smuggled && !spelled.is_empty() {
        evidence.push_str(&format!(", which spells `{}`", show_safely(&spelled)));
    }
    let mut finding = Finding::new(&RULE, Confidence::High, at, evidence);
    finding.severity = match seen.kind {
        Hidden::Odd => Severity::Low,
        Hidden::Smuggled => Severity::Critical,
        Hidden::Deceptive | Hidden::Terminal => Severity::High,
    };
    finding
}
