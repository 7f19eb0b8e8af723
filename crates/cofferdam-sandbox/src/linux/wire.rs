//! What travels to the launcher in the sealed memory file: the plan, and the paths as they were resolved.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use serde::{Deserialize, Serialize};

use super::synthetic::Synthetic;
use crate::Plan;

/// The hidden subcommand by which a program becomes the launcher.
pub(super) const SUBCOMMAND: &str = "__launch";
/// Longest order, in bytes; a plan at its own limits stays below it.
const ORDER_BYTES_MAX: u64 = 16 << 20;
/// Nobody can change the order, nor take these seals off.
const SEALS: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);

/// Everything the launcher needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) plan: Plan,
    /// What is to appear inside, parents before children.
    pub(super) grafts: Vec<Graft>,
    /// What of them shows nothing.
    pub(super) masks: Vec<Mask>,
    /// Symbolic links of the root: where and to what.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Files and links that are made up.
    pub(super) synthetic: Synthetic,
    /// Files that may be executed, as paths inside, when only listed ones may.
    pub(super) executables: Vec<PathBuf>,
    /// Whether one of them caps memory.
    pub(super) memory_is_capped: bool,
    /// Whether the launching process observes calls.
    pub(super) is_observed: bool,
}

/// A file or folder of the host that is to appear inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Graft {
    /// Where it appears inside.
    pub(super) target: PathBuf,
    /// Where it lies on the host, without any symbolic link.
    pub(super) source: PathBuf,
    /// Device and inode number at the time it was resolved.
    pub(super) identity: (u64, u64),
    /// Owner and group on the host.
    pub(super) owner: (u32, u32),
    pub(super) is_folder: bool,
    pub(super) access: Access,
}

impl Graft {
    /// Whether it is a folder somebody granted, in which secrets may lie.
    pub(super) fn is_granted_folder(&self) -> bool {
        self.is_folder && matches!(self.access, Access::Read | Access::Data | Access::Write)
    }
}

/// A place inside that shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mask {
    pub(super) target: PathBuf,
    pub(super) is_folder: bool,
}

/// What a graft may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Access {
    /// Part of the system: read, execute, owners as they are.
    System,
    /// Configuration of the system: read only.
    Configuration,
    /// A device node: read and write.
    Device,
    /// Granted read-only.
    Read,
    /// Granted read-only, as data: nothing in it can be executed or loaded.
    Data,
    /// Granted for writing.
    Write,
    /// A UNIX socket that may be connected to.
    Socket,
}

/// An empty memory file for an order.
pub(super) fn blank() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(memfd_create(c"cofferdam-plan", flags)?.into())
}

/// Writes the order and seals it, so that nobody can change it any more; and looks that nobody had by then.
pub(super) fn seal(order: &Order, file: &File) -> io::Result<()> {
    let bytes = serde_json::to_vec(order).map_err(io::Error::other)?;
    file.write_all_at(&bytes, 0)?;
    fcntl_add_seals(file, SEALS)?;
    let mut sealed = vec![0; bytes.len()];
    file.read_exact_at(&mut sealed, 0)?;
    if sealed == bytes {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Whether this is a file that could hold an order.
pub(super) fn is_memory_file(file: impl AsFd) -> bool {
    fcntl_get_seals(file).is_ok()
}

/// Reads an order back, and says in words when it is not one.
pub(super) fn unseal(file: impl AsFd) -> Result<Order, String> {
    let seals = fcntl_get_seals(&file).map_err(|_not_a_memory_file| "no plan came with it".to_owned())?;
    if !seals.contains(SEALS) {
        return Err("the plan that came with it is not sealed".to_owned());
    }
    let unreadable = |error: &io::Error| format!("the plan cannot be read: {error}");
    let copy = file.as_fd().try_clone_to_owned();
    let file = File::from(copy.map_err(|error| unreadable(&error))?);
    let length = file.metadata().map_err(|error| unreadable(&error))?.len();
    let length = usize::try_from(length.min(ORDER_BYTES_MAX)).unwrap_or_default();
    let mut bytes = vec![0; length];
    // Not by the position of the descriptor: two processes read it at once.
    let read = file.read_exact_at(&mut bytes, 0);
    read.map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("the plan that came with it is not one: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::{Order, blank, is_memory_file, seal, unseal};
    use crate::Plan;
    use crate::linux::synthetic::Synthetic;

    fn order() -> Order {
        Order {
            plan: Plan::sealed("/usr/bin/true"),
            grafts: Vec::new(),
            masks: Vec::new(),
            links: Vec::new(),
            synthetic: Synthetic::default(),
            executables: Vec::new(),
            memory_is_capped: false,
            is_observed: false,
        }
    }

    #[test]
    fn a_sealed_order_is_read_back_and_cannot_be_changed() {
        let file = blank().expect("a memory file");
        seal(&order(), &file).expect("sealed");
        assert_eq!(unseal(&file).expect("an order").plan, order().plan);
        file.write_all_at(b"x", 0).expect_err("sealed against writing");
        file.set_len(0).expect_err("sealed against shrinking");
        file.set_len(1 << 20).expect_err("sealed against growing");
    }

    #[test]
    fn what_is_not_sealed_or_not_an_order_is_refused() {
        let open = blank().expect("a memory file");
        open.write_all_at(&serde_json::to_vec(&order()).expect("serialised"), 0)
            .expect("written");
        assert!(unseal(&open).expect_err("refused").contains("not sealed"));
        let changed = blank().expect("a memory file");
        // Longer than what is written over it: whoever wrote first is not heard.
        changed.write_all_at(&vec![b'x'; 100_000], 0).expect("written");
        seal(&order(), &changed).expect("sealed");
        assert!(unseal(&changed).expect_err("refused").contains("not one"));
        let folder = tempfile::tempdir().expect("a folder");
        let plain = std::fs::File::create(folder.path().join("plan")).expect("a file");
        assert!(is_memory_file(&open));
        assert!(!is_memory_file(&plain) || unseal(&plain).is_err());
    }
}
