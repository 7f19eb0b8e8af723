//! Detached copies of the mounts that will appear inside.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::errno;
use super::identity::Identity;
use super::syscalls::{self, Cloned};
use super::wire::{Access, Graft};
use crate::SandboxError;

/// User namespaces that map one owner each, for idmapped mounts.
struct Owners {
    who: Identity,
    made: Vec<((u32, u32), OwnedFd)>,
}

/// Opens every graft as a detached mount with its attributes on. `who` is given when the program will be
/// somebody else than the caller: then the owner of what was granted is mapped to them.
pub(super) fn open_all(grafts: &[Graft], who: Option<Identity>) -> Result<Vec<OwnedFd>, SandboxError> {
    let mut owners = who.map(|who| Owners { who, made: Vec::new() });
    grafts.iter().map(|graft| open(graft, owners.as_mut())).collect()
}

fn open(graft: &Graft, owners: Option<&mut Owners>) -> Result<OwnedFd, SandboxError> {
    let pinned = pin(graft)?;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, graft.is_folder);
    let failed = |error: io::Error| SandboxError::Mount {
        path: graft.target.clone(),
        errno: errno(&error),
    };
    let tree = open_tree(&pinned, c"", flags).map_err(|error| failed(error.into()))?;
    let is_granted = matches!(
        graft.access,
        Access::Read | Access::Data | Access::Write | Access::Socket
    );
    if let Some(owners) = owners.filter(|_| is_granted) {
        map_owner(graft, &pinned, &tree, owners)?;
    }
    let attributes = attributes(graft.access);
    syscalls::set_mount_attributes(&tree, &attributes, graft.is_folder).map_err(failed)?;
    Ok(tree)
}

/// Opens exactly what was resolved, or nothing: no symbolic link on the way, the same inode at its end.
pub(super) fn pin(graft: &Graft) -> Result<OwnedFd, SandboxError> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let swapped = || SandboxError::SourceSwapped {
        path: graft.target.clone(),
    };
    let pinned = openat2(
        CWD,
        &graft.source,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    );
    let pinned = pinned.map_err(|error| match error {
        Errno::LOOP => swapped(),
        other => SandboxError::Source {
            path: graft.target.clone(),
            errno: other.raw_os_error(),
        },
    })?;
    let found = fstat(&pinned).map_err(|error| SandboxError::Source {
        path: graft.target.clone(),
        errno: error.raw_os_error(),
    })?;
    if (found.st_dev, found.st_ino) == graft.identity {
        Ok(pinned)
    } else {
        Err(swapped())
    }
}

/// The attributes of a mount, by what it may be used for.
pub(super) fn attributes(access: Access) -> libc::mount_attr {
    let base = libc::MOUNT_ATTR_NOSUID;
    let set = match access {
        Access::System | Access::Read => base | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_RDONLY,
        Access::Configuration | Access::Data | Access::Socket => {
            base | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC
        }
        // Read-only keeps the node itself as it is; what is behind it is read and written all the same.
        Access::Device => base | libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC,
        Access::Write => base | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC,
    };
    libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    }
}

/// Makes what the owner of the graft owns appear as the program's own. Where the file system cannot, it is shown as
/// it is, and must be open to everybody for what it is granted for: otherwise the program would find it closed.
fn map_owner(graft: &Graft, pinned: &OwnedFd, tree: &OwnedFd, owners: &mut Owners) -> Result<(), SandboxError> {
    let namespace = owners.namespace_for(graft)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace,
    };
    let Err(error) = syscalls::set_mount_attributes(tree, &attributes, graft.is_folder) else {
        return Ok(());
    };
    let mode = fstat(pinned).map_or(0, |found| found.st_mode);
    let (enter, read, write) = (0o1, 0o4, 0o2);
    let needed = match (graft.access, graft.is_folder) {
        (Access::Write, true) => write | enter,
        (Access::Write, false) => write,
        (_, true) => read | enter,
        (_, false) => read,
    };
    // Connecting to a socket is judged by whoever listens there.
    if graft.access == Access::Socket || mode & needed == needed {
        return Ok(());
    }
    Err(SandboxError::SourceOwner {
        path: graft.target.clone(),
        errno: errno(&error),
    })
}

impl Owners {
    /// The number of a descriptor of a user namespace that maps the graft's owner to the program's user.
    fn namespace_for(&mut self, graft: &Graft) -> Result<u64, SandboxError> {
        let known = self.made.iter().position(|(owner, _)| *owner == graft.owner);
        if known.is_none() {
            let namespace = mapping(graft.owner, self.who).map_err(|error| SandboxError::Identity {
                doing: format!("map the owner of `{}`", graft.target.display()),
                errno: errno(&error),
            })?;
            self.made.push((graft.owner, namespace));
        }
        let namespace = self
            .made
            .iter()
            .find(|(owner, _)| *owner == graft.owner)
            .map(|(_, namespace)| namespace);
        let number = namespace.map_or(-1, std::os::fd::AsRawFd::as_raw_fd);
        u64::try_from(number).map_err(|_none| SandboxError::Identity {
            doing: "keep a namespace".to_owned(),
            errno: 0,
        })
    }
}

/// A user namespace in which the owner on disk is the program's user and nobody else exists. A process has
/// to be in it while it is made; that process only waits.
fn mapping(owner: (u32, u32), who: Identity) -> io::Result<OwnedFd> {
    let (waiting, held) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match syscalls::clone_process(libc::CLONE_NEWUSER, None)? {
        Cloned::Child => {
            drop(held);
            // Ends when the other end is closed, also when the launcher dies.
            let _end = rustix::io::read(&waiting, &mut [0_u8; 1]);
            syscalls::end(0)
        }
        Cloned::Parent { pid, pidfd: _ } => {
            let made = (|| {
                fs::write(format!("/proc/{pid}/uid_map"), format!("{} {} 1", owner.0, who.uid))?;
                fs::write(format!("/proc/{pid}/gid_map"), format!("{} {} 1", owner.1, who.gid))?;
                fs::File::open(format!("/proc/{pid}/ns/user"))
            })();
            drop(held);
            waitpid(Pid::from_raw(pid), WaitOptions::empty())?;
            made.map(OwnedFd::from)
        }
    }
}

/// A second mount of what a descriptor stands for, with these attributes.
pub(super) fn clone_of(what: impl AsFd, attributes: u64) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(what, c"", flags)?;
    let set = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    syscalls::set_mount_attributes(&tree, &set, false)?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::pin;
    use crate::SandboxError;
    use crate::linux::wire::{Access, Graft};

    #[test]
    fn what_was_swapped_after_it_was_resolved_is_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = fs::canonicalize(folder.path()).expect("resolved").join("data");
        fs::create_dir(&source).expect("a folder");
        let found = fs::metadata(&source).expect("found");
        let graft = Graft {
            target: source.clone(),
            source: source.clone(),
            identity: (found.dev(), found.ino()),
            owner: (found.uid(), found.gid()),
            is_folder: true,
            access: Access::Read,
        };
        pin(&graft).expect("unchanged");
        let swapped = SandboxError::SourceSwapped { path: source.clone() };
        fs::rename(&source, folder.path().join("moved")).expect("moved away");
        symlink("/etc", &source).expect("a link");
        assert_eq!(pin(&graft).expect_err("refused"), swapped);
        fs::remove_file(&source).expect("removed");
        fs::create_dir(&source).expect("another folder");
        assert_eq!(pin(&graft).expect_err("refused"), swapped);
    }
}
