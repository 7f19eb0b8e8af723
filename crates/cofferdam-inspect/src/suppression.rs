//! Findings that somebody has looked at: by server, tool and rule, with a reason and an end.

use serde::Deserialize;

use crate::finding::Finding;

/// Suppressions of one user or server at most.
pub const SUPPRESSIONS_MAX: usize = 1024;
/// Longest life of a suppression, in days: what nobody renews comes back.
pub const SUPPRESSION_DAYS_MAX: u32 = 366;

/// One finding that is known and accepted, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// The rule's id.
    pub rule: String,
    /// The server's name; any without it.
    pub server: Option<String>,
    /// The tool's name; any without it.
    pub tool: Option<String>,
    /// Why, for people; never empty.
    pub reason: String,
    /// The last day on which it holds, in days since 1970-01-01.
    pub until_day: u32,
}

impl Suppression {
    /// Why it does not count on `today` (days since 1970-01-01), or `None` when it does.
    #[must_use]
    pub fn fault(&self, today: u32) -> Option<&'static str> {
        if self.reason.trim().is_empty() {
            Some("it has no reason")
        } else if !crate::rules().any(|rule| rule.id == self.rule) {
            Some("there is no such rule")
        } else if self.until_day < today {
            Some("it has ended")
        } else if self.until_day - today > SUPPRESSION_DAYS_MAX {
            Some("it would hold for more than a year")
        } else {
            None
        }
    }

    fn covers(&self, finding: &Finding, server: &str, tool: &str) -> bool {
        let names = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        self.rule == finding.rule.id && names(&self.server, server) && names(&self.tool, tool)
    }
}

/// The findings that remain on `today`; what is suppressed is given back beside its reason, for the record.
#[must_use]
pub fn suppress<'a>(
    findings: Vec<Finding>,
    (server, tool): (&str, &str),
    suppressions: &'a [Suppression],
    today: u32,
) -> (Vec<Finding>, Vec<(Finding, &'a str)>) {
    let (mut remaining, mut suppressed) = (Vec::new(), Vec::new());
    for finding in findings {
        let known = suppressions
            .iter()
            .take(SUPPRESSIONS_MAX)
            .find(|known| known.fault(today).is_none() && known.covers(&finding, server, tool));
        match known {
            Some(known) => suppressed.push((finding, known.reason.as_str())),
            None => remaining.push(finding),
        }
    }
    (remaining, suppressed)
}

#[cfg(test)]
mod tests {
    use super::{Suppression, suppress};

    fn known(until_day: u32, reason: &str) -> Suppression {
        Suppression {
            rule: "inspect/not-inspected".to_owned(),
            server: Some("a".to_owned()),
            tool: None,
            reason: reason.to_owned(),
            until_day,
        }
    }

    #[test]
    fn only_what_is_meant_and_only_for_its_time() {
        let left = |known: Suppression, server: &str| {
            let findings = vec![crate::unreadable_line("x")];
            suppress(findings, (server, "t"), &[known], 100).0.len()
        };
        assert_eq!(left(known(100, "looked at"), "a"), 0);
        assert_eq!(left(known(100, "looked at"), "b"), 1);
        assert_eq!(left(known(99, "looked at"), "a"), 1, "ended");
        assert_eq!(left(known(100, " "), "a"), 1, "no reason");
        assert_eq!(left(known(1000, "looked at"), "a"), 1, "too long");
    }
}
