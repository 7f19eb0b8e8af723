//! Masking in a compartment that runs: this program once more, in the namespaces of the compartment.
//!
//! An editor that saves by renaming a new file over the old undoes a mask. The launching process watches for that
//! and cannot enter a namespace itself, since it has threads: it starts this.

use std::env;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fstat, openat2, statat};
use rustix::io::Errno;
use rustix::mount::mount_bind;
use rustix::process::{chdir, fchdir};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_thread_res_gid, set_thread_res_uid};

use super::identity::INSIDE;
use super::mounts::{EMPTY_FILE, EMPTY_FOLDER};
use super::wire::Mask;

/// The hidden subcommand by which a program masks.
pub(super) const SUBCOMMAND: &str = "__mask";
/// Paths that one of them masks.
pub(super) const AT_ONCE_MAX: usize = 64;
/// Exit code of one that was started by hand: wrong usage.
const EXIT_USAGE: u8 = 2;
/// How often a mask is tried on a place that is changed at the same time.
const TRIES_MAX: usize = 16;

/// The user and mount namespaces of a compartment, kept while it lives.
#[derive(Debug)]
pub(super) struct Namespaces {
    user: File,
    mounts: File,
}

impl Namespaces {
    /// Those of the sealed process, before its program runs.
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self {
            user: File::open(format!("/proc/{pid}/ns/user"))?,
            mounts: File::open(format!("/proc/{pid}/ns/mnt"))?,
        })
    }

    /// Masks these places of the running compartment.
    pub(super) fn mask(&self, masks: &[Mask]) -> io::Result<()> {
        for some in masks.chunks(AT_ONCE_MAX) {
            let status = Command::new("/proc/self/exe")
                .arg(SUBCOMMAND)
                .args(some.iter().map(|mask| &mask.target))
                .env_clear()
                .stdin(Stdio::from(self.user.try_clone()?))
                .stdout(Stdio::from(self.mounts.try_clone()?))
                .stderr(Stdio::null())
                .status()?;
            if !status.success() {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        Ok(())
    }
}

/// Masks what its arguments name, in the namespaces that are its stdin and stdout.
pub(super) fn run() -> ExitCode {
    let paths: Vec<PathBuf> = env::args_os().skip(2).map(PathBuf::from).collect();
    if env::vars_os().next().is_some() || paths.is_empty() || !is_namespace() {
        // Nobody may be listening; the exit code says it as well.
        let _unheard = writeln!(io::stderr(), "`{SUBCOMMAND}` is started by cofferdam itself");
        return ExitCode::from(EXIT_USAGE);
    }
    match enter().and_then(|()| paths.iter().try_for_each(|path| mask(path))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_reported_by_the_code) => ExitCode::FAILURE,
    }
}

/// Whether stdin is a namespace: a file of the kernel's own file system for them.
fn is_namespace() -> bool {
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    rustix::fs::fstatfs(rustix::stdio::stdin()).is_ok_and(|found| u64::try_from(found.f_type) == Ok(NSFS_MAGIC))
}

fn enter() -> io::Result<()> {
    move_into_link_name_space(rustix::stdio::stdin(), Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(rustix::stdio::stdout(), Some(LinkNameSpaceType::Mount))?;
    let (uid, gid) = (Uid::from_raw(INSIDE), Gid::from_raw(INSIDE));
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// Masks one place. No link is followed to it, and what is at the end afterwards is looked at: whoever can write
/// there may have changed it meanwhile.
fn mask(path: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    for _ in 0..TRIES_MAX {
        chdir("/")?;
        let Some(folder) = present(open(folder))? else {
            return Ok(());
        };
        fchdir(&folder)?;
        let found = match statat(CWD, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => FileType::from_raw_mode(found?.st_mode),
        };
        let empty = match found {
            FileType::Directory => EMPTY_FOLDER,
            FileType::RegularFile | FileType::Socket => EMPTY_FILE,
            // Nothing that can be read through: a link is masked where it leads.
            _ => return Ok(()),
        };
        let empty = Path::new("/").join(empty);
        if is_masked(path, &empty)? {
            return Ok(());
        }
        match mount_bind(&empty, name) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
        if is_masked(path, &empty)? {
            return Ok(());
        }
    }
    Err(Errno::BUSY.into())
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS;
    Ok(openat2(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )?)
}

/// What is not there any more, or not reachable without a link, needs no mask.
fn present(opened: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Err(error)
            if matches!(
                super::errno(&error),
                libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EACCES
            ) =>
        {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Whether a place shows the empty file or folder.
fn is_masked(path: &Path, empty: &Path) -> io::Result<bool> {
    let Some(now) = present(open(path))? else {
        return Ok(false);
    };
    let (now, empty) = (fstat(now.as_fd())?, fstat(open(empty)?.as_fd())?);
    Ok((now.st_dev, now.st_ino) == (empty.st_dev, empty.st_ino))
}
