//! What is known only when a request is decided, as the context that policies read.

use std::collections::BTreeMap;

use cedar_policy::{Context, RestrictedExpression};
use cofferdam_inspect::Finding;

use super::grant::common_folders;
use super::policies::{Asked, Policies};
use super::reads::INPUT;
use super::slice::Slice;
use super::source::words;
use crate::facts::{CallFacts, Measured};
use crate::level::Level;

const SECONDS_PER_DAY: i64 = 86_400;
const SECONDS_PER_HOUR: i64 = 3_600;
/// The weekday of 1970-01-01, Monday being 1.
const THURSDAY: i64 = 4;

/// How much there was of late, in this session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Tool calls within the last minute, this one included.
    pub calls_last_minute: u32,
    /// Tool calls within the last hour, this one included.
    pub calls_last_hour: u32,
    /// Calls of this tool within the last minute, this one included.
    pub tool_calls_last_minute: u32,
    /// Calls of this tool within the last hour, this one included.
    pub tool_calls_last_hour: u32,
    /// Tool calls that were refused within the last minute, by whatever it was.
    pub refused_last_minute: u32,
    /// Bytes that the client's lines brought the server so far, without this one.
    pub bytes_sent: u64,
}

/// What is known only now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment<'a> {
    /// Seconds since 1970, UTC.
    pub now_s: i64,
    /// What the client calls itself; nobody proved it.
    pub client: &'a str,
    /// How much there was of late.
    pub rates: Rates,
    /// Bytes of the message.
    pub bytes: usize,
    /// What inspection found in it.
    pub findings: &'a [Finding],
    /// What is known about the call or connection; needed where [`Policies::reads_facts`] says so, and a policy that reads it denies without.
    pub facts: Option<&'a CallFacts>,
    /// What was measured on the compartment; a policy that reads it denies without.
    pub measured: Option<&'a Measured>,
}

/// Attributes and their values, as far as policies read them.
pub(super) struct Pairs<'s> {
    slice: &'s Slice,
    pub(super) pairs: Vec<(String, RestrictedExpression)>,
}

impl Pairs<'_> {
    fn add(&mut self, name: &str, value: impl FnOnce() -> RestrictedExpression) {
        if self.slice.reads.has(name) {
            self.pairs.push((name.to_owned(), value()));
        }
    }

    fn long(&mut self, name: &str, number: i64) {
        self.add(name, || RestrictedExpression::new_long(number));
    }

    fn boolean(&mut self, name: &str, is: bool) {
        self.add(name, || RestrictedExpression::new_bool(is));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.add(name, || RestrictedExpression::new_string(text.to_owned()));
    }

    fn strings(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        self.add(name, || set_of(values));
    }

    fn add_moment(&mut self, moment: &Moment<'_>) {
        let now_s = moment.now_s;
        self.text("client", moment.client);
        self.long("now", now_s);
        self.long("hour", now_s.rem_euclid(SECONDS_PER_DAY) / SECONDS_PER_HOUR);
        self.long(
            "weekday",
            (now_s.div_euclid(SECONDS_PER_DAY) + THURSDAY - 1).rem_euclid(7) + 1,
        );
        let rates = moment.rates;
        self.long("callsLastMinute", rates.calls_last_minute.into());
        self.long("callsLastHour", rates.calls_last_hour.into());
        self.long("refusedLastMinute", rates.refused_last_minute.into());
        self.long("bytesSent", i64::try_from(rates.bytes_sent).unwrap_or(i64::MAX));
        self.long("bytes", i64::try_from(moment.bytes).unwrap_or(i64::MAX));
        let severities = moment.findings.iter().map(|finding| finding.severity as i64 + 1);
        self.long("severity", severities.max().unwrap_or(0));
        self.strings("findings", moment.findings.iter().map(|finding| finding.rule.id));
        if let Some(measured) = moment.measured {
            self.text("tier", measured.tier());
            self.strings("enforced", &measured.enforced);
        }
    }

    fn add_asked(&mut self, asked: Asked<'_>, rates: Rates) {
        if matches!(asked, Asked::Call { .. }) {
            self.long("toolCallsLastMinute", rates.tool_calls_last_minute.into());
            self.long("toolCallsLastHour", rates.tool_calls_last_hour.into());
        }
        match asked {
            Asked::Call { tool, .. } | Asked::ReleaseResult { tool } => self.text("tool", tool),
            Asked::Read { uri } => self.text("uri", uri),
            Asked::GetPrompt { prompt } => self.text("prompt", prompt),
            Asked::List | Asked::Elicit | Asked::Sample | Asked::Egress { .. } | Asked::InjectSecret { .. } => {}
        }
    }

    /// What Rust computed about a call; what nobody can tell denies it, where a policy reads that.
    fn add_facts(&mut self, facts: &CallFacts) -> Result<(), String> {
        self.strings("toolLabels", &facts.tool_labels);
        let touched = match &facts.arguments {
            Ok(touched) => touched,
            Err(why) if self.slice.reads_touched => return Err((*why).to_owned()),
            Err(_unread) => return Ok(()),
        };
        self.strings("paths", &touched.paths);
        self.strings("folders", &touched.folders);
        self.add("within", || set_of(common_folders(&touched.paths)));
        self.boolean("outsideRoots", touched.is_outside_roots);
        self.strings("hosts", &touched.hosts);
        self.boolean("privateNetwork", touched.is_private_network);
        self.strings("sql", &touched.sql);
        self.strings("programs", &touched.programs);
        Ok(())
    }
}

fn set_of(values: impl IntoIterator<Item = impl AsRef<str>>) -> RestrictedExpression {
    let values = values.into_iter();
    RestrictedExpression::new_set(values.map(|value| RestrictedExpression::new_string(value.as_ref().to_owned())))
}

impl Policies {
    /// The context of one request with every attribute that a policy known at load reads, for explanations.
    pub(super) fn whole_context(
        &self,
        slice: &Slice,
        level: Level,
        asked: Asked<'_>,
        moment: &Moment<'_>,
    ) -> Result<Context, String> {
        let read = self.context(slice, level, asked, moment)?;
        let mut pairs: BTreeMap<String, RestrictedExpression> = read.into_iter().collect();
        pairs.insert(
            "consent".to_owned(),
            RestrictedExpression::new_long(level.number().into()),
        );
        pairs.insert("ci".to_owned(), RestrictedExpression::new_bool(self.is_ci));
        Context::from_pairs(pairs).map_err(|error| words(&error))
    }

    /// The context of one request: what its policies read, and nothing else.
    pub(super) fn context(
        &self,
        slice: &Slice,
        level: Level,
        asked: Asked<'_>,
        moment: &Moment<'_>,
    ) -> Result<Context, String> {
        let mut all = Pairs {
            slice,
            pairs: Vec::with_capacity(8),
        };
        all.long("consent", level.number().into());
        all.boolean("ci", self.is_ci);
        all.add_moment(moment);
        all.add_asked(asked, moment.rates);
        if let Some(facts) = moment.facts {
            if matches!(asked, Asked::Call { .. } | Asked::Egress { .. }) {
                all.strings("labels", &facts.labels);
            }
            if matches!(asked, Asked::Call { .. }) {
                all.add_facts(facts)?;
            }
        }
        let mut pairs = all.pairs;
        if let (Asked::Call { arguments, .. }, Some(input), true) = (asked, &slice.input, slice.reads.has(INPUT)) {
            let record = input.record(arguments, &slice.reads).map_err(|unrepresentable| {
                format!(
                    "the argument `{}` has a value that policies cannot see",
                    unrepresentable.name
                )
            })?;
            pairs.push((INPUT.to_owned(), record));
        }
        Context::from_pairs(pairs).map_err(|error| words(&error))
    }
}
