//! Holds the content of a program's files to what was accepted, without hashing all of it at every start.

mod check;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::diagnostic::shown;
use crate::digest::Digest;
pub use check::{Checked, ProgramChanged};
use walk::{Entry, Tree, Walk};

/// What a program's files held when they were accepted.
///
/// Serialised as JSON it is two things. The *content* (which files there are, links and their targets, execute bits,
/// SHA-256 of each) is what [`ProgramPins::digest`] covers and what the manifest pins. The *index* beside each entry
/// (device, inode, size, modification and change time) says which files need no new hash. The index is believed only
/// because the file it is kept in is ours: keep it mode 0600 in Cofferdam's own folder, which no server can be granted.
/// Setting a modification time back does not fool it, since the change time and the inode tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramPins {
    roots: Vec<Root>,
    /// Folders inside the roots whose content is not pinned.
    except: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    path: PathBuf,
    tree: Tree,
}

/// Why the files of a program could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// The operating system refused.
    #[error("cannot read `{}`: {cause}", shown(path))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        cause: std::io::Error,
    },
    /// Neither file, folder nor link.
    #[error("`{}` is neither a file, a folder nor a symbolic link", shown(.0))]
    Special(PathBuf),
    /// A name that is not UTF-8 cannot be written down.
    #[error("the name of `{}` is not UTF-8", shown(.0))]
    NotUtf8(PathBuf),
    /// More files than [`ProgramPins::FILES_MAX`].
    #[error("`{}` brings the program to more than {} files", shown(.0), ProgramPins::FILES_MAX)]
    TooManyFiles(PathBuf),
    /// Deeper than [`ProgramPins::DEPTH_MAX`].
    #[error("`{}` is more than {} folders deep", shown(.0), ProgramPins::DEPTH_MAX)]
    TooDeep(PathBuf),
    /// Written to while it was read.
    #[error("`{}` changed while it was read", shown(.0))]
    Moving(PathBuf),
}

impl ProgramPins {
    /// The most files, folders and links one program may consist of.
    pub const FILES_MAX: usize = 200_000;
    /// The deepest nesting of folders.
    pub const DEPTH_MAX: usize = 64;

    /// Reads and hashes everything under the roots, which are absolute files or folders; folders in `except` are left
    /// out. Symbolic links are recorded, not followed (a root that is a link is recorded with what it leads to).
    ///
    /// `now` is the current time: a file changed in the last moments is hashed again next time, because file systems
    /// with coarse clocks could not tell a further change.
    ///
    /// # Errors
    /// When something cannot be read, is no ordinary file, or the bounds are exceeded.
    pub fn take(roots: &[PathBuf], except: &[PathBuf], now: SystemTime) -> Result<Self, PinsError> {
        let paths = plain(roots);
        let except = plain(except);
        let mut walk = Walk::new(&except, now);
        let mut taken = Vec::with_capacity(paths.len());
        for path in paths {
            let tree = walk.tree(&path, &BTreeMap::new())?;
            taken.push(Root { path, tree });
        }
        Ok(Self { roots: taken, except })
    }

    /// The digest of the content: paths, kinds, execute bits, link targets and the SHA-256 of each file.
    ///
    /// Compiled Python files are not part of it: Python writes them by itself; see [`Checked::bytecode`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(b"cofferdam program 1\n");
        for except in &self.except {
            part(&mut hasher, b"except", except.as_os_str().as_encoded_bytes());
        }
        for root in &self.roots {
            part(&mut hasher, b"root", root.path.as_os_str().as_encoded_bytes());
            for (name, entry) in root.tree.iter().filter(|(name, entry)| !walk::is_bytecode(name, entry)) {
                part(&mut hasher, b"entry", name.as_bytes());
                entry.content(&mut hasher);
            }
        }
        Digest::from_bytes(hasher.finalize().into())
    }

    /// The same roots as they are now, for a person to accept in place of these pins. Compiled Python files are taken over only where
    /// these pins hold them already, unchanged: the digest does not cover them, so nobody can be said to have accepted others.
    ///
    /// `now` as in [`ProgramPins::take`].
    ///
    /// # Errors
    /// As [`ProgramPins::take`].
    pub fn retake(&self, now: SystemTime) -> Result<Self, PinsError> {
        let roots: Vec<PathBuf> = self.roots.iter().map(|root| root.path.clone()).collect();
        let mut fresh = Self::take(&roots, &self.except, now)?;
        fresh.keep_accepted_bytecode(self);
        Ok(fresh)
    }

    /// Exactly what [`ProgramPins::digest`] covers: without the index and without compiled Python files. For pins out of a file that is
    /// not ours: whoever wrote it cannot vouch for a file's content by its times.
    #[must_use]
    pub fn without_index(&self) -> Self {
        let mut pins = self.clone();
        for root in &mut pins.roots {
            root.tree.retain(|name, entry| !walk::is_bytecode(name, entry));
            root.tree.values_mut().for_each(Entry::forget_index);
        }
        pins
    }

    /// How many files, folders and links are pinned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roots.iter().map(|root| root.tree.len()).sum()
    }

    /// True when nothing is pinned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when `path` is a pinned root or lies inside one.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        let excepted = self.except.iter().any(|except| path.starts_with(except));
        !excepted && self.roots.iter().any(|root| path.starts_with(&root.path))
    }

    /// The folders inside the roots whose content is not pinned.
    #[must_use]
    pub fn unpinned(&self) -> &[PathBuf] {
        &self.except
    }

    /// Compares the files with what was accepted, hashing only those the index cannot vouch for.
    ///
    /// The answer holds for the moment of reading. `now` as in [`ProgramPins::take`].
    ///
    /// # Errors
    /// [`ProgramChanged`] names what differs, or what could not be read.
    pub fn check(&self, now: SystemTime) -> Result<Checked, ProgramChanged> {
        check::check(self, now)
    }
}

/// The paths in one order and one spelling: `/a/./b//` and `/a/b` are one place.
fn plain(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = paths.iter().map(|path| path.components().collect()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Length-prefixed, so that no two sequences of parts hash alike.
fn part(hasher: &mut Sha256, label: &[u8], value: &[u8]) {
    hasher.update(label);
    hasher.update(u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(value);
}

impl Entry {
    fn content(&self, hasher: &mut Sha256) {
        match self {
            Self::Folder => part(hasher, b"folder", b""),
            Self::Link(target) => part(hasher, b"link", target.as_bytes()),
            Self::File(file) => {
                part(
                    hasher,
                    if file.executable { b"program" } else { b"file" },
                    file.sha256.as_bytes(),
                );
            }
        }
    }
}
