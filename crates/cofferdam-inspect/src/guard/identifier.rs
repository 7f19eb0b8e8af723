//! Values that should be one name: syntax of a shell or of a query language in them is an injection.

use super::{Seen, argv};
use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;

pub(super) static SHELL: Rule = Rule {
    id: "argument/shell-syntax",
    summary: "a value that should be one name or word holds what a shell would run",
    severity: Severity::High,
    help: "send the plain name; a server should not build command lines from values",
};

pub(super) static QUERY: Rule = Rule {
    id: "argument/query-control",
    summary: "a value that should be one name holds control syntax of a query language",
    severity: Severity::High,
    help: "send the plain name; a server should not build queries from values",
};

/// Words after `|` that only a query language has.
const QUERY_STAGES: [&str; 18] = [
    "project",
    "where",
    "take",
    "limit",
    "union",
    "extend",
    "join",
    "summarize",
    "getschema",
    "search",
    "externaldata",
    "evaluate",
    "distinct",
    "top",
    "order",
    "sort",
    "count",
    "render",
];

/// What is suspicious in an identifier.
pub(super) fn check(seen: &Seen<'_>) -> Vec<Finding> {
    // Content in place of a reference to it.
    if seen.text.starts_with("data:") && seen.text.contains(";base64,") {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = check_shell(seen).into_iter().collect();
    findings.extend(argv::option(seen));
    if let Some(words) = query(seen.text) {
        findings.push(seen.finding(&QUERY, Confidence::High, words));
    }
    findings
}

/// Substitutions, operators and redirections where one word is meant.
pub(super) fn check_shell(seen: &Seen<'_>) -> Option<Finding> {
    let text = seen.text;
    let words = if text.contains("$(") || text.contains("${") || text.contains("<(") {
        "holds a substitution"
    } else if text.matches('`').count() >= 2 {
        "holds a command in backticks"
    } else if text.contains("&&")
        || text.contains("||")
        || text.contains(";") && followed_by_word(text, ';')
        || text.contains('\n') && text.trim().contains('\n')
    {
        "holds an operator that begins another command"
    } else if followed_by_word(text, '|') || text.contains("> /") || text.contains(">/") || text.contains(">>") {
        "holds a pipe or a redirection"
    } else if text.contains('&') && text.split('&').skip(1).any(is_command) {
        "holds an operator that begins another command"
    } else {
        return None;
    };
    Some(seen.finding(&SHELL, Confidence::High, words))
}

fn followed_by_word(text: &str, operator: char) -> bool {
    text.split(operator).skip(1).any(|rest| {
        rest.trim_start()
            .starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '.' | '$'))
    })
}

/// Whether a well-known program's name stands first.
fn is_command(rest: &str) -> bool {
    let first = rest.split_whitespace().next().unwrap_or_default();
    [
        "sh",
        "bash",
        "curl",
        "wget",
        "nc",
        "rm",
        "cat",
        "id",
        "whoami",
        "touch",
        "python",
        "python3",
        "perl",
        "node",
        "env",
        "ping",
        "powershell",
        "sleep",
        "echo",
        "cmd",
        "calc",
    ]
    .contains(&first)
}

fn query(text: &str) -> Option<&'static str> {
    let staged = text.split('|').skip(1).any(|stage| {
        let word = stage
            .trim_start()
            .split(|character: char| !character.is_ascii_alphabetic())
            .next();
        word.is_some_and(|word| QUERY_STAGES.contains(&word.to_ascii_lowercase().as_str()))
    });
    if staged {
        return Some("holds a further stage of a query");
    }
    let lower = text.to_ascii_lowercase();
    let quoted = [
        "' or ",
        "\" or ",
        "' and ",
        "') ",
        "'; ",
        "\"; ",
        "'--",
        "' --",
        "\"--",
        " union select",
        "/*",
    ];
    quoted
        .iter()
        .any(|control| lower.contains(control))
        .then_some("ends a string or begins a comment")
}
