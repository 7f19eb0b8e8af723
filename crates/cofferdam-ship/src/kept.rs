//! Small files that say where shipping stands: after a failure at any moment the old one is there, or the new one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Puts a file in place whole and on the disk, for the user alone; gives it open for appending.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    // One that a kill left.
    let _ = std::fs::remove_file(&draft);
    let placed = place(&draft, path, bytes);
    if placed.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    placed
}

fn place(draft: &Path, path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::options().append(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(draft, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}
