//! What a verb failed of: one exit code, the cause, and the way out.

use std::fmt;

/// Exit codes (DESIGN section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Fine.
    Fine = 0,
    /// Findings, or denied; also a server that ended by itself with an error.
    Findings = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is nothing to do.
    Nothing = 3,
    /// A manifest, a folder or the server's own program is not as it must be.
    Misconfigured = 4,
    /// Something required could not be enforced or recorded.
    NotEnforced = 5,
}

/// An error on its way to a person.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Lowercase, no full stop; the cause after a colon.
    pub(crate) what: String,
    /// How to go on, one line.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            help: None,
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    pub(crate) fn misconfigured(what: impl Into<String>) -> Self {
        Self::new(Exit::Misconfigured, what)
    }

    pub(crate) fn not_enforced(what: impl Into<String>) -> Self {
        Self::new(Exit::NotEnforced, what)
    }

    /// Adds the way out.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// A file that could not be read or written.
pub(crate) fn file_failure(doing: &str, path: &std::path::Path, cause: &std::io::Error) -> Failure {
    Failure::misconfigured(format!("cannot {doing} `{}`: {cause}", path.display()))
}
