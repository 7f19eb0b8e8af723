//! Findings that somebody has looked at: by server (whose manifest says it), tool and rule, with a reason and an end.

use cofferdam_manifest::{Day, Suppressions};

use crate::finding::{Finding, Severity};

/// Longest life of a suppression, in days: what nobody renews comes back.
pub const SUPPRESSION_DAYS_MAX: u32 = 366;

/// Why the suppression of `rule` does not count on `today`, or `None` when it does.
#[must_use]
pub fn suppression_fault(rule: &str, until: Day, today: Day) -> Option<&'static str> {
    if !crate::rules().any(|known| known.id == rule) {
        Some("there is no such rule")
    } else if until < today {
        Some("it has ended")
    } else if until.number() - today.number() > SUPPRESSION_DAYS_MAX {
        Some("it would hold for more than a year")
    } else {
        None
    }
}

/// Marks what is suppressed on `today` in calls and answers of `tool`: it stays on record and visible to policies, at severity `info`,
/// so that it blocks nothing.
pub fn suppress(findings: &mut [Finding], tool: &str, suppressions: &Suppressions, today: Day) {
    if suppressions.is_empty() {
        return;
    }
    for finding in findings {
        let known = suppressions.get(finding.rule.id).filter(|known| {
            (known.tools.is_empty() || known.tools.iter().any(|name| name == tool))
                && suppression_fault(finding.rule.id, known.until, today).is_none()
        });
        if let Some(known) = known {
            finding.severity = Severity::Info;
            finding.evidence = format!(
                "suppressed until {} ({}): {}",
                known.until,
                crate::finding::show_safely(&known.reason),
                finding.evidence
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_manifest::{Day, Suppression, Suppressions};

    use super::suppress;

    #[test]
    fn only_what_is_meant_and_only_for_its_time() {
        let blocks = |rule: &str, until: &str, tools: &[&str]| {
            let known = Suppression {
                tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
                reason: "looked at".to_owned(),
                until: Day::parse(until).unwrap(),
            };
            let mut findings = vec![crate::unreadable_line("x")];
            let today = Day::parse("2026-11-21").unwrap();
            suppress(
                &mut findings,
                "t",
                &Suppressions::from([(rule.to_owned(), known)]),
                today,
            );
            findings.iter().any(crate::Finding::blocks_by_default)
        };
        let rule = "inspect/not-inspected";
        assert!(!blocks(rule, "2026-11-21", &[]), "until its last day");
        assert!(!blocks(rule, "2026-12-21", &["s", "t"]));
        assert!(blocks(rule, "2026-11-20", &[]), "ended");
        assert!(blocks(rule, "2026-12-21", &["s"]), "another tool's");
        assert!(blocks("argument/schema", "2026-12-21", &[]), "another rule's");
        assert!(blocks(rule, "2028-12-21", &[]), "too long");
    }
}
