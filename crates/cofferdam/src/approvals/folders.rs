//! Approvers who are other users of the machine: each has a folder that an administrator made and that is theirs alone, and gates put sockets
//! there. What is answered through it counts by its signature, never by who the process is.
//!
//! Nothing rests on what lies in such a folder being true. Whoever may put a socket there can show any question; what is signed is the question
//! that was shown, and a gate takes a signature under its own question only.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Uid, geteuid};

use crate::failure::{Failure, file_failure};
use crate::own_files::shown;

/// Where the folders lie, one for each approver and of any name. A constant on purpose.
const FOLDERS: &str = "/var/lib/cofferdam/approvers";
/// Folders that are looked at.
const FOLDERS_MAX: usize = 16;
/// Sockets that are looked at in one folder, and those of one user in it.
const SOCKETS_MAX: usize = 1_024;
const SOCKETS_OF_USER_MAX: usize = 32;
/// Permission bits that let the group or everybody else write, and the bit that leaves to each what is theirs.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// One approver's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApproverFolder {
    pub(crate) path: PathBuf,
    /// Whose it is.
    pub(crate) owner: Uid,
}

/// A socket in one's own folder, and whose gate is said to listen on it.
#[derive(Debug, Clone)]
pub(crate) struct ForeignSocket {
    pub(crate) path: PathBuf,
    pub(crate) user: Uid,
}

/// The folders of approvers who are other users.
///
/// # Errors
/// The folder above them is not root's alone, or one of them is not its owner's.
pub(crate) fn of_others() -> Result<Vec<ApproverFolder>, Failure> {
    let all = folders()?.into_iter();
    Ok(all.filter(|folder| folder.owner != geteuid()).collect())
}

/// Sockets of other users' gates in the folders that are ours.
///
/// # Errors
/// As [`of_others`]; or a folder cannot be listed.
pub(crate) fn foreign_sockets() -> Result<Vec<ForeignSocket>, Failure> {
    let mut sockets: Vec<ForeignSocket> = Vec::new();
    for folder in folders()?.into_iter().filter(|folder| folder.owner == geteuid()) {
        let entries = std::fs::read_dir(&folder.path).map_err(|cause| file_failure("list", &folder.path, &cause))?;
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut paths: Vec<PathBuf> = paths.take(SOCKETS_MAX).collect();
        paths.sort();
        for path in paths {
            let socket = std::fs::symlink_metadata(&path).ok().filter(is_socket);
            let Some(user) = socket.map(|metadata| Uid::from_raw(metadata.uid())) else {
                continue;
            };
            let of_user = sockets.iter().filter(|socket| socket.user == user).count();
            if user != geteuid() && of_user < SOCKETS_OF_USER_MAX {
                sockets.push(ForeignSocket { path, user });
            }
        }
    }
    Ok(sockets)
}

fn is_socket(metadata: &Metadata) -> bool {
    metadata.file_type().is_socket()
}

fn folders() -> Result<Vec<ApproverFolder>, Failure> {
    let above = Path::new(FOLDERS);
    if std::fs::symlink_metadata(above).is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    for part in above.ancestors() {
        let metadata = std::fs::symlink_metadata(part).map_err(|cause| file_failure("look at", part, &cause))?;
        if metadata.uid() != 0 || metadata.mode() & OTHERS_WRITE != 0 || !metadata.is_dir() {
            return Err(unusable(part, "it is not root's alone, or a link"));
        }
    }
    let entries = std::fs::read_dir(above).map_err(|cause| file_failure("list", above, &cause))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    if paths.len() > FOLDERS_MAX {
        return Err(unusable(above, "it holds more than 16 folders"));
    }
    paths.iter().map(|path| folder(path)).collect()
}

fn folder(path: &Path) -> Result<ApproverFolder, Failure> {
    let metadata = std::fs::symlink_metadata(path).map_err(|cause| file_failure("look at", path, &cause))?;
    check(path, &metadata)?;
    Ok(ApproverFolder {
        path: path.to_owned(),
        owner: Uid::from_raw(metadata.uid()),
    })
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let mode = metadata.mode();
    if !metadata.is_dir() {
        return Err(unusable(path, "it is no folder, or a link to one"));
    }
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Err(unusable(path, "others can rename what lies in it"));
    }
    Ok(())
}

fn unusable(path: &Path, why: &str) -> Failure {
    let what = format!("`{}` cannot be an approver's way to questions: {why}", shown(path));
    Failure::misconfigured(what)
        .help("an administrator makes it with `install -d -o APPROVER -m 1733`, below folders of root's alone")
}

impl ApproverFolder {
    /// The folder itself, opened: what is done in it from now on is done in this one, whatever its name leads to later.
    pub(super) fn open(&self) -> io::Result<File> {
        let folder = super::socket::directory(&self.path)?;
        let metadata = folder.metadata()?;
        check(&self.path, &metadata).map_err(|failure| io::Error::other(failure.what))?;
        if metadata.uid() != self.owner.as_raw() {
            return Err(io::Error::other("the folder has changed hands"));
        }
        Ok(folder)
    }
}

/// Lets everybody who reaches our socket in `folder` connect to it. Its owner could put a link in its place: what is changed is the thing that was
/// looked at.
pub(super) fn let_connect(folder: &File, name: &str) -> io::Result<()> {
    let socket = pinned(&PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))?;
    let metadata = socket.metadata()?;
    if !is_socket(&metadata) || metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other("another thing was put in the place of the socket"));
    }
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(format!("/proc/self/fd/{}", socket.as_raw_fd()), permissions)
}

/// What `path` itself is, no link, held so that it cannot be exchanged.
pub(super) fn pinned(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits())
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixListener;

    use nix::unistd::geteuid;

    use super::{ApproverFolder, let_connect};
    use crate::approvals::socket::directory;

    #[test]
    fn a_link_in_the_place_of_the_socket_opens_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("private");
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, temporary.path().join("link.sock")).unwrap();
        let folder = directory(temporary.path()).unwrap();
        for name in ["link.sock", "private", "nothing"] {
            assert!(let_connect(&folder, name).is_err(), "{name}");
        }
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let _listener = UnixListener::bind(temporary.path().join("true.sock")).unwrap();
        let_connect(&folder, "true.sock").unwrap();
        let mode = std::fs::metadata(temporary.path().join("true.sock")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o666);
    }

    #[test]
    fn a_folder_that_became_another_is_not_used() {
        let temporary = tempfile::tempdir().unwrap();
        let (real, link) = (temporary.path().join("real"), temporary.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let folder = |path: &std::path::Path, owner| ApproverFolder {
            path: path.to_owned(),
            owner,
        };
        assert!(folder(&real, geteuid()).open().is_ok());
        assert!(folder(&link, geteuid()).open().is_err(), "a link");
        assert!(
            folder(&real, nix::unistd::Uid::from_raw(4_242)).open().is_err(),
            "of somebody else"
        );
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(folder(&real, geteuid()).open().is_err(), "anybody can rename in it");
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o1733)).unwrap();
        assert!(folder(&real, geteuid()).open().is_ok());
    }
}
