//! Labels that travel through a session, and calls that repeat, storm or probe. Time is a number of the caller's.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher as _};

use cofferdam_manifest::Role;

use crate::finding::{Confidence, Finding, Severity, show_safely};
use crate::role::words;
use crate::rule::Rule;

/// Different calls whose repeats are counted; with more, those of more than a minute ago are forgotten, and further ones not counted.
const CALLS_MAX: usize = 1024;
/// The same call with the same arguments, within [`WINDOW_MS`], from which it is a finding.
const REPEATS_MIN: u32 = 8;
/// Calls within [`STORM_MS`] from which it is a storm.
const STORM_MIN: usize = 120;
/// Refused calls within [`WINDOW_MS`] from which the model probes.
const PROBES_MIN: usize = 5;
const WINDOW_MS: u64 = 60_000;
const STORM_MS: u64 = 10_000;
/// Bytes at each end of the arguments by which calls are told apart at first.
const ENDS_BYTES: usize = 256;

static TRIFECTA: Rule = Rule {
    id: "flow/trifecta",
    summary: "a call would send data out after untrusted content was seen and private data read, here or by another server of the user",
    severity: Severity::Medium,
    help: "decide by policy: ask a person before such a call, or keep the three kinds of tools apart",
};

static UNSHARED: Rule = Rule {
    id: "flow/unshared",
    summary: "what an answer brings cannot be told to the user's other servers, so it is withheld",
    severity: Severity::High,
    help: "see to it that the runtime folder is yours and can be written",
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
pub(crate) static RULES: &[&Rule] = &[&TRIFECTA, &UNSHARED, &REPEAT, &STORM, &PROBE];

/// What a server can reach, so that its tools can do what their names say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// It may connect somewhere.
    pub network: bool,
    /// Folders or sockets of the user's are granted to it.
    pub files: bool,
    /// It is given secrets.
    pub secrets: bool,
}

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
    /// The labels of a tool by the words of its name and by what its arguments are.
    #[must_use]
    pub fn infer(tool: &str, mut roles: impl Iterator<Item = Role>) -> Self {
        let words = words(tool);
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        let mail = has(&[
            "mail", "mails", "email", "emails", "inbox", "message", "messages", "thread", "chat",
        ]);
        let changes = has(&[
            "send", "create", "write", "delete", "update", "post", "edit", "set", "move", "reply",
        ]);
        let (mut addresses, mut paths) = (false, false);
        roles.all(|role| {
            addresses |= matches!(role, Role::Url | Role::Host);
            paths |= matches!(role, Role::Path | Role::Glob | Role::Sql);
            true
        });
        let browses = addresses
            || has(&[
                "fetch", "browse", "navigate", "scrape", "crawl", "download", "web", "http", "url", "request",
            ]);
        let stores = has(&[
            "file",
            "files",
            "query",
            "select",
            "sql",
            "database",
            "secret",
            "secrets",
            "env",
            "document",
            "documents",
            "record",
            "records",
            "note",
            "notes",
            "memory",
            "credential",
            "credentials",
            "directory",
            "calendar",
        ]);
        let public = has(&[
            "issue", "issues", "comment", "comments", "search", "page", "pages", "feed", "review",
        ]);
        Self {
            untrusted: browses || (mail || public) && !changes,
            private: (paths || stores || mail) && !changes,
            sends: browses
                || changes && (mail || public)
                || has(&[
                    "send", "publish", "upload", "webhook", "push", "share", "reply", "post", "tweet",
                ]),
        }
    }

    /// Those that the server's reach allows: a sealed one sends nothing, whatever its tools are called.
    #[must_use]
    pub fn within(self, reach: Reach) -> Self {
        Self {
            untrusted: self.untrusted && (reach.network || reach.files),
            private: self.private && (reach.network || reach.files || reach.secrets),
            sends: self.sends && reach.network,
        }
    }
}

impl Labels {
    /// Their names, as policies see them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let named = [
            (self.untrusted, "untrusted"),
            (self.private, "private"),
            (self.sends, "sends"),
        ];
        named.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect()
    }
}

/// The call that brought a label: by server, session, tool and id, as they stand in the record. Safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// The server.
    pub server: String,
    /// The beginning of the session's id.
    pub session: String,
    /// The tool.
    pub tool: String,
    /// The id of the request.
    pub id: String,
}

impl Brought {
    fn in_words(&self) -> String {
        let Self {
            server,
            session,
            tool,
            id,
        } = self;
        format!("`{tool}` of server `{server}` (session {session}, id {id})")
    }
}

/// What other sessions of the user were brought lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// Untrusted content, and by which call.
    pub untrusted: Option<Brought>,
    /// Private data, and by which call.
    pub private: Option<Brought>,
}

/// What one session has seen so far.
#[derive(Debug, Default)]
pub struct Flow {
    /// Which call brought untrusted content, and which private data.
    own: Shared,
    /// When the latest calls were made, oldest first.
    calls: VecDeque<u64>,
    repeats: HashMap<u64, Repeats>,
    refused: VecDeque<u64>,
}

/// How often one call was made.
#[derive(Debug)]
struct Repeats {
    since_ms: u64,
    count: u32,
    /// Hash of the whole arguments, from the second call on.
    whole: Option<u64>,
}

impl Flow {
    /// What a call of `tool` would complete, together with what `others` were brought. Each time the call is decided.
    #[must_use]
    pub fn completed_by(&self, tool: &str, labels: Labels, others: &Shared) -> Option<Finding> {
        let (untrusted, private) = self.both(others);
        let (true, Some(untrusted), Some(private)) = (labels.sends, untrusted, private) else {
            return None;
        };
        let evidence = format!(
            "untrusted content came by {}, private data by {}, and `{}` can send",
            untrusted.in_words(),
            private.in_words(),
            show_safely(tool)
        );
        Some(Finding::new(&TRIFECTA, Confidence::Low, "/params/name", evidence))
    }

    /// What was brought into the session so far, or to `others`, as policies see it.
    #[must_use]
    pub fn labels(&self, others: &Shared) -> Vec<&'static str> {
        let (untrusted, private) = self.both(others);
        let brought = Labels {
            untrusted: untrusted.is_some(),
            private: private.is_some(),
            sends: false,
        };
        brought.names()
    }

    /// What came here first, and else to others.
    fn both<'a>(&'a self, others: &'a Shared) -> (Option<&'a Brought>, Option<&'a Brought>) {
        let Shared { untrusted, private } = &self.own;
        (
            untrusted.as_ref().or(others.untrusted.as_ref()),
            private.as_ref().or(others.private.as_ref()),
        )
    }

    /// What an answer brings cannot be told to the user's other servers.
    #[must_use]
    pub fn unshared(cause: &str) -> Finding {
        Finding::new(&UNSHARED, Confidence::High, "", show_safely(cause))
    }

    /// Counts a call at `now_ms`, once, and says what pattern it is part of.
    pub fn count(&mut self, tool: &str, arguments: &str, now_ms: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |rule, at: &str, words: String| findings.push(Finding::new(rule, Confidence::High, at, words));
        let repeats = self.repeated(tool, arguments, now_ms);
        if repeats >= REPEATS_MIN {
            add(&REPEAT, "/params", format!("{repeats} times within a minute"));
        }
        if keep(&mut self.calls, now_ms, STORM_MIN) && is_within(&self.calls, now_ms, STORM_MS) {
            add(&STORM, "/params", format!("{STORM_MIN} calls within ten seconds"));
        }
        if self.refused.len() == PROBES_MIN && is_within(&self.refused, now_ms, WINDOW_MS) {
            add(
                &PROBE,
                "/params",
                format!("{PROBES_MIN} calls before it were refused within a minute"),
            );
        }
        findings
    }

    fn repeated(&mut self, tool: &str, arguments: &str, now_ms: u64) -> u32 {
        let bytes = arguments.as_bytes();
        let tail = bytes.get(bytes.len().saturating_sub(ENDS_BYTES)..);
        let key = hash(&(tool, bytes.len(), bytes.get(..ENDS_BYTES), tail));
        if self.repeats.len() >= CALLS_MAX {
            self.repeats
                .retain(|_, seen| now_ms.saturating_sub(seen.since_ms) <= WINDOW_MS);
            if self.repeats.len() >= CALLS_MAX && !self.repeats.contains_key(&key) {
                return 0;
            }
        }
        let seen = self.repeats.entry(key).or_insert(Repeats {
            since_ms: now_ms,
            count: 0,
            whole: None,
        });
        if now_ms.saturating_sub(seen.since_ms) > WINDOW_MS {
            (seen.since_ms, seen.count, seen.whole) = (now_ms, 0, None);
        }
        if seen.count > 0 {
            let whole = hash(&bytes);
            if *seen.whole.get_or_insert(whole) != whole {
                (seen.since_ms, seen.count, seen.whole) = (now_ms, 0, Some(whole));
            }
        }
        seen.count = seen.count.saturating_add(1);
        seen.count
    }

    /// Takes in that the answer to a call was released.
    pub fn released(&mut self, by: &Brought, labels: Labels) {
        if labels.untrusted && self.own.untrusted.is_none() {
            self.own.untrusted = Some(by.clone());
        }
        if labels.private && self.own.private.is_none() {
            self.own.private = Some(by.clone());
        }
    }

    /// Takes in that a call was refused.
    pub fn refused(&mut self, now_ms: u64) {
        let _is_full = keep(&mut self.refused, now_ms, PROBES_MIN);
    }
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Keeps the latest `count` times; whether there are that many.
fn keep(times: &mut VecDeque<u64>, now_ms: u64, count: usize) -> bool {
    if times.len() == count {
        times.pop_front();
    }
    times.push_back(now_ms);
    times.len() == count
}

/// Whether all that are kept lie within `window_ms` before `now_ms`.
fn is_within(times: &VecDeque<u64>, now_ms: u64, window_ms: u64) -> bool {
    times
        .front()
        .is_some_and(|first| now_ms.saturating_sub(*first) <= window_ms)
}

#[cfg(test)]
mod tests {
    use cofferdam_manifest::Role;

    use super::{Brought, Flow, Labels, Reach, Shared};

    fn labels(tool: &str) -> Labels {
        Labels::infer(tool, std::iter::empty())
    }

    #[test]
    fn the_third_of_three_names_the_chain() {
        let mut flow = Flow::default();
        let none = Shared::default();
        assert!(
            flow.completed_by("send_message", labels("send_message"), &none)
                .is_none()
        );
        flow.released(&brought("mail", "read_file", "1"), labels("read_file"));
        flow.released(&brought("mail", "list_inbox", "2"), labels("list_inbox"));
        assert!(flow.completed_by("read_file", labels("read_file"), &none).is_none());
        let found = flow
            .completed_by("send_message", labels("send_message"), &none)
            .unwrap();
        for source in [
            "`read_file` of server `mail` (session abcd, id 1)",
            "`list_inbox` of server `mail` (session abcd, id 2)",
            "`send_message` can send",
        ] {
            assert!(found.evidence.contains(source), "{}", found.evidence);
        }
    }

    #[test]
    fn what_others_were_brought_counts_where_nothing_of_ones_own_does() {
        let mut flow = Flow::default();
        let sends = labels("send_message");
        let mut others = Shared {
            untrusted: Some(brought("github", "list_issues", "7")),
            private: None,
        };
        assert!(
            flow.completed_by("send_message", sends, &others).is_none(),
            "two of three"
        );
        assert_eq!(flow.labels(&others), ["untrusted"]);
        others.private = Some(brought("notes", "read_note", "8"));
        flow.released(&brought("mail", "read_file", "1"), labels("read_file"));
        let found = flow.completed_by("send_message", sends, &others).unwrap();
        assert!(
            found.evidence.contains("server `github`") && found.evidence.contains("server `mail`"),
            "{}",
            found.evidence
        );
    }

    fn brought(server: &str, tool: &str, id: &str) -> Brought {
        let [server, session, tool, id] = [server, "abcd", tool, id].map(str::to_owned);
        Brought {
            server,
            session,
            tool,
            id,
        }
    }

    #[test]
    fn names_and_arguments_say_what_a_tool_brings() {
        let of = |tool: &str| {
            let Labels {
                untrusted,
                private,
                sends,
            } = labels(tool);
            (untrusted, private, sends)
        };
        assert_eq!(of("get_profile"), (false, false, false), "`profile` is no file");
        assert_eq!(of("list_issues"), (true, false, false));
        assert_eq!(of("create_issue"), (false, false, true));
        assert_eq!(of("read_email"), (true, true, false));
        assert_eq!(of("add"), (false, false, false));
        let fetches = Labels::infer("load", [Role::Prose, Role::Url].into_iter());
        assert!(fetches.untrusted && fetches.sends);
        assert_eq!(
            fetches.within(Reach::default()),
            Labels::default(),
            "a sealed server reaches nobody"
        );
    }

    #[test]
    fn loops_storms_and_probes_are_found_while_they_last() {
        let rules = |flow: &mut Flow, arguments: &str, now_ms| -> Vec<&'static str> {
            let found = flow.count("a", arguments, now_ms);
            found.iter().map(|finding| finding.rule.id).collect()
        };
        let mut flow = Flow::default();
        let repeats: Vec<_> = (0..9).map(|now| rules(&mut flow, "{}", now).len()).collect();
        assert_eq!(repeats, [0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert!(
            rules(&mut flow, "{}", 70_000).is_empty(),
            "a minute later it begins anew"
        );
        let long = |middle: u32| format!("{}{middle}{}", "x".repeat(300), "y".repeat(300));
        let differ = (0..9).flat_map(|n| rules(&mut flow, &long(n), 80_000 + u64::from(n)));
        assert_eq!(differ.count(), 0, "what differs in the middle is no repeat");

        let mut flow = Flow::default();
        let storms = (0..150_u64).filter(|n| rules(&mut flow, &n.to_string(), *n) == ["flow/storm"]);
        assert_eq!(storms.count(), 31);
        let slow = (0..200_u64).flat_map(|n| rules(&mut flow, &n.to_string(), 1_000_000 + n * 1000));
        assert_eq!(slow.count(), 0);

        let mut flow = Flow::default();
        (0..4).for_each(|now| flow.refused(now));
        assert!(rules(&mut flow, "1", 5).is_empty());
        flow.refused(6);
        assert_eq!(rules(&mut flow, "2", 7), ["flow/probe"]);
        assert!(rules(&mut flow, "3", 70_000).is_empty());
    }
}
