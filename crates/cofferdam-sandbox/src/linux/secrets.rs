//! Finding what is to be masked in granted folders, and watching those folders for more.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirEntryExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::wire::{Access, Graft, Mask};
use crate::mask::Judge;
use crate::{Plan, SandboxError};

/// Most entries of granted folders that are looked at; a walk of that many takes a second or two.
pub(super) const ENTRIES_MAX: usize = 400_000;
/// Deepest folder that is looked at.
pub(super) const DEPTH_MAX: usize = 64;
/// Most masks of one compartment.
pub(super) const MASKS_MAX: usize = 256;
/// So much of a file is read to see whether it holds a key or credentials.
pub(super) const HEAD_BYTES: u64 = 64 * 1024;
/// Folders of installed packages: what is in them came from a registry and is pinned. Passed over among the
/// program's own files, never in folders that are granted as data.
pub(super) const PACKAGES: [&str; 3] = ["node_modules", "site-packages", "dist-packages"];

/// A granted folder: where it lies, where it appears, and whether it is the program's own.
#[derive(Clone, Debug)]
struct Root {
    source: PathBuf,
    target: PathBuf,
    is_program: bool,
}

/// Granted folders under watch, and what of them is masked.
#[derive(Debug)]
pub(super) struct Secrets {
    judge: Judge,
    /// UNIX sockets can be made inside: those that lie in granted folders and nobody named are masked.
    hides_sockets: bool,
    roots: Vec<Root>,
    /// Places that are granted by their own path: nobody hides what somebody named.
    named: BTreeSet<PathBuf>,
    pub(super) changes: OwnedFd,
    /// Watched folders by their number: where each lies.
    watched: BTreeMap<i32, PathBuf>,
    /// Every masked place, with device and inode of what it hides: by these another name of it is recognised.
    masked: BTreeMap<PathBuf, (u64, u64)>,
    /// The program runs: what cannot be refused any more is masked under each of its names.
    is_running: bool,
    entries: usize,
    found: Vec<Mask>,
}

/// Looks through everything that is granted. None when nothing is to be masked or no folder is granted.
pub(super) fn find(plan: &Plan, grafts: &[Graft]) -> Result<Option<Secrets>, SandboxError> {
    let is_granted = |graft: &&Graft| matches!(graft.access, Access::Read | Access::Data | Access::Write);
    let root = |graft: &Graft| Root {
        source: graft.source.clone(),
        target: graft.target.clone(),
        is_program: graft.access == Access::Read,
    };
    let roots: Vec<Root> = grafts
        .iter()
        .filter(is_granted)
        .filter(|graft| graft.is_folder)
        .map(root)
        .collect();
    let hides_sockets = plan.has_unix_sockets();
    if (plan.masks.is_empty() && !hides_sockets) || roots.is_empty() {
        return Ok(None);
    }
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
    let mut secrets = Secrets {
        judge: Judge::new(&plan.masks),
        hides_sockets,
        named: grafts.iter().map(|graft| graft.target.clone()).collect(),
        roots,
        changes: changes.map_err(|error| unwatched(Path::new("/"), &error.into()))?,
        watched: BTreeMap::new(),
        masked: BTreeMap::new(),
        is_running: false,
        entries: 0,
        found: Vec::new(),
    };
    secrets.look_at_all()?;
    secrets.is_running = true;
    Ok(Some(secrets))
}

fn unwatched(path: &Path, error: &io::Error) -> SandboxError {
    SandboxError::Unwatched {
        path: path.to_path_buf(),
        errno: super::errno(error),
    }
}

impl Secrets {
    /// What was found since this was asked last.
    pub(super) fn take_found(&mut self) -> Vec<Mask> {
        std::mem::take(&mut self.found)
    }

    /// Looks through every root from its top.
    pub(super) fn look_at_all(&mut self) -> Result<(), SandboxError> {
        self.entries = 0;
        for root in self.roots.clone() {
            self.look_into(&root.source.clone(), &root, 0)?;
        }
        Ok(())
    }

    /// A watched folder is gone.
    pub(super) fn forget(&mut self, watch: i32) {
        self.watched.remove(&watch);
    }

    /// Looks at one entry of a watched folder after it changed.
    pub(super) fn look_at_change(&mut self, watch: i32, name: &OsStr) -> Result<(), SandboxError> {
        let Some(folder) = self.watched.get(&watch) else {
            return Ok(());
        };
        let path = folder.join(name);
        for root in self.roots.clone() {
            if path.starts_with(&root.source) {
                self.entries = 0;
                let Ok(found) = fs::symlink_metadata(&path) else {
                    return Ok(());
                };
                self.look_at(&path, (found.file_type(), found.ino()), &root, 0)?;
            }
        }
        Ok(())
    }

    /// Watches a folder, and then looks at what is in it: what comes later is told.
    fn look_into(&mut self, folder: &Path, root: &Root, depth: usize) -> Result<(), SandboxError> {
        let too_much = |what: String| SandboxError::TooMuchToMask {
            path: root.target.clone(),
            what,
        };
        if depth > DEPTH_MAX {
            return Err(too_much(format!("folders deeper than {DEPTH_MAX}")));
        }
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.changes, folder, flags) {
            Ok(watch) => drop(self.watched.insert(watch, folder.to_path_buf())),
            // Gone meanwhile, another kind by now, or closed to this user: then to the program as well.
            Err(error) if is_out_of_reach(&error.into()) => return Ok(()),
            Err(error) => return Err(unwatched(folder, &error.into())),
        }
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(too_much(format!("more than {ENTRIES_MAX} files")));
            }
            if let Ok(kind) = entry.file_type() {
                self.look_at(&entry.path(), (kind, entry.ino()), root, depth)?;
            }
        }
        Ok(())
    }

    /// Masks one entry or looks into it. What a listing says of it is enough for most.
    fn look_at(
        &mut self,
        path: &Path,
        (kind, inode): (FileType, u64),
        root: &Root,
        depth: usize,
    ) -> Result<(), SandboxError> {
        let Ok(below) = path.strip_prefix(&root.source) else {
            return Ok(());
        };
        let target = root.target.join(below);
        if self.named.contains(&target) {
            // A root of its own, or a file that somebody named.
            return Ok(());
        }
        if kind.is_symlink() {
            return self.look_behind(path);
        }
        if kind.is_socket() && self.hides_sockets {
            return match fs::symlink_metadata(path) {
                Ok(found) => self.mask(target, &found),
                Err(_gone) => Ok(()),
            };
        }
        if self.is_suspect(path, inode)
            && let Ok(found) = fs::symlink_metadata(path)
            && self.is_secret(path, &found)
        {
            return self.mask(target, &found);
        }
        let is_package = || {
            path.file_name()
                .is_some_and(|name| PACKAGES.iter().any(|known| *known == name))
        };
        if kind.is_dir() && !(root.is_program && is_package()) {
            self.look_into(path, root, depth + 1)?;
        }
        Ok(())
    }

    /// Whether an entry is worth a closer look.
    fn is_suspect(&self, path: &Path, inode: u64) -> bool {
        self.judge.names_it(path)
            || self.judge.may_be_a_key(path)
            || (self.judge.git_credentials && is_git_name(path))
            || self.masked.values().any(|(_, known)| *known == inode)
    }

    /// A link under the name of a secret: what it leads to is masked, where that is granted.
    fn look_behind(&mut self, link: &Path) -> Result<(), SandboxError> {
        if !self.judge.names_it(link) {
            return Ok(());
        }
        let Ok(real) = fs::canonicalize(link) else {
            return Ok(());
        };
        let Ok(found) = fs::symlink_metadata(&real) else {
            return Ok(());
        };
        for root in self.roots.clone() {
            if let Ok(below) = real.strip_prefix(&root.source)
                && below != Path::new("")
            {
                self.mask(root.target.join(below), &found)?;
            }
        }
        Ok(())
    }

    fn is_secret(&self, path: &Path, found: &Metadata) -> bool {
        let is_known = found.nlink() > 1 && self.masked.values().any(|inode| *inode == (found.dev(), found.ino()));
        let is_file = found.is_file();
        is_known
            || ((is_file || is_secret_folder(path, found)) && self.judge.names_it(path))
            || (is_file && self.judge.may_be_a_key(path) && head(path).contains("PRIVATE KEY"))
            || (is_file && self.judge.git_credentials && is_git_configuration(path) && holds_credentials(&head(path)))
    }

    fn mask(&mut self, target: PathBuf, found: &Metadata) -> Result<(), SandboxError> {
        let inode = (found.dev(), found.ino());
        let has_other_names = found.is_file() && found.nlink() > 1;
        if has_other_names && !self.is_running {
            return Err(SandboxError::LinkedSecret {
                path: target,
                links: found.nlink(),
            });
        }
        let is_new = !self.masked.values().any(|known| *known == inode);
        self.masked.insert(target.clone(), inode);
        if self.masked.len() > MASKS_MAX {
            let what = format!("more than {MASKS_MAX} secrets");
            return Err(SandboxError::TooMuchToMask { path: target, what });
        }
        let mask = Mask {
            target,
            is_folder: found.is_dir(),
        };
        if !self.found.contains(&mask) {
            self.found.push(mask);
        }
        // Its other names are not those of secrets: now that it is known, they are found.
        if has_other_names && is_new {
            self.look_at_all()
        } else {
            Ok(())
        }
    }
}

/// A folder; but a virtual environment of Python is none, whatever it is called (`.env` is a custom).
fn is_secret_folder(path: &Path, found: &Metadata) -> bool {
    found.is_dir() && !path.join("pyvenv.cfg").is_file()
}

fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(
        super::errno(error),
        libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::EPERM | libc::ELOOP
    )
}

/// The beginning of a file; what cannot be read cannot be read by the program either.
fn head(path: &Path) -> String {
    let mut bytes = Vec::new();
    // Only files are looked at; what was put in the place of one meanwhile neither leads away nor holds up.
    let open = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path);
    let read = open.and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut bytes));
    read.map_or_else(
        |_unreadable| String::new(),
        |_| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// Whether this is the configuration of a git repository: `config` beside `HEAD`.
fn is_git_configuration(path: &Path) -> bool {
    is_git_name(path) && path.with_file_name("HEAD").symlink_metadata().is_ok()
}

pub(super) fn is_git_name(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == "config" || name == "config.worktree")
}

/// A password or token in an address, or a header with one (git-config(1)).
pub(super) fn holds_credentials(text: &str) -> bool {
    let has_password = |line: &str| {
        line.split("://").skip(1).any(|rest| {
            let authority = rest.split(['/', ' ', '"', '?', '#']).next().unwrap_or_default();
            authority
                .rsplit_once('@')
                .is_some_and(|(user, _)| !user.is_empty() && user != "git")
        })
    };
    text.lines().any(|line| {
        let folded = line.to_ascii_lowercase();
        has_password(line) || folded.contains("extraheader") || folded.contains("password") || folded.contains("token")
    })
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
