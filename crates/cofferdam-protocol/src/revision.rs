//! Protocol revisions and eras.

use std::fmt;
use std::str::FromStr;

/// A published revision of the Model Context Protocol, named by its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revision {
    /// 2024-11-05.
    V2024_11_05,
    /// 2025-03-26, the only one with batches.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25, the last with `initialize`.
    V2025_11_25,
    /// 2026-07-28, the first modern one: no `initialize`, no requests of servers.
    V2026_07_28,
}

impl Revision {
    /// Every revision this crate knows, oldest first.
    pub const ALL: &'static [Self] = &[
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// As it stands in `protocolVersion`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Whether it is of the modern era (2026-07-28 and later).
    #[must_use]
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::V2026_07_28)
    }

    /// Whether peers may send JSON-RPC batches (2025-03-26 only).
    #[must_use]
    pub const fn allows_batch(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `protocolVersion` that names no revision this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownRevision;

impl fmt::Display for UnknownRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a known protocol revision")
    }
}

impl std::error::Error for UnknownRevision {}

impl FromStr for Revision {
    type Err = UnknownRevision;

    fn from_str(text: &str) -> Result<Self, UnknownRevision> {
        Self::ALL
            .iter()
            .copied()
            .find(|revision| revision.as_str() == text)
            .ok_or(UnknownRevision)
    }
}

/// The era of one message: which family of rules it is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25. `None` until `initialize` settled on a known revision: the union of all legacy ones.
    Legacy(Option<Revision>),
    /// 2026-07-28 and later. `None` where the message names a version this crate does not know: judged by the newest.
    Modern(Option<Revision>),
}

impl Era {
    /// Whether it is the modern era.
    #[must_use]
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::Modern(_))
    }

    /// Whether this era includes `revision`.
    pub(crate) fn includes(self, revision: Revision) -> bool {
        match self {
            Self::Legacy(None) => !revision.is_modern(),
            Self::Modern(None) => Some(&revision) == Revision::ALL.last(),
            Self::Legacy(Some(known)) | Self::Modern(Some(known)) => known == revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Era, Revision};

    #[test]
    fn names_round_trip() {
        for revision in Revision::ALL {
            assert_eq!(revision.as_str().parse(), Ok(*revision));
        }
        assert!("2025-06-19".parse::<Revision>().is_err());
        assert!("2025-06-18 ".parse::<Revision>().is_err());
    }

    #[test]
    fn only_one_revision_has_batches_and_the_last_is_modern() {
        let with_batches: Vec<_> = Revision::ALL
            .iter()
            .filter(|revision| revision.allows_batch())
            .collect();
        assert_eq!(with_batches, [&Revision::V2025_03_26]);
        assert!(Revision::ALL.is_sorted());
        assert_eq!(
            Revision::ALL
                .iter()
                .filter(|revision| revision.is_modern())
                .collect::<Vec<_>>(),
            [&Revision::V2026_07_28]
        );
    }

    #[test]
    fn an_unsettled_legacy_era_is_the_union_of_all_legacy_revisions() {
        let included = |era: Era| Revision::ALL.iter().filter(|revision| era.includes(**revision)).count();
        assert_eq!(included(Era::Legacy(None)), 4);
        assert_eq!(included(Era::Modern(None)), 1);
        assert_eq!(included(Era::Legacy(Some(Revision::V2024_11_05))), 1);
    }
}
