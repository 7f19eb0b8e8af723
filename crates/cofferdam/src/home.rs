//! Where Cofferdam keeps its own: configuration, state and data, by the user's passwd entry or under one `--home` folder.
//!
//! Never by XDG variables: an MCP client passes on six variables, and two processes must agree on these folders.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{User, geteuid};

use crate::failure::{Failure, file_failure};
use crate::gate::escaped;

/// Variable that stands in for `--home`.
pub(crate) const HOME_VARIABLE: &str = "COFFERDAM_HOME";
/// Permission bits that let the group or everybody else write.
const OTHERS_WRITE: u32 = 0o022;
/// The bit of a folder in which people can rename and remove only what is theirs.
const STICKY: u32 = 0o1000;

/// Where configuration lies in the user's home folder.
const CONFIG_IN_HOME: &str = ".config/cofferdam";
/// Where state lies there.
const STATE_IN_HOME: &str = ".local/state/cofferdam";

/// Cofferdam's own folders, and whose they are.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    config: PathBuf,
    state: PathBuf,
    /// `--home`, where given; recorded with every session.
    pub(crate) explicit: Option<PathBuf>,
    /// The user's home folder, from the passwd entry.
    pub(crate) user_home: PathBuf,
    /// The user's name, from the passwd entry.
    pub(crate) user_name: String,
}

impl Home {
    /// The folders for this user; `explicit` is `--home`.
    ///
    /// # Errors
    /// The user has no passwd entry; `explicit` is not ours alone, or lies where a server, a repository or another user could reach it; or
    /// a folder that is there already is not ours, or others can write to it.
    pub(crate) fn find(explicit: Option<PathBuf>) -> Result<Self, Failure> {
        let uid = geteuid();
        let user = User::from_uid(uid).ok().flatten();
        let user = user.ok_or_else(|| {
            Failure::misconfigured(format!("user {uid} has no passwd entry"))
                .help("add the user to the passwd database")
        })?;
        let (user_home, user_name) = (user.dir, user.name);
        let explicit = explicit.as_deref().map(own_folder).transpose()?;
        let (config, state) = match &explicit {
            Some(home) => (home.join("config"), home.join("state")),
            None => (user_home.join(CONFIG_IN_HOME), user_home.join(STATE_IN_HOME)),
        };
        let home = Self {
            config,
            state,
            explicit,
            user_home,
            user_name,
        };
        for folder in [&home.config, &home.servers(), &home.state, &home.audit()] {
            check_folder(folder)?;
        }
        Ok(home)
    }

    /// One folder for each server's manifest, definitions and program pins.
    pub(crate) fn servers(&self) -> PathBuf {
        self.config.join("servers")
    }

    /// The record.
    pub(crate) fn audit(&self) -> PathBuf {
        self.state.join("audit")
    }

    /// Folders that can never be granted to a server.
    pub(crate) fn own_folders(&self) -> Vec<PathBuf> {
        // The user's own ones too, whatever `--home` says: another gate uses them.
        let usual = [CONFIG_IN_HOME, STATE_IN_HOME].map(|folder| self.user_home.join(folder));
        let mut own = vec![self.config.clone(), self.state.clone()];
        own.extend(usual);
        own.extend(self.explicit.clone());
        own
    }

    /// Makes a folder of ours, with its parents, for the user alone.
    pub(crate) fn make(folder: &Path) -> Result<(), Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|cause| file_failure("make the folder", folder, &cause))
    }
}

/// `--home`: ours, mode 0700, outside the working directory, below folders that nobody else can change. Made if it is not there.
fn own_folder(home: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(home).map_err(|cause| file_failure("resolve", home, &cause))?;
    check_parents(&absolute)?;
    if !absolute.exists() {
        Home::make(&absolute)?;
    }
    let real = absolute
        .canonicalize()
        .map_err(|cause| file_failure("resolve", &absolute, &cause))?;
    check_parents(&real)?;
    let metadata = std::fs::metadata(&real).map_err(|cause| file_failure("look at", &real, &cause))?;
    let shown = shown(&real);
    if !metadata.is_dir() {
        return Err(Failure::misconfigured(format!("`{shown}` is not a folder")));
    }
    if metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(
            Failure::misconfigured(format!("the folder `{shown}` is not yours alone"))
                .help(format!("chown it to yourself and run `chmod 700 {shown}`")),
        );
    }
    let here = std::env::current_dir().map_err(|cause| file_failure("find", Path::new("."), &cause))?;
    if here != Path::new("/") && real.starts_with(&here) {
        return Err(Failure::misconfigured(format!(
            "the folder `{shown}` lies inside the working directory, where a repository could supply it"
        ))
        .help("choose a folder outside the working directory"));
    }
    Ok(real)
}

/// Who can rename in a folder above ours can put another in its place. Parents that are not there yet will be made ours.
fn check_parents(path: &Path) -> Result<(), Failure> {
    for parent in path.ancestors().skip(1) {
        let metadata = match std::fs::metadata(parent) {
            Ok(metadata) => metadata,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(file_failure("look at", parent, &cause)),
        };
        let (owner, shown) = (metadata.uid(), shown(parent));
        if owner != 0 && owner != geteuid().as_raw() {
            return Err(Failure::misconfigured(format!(
                "the folder `{}` lies in `{shown}`, which belongs to user {owner}",
                self::shown(path)
            ))
            .help("choose a folder below your own home folder"));
        }
        if metadata.mode() & OTHERS_WRITE != 0 && metadata.mode() & STICKY == 0 {
            return Err(Failure::misconfigured(format!(
                "the folder `{}` lies in `{shown}`, where others can rename it",
                self::shown(path)
            ))
            .help(format!(
                "choose a folder below your own home folder, or run `chmod go-w {shown}`"
            )));
        }
    }
    Ok(())
}

/// A folder of ours that is there is a folder, no link, ours, and written by us alone.
pub(crate) fn check_folder(folder: &Path) -> Result<(), Failure> {
    let metadata = match std::fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(file_failure("look at", folder, &cause)),
    };
    if !metadata.is_dir() {
        return Err(
            Failure::misconfigured(format!("`{}` is not a folder, or a link to one", shown(folder)))
                .help("put a folder of your own there, or keep everything elsewhere with `--home`"),
        );
    }
    check_owner(folder, &metadata, "700")
}

/// Reads a file that decides what is accepted: a regular file, no link, ours, and written by us alone.
pub(crate) fn read_own_file(path: &Path) -> Result<String, Failure> {
    let opened = File::options()
        .read(true)
        // A pipe in its place must not keep us waiting.
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let mut file = opened.map_err(|cause| match cause.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => no_regular_file(path),
        _ => file_failure("read", path, &cause),
    })?;
    let metadata = file.metadata().map_err(|cause| file_failure("look at", path, &cause))?;
    if !metadata.is_file() {
        return Err(no_regular_file(path));
    }
    check_owner(path, &metadata, "600")?;
    let mut text = String::new();
    file.read_to_string(&mut text)
        .map_err(|cause| file_failure("read", path, &cause))?;
    Ok(text)
}

fn no_regular_file(path: &Path) -> Failure {
    Failure::misconfigured(format!("`{}` is a link, or no regular file", shown(path)))
        .help("put the file itself there: what a link leads to can change without you")
}

/// `mode` is what the help suggests.
fn check_owner(path: &Path, metadata: &Metadata, mode: &str) -> Result<(), Failure> {
    let (owner, shown) = (metadata.uid(), shown(path));
    let us = geteuid();
    if owner != us.as_raw() {
        return Err(Failure::misconfigured(format!(
            "`{shown}` belongs to user {owner}, and decides what servers may do for user {us}"
        ))
        .help(format!("if its content is yours, run `chown {us} {shown}`")));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(Failure::misconfigured(format!(
            "others can write to `{shown}`, which decides what servers may do"
        ))
        .help(format!(
            "see that its content is yours, then run `chmod {mode} {shown}`"
        )));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    escaped(path.display().to_string().as_bytes())
}
