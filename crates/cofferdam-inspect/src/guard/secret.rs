//! Secrets on their way into a tool.

use super::Seen;
use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;
use crate::secret::{SecretValues, token_kind};

pub(super) static RULE: Rule = Rule {
    id: "argument/secret",
    summary: "a live secret or a token of a well-known form goes into a tool, plain or encoded",
    severity: Severity::High,
    help: "secrets are delivered by the manifest's `[secrets]`, never in arguments",
};

/// What is secret in a value that is not meant to be.
pub(super) fn check(seen: &Seen<'_>, secrets: &SecretValues) -> Option<Finding> {
    if let Some(name) = secrets.first_in(seen.text.as_bytes()) {
        return Some(seen.finding(&RULE, Confidence::High, &format!("holds the secret `{name}`")));
    }
    let kind = token_kind(seen.text)?;
    Some(seen.finding(&RULE, Confidence::Medium, &format!("holds {kind}")))
}
