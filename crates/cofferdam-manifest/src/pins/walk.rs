//! Walks a pinned root: every file, folder and link, with its content and the index that vouches for it.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{PinsError, ProgramPins};
use crate::digest::Digest;

/// Entries by path relative to the root; the root itself is the empty path.
pub(super) type Tree = BTreeMap<String, Entry>;

/// A change younger than this could be followed by another within the same tick of a coarse clock.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
/// `O_NOFOLLOW | O_NONBLOCK`: a link or a pipe put in the place of a file is not followed and does not block.
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
const OPEN_FLAGS: i32 = 0o100_000 | 0o4_000;
#[cfg(not(any(target_arch = "aarch64", target_arch = "arm")))]
const OPEN_FLAGS: i32 = 0o400_000 | 0o4_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    Folder,
    Link(String),
    File(FileEntry),
}

impl Entry {
    /// Nothing vouches for the content any more: it is hashed at the next check.
    pub(super) fn forget_index(&mut self) {
        if let Self::File(file) = self {
            (file.stat, file.settled) = (Stat::default(), false);
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) executable: bool,
    pub(super) sha256: Digest,
    pub(super) stat: Stat,
    /// False when the file was so young that its index cannot vouch for it.
    pub(super) settled: bool,
}

/// What the kernel says of a file: device, inode, size, modification and change time in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stat(u64, u64, u64, i64, i64);

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self(
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        )
    }
}

/// One walk over all roots of a program.
#[derive(Debug)]
pub(super) struct Walk<'p> {
    except: &'p [PathBuf],
    /// Changes at or after this time, in nanoseconds, are not settled.
    settled_before: i64,
    files: usize,
    /// How many files were hashed.
    pub(super) hashed: usize,
}

impl<'p> Walk<'p> {
    pub(super) fn new(except: &'p [PathBuf], now: SystemTime) -> Self {
        let since = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(SETTLED_AFTER);
        Self {
            except,
            settled_before: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            files: 0,
            hashed: 0,
        }
    }

    /// Everything under `root`; a file that `known` vouches for is not hashed again.
    pub(super) fn tree(&mut self, root: &Path, known: &Tree) -> Result<Tree, PinsError> {
        let mut tree = Tree::new();
        let metadata = fs::symlink_metadata(root).map_err(|cause| read_error(root, cause))?;
        if metadata.is_symlink() {
            // What the mount will show is what the link leads to: both are recorded.
            tree.insert(String::new(), Entry::Link(link_target(root)?));
            let real = root.canonicalize().map_err(|cause| read_error(root, cause))?;
            let metadata = fs::symlink_metadata(&real).map_err(|cause| read_error(&real, cause))?;
            self.entry(&real, "->", &metadata, (known, &mut tree))?;
        } else {
            self.entry(root, "", &metadata, (known, &mut tree))?;
        }
        Ok(tree)
    }

    fn entry(
        &mut self,
        path: &Path,
        name: &str,
        metadata: &Metadata,
        (known, tree): (&Tree, &mut Tree),
    ) -> Result<(), PinsError> {
        self.files += 1;
        if self.files > ProgramPins::FILES_MAX {
            return Err(PinsError::TooManyFiles(path.to_owned()));
        }
        if metadata.is_dir() {
            tree.insert(name.to_owned(), Entry::Folder);
            return self.folder(path, name, (known, tree));
        }
        let entry = if metadata.is_symlink() {
            Entry::Link(link_target(path)?)
        } else if metadata.is_file() {
            Entry::File(self.file(path, metadata, known.get(name))?)
        } else {
            return Err(PinsError::Special(path.to_owned()));
        };
        tree.insert(name.to_owned(), entry);
        Ok(())
    }

    fn folder(&mut self, path: &Path, name: &str, (known, tree): (&Tree, &mut Tree)) -> Result<(), PinsError> {
        if name.split('/').count() > ProgramPins::DEPTH_MAX {
            return Err(PinsError::TooDeep(path.to_owned()));
        }
        for item in fs::read_dir(path).map_err(|cause| read_error(path, cause))? {
            let item = item.map_err(|cause| read_error(path, cause))?;
            let inner = item.path();
            if self.except.contains(&inner) {
                continue;
            }
            let file_name = item.file_name();
            let Some(file_name) = file_name.to_str() else {
                return Err(PinsError::NotUtf8(inner));
            };
            let metadata = item.metadata().map_err(|cause| read_error(&inner, cause))?;
            let inner_name = if name.is_empty() {
                file_name.to_owned()
            } else {
                format!("{name}/{file_name}")
            };
            self.entry(&inner, &inner_name, &metadata, (known, tree))?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata, known: Option<&Entry>) -> Result<FileEntry, PinsError> {
        let executable = metadata.mode() & 0o111 != 0;
        let stat = Stat::of(metadata);
        if let Some(Entry::File(known)) = known
            && known.settled
            && known.stat == stat
            && known.executable == executable
        {
            return Ok(known.clone());
        }
        self.hashed += 1;
        let sha256 = hash(path, stat)?;
        Ok(FileEntry {
            executable,
            sha256,
            stat,
            settled: stat.4 < self.settled_before,
        })
    }
}

/// The SHA-256 of a file that is still the one `expected` describes, before and after reading.
fn hash(path: &Path, expected: Stat) -> Result<Digest, PinsError> {
    let mut options = File::options();
    let mut file = options
        .read(true)
        .custom_flags(OPEN_FLAGS)
        .open(path)
        .map_err(|cause| read_error(path, cause))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; CHUNK.min(usize::try_from(expected.2).unwrap_or(CHUNK).saturating_add(1))];
    let unmoved = |file: &File| match file.metadata() {
        Ok(metadata) if Stat::of(&metadata) == expected => Ok(()),
        Ok(_) => Err(PinsError::Moving(path.to_owned())),
        Err(cause) => Err(read_error(path, cause)),
    };
    unmoved(&file)?;
    loop {
        let read = file.read(&mut buffer).map_err(|cause| read_error(path, cause))?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => hasher.update(bytes),
            _ => break,
        }
    }
    unmoved(&file)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

fn link_target(path: &Path) -> Result<String, PinsError> {
    let target = fs::read_link(path).map_err(|cause| read_error(path, cause))?;
    target
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| PinsError::NotUtf8(path.to_owned()))
}

fn read_error(path: &Path, cause: std::io::Error) -> PinsError {
    PinsError::Read {
        path: path.to_owned(),
        cause,
    }
}

/// True for what Python itself compiles and caches: `__pycache__` folders and the `.pyc` files right inside them.
pub(super) fn is_bytecode(name: &str, entry: &Entry) -> bool {
    if matches!(entry, Entry::Link(_)) {
        return false;
    }
    let mut parts = name.rsplit('/');
    let (last, folder) = (parts.next().unwrap_or(""), parts.next());
    last == "__pycache__" || (folder == Some("__pycache__") && last.ends_with(".pyc"))
}
