//! Words of an argument vector: what a program would take for an option instead of a value.

use super::{Seen, identifier};
use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;

pub(super) static OPTION: Rule = Rule {
    id: "argument/option-injection",
    summary: "a value would be read as an option by the program it is given to",
    severity: Severity::High,
    help: "send a plain value; a server should put `--` in front of values",
};

/// What is suspicious in one word of an argument vector.
pub(super) fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = option(seen).into_iter().collect();
    let lower = seen.text.to_ascii_lowercase();
    if lower.starts_with("ext::") || lower.starts_with("fd::") {
        findings.push(seen.finding(&OPTION, Confidence::High, "is a git transport that runs a program"));
    }
    findings.extend(identifier::check_shell(seen));
    findings
}

/// A leading dash, or an option behind a space: `db --address=0.0.0.0`.
pub(super) fn option(seen: &Seen<'_>) -> Option<Finding> {
    let text = seen.text.trim_start();
    let is_number = text.parse::<f64>().is_ok();
    if text.starts_with('-') && text.len() > 1 && !is_number {
        return Some(seen.finding(&OPTION, Confidence::High, "begins with `-`"));
    }
    let hidden = text.split_whitespace().skip(1).any(|word| {
        word.strip_prefix("--")
            .is_some_and(|name| name.starts_with(|first: char| first.is_ascii_alphabetic()))
    });
    hidden.then(|| seen.finding(&OPTION, Confidence::High, "holds an option behind a space"))
}
