//! What a person, or a program, reads of changes before they are accepted: one screen, exact, safe to print.

use std::collections::BTreeMap;

use cofferdam_inspect::{Finding, show_safely};
use cofferdam_manifest::{Change, Digest, Subject, Weight};
use serde_json::{Value, json};

use super::output::{Output, Style};
use crate::failure::Failure;
use crate::gate::escaped;

/// Changes shown without `--full`; the rest is counted.
const CHANGES_MAX: usize = 25;
/// Lines below one change shown without `--full`; the rest is counted.
const DETAILS_MAX: usize = 8;
/// Characters of one such line shown without `--full`; the rest is counted.
const DETAIL_CHARS_MAX: usize = 1_500;
/// Names of tools in one line; the rest is counted.
const NAMES_MAX: usize = 12;

/// One comparison, ready to be shown.
#[derive(Debug)]
pub(crate) struct Review<'r> {
    pub(crate) name: &'r str,
    /// The heading, behind the name.
    pub(crate) heading: String,
    pub(crate) changes: &'r [Change],
    pub(crate) findings: &'r BTreeMap<String, Vec<Finding>>,
    pub(crate) unlisted: &'r [String],
    pub(crate) unnameable: &'r [String],
    /// What stands for exactly what is shown.
    pub(crate) digest: Digest,
}

impl Review<'_> {
    /// The review for people, and whether all of it is in these lines.
    pub(crate) fn lines(&self, is_full: bool, output: &Output) -> (Vec<String>, bool) {
        let name = output.styled(Style::Bold, &escaped(self.name.as_bytes()));
        let mut lines = vec![format!("{name}: {}", self.heading)];
        let mut is_whole = true;
        let shown = if is_full { usize::MAX } else { CHANGES_MAX };
        for change in self.changes.iter().take(shown) {
            lines.push(format!(
                "  {}  {}  {}",
                weight(change.weight, output),
                output.styled(Style::Bold, &escaped(change.subject.to_string().as_bytes())),
                escaped(change.summary.as_bytes())
            ));
            is_whole &= details(change, is_full, &mut lines);
        }
        if let Some(more @ 1..) = self.changes.len().checked_sub(shown) {
            lines.push(format!("  and {more} more changes"));
            is_whole = false;
        }
        for (tool, findings) in self.findings {
            for finding in findings {
                lines.push(format!(
                    "  {}   `{}`  {}: {}",
                    output.styled(Style::Red, "finding"),
                    show_safely(tool),
                    finding.rule.id,
                    escaped(finding.evidence.as_bytes())
                ));
            }
        }
        if !self.unlisted.is_empty() {
            lines.push(format!(
                "  not listed just now, still accepted: {}",
                names(self.unlisted)
            ));
        }
        if !self.unnameable.is_empty() {
            let names = names(self.unnameable);
            lines.push(format!("  never accepted, since no manifest can name them so: {names}"));
        }
        if !is_whole {
            lines.push("  some of it is cut short here: `--full` shows all".to_owned());
        }
        (lines, is_whole)
    }

    /// The review for programs.
    pub(crate) fn json(&self) -> Value {
        let finding = |finding: &Finding| json!({"rule": finding.rule.id, "evidence": finding.evidence});
        let findings: BTreeMap<&String, Vec<Value>> = self
            .findings
            .iter()
            .map(|(tool, findings)| (tool, findings.iter().map(finding).collect()))
            .collect();
        json!({
            "name": self.name,
            "changed": !self.changes.is_empty(),
            "changes": self.changes,
            "findings": findings,
            "unlisted": self.unlisted,
            "unnameable": self.unnameable,
            "digest": self.digest.to_string(),
        })
    }

    /// Prints it as data.
    ///
    /// # Errors
    /// Stdout cannot be written to.
    pub(crate) fn print(&self, is_full: bool, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() {
            return output.line(&self.json().to_string());
        }
        let (lines, _is_whole) = self.lines(is_full, output);
        lines.iter().try_for_each(|line| output.line(line))
    }
}

/// `1 change since…`, `4 changes since…`, or that there is none.
pub(crate) fn counted(changes: &[Change], since: &str) -> String {
    match changes.len() {
        0 => format!("nothing changed {since}"),
        1 => format!("1 change {since}"),
        count => format!("{count} changes {since}"),
    }
}

/// The lines below one change; whether all of them are there whole.
fn details(change: &Change, is_full: bool, lines: &mut Vec<String>) -> bool {
    let (shown, characters) = if is_full {
        (usize::MAX, usize::MAX)
    } else {
        (DETAILS_MAX, DETAIL_CHARS_MAX)
    };
    let mut is_whole = true;
    for detail in change.details.iter().take(shown) {
        let text = escaped(detail.to_string().as_bytes());
        let mut line: String = text.chars().take(characters).collect();
        if let Some(more @ 1..) = text.chars().count().checked_sub(characters) {
            line.push_str(&format!("… ({more} more characters)"));
            is_whole = false;
        }
        lines.push(format!("              {line}"));
    }
    if let Some(more @ 1..) = change.details.len().checked_sub(shown) {
        lines.push(format!("              and {more} more lines"));
        is_whole = false;
    }
    is_whole
}

fn weight(weight: Weight, output: &Output) -> String {
    let style = match weight {
        Weight::Additive => Style::Green,
        Weight::Notable => Style::Yellow,
        Weight::Risky => Style::Red,
    };
    output.styled(style, &format!("{:<8}", weight.to_string()))
}

/// Names in one line, safe to print.
pub(crate) fn names(all: &[String]) -> String {
    let mut list: Vec<String> = all
        .iter()
        .take(NAMES_MAX)
        .map(|name| format!("`{}`", show_safely(name)))
        .collect();
    if let Some(more @ 1..) = all.len().checked_sub(NAMES_MAX) {
        list.push(format!("{more} more"));
    }
    list.join(", ")
}

/// What a person types to accept this one: its bare name, as it is shown.
pub(crate) fn word_for(subject: &Subject) -> String {
    escaped(subject.to_string().trim_matches('`').as_bytes())
}
