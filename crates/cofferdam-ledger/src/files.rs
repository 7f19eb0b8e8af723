//! Small files, written so that a crash leaves the old one or the new one.

use crate::error::LedgerError;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// The longest file that is read whole: a full bundle of the longest entries.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

pub(crate) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> LedgerError + 'a {
    move |cause| LedgerError::File {
        doing,
        path: path.to_owned(),
        cause,
    }
}

/// Makes a folder and those above it, for the user alone. The name of one that is new is on the disk
/// before anything is put there.
pub(crate) fn make_folder(path: &Path) -> Result<(), LedgerError> {
    let new: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make the folder", path))?;
    new.into_iter().filter_map(Path::parent).try_for_each(sync_folder)
}

fn sync_folder(folder: &Path) -> Result<(), LedgerError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}

/// Reads a regular file that is no link.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("not a regular file of a possible length"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts a file in place whole: `sync` where it must survive a crash of the machine. Two writers
/// must use names of their own.
pub(crate) fn write(path: &Path, bytes: &[u8], sync: bool) -> Result<(), LedgerError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let written = rustix::fs::open(&temporary, flags, Mode::RUSR | Mode::WUSR)
        .map_err(io::Error::from)
        .and_then(|file| {
            let mut file = File::from(file);
            file.write_all(bytes)?;
            if sync { file.sync_all() } else { Ok(()) }
        })
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        remove(&temporary);
    }
    written.map_err(failed("write", path))?;
    match path.parent().filter(|_| sync) {
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

/// Removes a file that is not needed any more; one that stays does no harm.
pub(crate) fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) | Err(_) => {}
    }
}

/// Takes the lock without waiting: `None` when another process holds it. It goes with the file.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>, LedgerError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(io::Error::from)
        .map_err(failed("open", path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(File::from(file))),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(cause) => Err(failed("lock", path)(cause.into())),
    }
}
