//! A granted folder as it is at the start: a copy in memory in which secrets show nothing.
//!
//! A mask over a folder that others change is undone by a rename, and what they write under another name first is
//! never masked. Nothing of what happens in the folder after the start appears in a copy.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, fchmod, fstat, futimens, mkdirat, openat,
    readlinkat, statat, symlinkat,
};
use rustix::io::Errno;

use super::errno;
use super::secrets::{DEPTH_MAX, ENTRIES_MAX, HEAD_BYTES, PACKAGES, holds_credentials, is_git_name};
use super::wire::{Access, Graft, Order};
use crate::SandboxError;
use crate::mask::Judge;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Copies granted folders of one order.
pub(super) struct Copier<'order> {
    judge: Judge,
    /// What was found to be a secret when the order was written, also what a link under such a name led to.
    found: BTreeSet<&'order Path>,
    /// Places with a grant of their own, which is mounted over what stands there.
    granted: BTreeSet<&'order Path>,
    entries: usize,
}

/// Where something lies on the host and where it appears.
#[derive(Clone)]
struct Place {
    source: PathBuf,
    target: PathBuf,
    /// It is of the program's own files, where installed packages are not looked through.
    is_program: bool,
    /// Names are looked at.
    is_judged: bool,
}

impl Place {
    fn join(&self, name: &Path) -> Self {
        Self {
            source: self.source.join(name),
            target: self.target.join(name),
            ..*self
        }
    }

    /// The same for what lies in it, when it is a folder of this name.
    fn below(&self, name: &Path) -> Self {
        let is_package = PACKAGES.iter().any(|known| name == Path::new(known));
        Self {
            is_judged: self.is_judged && !(self.is_program && is_package),
            ..self.clone()
        }
    }
}

fn failed(place: &Place) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Snapshot {
        path: place.target.clone(),
        errno: errno(&error),
    }
}

/// An open folder and the one it is copied into.
#[derive(Clone, Copy)]
struct Pair<'open> {
    from: &'open OwnedFd,
    into: &'open OwnedFd,
    depth: usize,
}

impl<'order> Copier<'order> {
    pub(super) fn new(order: &'order Order) -> Self {
        Self {
            judge: Judge::new(&order.plan.masks),
            found: order.masks.iter().map(|mask| mask.target.as_path()).collect(),
            granted: order.grafts.iter().map(|graft| graft.target.as_path()).collect(),
            entries: 0,
        }
    }

    /// Copies a granted folder, which is open as a mount of its own, into an empty one. What this user may not
    /// read has no content there.
    pub(super) fn copy(&mut self, graft: &Graft, tree: &OwnedFd, into: &OwnedFd) -> Result<(), SandboxError> {
        let place = Place {
            source: graft.source.clone(),
            target: graft.target.clone(),
            is_program: graft.access == Access::Read,
            is_judged: true,
        };
        let opened = openat(tree, ".", FOLDER, Mode::empty()).and_then(|from| Ok((fstat(&from)?, from)));
        let (found, from) = opened.map_err(|error| failed(&place)(error.into()))?;
        let pair = Pair {
            from: &from,
            into,
            depth: 0,
        };
        self.entries_of(&place, pair)?;
        finish(into, &found).map_err(failed(&place))
    }

    fn entries_of(&mut self, at: &Place, pair: Pair<'_>) -> Result<(), SandboxError> {
        let too_much = |what: String| SandboxError::TooMuchToMask {
            path: at.target.clone(),
            what,
        };
        if pair.depth > DEPTH_MAX {
            return Err(too_much(format!("folders deeper than {DEPTH_MAX}")));
        }
        for entry in Dir::read_from(pair.from).map_err(|error| failed(at)(error.into()))? {
            let entry = entry.map_err(|error| failed(at)(error.into()))?;
            let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
            if name.file_name().is_none() || name == Path::new(".") {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(too_much(format!("more than {ENTRIES_MAX} files")));
            }
            let place = at.join(name);
            let Ok(found) = statat(pair.from, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Symlink => self.link(&place, pair, name)?,
                FileType::Directory => self.folder(&place, pair, name)?,
                FileType::RegularFile => self.file(&place, pair, name)?,
                // Sockets, pipes and devices are not shown.
                _ => {}
            }
        }
        Ok(())
    }

    /// A link under the name of a secret is left out; what it leads to was found before, if it is granted.
    fn link(&self, place: &Place, pair: Pair<'_>, name: &Path) -> Result<(), SandboxError> {
        if place.is_judged && self.judge.names_it(&place.source) {
            return Ok(());
        }
        let linked = readlinkat(pair.from, name, Vec::new()).and_then(|leads_to| {
            let leads_to = Path::new(OsStr::from_bytes(leads_to.as_bytes()));
            symlinkat(leads_to, pair.into, name)
        });
        gone_or(linked, ()).map_err(failed(place))
    }

    fn folder(&mut self, place: &Place, pair: Pair<'_>, name: &Path) -> Result<(), SandboxError> {
        let opened = openat(pair.from, name, FOLDER, Mode::empty()).map(Some);
        let made = mkdirat(pair.into, name, Mode::RWXU).and_then(|()| openat(pair.into, name, FOLDER, Mode::empty()));
        let into = made.map_err(|error| failed(place)(error.into()))?;
        // Gone meanwhile, another kind by now, or closed to this user: then an empty folder stands for it.
        let Some(from) = gone_or(opened, None).map_err(failed(place))? else {
            return Ok(());
        };
        let found = fstat(&from).map_err(|error| failed(place)(error.into()))?;
        let is_environment = || statat(&from, "pyvenv.cfg", AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let is_secret = self.is_named(place) && !is_environment();
        if !is_secret && !self.granted.contains(place.target.as_path()) {
            let depth = pair.depth + 1;
            let pair = Pair {
                from: &from,
                into: &into,
                depth,
            };
            self.entries_of(&place.below(name), pair)?;
        }
        finish(&into, &found).map_err(failed(place))
    }

    fn file(&self, place: &Place, pair: Pair<'_>, name: &Path) -> Result<(), SandboxError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(pair.into, name, flags, Mode::RUSR | Mode::WUSR);
        let mut into = File::from(made.map_err(|error| failed(place)(error.into()))?);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(pair.from, name, flags, Mode::empty()).map(Some);
        let Some(from) = gone_or(opened, None).map_err(failed(place))? else {
            return finish_mode(&into, 0).map_err(failed(place));
        };
        let found = fstat(&from).map_err(|error| failed(place)(error.into()))?;
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let is_hidden = self.is_named(place);
        if is_file && !is_hidden && !self.granted.contains(place.target.as_path()) {
            io::copy(&mut File::from(from), &mut into).map_err(failed(place))?;
        }
        let is_secret = is_hidden || self.holds_secret(place, pair, &mut into).map_err(failed(place))?;
        if is_secret && found.st_nlink > 1 {
            return Err(SandboxError::LinkedSecret {
                path: place.target.clone(),
                links: found.st_nlink,
            });
        }
        if is_secret {
            into.set_len(0).map_err(failed(place))?;
        }
        finish(&into, &found).map_err(failed(place))
    }

    /// Whether a place is hidden whatever it holds.
    fn is_named(&self, place: &Place) -> bool {
        if self.granted.contains(place.target.as_path()) {
            // Somebody named it: it is shown as what it is, by a mount of its own.
            return false;
        }
        self.found.contains(place.target.as_path()) || (place.is_judged && self.judge.names_it(&place.source))
    }

    /// Whether the copy, which nobody changes any more, holds a key or credentials under a name for them.
    fn holds_secret(&self, place: &Place, pair: Pair<'_>, copy: &mut File) -> io::Result<bool> {
        let may_be_a_key = self.judge.may_be_a_key(&place.source);
        let is_of_git = self.judge.git_credentials
            && is_git_name(&place.source)
            && statat(pair.from, "HEAD", AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if !place.is_judged || !(may_be_a_key || is_of_git) {
            return Ok(false);
        }
        copy.rewind()?;
        let mut head = Vec::new();
        copy.take(HEAD_BYTES).read_to_end(&mut head)?;
        let head = String::from_utf8_lossy(&head);
        Ok((may_be_a_key && head.contains("PRIVATE KEY")) || (is_of_git && holds_credentials(&head)))
    }
}

/// What was there a moment ago and is not any more, or is closed to this user, is as good as absent.
fn gone_or<T>(result: rustix::io::Result<T>, absent: T) -> io::Result<T> {
    match result {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::INVAL | Errno::NXIO) => {
            Ok(absent)
        }
        other => Ok(other?),
    }
}

/// Gives a copy the rights of the original and its time.
fn finish(copy: impl AsFd, found: &Stat) -> io::Result<()> {
    finish_mode(&copy, found.st_mode)?;
    let time = Timespec {
        tv_sec: found.st_mtime,
        tv_nsec: found.st_mtime_nsec.cast_signed(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(futimens(copy, &times)?)
}

fn finish_mode(copy: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fchmod(copy, Mode::from_raw_mode(mode & 0o777))?)
}
