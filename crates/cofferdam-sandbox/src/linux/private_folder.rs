//! Home and temporary files of a compartment without a mount table: a folder on the host, made for one run and removed
//! after it.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::plan::HOME;

/// Where it is made.
const PARENT: &str = "/tmp";
const PREFIX: &str = "cofferdam-run-";
const HOME_IN_IT: &str = "home";
const TMP_IN_IT: &str = "tmp";
/// Random bytes in its name.
const NAME_BYTES: usize = 16;
/// Most rounds of emptying it. Each round removes all there is but what lies in folders, and lifts those up by one.
const ROUNDS_MAX: usize = 100_000;
const OWN_ONLY: u32 = 0o700;

/// The folder, by its path and by what it is.
#[derive(Debug)]
pub(super) struct PrivateFolder {
    path: PathBuf,
    identity: (u64, u64),
}

impl PrivateFolder {
    /// Makes it, for this process's user alone.
    pub(super) fn make() -> io::Result<Self> {
        let mut random = [0; NAME_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = Path::new(PARENT).join(format!("{PREFIX}{name}"));
        let mode = Mode::from_raw_mode(OWN_ONLY);
        // What is there already, a link too, is an error.
        mkdirat(CWD, &path, mode)?;
        let folder = open(&path)?;
        for inner in [HOME_IN_IT, TMP_IN_IT] {
            mkdirat(&folder, inner, mode)?;
        }
        let found = fstat(&folder)?;
        Ok(Self {
            path,
            identity: (found.st_dev, found.st_ino),
        })
    }

    /// The folder itself, in which nothing is granted but the two below it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path.join(HOME_IN_IT)
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.path.join(TMP_IN_IT)
    }

    /// A value of the plan with the private folders it names moved to where they are here. All but the home is left alone
    /// unless it is the folder for temporary files itself: other paths below `/tmp` are the host's.
    pub(super) fn moved(&self, value: &str) -> String {
        let below_home = value
            .strip_prefix(HOME)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match below_home {
            Some(rest) => format!("{}{rest}", self.home().display()),
            None if value == PARENT => self.tmp().display().to_string(),
            None => value.to_owned(),
        }
    }

    /// Removes it with all that is in it, however deep: nothing of the compartment lives any more. False when `until` came
    /// first; whoever goes on where this stopped needs no other beginning.
    pub(super) fn remove(&self, until: Option<Instant>) -> io::Result<bool> {
        let folder = open(&self.path)?;
        let found = fstat(&folder)?;
        if (found.st_dev, found.st_ino) != self.identity {
            return Err(Errno::STALE.into());
        }
        for _ in 0..ROUNDS_MAX {
            match lift(&folder, until)? {
                Left::Nothing => return Ok(unlinkat(CWD, &self.path, AtFlags::REMOVEDIR).map(|()| true)?),
                Left::Folders => {}
                Left::NoTime => return Ok(false),
            }
        }
        Err(Errno::NOTEMPTY.into())
    }
}

/// What a round of emptying leaves.
enum Left {
    Nothing,
    Folders,
    NoTime,
}

fn open(path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    open_in(CWD, path)
}

fn open_in(folder: impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, path, flags, Mode::empty())?)
}

/// Empties every folder that lies directly in `top` into `top`, and removes whatever else does. No depth of folders costs
/// descriptors or stack.
fn lift(top: &OwnedFd, until: Option<Instant>) -> io::Result<Left> {
    let is_late = || until.is_some_and(|until| Instant::now() >= until);
    let mut left = Left::Nothing;
    let mut lifted = 0_u64;
    for name in names(top)? {
        match remove_file(top, &name) {
            Ok(()) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        // Its mode may be any that a program may give.
        chmodat(top, &name, Mode::from_raw_mode(OWN_ONLY), AtFlags::empty())?;
        let folder = open_in(top, &name)?;
        for inner in names(&folder)? {
            if is_late() {
                return Ok(Left::NoTime);
            }
            if is_folder(&folder, &inner)? {
                lifted += 1;
                // A folder can only be moved by who may write in it, since its parent changes.
                chmodat(&folder, &inner, Mode::from_raw_mode(OWN_ONLY), AtFlags::empty())?;
                renameat(&folder, &inner, top, new_name(top, lifted)?.as_c_str())?;
                left = Left::Folders;
            } else {
                remove_file(&folder, &inner)?;
            }
        }
        unlinkat(top, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(left)
}

fn remove_file(folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    if is_folder(folder, name)? {
        return Err(Errno::ISDIR);
    }
    unlinkat(folder, name, AtFlags::empty())
}

fn is_folder(folder: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

/// A name that is not taken in `top`.
fn new_name(top: &OwnedFd, count: u64) -> io::Result<CString> {
    for further in 0..u64::MAX {
        let name = CString::new(format!("{count}.{further}"))?;
        match statat(top, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(name),
            found => drop(found?),
        }
    }
    Err(Errno::EXIST.into())
}

/// What lies in a folder. A snapshot: what is moved in while it is read may be listed or not.
fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_of_folder = [".", ".."].iter().any(|own| OsStr::from_bytes(name.to_bytes()) == *own);
        if !is_of_folder {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{Mode, mkdirat};

    use super::{PrivateFolder, open, open_in};

    #[test]
    fn paths_of_the_plan_are_moved_and_no_others() {
        let folder = PrivateFolder::make().expect("made");
        let (home, tmp) = (folder.home().display().to_string(), folder.tmp().display().to_string());
        assert_eq!(folder.moved("/home/sandbox"), home);
        assert_eq!(folder.moved("/home/sandbox/.npm"), format!("{home}/.npm"));
        assert_eq!(folder.moved("/home/sandboxed"), "/home/sandboxed");
        assert_eq!(folder.moved("/tmp"), tmp);
        assert_eq!(folder.moved("/tmp/other"), "/tmp/other");
        let mode = fs::metadata(folder.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(folder.remove(None).expect("removed"));
        assert!(!folder.path().exists());
    }

    #[test]
    fn whatever_a_program_left_there_is_removed_and_nothing_else() {
        let folder = PrivateFolder::make().expect("made");
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("kept"), "kept").expect("written");
        symlink(outside.path(), folder.home().join("link")).expect("linked");
        symlink(outside.path().join("kept"), folder.tmp().join("link")).expect("linked");
        fs::create_dir(folder.tmp().join("closed")).expect("made");
        fs::write(folder.tmp().join("closed/file"), "x").expect("written");
        fs::create_dir(folder.tmp().join("closed/inner")).expect("made");
        for closed in ["closed/inner", "closed"] {
            fs::set_permissions(folder.tmp().join(closed), fs::Permissions::from_mode(0o0)).expect("closed");
        }
        for count in 0..50 {
            fs::create_dir(folder.path().join(format!("{count}.0"))).expect("a name we would give");
        }
        // Deeper than there may be descriptors, and stopped on the way.
        let mut at = open(folder.home().as_path()).expect("open");
        for _ in 0..1200 {
            mkdirat(&at, "d", Mode::from_raw_mode(0o700)).expect("made");
            at = open_in(&at, "d").expect("open");
        }
        drop(at);
        let soon = Some(std::time::Instant::now());
        assert!(!folder.remove(soon).expect("no time"));
        assert!(folder.path().exists());
        assert!(folder.remove(None).expect("removed"));
        assert!(!folder.path().exists());
        assert_eq!(fs::read_to_string(outside.path().join("kept")).expect("kept"), "kept");
    }

    #[test]
    fn what_took_its_place_is_left_alone() {
        let folder = PrivateFolder::make().expect("made");
        let aside = folder.path().with_extension("aside");
        fs::rename(folder.path(), &aside).expect("moved");
        fs::create_dir(folder.path()).expect("another");
        folder.remove(None).expect_err("another folder");
        assert!(folder.path().exists());
        fs::remove_dir_all(folder.path()).expect("removed");
        fs::remove_dir_all(aside).expect("removed");
    }
}
