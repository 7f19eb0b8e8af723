//! Which records a question is about.

use std::borrow::Cow;
use std::ops::Deref;
use std::time::UNIX_EPOCH;

use cofferdam_audit::{Header, Session, Skimmed};
use serde::Deserialize;

use super::args::Which;
use super::when;
use crate::failure::Failure;

/// The members of facts that questions are about.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Facts<'a> {
    #[serde(borrow, default)]
    pub(super) decision: Option<Word<'a>>,
    #[serde(borrow, default)]
    pub(super) rule: Option<Word<'a>>,
    #[serde(borrow, default)]
    pub(super) method: Option<Word<'a>>,
    #[serde(borrow, default)]
    pub(super) tool: Option<Word<'a>>,
}

/// A text that lies where it was read, unless JSON writes it with an escape. (In an `Option` of its own, serde copies each `Cow`.)
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Word<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A question, ready to be asked of each record.
pub(super) struct Question<'a> {
    which: &'a Which,
    since: u64,
    until: u64,
}

impl<'a> Question<'a> {
    pub(super) fn new(which: &'a Which) -> Result<Self, Failure> {
        let now = crate::cli::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let parse = |text: &Option<String>, default| match text {
            Some(text) => when::parse(text, now).map_err(Failure::usage),
            None => Ok(default),
        };
        Ok(Self {
            since: parse(&which.since, 0)?,
            until: parse(&which.until, u64::MAX)?,
            which,
        })
    }

    /// Whether a session can hold an answer, by its header. Its clock is the person's: a minute is allowed for.
    pub(super) fn may_be_in(&self, session: &Session) -> bool {
        self.is_of(&session.header) && session.header.wall_ns <= self.until.saturating_add(60_000_000_000)
    }

    pub(super) fn is_of(&self, header: &Header) -> bool {
        let Which {
            server,
            principal,
            session,
            ..
        } = self.which;
        server.as_ref().is_none_or(|server| *server == header.server)
            && principal
                .as_ref()
                .is_none_or(|principal| *principal == header.principal)
            && session
                .as_ref()
                .is_none_or(|session| header.session.starts_with(session.as_str()))
    }

    /// Cheap questions first: most records answer none of them.
    pub(super) fn is_answered_by(&self, record: &Skimmed<'_>) -> bool {
        let Which {
            kind,
            text,
            decision,
            rule,
            method,
            tool,
            ..
        } = self.which;
        if !(self.since..=self.until).contains(&record.wall_ns) {
            return false;
        }
        if kind.as_ref().is_some_and(|kind| *kind != record.kind.to_string()) {
            return false;
        }
        let about = [decision, rule, method, tool];
        if about.iter().any(|wanted| wanted.is_some()) {
            if about
                .iter()
                .filter_map(|wanted| wanted.as_ref())
                .any(|wanted| !may_contain(record.facts, wanted))
            {
                return false;
            }
            let facts = facts_of(record.facts);
            let is = |wanted: &Option<String>, found: &Option<Word<'_>>| {
                wanted
                    .as_ref()
                    .is_none_or(|wanted| found.as_deref() == Some(wanted.as_str()))
            };
            let is_rule = rule.as_ref().is_none_or(|rule| {
                facts
                    .rule
                    .as_deref()
                    .is_some_and(|found| found.starts_with(rule.as_str()))
            });
            if !(is(decision, &facts.decision) && is(method, &facts.method) && is(tool, &facts.tool) && is_rule) {
                return false;
            }
        }
        // What is sealed cannot be searched.
        let payload = if record.sealed { &[] } else { record.payload };
        text.as_ref()
            .is_none_or(|text| contains(payload, text.as_bytes()) || contains(record.facts, text.as_bytes()))
    }
}

/// Facts that are not of this form have none of these members.
pub(super) fn facts_of(facts: &[u8]) -> Facts<'_> {
    serde_json::from_slice(facts).unwrap_or_default()
}

/// Whether facts can hold this word. One that JSON writes with an escape may stand there in another form.
fn may_contain(facts: &[u8], word: &str) -> bool {
    facts.contains(&b'\\') || contains(facts, word.as_bytes())
}

/// Whether `bytes` holds `wanted`, which may be text or not.
fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return true;
    };
    let mut bytes = bytes;
    while let Some(at) = memchr::memchr(*first, bytes) {
        let (_, behind) = bytes.split_at(at + 1);
        if behind.starts_with(rest) {
            return true;
        }
        bytes = behind;
    }
    false
}
