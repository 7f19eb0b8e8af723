//! What the ledger holds, proven; and proofs that others check without it.

use crate::entry::Entry;
use crate::error::LedgerError;
use crate::key::{PublicKey, SignedCheckpoint};
use std::path::PathBuf;
use tlog_tiles::{Error, Hash, HashReader};

/// Everything in a ledger.
#[derive(Debug)]
pub struct Contents {
    /// Its key; `None` when nothing was ever integrated.
    pub key: Option<PublicKey>,
    /// Its last checkpoint.
    pub checkpoint: Option<SignedCheckpoint>,
    /// Its entries, in the order of the tree.
    pub entries: Vec<Entry>,
    /// Entries that were submitted and are not in the tree yet. No key signed them.
    pub waiting: Vec<Entry>,
    /// Files among those that wait which are no entries.
    pub strange: Vec<PathBuf>,
    leaves: Vec<Vec<u8>>,
    hashes: Stored,
}

/// A checkpoint that was published, held against the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witnessed {
    /// The ledger still holds what was published, so many entries of it.
    Consistent(u64),
    /// The ledger is shorter than what was published.
    RolledBack {
        /// How many entries were published.
        published: u64,
    },
    /// The ledger holds other entries than were published.
    Forked {
        /// How many entries the published checkpoint covers.
        published: u64,
    },
}

/// That one entry is in the tree of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The entry's bytes.
    pub leaf: Vec<u8>,
    /// Its place.
    pub index: u64,
    /// The hashes beside its way to the root, from the leaf up.
    pub path: Vec<[u8; 32]>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

/// All hashes of a tree, in the order they are computed in.
#[derive(Debug, Default)]
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let hash = |index: &u64| usize::try_from(*index).ok().and_then(|index| self.0.get(index));
        indexes
            .iter()
            .map(|index| hash(index).copied().ok_or(Error::IndexesNotInTree))
            .collect()
    }
}

impl Contents {
    pub(crate) fn without_tree(waiting: Vec<Entry>, strange: Vec<PathBuf>) -> Self {
        Self {
            key: None,
            checkpoint: None,
            entries: Vec::new(),
            waiting,
            strange,
            leaves: Vec::new(),
            hashes: Stored::default(),
        }
    }

    /// Builds the tree anew from its entries and compares the root with the signed one.
    pub(crate) fn prove(
        key: PublicKey,
        checkpoint: Option<SignedCheckpoint>,
        leaves: Vec<Vec<u8>>,
        (waiting, strange): (Vec<Entry>, Vec<PathBuf>),
        tiles: &[[u8; 32]],
    ) -> Result<Self, LedgerError> {
        let broken = |index: u64, what: &str| LedgerError::Broken {
            index,
            what: what.to_owned(),
        };
        let mut hashes = Stored::default();
        let mut entries = Vec::with_capacity(leaves.len());
        for (index, leaf) in (0..).zip(&leaves) {
            let new = tlog_tiles::stored_hashes(index, leaf, &hashes)
                .map_err(|_cause| broken(index, "the tree cannot be built"))?;
            hashes.0.extend(new);
            entries.push(Entry::from_bytes(leaf).map_err(|_cause| broken(index, "the entry is not in its form"))?);
        }
        let contents = Self {
            key: Some(key),
            checkpoint,
            entries,
            waiting,
            strange,
            leaves,
            hashes,
        };
        if let Some(checkpoint) = &contents.checkpoint
            && contents.root(checkpoint.size) != Some(checkpoint.root)
        {
            let index = contents.first_changed(tiles);
            return Err(broken(index, "an entry was changed, dropped or moved"));
        }
        Ok(contents)
    }

    /// The root of the tree over the first `size` entries.
    fn root(&self, size: u64) -> Option<[u8; 32]> {
        if size > self.leaves.len() as u64 {
            return None;
        }
        tlog_tiles::tree_hash(size, &self.hashes).ok().map(|hash| hash.0)
    }

    /// The root says that something was changed; the hashes in the tiles say where, when they were
    /// left alone. Otherwise nothing is proven from the first entry on.
    fn first_changed(&self, tiles: &[[u8; 32]]) -> u64 {
        let differs = |(leaf, hash): (&Vec<u8>, &[u8; 32])| tlog_tiles::record_hash(leaf).0 != *hash;
        let place = self.leaves.iter().zip(tiles).position(differs);
        place.and_then(|place| u64::try_from(place).ok()).unwrap_or(0)
    }

    /// Holds a published checkpoint against the ledger.
    ///
    /// # Errors
    /// When the ledger has no key, or its key did not sign it.
    pub fn witnessed(&self, note: &[u8]) -> Result<Witnessed, LedgerError> {
        let what = "a published checkpoint";
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| LedgerError::Checkpoint { what: what.to_owned() })?;
        let published = key.verify(note, what)?;
        Ok(match self.root(published.size) {
            None => Witnessed::RolledBack {
                published: published.size,
            },
            Some(root) if root == published.root => Witnessed::Consistent(published.size),
            Some(_) => Witnessed::Forked {
                published: published.size,
            },
        })
    }

    /// The proof that the entry with this index is in the tree of the last checkpoint.
    #[must_use]
    pub fn inclusion(&self, index: u64) -> Option<Inclusion> {
        let checkpoint = self.checkpoint.clone()?;
        let leaf = self.leaves.get(usize::try_from(index).ok()?)?.clone();
        let path = tlog_tiles::prove_record(checkpoint.size, index, &self.hashes).ok()?;
        Some(Inclusion {
            leaf,
            index,
            path: path.iter().map(|hash| hash.0).collect(),
            checkpoint,
        })
    }
}

/// Whether an entry is in the tree that this key signed. Gives the entry.
///
/// # Errors
/// When the checkpoint is not signed by the key, or the path does not lead to its root.
pub fn check_inclusion(inclusion: &Inclusion, key: &PublicKey) -> Result<Entry, LedgerError> {
    let checkpoint = key.verify(&inclusion.checkpoint.note, "the proof's checkpoint")?;
    let path = inclusion.path.iter().map(|hash| Hash(*hash)).collect();
    let leaf = tlog_tiles::record_hash(&inclusion.leaf);
    let broken = LedgerError::Broken {
        index: inclusion.index,
        what: "the proof does not lead to the checkpoint's root".to_owned(),
    };
    tlog_tiles::check_record(&path, checkpoint.size, Hash(checkpoint.root), inclusion.index, leaf)
        .map_err(|_cause| broken)?;
    Entry::from_bytes(&inclusion.leaf)
}

/// Reads a signed checkpoint and checks that this key signed it.
///
/// # Errors
/// When it did not, or the checkpoint has another form.
pub fn parse_checkpoint(note: &[u8], key: &PublicKey) -> Result<SignedCheckpoint, LedgerError> {
    key.verify(note, "the checkpoint")
}
