//! The mount table: a fresh root with the granted places, and nothing else.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::process::{fchdir, pivot_root};

use super::snapshot::Copier;
use super::wire::{Graft, Order};
use super::{errno, private_proc, syscalls, trees};
use crate::plan::HOME;
use crate::{Limits, SandboxError};

/// Size and files of the root itself: only what is synthetic lies in it.
const ROOT_BYTES: u64 = 4 << 20;
const ROOT_INODES: u64 = 8192;
const EMPTY_ATTRIBUTES: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
/// Where what is mounted folder by folder lies meanwhile.
const MEANWHILE: &str = "/.private";
/// Private folders, all on one file system so that one limit holds for them together.
const PRIVATE: [(&str, &str, u32); 3] = [
    ("tmp", "/tmp", 0o1777),
    ("home", HOME, 0o700),
    ("shm", "/dev/shm", 0o1777),
];
/// What masked places show, relative to the root: nothing.
pub(super) const EMPTY_FILE: &str = "etc/.masked";
pub(super) const EMPTY_FOLDER: &str = "etc/.masked-folder";
pub(super) const NOSUID_NODEV: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

fn failed(path: &Path) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Mount {
        path: path.to_path_buf(),
        errno: errno(&error),
    }
}

/// Builds the new root and makes it the root. `handed` waits for the grafts as detached mounts, when the launcher
/// has to open them; otherwise they are opened here.
pub(super) fn enter(
    order: &Order,
    handed: Option<impl FnOnce() -> Result<Vec<OwnedFd>, SandboxError>>,
) -> Result<(), SandboxError> {
    let root_path = Path::new("/");
    mount_change(root_path, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| failed(root_path)(error.into()))?;
    // Everything of the host is opened before anything is covered: here, or by the launcher, for which nothing is.
    let opened = match handed {
        Some(_) => Vec::new(),
        None => trees::open_all(&order.grafts, None)?,
    };
    let root = tmpfs(ROOT_BYTES, ROOT_INODES, NOSUID_NODEV).map_err(failed(root_path))?;
    attach(&root, CWD, root_path)
        .and_then(|()| Ok(fchdir(&root)?))
        .map_err(failed(root_path))?;
    for (path, text) in &order.synthetic.files {
        write(&root, path, text).map_err(failed(path))?;
    }
    for (link, leads_to) in order.links.iter().chain(&order.synthetic.links) {
        made(&root, link, || symlinkat(leads_to, &root, within(link))).map_err(failed(link))?;
    }
    mount_private(&root, &order.plan.limits, order.plan.executable_tmp).map_err(failed(Path::new("/tmp")))?;
    // By now the launcher has them, or soon.
    let opened = handed.map_or(Ok(opened), |wait| wait())?;
    if opened.len() != order.grafts.len() {
        return Err(failed(root_path)(io::ErrorKind::InvalidData.into()));
    }
    let opened = if order.plan.shows_snapshots() {
        snapshots(&root, order, opened)?
    } else {
        opened
    };
    mount_grafts(&root, order, &opened)?;
    mount_masks(&root, order)?;
    private_proc::mount(&root, &order.synthetic.proc, order.plan.browser).map_err(failed(Path::new("/proc")))?;
    pivot(&root).map_err(|error| SandboxError::PivotRoot { errno: errno(&error) })
}

/// Mounts what was opened at its places. A place that does not exist is made only on the fresh root: within
/// another graft it would be made on the host.
fn mount_grafts(root: &OwnedFd, order: &Order, opened: &[OwnedFd]) -> Result<(), SandboxError> {
    for (graft, tree) in order.grafts.iter().zip(opened) {
        let is_within = |other: &Graft| other.target != graft.target && graft.target.starts_with(&other.target);
        let may_create = !order.grafts.iter().any(is_within);
        place(root, &graft.target, graft.is_folder, may_create)
            .and_then(|place| attach(tree, &place, Path::new("")))
            .map_err(failed(&graft.target))?;
    }
    Ok(())
}

/// Mounts nothing over what is not to be read. What is gone by now, or out of this user's reach, needs no mask.
fn mount_masks(root: &OwnedFd, order: &Order) -> Result<(), SandboxError> {
    if order.plan.masks.is_empty() && !order.plan.has_unix_sockets() {
        return Ok(());
    }
    let at = Path::new(EMPTY_FILE);
    let made = write(root, at, "").and_then(|()| Ok(mkdirat(root, EMPTY_FOLDER, Mode::from_raw_mode(0o555))?));
    made.map_err(failed(at))?;
    for mask in &order.masks {
        let empty = if mask.is_folder { EMPTY_FOLDER } else { EMPTY_FILE };
        let mounted = place(root, &mask.target, mask.is_folder, false).and_then(|place| {
            let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let empty = openat(root, empty, flags, Mode::empty())?;
            let tree = trees::clone_of(empty, EMPTY_ATTRIBUTES)?;
            attach(&tree, &place, Path::new(""))
        });
        match mounted {
            Err(error) if matches!(errno(&error), libc::ENOENT | libc::EACCES) => {}
            other => other.map_err(failed(&mask.target))?,
        }
    }
    Ok(())
}

/// Makes something at a path of the new root, after the folders above it where they do not exist yet.
fn made<T>(root: &OwnedFd, path: &Path, make: impl Fn() -> Result<T, Errno>) -> io::Result<T> {
    match make() {
        Err(Errno::NOENT) => {
            make_folders(root, path)?;
            Ok(make()?)
        }
        made => Ok(made?),
    }
}

/// Makes the folders above a path of the new root.
fn make_folders(root: &OwnedFd, path: &Path) -> io::Result<()> {
    let above: Vec<&Path> = within(path).ancestors().skip(1).collect();
    for folder in above.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
        match mkdirat(root, folder, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes a new file of the new root, folders above it included.
pub(super) fn write(root: &OwnedFd, path: &Path, text: &str) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = made(root, path, || {
        openat(root, within(path), flags, Mode::from_raw_mode(0o444))
    })?;
    File::from(file).write_all(text.as_bytes())
}

/// A path relative to the root it will be in.
pub(super) fn within(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// A detached memory file system of our own.
fn tmpfs(bytes: u64, inodes: u64, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "size", bytes.to_string())?;
    fsconfig_set_string(&context, "nr_inodes", inodes.to_string())?;
    fsconfig_set_string(&context, "mode", "0755")?;
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Mounts a detached tree on a folder or file.
pub(super) fn attach(tree: &OwnedFd, at: impl AsFd, path: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, c"", at, path, flags)?)
}

/// The folder or file at a path of the new root, made if it does not exist yet and lies on the root itself.
/// No symbolic link is followed: what was granted may have been changed by whoever can write there.
pub(super) fn place(root: &OwnedFd, path: &Path, is_folder: bool, may_create: bool) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let open = |path: &Path| openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    let relative = within(path);
    match open(relative) {
        Err(Errno::NOENT) if may_create => create(open(Path::new("."))?, relative, is_folder),
        Err(error) => Err(error.into()),
        Ok(found) => of_kind(found, is_folder),
    }
}

/// Makes the folders of a path that do not exist yet, and the file at its end.
fn create(root: OwnedFd, relative: &Path, is_folder: bool) -> io::Result<OwnedFd> {
    let name = relative.file_name().filter(|_| !is_folder);
    let folders = match name {
        Some(_) => relative.parent().unwrap_or(relative),
        None => relative,
    };
    let mut folder = root;
    for part in folders.components().filter(|part| matches!(part, Component::Normal(_))) {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let open = |within: &OwnedFd| openat(within, part.as_os_str(), flags, Mode::empty());
        folder = match open(&folder) {
            Err(Errno::NOENT) => {
                mkdirat(&folder, part.as_os_str(), Mode::from_raw_mode(0o755))?;
                open(&folder)?
            }
            opened => opened?,
        };
    }
    let Some(name) = name else { return Ok(folder) };
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(openat(&folder, name, flags, Mode::from_raw_mode(0o444))?)
}

fn of_kind(found: OwnedFd, is_folder: bool) -> io::Result<OwnedFd> {
    let is_found_folder = FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory;
    if is_found_folder == is_folder {
        Ok(found)
    } else {
        Err(Errno::NOTDIR.into())
    }
}

/// A memory file system of which single folders are mounted, each at a place of its own, so that one limit holds
/// for them together.
struct Shared<'root> {
    root: &'root OwnedFd,
    files: OwnedFd,
    /// Before Linux 6.15 only what is mounted can be mounted a second time. (Unmounting it again waits for every
    /// processor, so it is not done where it need not.)
    is_mounted: bool,
}

impl<'root> Shared<'root> {
    fn new(root: &'root OwnedFd, limits: &Limits) -> io::Result<Self> {
        Ok(Self {
            root,
            files: tmpfs(limits.disk_bytes, limits.inodes, NOSUID_NODEV)?,
            is_mounted: false,
        })
    }

    /// A new folder of it.
    fn folder(&self, name: &str, mode: u32) -> io::Result<OwnedFd> {
        mkdirat(&self.files, name, Mode::from_raw_mode(mode))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let folder = openat(&self.files, name, flags, Mode::empty())?;
        // The caller's umask may have taken bits away.
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?;
        Ok(folder)
    }

    /// A mount of one of its folders.
    fn mount_of(&mut self, folder: &OwnedFd, attributes: u64) -> io::Result<OwnedFd> {
        match trees::clone_of(folder, attributes) {
            Err(error) if errno(&error) == libc::EINVAL && !self.is_mounted => {
                attach(
                    &self.files,
                    place(self.root, Path::new(MEANWHILE), true, true)?,
                    Path::new(""),
                )?;
                self.is_mounted = true;
                trees::clone_of(folder, attributes)
            }
            cloned => cloned,
        }
    }

    /// Leaves the folders that were mounted, and nothing else of it.
    fn finish(self) -> io::Result<()> {
        if self.is_mounted {
            // Relative to the new root, which is this process's working directory by now.
            unmount(within(Path::new(MEANWHILE)), UnmountFlags::DETACH)?;
            unlinkat(self.root, within(Path::new(MEANWHILE)), AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }
}

/// `/tmp`, home and `/dev/shm`: private, limited together, gone at the end.
fn mount_private(root: &OwnedFd, limits: &Limits, executable: bool) -> io::Result<()> {
    let mut private = Shared::new(root, limits)?;
    for (name, path, mode) in PRIVATE {
        let folder = private.folder(name, mode)?;
        let noexec = if executable && name != "shm" {
            0
        } else {
            libc::MOUNT_ATTR_NOEXEC
        };
        let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | noexec;
        let tree = private.mount_of(&folder, attributes)?;
        attach(&tree, place(root, Path::new(path), true, true)?, Path::new(""))?;
    }
    private.finish()
}

/// Copies of granted folders in the place of the folders, for a plan that wants them shown as they were.
fn snapshots(root: &OwnedFd, order: &Order, opened: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, SandboxError> {
    let failed = |graft: &Graft| {
        let path = graft.target.clone();
        move |error: io::Error| SandboxError::Snapshot {
            path,
            errno: errno(&error),
        }
    };
    let mut copies = Shared::new(root, &order.plan.limits).map_err(self::failed(Path::new("/")))?;
    let mut copier = Copier::new(order);
    let mut copied = Vec::with_capacity(opened.len());
    for (number, (graft, tree)) in order.grafts.iter().zip(opened).enumerate() {
        if !graft.is_granted_folder() {
            copied.push(tree);
            continue;
        }
        let folder = copies.folder(&number.to_string(), 0o700).map_err(failed(graft))?;
        copier.copy(graft, &tree, &folder)?;
        let attributes = trees::attributes(graft.access).attr_set;
        copied.push(copies.mount_of(&folder, attributes).map_err(failed(graft))?);
    }
    copies.finish().map_err(self::failed(Path::new("/")))?;
    Ok(copied)
}

/// Makes the new root, which is the working directory, the root, lets go of the old one, and takes away the
/// right to write the new one.
fn pivot(root: &OwnedFd) -> io::Result<()> {
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC;
    let read_only = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    syscalls::set_mount_attributes(root, &read_only, false)
}
