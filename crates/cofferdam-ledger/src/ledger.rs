//! The ledger of one host: entries submitted without waiting, put into the tree by one at a time.

use crate::contents::Contents;
use crate::entry::Entry;
use crate::error::LedgerError;
use crate::files;
use crate::key::{PublicKey, SignedCheckpoint, SigningKey};
use crate::pending::{self, Waiting};
use crate::tiles::{self, DiskTiles, Growing};
use std::io;
use std::path::{Path, PathBuf};
use tlog_tiles::{EMPTY_HASH, Hash};

/// The file in the ledger's folder that has the last checkpoint: a C2SP signed note.
pub const CHECKPOINT_FILE: &str = "checkpoint";

/// The ledger in one folder.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: PathBuf,
}

/// What an integration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrated {
    /// Nothing waited.
    Nothing,
    /// Another process holds the lock; it or the next one takes what waits.
    Busy,
    /// The tree grew to this checkpoint.
    Grown(SignedCheckpoint),
}

impl Ledger {
    /// The ledger in this folder; nothing is read or made yet.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.folder.join("key").exists() || self.pending().exists()
    }

    /// Notes an entry, for whoever integrates next. Takes no lock and syncs nothing.
    ///
    /// # Errors
    /// When the entry is not in its form or its file cannot be written.
    pub fn submit(&self, entry: &Entry) -> Result<(), LedgerError> {
        files::make_folder(&self.pending())?;
        pending::submit(&self.pending(), entry)
    }

    /// Puts what waits into the tree and signs a checkpoint, when no other process does so now.
    /// The new tree is on the disk before its checkpoint is, and that before an entry's file goes:
    /// whenever this ends, nothing is lost, and at worst an entry is in the tree twice.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the tree is not what the last checkpoint says.
    pub fn integrate(&self) -> Result<Integrated, LedgerError> {
        files::make_folder(&self.folder)?;
        let Some(_lock) = files::try_lock(&self.folder.join("lock"))? else {
            return Ok(Integrated::Busy);
        };
        let (waiting, _) = pending::waiting(&self.pending())?;
        if waiting.is_empty() {
            return Ok(Integrated::Nothing);
        }
        let key = SigningKey::open(&self.folder)?;
        let public = self.public_key()?;
        let (old_size, old_root) = match self.checkpoint(&public)? {
            Some(checkpoint) => (checkpoint.size, Hash(checkpoint.root)),
            None => (0, EMPTY_HASH),
        };
        let note = self.grow((old_size, old_root), &waiting, &key)?;
        let checkpoint = public.verify(&note, "the new checkpoint")?;
        tiles::remove_old_partials(&self.folder, old_size, checkpoint.size);
        // One that stays would be put into the tree again each time: that must be known.
        for waited in &waiting {
            std::fs::remove_file(&waited.path).map_err(files::failed("remove", &waited.path))?;
        }
        Ok(Integrated::Grown(checkpoint))
    }

    fn grow(&self, (size, root): (u64, Hash), waiting: &[Waiting], key: &SigningKey) -> Result<Vec<u8>, LedgerError> {
        let broken = |_cause| LedgerError::Broken {
            index: size,
            what: "the tiles on disk do not fit the last checkpoint".to_owned(),
        };
        let disk = DiskTiles(&self.folder);
        let mut growing = Growing::new(size, root, &disk);
        let entries: Vec<Vec<u8>> = waiting.iter().map(|waited| waited.bytes.clone()).collect();
        for (index, bytes) in (size..).zip(&entries) {
            growing.add(index, bytes).map_err(broken)?;
        }
        let new_size = size + entries.len() as u64;
        let new_root = tlog_tiles::tree_hash(new_size, &growing).map_err(broken)?;
        tiles::write(&self.folder, (size, new_size), &growing, &entries)?;
        let note = key.sign(new_size, new_root)?;
        files::write(&self.folder.join(CHECKPOINT_FILE), &note, true)?;
        Ok(note)
    }

    /// The key that the ledger's checkpoints are verified with.
    ///
    /// # Errors
    /// When there is none, or it is not in its form.
    pub fn public_key(&self) -> Result<PublicKey, LedgerError> {
        let path = self.folder.join("key.pub");
        let text = files::read(&path).map_err(files::failed("read", &path))?;
        PublicKey::parse(&String::from_utf8_lossy(&text))
    }

    /// The last checkpoint, its signature checked; `None` before the first.
    pub(crate) fn checkpoint(&self, key: &PublicKey) -> Result<Option<SignedCheckpoint>, LedgerError> {
        let path = self.folder.join(CHECKPOINT_FILE);
        match files::read(&path) {
            Ok(note) => key.verify(&note, "the ledger's `checkpoint`").map(Some),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(files::failed("read", &path)(cause)),
        }
    }

    /// Everything in the ledger, proven against its last checkpoint, and what waits.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was signed.
    pub fn read(&self) -> Result<Contents, LedgerError> {
        // What waits is read first: an entry that is integrated in between is then found twice,
        // and not missed.
        let (waiting, strange) = pending::waiting(&self.pending())?;
        let waiting = waiting.into_iter().map(|waited| waited.entry).collect();
        if !self.folder.join("key.pub").exists() {
            return Ok(Contents::without_tree(waiting, strange));
        }
        let key = self.public_key()?;
        let checkpoint = self.checkpoint(&key)?;
        let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let leaves = tiles::read_entries(&self.folder, size)?;
        let hashes = tiles::read_leaf_hashes(&self.folder, size);
        Contents::prove(key, checkpoint, leaves, (waiting, strange), &hashes)
    }

    fn pending(&self) -> PathBuf {
        self.folder.join("pending")
    }
}
