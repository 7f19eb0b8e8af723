//! `/proc` with the compartment's own processes, and of the kernel's files only three made-up ones.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, fsconfig_create, fsconfig_reconfigure, fsconfig_set_string,
    fsmount, fsopen, fspick,
};

use super::mounts::{NOSUID_NODEV, attach, place, write};
use super::{syscalls, trees};

const SEALED: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
/// What lies here for a moment while it is mounted elsewhere.
const MEANWHILE: &str = "etc/.meanwhile";
const MEANWHILE_FOLDER: &str = "etc/.meanwhile-folder";

/// A detached `/proc` of this process table.
pub(super) fn detached(hidden: bool) -> io::Result<OwnedFd> {
    let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if hidden {
        fsconfig_set_string(&context, "hidepid", "invisible")?;
    }
    fsconfig_create(&context)?;
    let attributes = NOSUID_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Mounts it in the new root, with these files over the kernel's by which programs count processors and memory.
/// `is_written` is for programs that make user namespaces, whose maps are files there.
pub(super) fn mount(root: &OwnedFd, files: &[(String, String)], is_written: bool) -> io::Result<()> {
    let proc = detached(true)?;
    attach(&proc, place(root, Path::new("/proc"), true, true)?, Path::new(""))?;
    for (name, text) in files {
        write(root, Path::new(MEANWHILE), text)?;
        let file = trees::clone_of(meanwhile(root, MEANWHILE)?, SEALED)?;
        attach(
            &file,
            place(root, &Path::new("/proc").join(name), false, false)?,
            Path::new(""),
        )?;
        unlinkat(root, MEANWHILE, AtFlags::empty())?;
    }
    match take_kernel_files_away(&proc) {
        // From Linux 7 on that can no longer be changed after mounting.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => cover_kernel_files(root, files)?,
        taken => taken?,
    }
    if is_written {
        return Ok(());
    }
    let read_only = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    syscalls::set_mount_attributes(&proc, &read_only, false)
}

fn meanwhile(root: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(openat(root, name, flags, Mode::empty())?)
}

/// Takes everything but processes away. The three mounts stay, because a mount holds its place.
fn take_kernel_files_away(proc: &OwnedFd) -> io::Result<()> {
    let context = fspick(proc, c"", FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH)?;
    fsconfig_set_string(&context, "subset", "pid")?;
    Ok(fsconfig_reconfigure(&context)?)
}

/// Whether a name in `/proc` is of a process, or leads to one.
pub(super) fn is_of_processes(name: &str, kind: FileType) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit()) || kind == FileType::Symlink
}

/// Mounts nothing over everything but processes: an empty folder over folders, an empty file over files.
fn cover_kernel_files(root: &OwnedFd, files: &[(String, String)]) -> io::Result<()> {
    write(root, Path::new(MEANWHILE), "")?;
    let file = meanwhile(root, MEANWHILE)?;
    mkdirat(root, MEANWHILE_FOLDER, Mode::from_raw_mode(0o555))?;
    let folder = meanwhile(root, MEANWHILE_FOLDER)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in Dir::read_from(openat(root, "proc", flags, Mode::empty())?)? {
        let entry = entry?;
        let name = entry.file_name().to_str().map_err(|_not_utf8| Errno::ILSEQ)?;
        let is_ours = files.iter().any(|(ours, _)| ours == name) || matches!(name, "." | "..");
        if is_ours || is_of_processes(name, entry.file_type()) {
            continue;
        }
        let is_folder = entry.file_type() == FileType::Directory;
        let nothing = trees::clone_of(if is_folder { &folder } else { &file }, SEALED)?;
        attach(
            &nothing,
            place(root, &Path::new("/proc").join(name), is_folder, false)?,
            Path::new(""),
        )?;
    }
    unlinkat(root, MEANWHILE, AtFlags::empty())?;
    Ok(unlinkat(root, MEANWHILE_FOLDER, AtFlags::REMOVEDIR)?)
}
