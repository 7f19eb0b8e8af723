//! Labels that travel through a session, and calls that repeat, storm or probe. Time is a number of the caller's.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::finding::{Confidence, Finding, Severity, show_safely};
use crate::rule::Rule;

/// Calls kept in view; older ones are forgotten.
const CALLS_MAX: usize = 1024;
/// The same call with the same arguments, within [`WINDOW_MS`], from which it is a finding.
const REPEATS_MIN: u32 = 8;
/// Calls within [`STORM_MS`] from which it is a storm.
const STORM_MIN: usize = 120;
/// Refused calls within [`WINDOW_MS`] from which the model probes.
const PROBES_MIN: usize = 5;
const WINDOW_MS: u64 = 60_000;
const STORM_MS: u64 = 10_000;

static TRIFECTA: Rule = Rule {
    id: "flow/trifecta",
    summary: "a call would send data out after untrusted content was seen and private data read in the same session",
    severity: Severity::Medium,
    help: "decide by policy: ask a person before such a call, or keep the three kinds of tools in separate sessions",
};

static REPEAT: Rule = Rule {
    id: "flow/repeat",
    summary: "the same call with the same arguments was made again and again",
    severity: Severity::Low,
    help: "the model may be in a loop: stop it or tell it what it is missing",
};

static STORM: Rule = Rule {
    id: "flow/storm",
    summary: "many calls were made within seconds",
    severity: Severity::Medium,
    help: "lower `calls_per_minute` in the manifest if this is not meant",
};

static PROBE: Rule = Rule {
    id: "flow/probe",
    summary: "several calls were refused within a minute: something tries what it may reach",
    severity: Severity::Medium,
    help: "look at what was refused with `audit show`",
};

/// The rules about flows, in the order they are documented.
pub(crate) static RULES: &[&Rule] = &[&TRIFECTA, &REPEAT, &STORM, &PROBE];

/// What a tool brings into a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Labels {
    /// Its answers are written by anybody: pages, mails, issues.
    pub untrusted: bool,
    /// It reads what is not public.
    pub private: bool,
    /// It can send data to somebody else.
    pub sends: bool,
}

impl Labels {
    /// The labels of a tool by the words of its name.
    #[must_use]
    pub fn infer(tool: &str) -> Self {
        let lower = tool.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        Self {
            untrusted: has(&[
                "fetch", "browse", "navigate", "scrape", "crawl", "inbox", "mail", "issue", "search", "comment",
                "download", "web", "url",
            ]),
            private: has(&[
                "read_file",
                "file",
                "query",
                "select",
                "secret",
                "env",
                "inbox",
                "mail",
                "document",
                "database",
                "record",
                "note",
                "credential",
            ]),
            sends: has(&[
                "send",
                "post",
                "publish",
                "upload",
                "fetch",
                "navigate",
                "webhook",
                "email",
                "create_issue",
                "comment",
                "push",
                "share",
                "http",
            ]),
        }
    }
}

/// What one session has seen so far.
#[derive(Debug, Default)]
pub struct Flow {
    /// Which call brought untrusted content, and which private data: tool and reference.
    untrusted: Option<(String, u64)>,
    private: Option<(String, u64)>,
    calls: Vec<(u64, u64)>,
    repeats: HashMap<u64, (u64, u32)>,
    refused: Vec<u64>,
}

impl Flow {
    /// Takes in a call (tool, raw arguments) at `now_ms`, `reference` naming it in the record, and says what it completes.
    pub fn call(
        &mut self,
        (tool, arguments): (&str, &str),
        labels: Labels,
        reference: u64,
        now_ms: u64,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let (true, Some(untrusted), Some(private)) = (labels.sends, &self.untrusted, &self.private) {
            let evidence = format!(
                "untrusted content came by `{}` ({}), private data by `{}` ({}), and `{}` sends",
                show_safely(&untrusted.0),
                untrusted.1,
                show_safely(&private.0),
                private.1,
                show_safely(tool)
            );
            findings.push(Finding::new(&TRIFECTA, Confidence::Low, "/params/name", evidence));
        }
        if labels.untrusted && self.untrusted.is_none() {
            self.untrusted = Some((tool.to_owned(), reference));
        }
        if labels.private && self.private.is_none() {
            self.private = Some((tool.to_owned(), reference));
        }
        findings.extend(self.count(tool, arguments, now_ms));
        findings
    }

    fn count(&mut self, tool: &str, arguments: &str, now_ms: u64) -> Vec<Finding> {
        let mut hasher = DefaultHasher::new();
        (tool, arguments).hash(&mut hasher);
        let key = hasher.finish();
        self.calls.retain(|(at, _)| now_ms.saturating_sub(*at) <= STORM_MS);
        if self.calls.len() < CALLS_MAX {
            self.calls.push((now_ms, key));
        }
        if self.repeats.len() >= CALLS_MAX {
            self.repeats
                .retain(|_, (at, _)| now_ms.saturating_sub(*at) <= WINDOW_MS);
        }
        let mut findings = Vec::new();
        if self.repeats.len() < CALLS_MAX || self.repeats.contains_key(&key) {
            let (since, count) = self.repeats.entry(key).or_insert((now_ms, 0));
            if now_ms.saturating_sub(*since) > WINDOW_MS {
                (*since, *count) = (now_ms, 0);
            }
            *count += 1;
            if *count == REPEATS_MIN {
                findings.push(Finding::new(
                    &REPEAT,
                    Confidence::High,
                    "/params",
                    format!("{count} times within a minute"),
                ));
            }
        }
        if self.calls.len() == STORM_MIN {
            findings.push(Finding::new(
                &STORM,
                Confidence::High,
                "/params",
                format!("{STORM_MIN} calls within ten seconds"),
            ));
        }
        findings
    }

    /// Takes in that a call was refused, and says when that makes a pattern.
    pub fn refused(&mut self, now_ms: u64) -> Option<Finding> {
        self.refused.retain(|at| now_ms.saturating_sub(*at) <= WINDOW_MS);
        self.refused.push(now_ms);
        self.refused.truncate(CALLS_MAX);
        (self.refused.len() == PROBES_MIN).then(|| {
            Finding::new(
                &PROBE,
                Confidence::Medium,
                "/params",
                format!("{PROBES_MIN} refusals within a minute"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Labels};

    #[test]
    fn the_third_of_three_names_the_chain() {
        let mut flow = Flow::default();
        let mut call = |tool: &str, reference| flow.call((tool, "{}"), Labels::infer(tool), reference, reference);
        assert!(call("read_file", 1).is_empty());
        assert!(call("list_inbox", 2).is_empty());
        let found = call("send_message", 3);
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(
            |finding| finding.evidence.contains("`read_file` (1)") && finding.evidence.contains("`list_inbox` (2)")
        ));
    }

    #[test]
    fn loops_storms_and_probes_are_told_once() {
        let mut flow = Flow::default();
        let repeats: usize = (0..20)
            .map(|now| flow.call(("a", "{}"), Labels::default(), now, now).len())
            .sum();
        assert_eq!(repeats, 1);
        let mut flow = Flow::default();
        let storms: usize = (0..200)
            .map(|now| flow.call(("a", &now.to_string()), Labels::default(), now, now).len())
            .sum();
        assert_eq!(storms, 1);
        let slow: usize = (0..200_u64)
            .map(|n| {
                flow.call(("b", &n.to_string()), Labels::default(), n, 1_000_000 + n * 1000)
                    .len()
            })
            .sum();
        assert_eq!(slow, 0);
        let probes: usize = (0..9).filter_map(|now| flow.refused(now)).count();
        assert_eq!(probes, 1);
    }
}
