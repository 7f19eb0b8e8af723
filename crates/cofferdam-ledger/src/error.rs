//! What can go wrong with the ledger, in words for people.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why the ledger could not be written, or is not what was written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A file or folder could not be read or written.
    #[error("cannot {doing} `{path}`: {cause}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// An entry is too long or in another form.
    #[error("an entry of the ledger is not in its form")]
    Entry,
    /// The signing key is not in its form.
    #[error("the ledger's key `{path}` is not in its form")]
    Key {
        /// The key's file.
        path: PathBuf,
    },
    /// A public key is not in its form.
    #[error("`{key}` is not the key of a ledger")]
    PublicKey {
        /// As given.
        key: String,
    },
    /// A checkpoint is not in its form, or another key signed it.
    #[error("{what} is not a checkpoint that this ledger's key signed")]
    Checkpoint {
        /// Which.
        what: String,
    },
    /// The tree on disk is not the one the checkpoint was signed for.
    #[error("the ledger is broken at entry {index}: {what}")]
    Broken {
        /// The first entry that is not proven.
        index: u64,
        /// What is wrong there.
        what: String,
    },
}
