//! A host's transparency log of the heads of its sessions.
//!
//! Each gate submits that a session began, how far it had come, and how it ended, as a small file
//! of its own: no lock, no wait. Whoever gets the ledger's lock puts what waits into the tree, signs
//! the new checkpoint and publishes it. A lock holder that is stopped delays that, and nothing else.
//!
//! The tree is that of RFC 6962, kept as C2SP tlog-tiles; the checkpoint is a C2SP signed note.
//! `docs/ledger-format.md` says what its leaves are. Nothing of MCP or of the record's format is
//! known here: a head is a number and a hash.
#![forbid(unsafe_code)]

mod contents;
mod entry;
mod error;
mod files;
mod key;
mod ledger;
mod pending;
#[cfg(test)]
mod tests;
mod tiles;

pub use contents::{Contents, Inclusion, Witnessed, check_inclusion, parse_checkpoint};
pub use entry::{ENTRY_BYTES_MAX, Entry, What};
pub use error::LedgerError;
pub use key::{PublicKey, SignedCheckpoint};
pub use ledger::{CHECKPOINT_FILE, Integrated, Ledger};
