//! A place in a schema, and what may be concluded there.

use super::tool::shortened;
use super::words::exact;

/// Characters of a path that are shown: the innermost.
const PATH_CHARACTERS_MAX: usize = 200;

/// What may be concluded at a place from what changed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Nothing: wider may mean narrower.
    Nothing,
    /// The direction: wider here is wider as a whole.
    Direction,
    /// The direction, and that the place stands for one value only.
    Whole,
}

/// A place in a schema.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: String,
    pub(super) trust: Trust,
}

impl Place {
    pub(super) fn root(trust: Trust) -> Self {
        Self {
            path: String::new(),
            trust,
        }
    }

    /// The place as a person reads it, escaped; empty at the root.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Below this place; `step` is escaped already. Trust never comes back.
    pub(super) fn below(&self, step: &str, trust: Trust) -> Self {
        let dot = if self.path.is_empty() || step.starts_with('[') {
            ""
        } else {
            "."
        };
        let mut path = format!("{}{dot}{step}", self.path);
        if let Some(more @ 1..) = path.chars().count().checked_sub(PATH_CHARACTERS_MAX) {
            path = std::iter::once('…').chain(path.chars().skip(more)).collect();
        }
        Self {
            path,
            trust: trust.min(self.trust),
        }
    }

    pub(super) fn property(&self, name: &str) -> Self {
        self.below(&exact(&shortened(name)), Trust::Whole)
    }
}
