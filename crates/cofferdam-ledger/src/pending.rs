//! Entries that wait to be put into the tree: one file each, so that no gate waits for another.

use crate::entry::{ENTRY_BYTES_MAX, Entry};
use crate::error::LedgerError;
use crate::files;
use std::path::{Path, PathBuf};

/// Most entries that one integration takes; the next takes the rest.
pub(crate) const BATCH_MAX: usize = 10_000;

/// Notes an entry. Its name orders it by time, and makes a second note of the same statement the
/// same file.
pub(crate) fn submit(folder: &Path, entry: &Entry) -> Result<(), LedgerError> {
    let bytes = entry.to_bytes()?;
    let what = serde_json::to_value(entry.what).map_err(|_cause| LedgerError::Entry)?;
    let (session, seq, wall_ns) = (&entry.session, entry.seq, entry.wall_ns);
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_name(session) || session.len() > 64 {
        return Err(LedgerError::Entry);
    }
    let name = format!("{wall_ns:020}-{session}-{seq}-{}", what.as_str().unwrap_or_default());
    files::write(&folder.join(name), &bytes, false)
}

/// One entry that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: Entry,
}

/// The entries that wait, oldest first, and files that are none: they are named, never dropped.
pub(crate) fn waiting(folder: &Path) -> Result<(Vec<Waiting>, Vec<PathBuf>), LedgerError> {
    let mut paths = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        Err(cause) => return Err(files::failed("read", folder)(cause)),
    };
    for entry in entries {
        let path = entry.map_err(files::failed("read", folder))?.path();
        if path.extension().is_none_or(|end| end != "tmp") {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut waiting, mut strange) = (Vec::new(), Vec::new());
    for path in paths.into_iter().take(BATCH_MAX) {
        match files::read(&path) {
            // Another process put it into the tree meanwhile.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Ok(bytes) if bytes.len() <= ENTRY_BYTES_MAX => match Entry::from_bytes(&bytes) {
                Ok(entry) => waiting.push(Waiting { path, bytes, entry }),
                Err(_) => strange.push(path),
            },
            Ok(_) | Err(_) => strange.push(path),
        }
    }
    Ok((waiting, strange))
}
