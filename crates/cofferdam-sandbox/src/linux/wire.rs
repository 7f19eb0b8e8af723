//! What travels to the launcher in the sealed memory file: the plan, and the paths as they were resolved.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use serde::{Deserialize, Serialize};

use super::cgroup::Places;
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
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) plan: Plan,
    /// What is to appear inside, parents before children.
    pub(super) grafts: Vec<Graft>,
    /// Symbolic links of the root: where and to what.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Files and links that are made up.
    pub(super) synthetic: Synthetic,
    /// Files that may be executed, as paths inside, when only listed ones may.
    pub(super) executables: Vec<PathBuf>,
    pub(super) control_groups: Places,
    /// Whether one of them caps memory.
    pub(super) memory_is_capped: bool,
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
    /// Granted for writing.
    Write,
}

/// The order in a memory file that nobody can change any more.
pub(super) fn seal(order: &Order) -> io::Result<OwnedFd> {
    let file = memfd_create(c"cofferdam-plan", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(&serde_json::to_vec(order).map_err(io::Error::other)?)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Reads an order back, and says in words when it is not one.
pub(super) fn unseal(file: impl AsFd) -> Result<Order, String> {
    let seals = fcntl_get_seals(&file).map_err(|_not_a_memory_file| "no sealed plan came with it".to_owned())?;
    if !seals.contains(SEALS) {
        return Err("the plan that came with it is not sealed".to_owned());
    }
    let copy = file
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| format!("the plan cannot be read: {error}"))?;
    let mut file = File::from(copy);
    io::Seek::rewind(&mut file).map_err(|error| format!("the plan cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(ORDER_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("the plan cannot be read: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("the plan that came with it is not one: {error}"))
}
