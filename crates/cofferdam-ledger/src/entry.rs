//! A leaf of the ledger: one statement about one session.

use crate::error::LedgerError;
use serde::{Deserialize, Serialize};

/// The longest entry, in bytes. Bundles of entries can hold 65,535.
pub const ENTRY_BYTES_MAX: usize = 16 * 1024;

/// What an entry states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The session began; its head then.
    Open,
    /// The session had come so far.
    Head,
    /// The session ended in order; its last head.
    Close,
    /// The session was removed from the record by `audit prune`; its last head.
    Pruned,
    /// Sessions are held: they must not be pruned. `about` says which, who and why.
    Hold,
    /// A hold ended. `about` says which, who and why.
    Release,
}

/// One statement. Its bytes in the tree are those of [`Entry::to_bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it states.
    pub what: What,
    /// The session's id; empty for holds.
    pub session: String,
    /// The server's name; empty for holds.
    pub server: String,
    /// The number of the session's last record.
    pub seq: u64,
    /// The chain value after that record, 64 hexadecimal digits; empty for holds.
    pub hash: String,
    /// When it was stated: nanoseconds since 1970-01-01T00:00:00Z.
    pub wall_ns: u64,
    /// What else is known, for people and for `verify`: a JSON object, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<serde_json::Value>,
}

impl Entry {
    /// The leaf: compact JSON, members in the order of this type.
    ///
    /// # Errors
    /// When it is longer than [`ENTRY_BYTES_MAX`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        let bytes = serde_json::to_vec(self).map_err(|_cause| LedgerError::Entry)?;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(LedgerError::Entry);
        }
        Ok(bytes)
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LedgerError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(LedgerError::Entry);
        }
        serde_json::from_slice(bytes).map_err(|_cause| LedgerError::Entry)
    }
}
