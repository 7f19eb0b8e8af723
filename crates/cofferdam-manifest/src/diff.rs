//! What changed since a server was accepted, in plain words.

mod annotations;
mod edits;
mod keyword;
mod object;
mod place;
mod program;
mod rights;
mod schema;
mod tool;
mod words;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::definitions::Definitions;
use crate::pins::ProgramChanged;
pub use rights::diff_manifests;
pub use words::{Piece, Words};

/// Changes of one tool that are told one by one, the weightiest first; the rest is counted.
pub const CHANGES_PER_TOOL_MAX: usize = 64;

/// What a person accepted.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// The accepted definitions, as [`Definitions::load`] checked them against the pins.
    pub definitions: &'a Definitions,
}

/// What is there now.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    /// The definitions the server lists.
    pub definitions: &'a Definitions,
    /// How the program's files differ; `None` when they are the accepted ones.
    pub program: Option<&'a ProgramChanged>,
}

/// How closely a person should look at a change, the weightiest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Nothing that was accepted means anything else now, and no text was added that a model reads with it.
    Additive,
    /// Something means something else; no wider right or new instruction lies in it by itself.
    Notable,
    /// Can turn an accepted tool into another one.
    Risky,
}

/// One thing that changed. Summary and details are safe to print: what a server wrote is escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What sort of change it is.
    pub kind: ChangeKind,
    /// How closely to look.
    pub weight: Weight,
    /// What it happened to.
    pub subject: Subject,
    /// One line, lowercase, no full stop.
    pub summary: String,
    /// What there is to see, line by line.
    pub details: Vec<Detail>,
}

/// What a change happened to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The program's files.
    Program,
    /// A section or key of the manifest, such as `filesystem.write`.
    Section(String),
    /// The tool of this name, as the server spells it.
    Tool(String),
}

/// A sort of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A tool that was not accepted.
    ToolAdded,
    /// An accepted tool that is not listed.
    ToolRemoved,
    /// Text for people or models: a title or description, of the tool or inside one of its schemas.
    Text,
    /// What the tool takes.
    InputSchema(Direction),
    /// What the tool gives.
    OutputSchema(Direction),
    /// What the tool says of itself.
    Annotation {
        /// The hint, such as `readOnlyHint`.
        hint: &'static str,
        /// As accepted; `None` when it was not given.
        from: Option<bool>,
        /// As it is now.
        to: Option<bool>,
    },
    /// Another member of the definition.
    Member,
    /// Files of the program that were not there.
    ProgramAdded,
    /// Files of the program that are gone.
    ProgramRemoved,
    /// Files of the program with other content.
    ProgramChanged,
    /// Files of the program that cannot be read, so nothing is known of them.
    ProgramUnread,
    /// What the manifest allows.
    Right(Direction),
    /// More changes of one tool than are told one by one.
    Further,
}

/// Where a schema moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It allows more than before.
    Widened,
    /// It allows less than before, and nothing else.
    Narrowed,
    /// Neither is known.
    Changed,
}

/// One line below a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// A plain line.
    Line(String),
    /// A text, then and now.
    Words(Words),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.write_str(line),
            Self::Words(words) => words.fmt(f),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("program"),
            Self::Section(name) => f.write_str(name),
            Self::Tool(name) => write!(f, "`{}`", words::exact(name)),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Additive => "additive",
            Self::Notable => "notable",
            Self::Risky => "risky",
        })
    }
}

/// Everything that differs between what was accepted and what is there now, the weightiest first.
///
/// Empty exactly when the program and every tool are the accepted ones: a definition that has another
/// [`tool_digest`](crate::tool_digest) always gives a change, if only one that says it is not understood.
#[must_use]
pub fn diff(accepted: &Accepted<'_>, live: &Live<'_>) -> Vec<Change> {
    let mut changes: Vec<Change> = live.program.map(program::compare).unwrap_or_default();
    let names = |definitions: &'_ Definitions| definitions.iter().map(|(name, _)| name.to_owned()).collect();
    let (then, now): (BTreeSet<String>, BTreeSet<String>) = (names(accepted.definitions), names(live.definitions));
    for name in then.union(&now) {
        let before = accepted.definitions.definition(name);
        let after = live.definitions.definition(name);
        let differences = match (before, after) {
            (Some(before), Some(after)) => tool::compare(before, after),
            (None, Some(after)) => vec![tool::added(after)],
            _ => vec![tool::removed()],
        };
        changes.extend(told(name, differences));
    }
    changes.sort_by(|one, other| {
        other
            .weight
            .cmp(&one.weight)
            .then_with(|| one.subject.cmp(&other.subject))
    });
    changes
}

/// What one tool's comparison found, before it is known whose it is.
#[derive(Debug)]
struct Difference {
    kind: ChangeKind,
    weight: Weight,
    summary: String,
    details: Vec<Detail>,
}

impl Difference {
    fn new(kind: ChangeKind, weight: Weight, summary: impl Into<String>) -> Self {
        Self {
            kind,
            weight,
            summary: summary.into(),
            details: Vec::new(),
        }
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.details.push(Detail::Line(line.into()));
        self
    }

    fn words(mut self, before: &str, after: &str) -> Self {
        self.details.push(Detail::Words(Words::between(before, after)));
        self
    }
}

/// The weightiest differences as changes of the tool, the rest as one.
fn told(name: &str, mut differences: Vec<Difference>) -> Vec<Change> {
    differences.sort_by_key(|difference| std::cmp::Reverse(difference.weight));
    let further = differences.split_off(differences.len().min(CHANGES_PER_TOOL_MAX));
    if let Some(weightiest) = further.first() {
        let summary = format!("{} further changes", further.len());
        differences.push(Difference::new(ChangeKind::Further, weightiest.weight, summary));
    }
    let change = |difference: Difference| Change {
        kind: difference.kind,
        weight: difference.weight,
        subject: Subject::Tool(name.to_owned()),
        summary: difference.summary,
        details: difference.details,
    };
    differences.into_iter().map(change).collect()
}
