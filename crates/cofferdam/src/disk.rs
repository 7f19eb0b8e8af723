//! Room on the disk of the record: said before nothing passes any more.

use std::path::Path;

use cofferdam_manifest::bytes_in_words;
use nix::sys::statvfs::statvfs;

/// Bytes that are free for this user on the disk that holds `path`; `None` where that cannot be known.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let disk = statvfs(path).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// What people should hear when less than `least` is free.
pub(crate) fn warning(path: &Path, least: u64) -> Option<String> {
    let free = free_bytes(path).filter(|free| *free < least)?;
    Some(format!(
        "warning: {} free on the disk of the record (`{}`); nothing passes when it is full, `audit prune` and `audit compress` make room",
        bytes_in_words(free),
        path.display()
    ))
}
