//! What makes a file or folder ours: its owner, its mode, no link in its place, and folders above it that nobody else can change.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Uid, geteuid};

use crate::failure::{Failure, file_failure};
use crate::gate::escaped;

/// Permission bits that let the group or everybody else write.
const OTHERS_WRITE: u32 = 0o022;
/// Permission bits of anybody but the owner.
const OTHERS: u32 = 0o077;
/// The bit of a folder in which people can rename and remove only what is theirs.
const STICKY: u32 = 0o1000;

/// Who can rename in a folder above ours can put another in its place. Parents that are not there yet will be made ours.
pub(crate) fn check_parents(path: &Path) -> Result<(), Failure> {
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
    check_folder_of(folder, geteuid())
}

/// A folder that is there is a folder, no link, `owner`'s, and written by nobody else.
pub(crate) fn check_folder_of(folder: &Path, owner: Uid) -> Result<(), Failure> {
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
    check_owner(folder, &metadata, (owner, "700"))
}

/// Reads a file that decides what is accepted: a regular file of at most `bytes_max` bytes, no link, ours, and written by us alone.
pub(crate) fn read_own_file(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let bytes = read_file_of(path, geteuid(), bytes_max)?;
    String::from_utf8(bytes).map_err(|_bytes| Failure::misconfigured(format!("`{}` is not UTF-8 text", shown(path))))
}

/// As [`read_own_file`], for a file that belongs to `owner`.
pub(crate) fn read_file_of(path: &Path, owner: Uid, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let (file, metadata) = open_regular(path)?;
    check_owner(path, &metadata, (owner, "600"))?;
    read_bounded(file, path, bytes_max)
}

/// Reads a file that only we may read, such as a private key: as [`read_own_file`], and no permission for anybody else.
pub(crate) fn read_private_file(path: &Path, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    let (file, metadata) = open_regular(path)?;
    check_owner(path, &metadata, (geteuid(), "600"))?;
    if metadata.mode() & OTHERS != 0 {
        return Err(
            Failure::misconfigured(format!("others can read the private file `{}`", shown(path))).help(format!(
                "run `chmod 600 {}`, and replace it if anyone else could have read it",
                shown(path)
            )),
        );
    }
    // Never beyond the capacity: a buffer that grows leaves a copy behind.
    let room = u64::try_from(buffer.capacity()).unwrap_or(u64::MAX);
    file.take(room)
        .read_to_end(buffer)
        .map_err(|cause| file_failure("read", path, &cause))?;
    Ok(())
}

/// Reads a file of anybody's: regular, no link in its place, at most `bytes_max` bytes.
pub(crate) fn read_foreign_file(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let (file, _metadata) = open_regular(path)?;
    let bytes = read_bounded(file, path, bytes_max)?;
    String::from_utf8(bytes).map_err(|_bytes| Failure::misconfigured(format!("`{}` is not UTF-8 text", shown(path))))
}

fn open_regular(path: &Path) -> Result<(File, Metadata), Failure> {
    let opened = File::options()
        .read(true)
        // A pipe in its place must not keep us waiting.
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let file = opened.map_err(|cause| match cause.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => no_regular_file(path),
        _ => file_failure("read", path, &cause),
    })?;
    let metadata = file.metadata().map_err(|cause| file_failure("look at", path, &cause))?;
    if !metadata.is_file() {
        return Err(no_regular_file(path));
    }
    Ok((file, metadata))
}

fn read_bounded(file: File, path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound)
        .read_to_end(&mut bytes)
        .map_err(|cause| file_failure("read", path, &cause))?;
    if bytes.len() > bytes_max {
        return Err(Failure::misconfigured(format!(
            "`{}` has more than {bytes_max} bytes",
            shown(path)
        )));
    }
    Ok(bytes)
}

fn no_regular_file(path: &Path) -> Failure {
    Failure::misconfigured(format!("`{}` is a link, or no regular file", shown(path)))
        .help("put the file itself there: what a link leads to can change without you")
}

/// `mode` is what the help suggests.
fn check_owner(path: &Path, metadata: &Metadata, (owner, mode): (Uid, &str)) -> Result<(), Failure> {
    let (found, shown) = (metadata.uid(), shown(path));
    if found != owner.as_raw() {
        let us = geteuid();
        return Err(Failure::misconfigured(format!(
            "`{shown}` belongs to user {found}, and decides what servers may do for user {us}"
        ))
        .help(format!("if its content is right, run `chown {owner} {shown}`")));
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

pub(crate) fn shown(path: &Path) -> String {
    escaped(path.display().to_string().as_bytes())
}
