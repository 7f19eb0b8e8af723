//! How many records there are of each sort.

use std::collections::HashMap;

use cofferdam_audit::{Header, Kind, Skimmed};

use super::args::GroupBy;
use super::question::{Facts, facts_of};
use super::when;
use crate::failure::Failure;

/// Most groups that are counted.
const GROUPS_MAX: usize = 100_000;
const HOUR_NS: u64 = 3_600_000_000_000;
/// What stands for what a record does not say.
const NOTHING: &str = "-";

/// Counts by the same few values. A group's key is these values one after the other, each behind its length: nothing is made for a record
/// whose group is known, and most are.
#[derive(Debug, Default)]
pub(super) struct Groups {
    counts: HashMap<Vec<u8>, u64>,
    key: Vec<u8>,
    pub(super) total: u64,
}

impl Groups {
    /// Counts a record.
    ///
    /// # Errors
    /// There are too many groups.
    pub(super) fn count(&mut self, by: &[GroupBy], header: &Header, record: &Skimmed<'_>) -> Result<(), Failure> {
        self.total += 1;
        if by.is_empty() {
            return Ok(());
        }
        let facts = if by.iter().any(|by| by.is_of_facts()) {
            facts_of(record.facts)
        } else {
            Facts::default()
        };
        self.key.clear();
        for by in by {
            put(&mut self.key, *by, (header, record, &facts));
        }
        match self.counts.get_mut(&self.key) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(self.key.clone(), 1);
            }
        }
        self.is_bounded()
    }

    /// Counts what another thread counted.
    ///
    /// # Errors
    /// There are too many groups.
    pub(super) fn add(&mut self, more: Self) -> Result<(), Failure> {
        self.total += more.total;
        for (key, count) in more.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.is_bounded()
    }

    /// The values of each group in words, and its count: the largest first.
    pub(super) fn into_words(self, by: &[GroupBy]) -> Vec<(Vec<String>, u64)> {
        if by.is_empty() {
            return vec![(Vec::new(), self.total)];
        }
        let groups = self.counts.into_iter().map(|(key, count)| (words(by, &key), count));
        let mut groups: Vec<(Vec<String>, u64)> = groups.collect();
        groups.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        groups
    }

    fn is_bounded(&self) -> Result<(), Failure> {
        if self.counts.len() <= GROUPS_MAX {
            return Ok(());
        }
        Err(Failure::usage(format!("more than {GROUPS_MAX} groups")).help("group by less, or ask for less"))
    }
}

/// Appends one value to a key.
fn put(key: &mut Vec<u8>, by: GroupBy, (header, record, facts): (&Header, &Skimmed<'_>, &Facts<'_>)) {
    let since = |ns: u64| record.wall_ns - record.wall_ns % ns;
    let (code, hour, day) = (
        [record.kind.code()],
        since(HOUR_NS).to_be_bytes(),
        since(24 * HOUR_NS).to_be_bytes(),
    );
    let value = match by {
        GroupBy::Server => header.server.as_bytes(),
        GroupBy::Session => header.session.as_bytes(),
        GroupBy::Principal => header.principal.as_bytes(),
        GroupBy::Kind => &code,
        GroupBy::Decision => facts.decision.as_deref().unwrap_or(NOTHING).as_bytes(),
        GroupBy::Rule => facts.rule.as_deref().unwrap_or(NOTHING).as_bytes(),
        GroupBy::Method => facts.method.as_deref().unwrap_or(NOTHING).as_bytes(),
        GroupBy::Tool => facts.tool.as_deref().unwrap_or(NOTHING).as_bytes(),
        GroupBy::Day => &day,
        GroupBy::Hour => &hour,
    };
    key.extend_from_slice(&value.len().to_be_bytes());
    key.extend_from_slice(value);
}

/// The values of a key, as people read them.
fn words(by: &[GroupBy], mut key: &[u8]) -> Vec<String> {
    let mut value = |by: &GroupBy| {
        let (length, rest) = key.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from_be_bytes(*length))?;
        key = rest;
        let time = |characters| {
            let ns = value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))?;
            Some(when::written(ns).chars().take(characters).collect())
        };
        match by {
            GroupBy::Kind => value.first().map(|code| Kind::from_code(*code).to_string()),
            GroupBy::Day => time(10),
            GroupBy::Hour => time(13),
            _ => Some(String::from_utf8_lossy(value).into_owned()),
        }
    };
    by.iter().map(|by| value(by).unwrap_or_default()).collect()
}
