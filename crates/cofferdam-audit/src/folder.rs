//! Folders and files of the record, opened so that nobody else can stand in between.

use crate::clock::stamp;
use crate::error::AuditError;
use crate::file::{DiskFile, SegmentFile, SegmentSource};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, fstat, statat};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How the name of every segment ends.
pub(crate) const EXTENSION: &str = "cfa";
/// What a packed segment's name ends with beside that.
pub(crate) const PACKED_SUFFIX: &str = ".zst";
/// Most segments of one server that are looked at.
pub(crate) const SEGMENTS_MAX: usize = 1_000_000;
const SERVER_NAME_BYTES_MAX: usize = 64;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The folder of one server, open.
#[derive(Debug)]
pub(crate) struct ServerFolder {
    /// The server's folder, and the one of the record above it.
    folders: Arc<[OwnedFd; 2]>,
    path: PathBuf,
}

impl ServerFolder {
    /// Opens `<root>/<server>`, creating what is missing with mode 0700, and refuses a folder
    /// that is a symbolic link, belongs to someone else or lets others in.
    pub(crate) fn open(root: &Path, server: &str) -> Result<Self, AuditError> {
        if !is_server_name(server) {
            return Err(AuditError::ServerName {
                server: server.to_owned(),
            });
        }
        let create = |cause| AuditError::Create {
            path: root.to_owned(),
            cause,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(create)?;
        let root_fd = open_folder(rustix::fs::CWD, root, root)?;
        let path = root.join(server);
        match rustix::fs::mkdirat(&root_fd, server, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(cause) => {
                return Err(AuditError::Create {
                    path,
                    cause: cause.into(),
                });
            }
        }
        let server = open_folder(&root_fd, Path::new(server), &path)?;
        Ok(Self {
            folders: Arc::new([server, root_fd]),
            path,
        })
    }

    /// Creates the file of a new segment: mode 0600, never an existing one. The lock says to
    /// readers that its writer lives; a writer without it is only shown as ended.
    pub(crate) fn create(&self, session: &str, index: u32, wall_ns: u64) -> Result<(DiskFile, PathBuf), AuditError> {
        let name = segment_name(session, index, wall_ns);
        let path = self.path.join(&name);
        let flags =
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.server(), &name, flags, Mode::RUSR | Mode::WUSR).map_err(|cause| {
            AuditError::Create {
                path: path.clone(),
                cause: cause.into(),
            }
        })?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) | Err(_) => {}
        }
        Ok((
            DiskFile {
                file: File::from(file),
                folders: Arc::clone(&self.folders),
            },
            path,
        ))
    }

    fn server(&self) -> &OwnedFd {
        let [server, _] = &*self.folders;
        server
    }

    /// Size and age of every segment here that was written to within the last hour.
    pub(crate) fn last_hour(&self, wall_ns: u64) -> Result<Vec<(u64, Duration)>, AuditError> {
        let now = Duration::from_nanos(wall_ns);
        let read = |cause: Errno| AuditError::Read {
            path: self.path.clone(),
            cause: cause.into(),
        };
        let mut recent = Vec::new();
        for (count, entry) in Dir::read_from(self.server()).map_err(read)?.enumerate() {
            if count > SEGMENTS_MAX {
                return Err(AuditError::TooMany {
                    path: self.path.clone(),
                    max: SEGMENTS_MAX,
                });
            }
            let entry = entry.map_err(read)?;
            if !is_segment_name(entry.file_name().to_bytes()) {
                continue;
            }
            let stat = match statat(self.server(), entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(cause) => return Err(read(cause)),
            };
            let age = now.saturating_sub(Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0)));
            if age <= HOUR {
                recent.push((u64::try_from(stat.st_size).unwrap_or(0), age));
            }
        }
        Ok(recent)
    }
}

/// Creates the later segments of one session. The folder is opened anew each time, and made
/// again where it is gone, so that a record whose folder was removed goes on in a new one.
#[derive(Debug)]
pub(crate) struct SessionFolder {
    pub(crate) root: PathBuf,
    pub(crate) server: String,
    pub(crate) session: String,
}

impl SegmentSource for SessionFolder {
    fn create(&mut self, index: u32, wall_ns: u64) -> Result<(Arc<dyn SegmentFile>, PathBuf), AuditError> {
        let folder = ServerFolder::open(&self.root, &self.server)?;
        let (file, path) = folder.create(&self.session, index, wall_ns)?;
        Ok((Arc::new(file), path))
    }

    fn discard(&mut self, path: &Path) {
        match std::fs::remove_file(path) {
            Ok(()) | Err(_) => {}
        }
    }
}

/// `<time>-<session>.cfa`, and `<time>-<session>.<index>.cfa` for later segments.
fn segment_name(session: &str, index: u32, wall_ns: u64) -> String {
    let time = stamp(wall_ns);
    if index == 0 {
        format!("{time}-{session}.{EXTENSION}")
    } else {
        format!("{time}-{session}.{index}.{EXTENSION}")
    }
}

/// Whether a file's name says that it is a segment.
pub(crate) fn is_segment_name(name: &[u8]) -> bool {
    let plain = name.strip_suffix(PACKED_SUFFIX.as_bytes()).unwrap_or(name);
    plain
        .strip_suffix(EXTENSION.as_bytes())
        .is_some_and(|stem| stem.len() > 1 && stem.ends_with(b"."))
}

/// Whether a name can be a folder and nothing else: no separator, no leading dot, no surprise.
pub(crate) fn is_server_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= SERVER_NAME_BYTES_MAX
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

/// Opens a folder that must be real, ours and closed to others.
fn open_folder(above: impl std::os::fd::AsFd, name: &Path, path: &Path) -> Result<OwnedFd, AuditError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(above, name, flags, Mode::empty()).map_err(|cause| match cause {
        // O_DIRECTORY with O_NOFOLLOW says ENOTDIR for a symbolic link too.
        Errno::LOOP | Errno::NOTDIR => AuditError::Folder {
            path: path.to_owned(),
            what: "it is a symbolic link or a file",
        },
        cause => AuditError::Create {
            path: path.to_owned(),
            cause: cause.into(),
        },
    })?;
    let stat = fstat(&folder).map_err(|cause| AuditError::Create {
        path: path.to_owned(),
        cause: cause.into(),
    })?;
    match distrust(&stat) {
        Some(what) => Err(AuditError::Folder {
            path: path.to_owned(),
            what,
        }),
        None => Ok(folder),
    }
}

fn distrust(stat: &Stat) -> Option<&'static str> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        Some("it is not a folder")
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        Some("it belongs to another user")
    } else if stat.st_mode & 0o077 != 0 {
        Some("others can enter it")
    } else {
        None
    }
}

/// Checks a folder that is to be read from in the same way, without creating it.
pub(crate) fn check(path: &Path) -> Result<(), AuditError> {
    open_folder(rustix::fs::CWD, path, path)
        .map(drop)
        .map_err(|error| match error {
            AuditError::Create { path, cause } => AuditError::Read { path, cause },
            error => error,
        })
}

/// Removes a segment that never got a byte, as on a full disk, so that failing starts leave no
/// trail of empty files. One that stays is only in the way.
pub(crate) fn remove_empty(path: &Path) {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.len() == 0) {
        match std::fs::remove_file(path) {
            Ok(()) | Err(_) => {}
        }
    }
}

/// Whether some process still writes the segment: it holds the lock then.
pub(crate) fn is_live(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            rustix::fs::flock(file, FlockOperation::Unlock)?;
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(cause) => Err(cause.into()),
    }
}
