//! What lies in the store and whom it serves; what serves nobody can be removed.
//!
//! Invariant: nothing is removed that a manifest names, now or to switch back to, nor what a running server or an install holds. A removal
//! that is cut short leaves no half package under its name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::path::Path;

use cofferdam_manifest::{MANIFEST_BYTES_MAX, parse};

use super::size::CodeSize;
use super::store::{STAGED, folders_of};
use crate::contract::folder::{MANIFEST_FILE, NEXT, PREVIOUS};
use crate::failure::{Failure, file_failure};
use crate::home::Home;
use crate::own_files::read_own_file;

/// How folders begin that are being removed.
const GONE: &str = ".gone-";
/// Who removes holds this.
const LOCK_FILE: &str = ".prune.lock";

/// One folder of the store.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) name: OsString,
    pub(crate) bytes: u64,
    /// The servers that consist of it.
    pub(crate) servers: BTreeSet<String>,
    /// A running server or an install has it.
    pub(crate) is_held: bool,
}

impl Stored {
    pub(crate) fn is_needed(&self) -> bool {
        self.is_held || !self.servers.is_empty()
    }
}

/// Everything in the store, by name.
///
/// # Errors
/// The store cannot be listed, or a manifest cannot be read: then nobody knows what is needed.
pub(crate) fn stored(home: &Home) -> Result<Vec<Stored>, Failure> {
    let mut used = used(home)?;
    let mut all = Vec::new();
    for name in names(&home.store())? {
        let folder = home.store().join(&name);
        if !folder.is_dir() {
            continue;
        }
        all.push(Stored {
            bytes: CodeSize::of(&folder).bytes(),
            servers: used.remove(&name).unwrap_or_default(),
            is_held: lock(&folder)?.is_none(),
            name,
        });
    }
    Ok(all)
}

/// Removes one folder, unless somebody needs it by now. Tells whether it is gone.
///
/// # Errors
/// It cannot be removed, or a manifest cannot be read.
pub(crate) fn remove(home: &Home, name: &OsStr) -> Result<bool, Failure> {
    let store = home.store();
    let alone = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(store.join(LOCK_FILE))
        .map_err(|cause| file_failure("open", &store.join(LOCK_FILE), &cause))?;
    alone
        .lock()
        .map_err(|cause| file_failure("lock", &store.join(LOCK_FILE), &cause))?;
    let folder = store.join(name);
    let Some(held) = lock(&folder)? else { return Ok(false) };
    // Looked at again now that nobody can begin to hold it.
    if used(home)?.contains_key(name) {
        return Ok(false);
    }
    let unremovable = |cause: &std::io::Error| file_failure("remove", &folder, cause);
    let mut gone = OsString::from(GONE);
    gone.push(name.to_string_lossy().trim_start_matches(GONE));
    let gone = store.join(gone);
    if gone != folder {
        if gone.exists() {
            fs::remove_dir_all(&gone).map_err(|cause| unremovable(&cause))?;
        }
        fs::rename(&folder, &gone).map_err(|cause| unremovable(&cause))?;
    }
    drop(held);
    fs::remove_dir_all(&gone).map_err(|cause| unremovable(&cause))?;
    Ok(true)
}

/// Locks a folder that nobody holds; `None` where somebody does.
fn lock(folder: &Path) -> Result<Option<File>, Failure> {
    let file = File::open(folder).map_err(|cause| file_failure("open", folder, &cause))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(file_failure("lock", folder, &cause)),
    }
}

/// The folders that manifests name, and whose they are: what counts, what is about to count, and what can be switched back to.
fn used(home: &Home) -> Result<BTreeMap<OsString, BTreeSet<String>>, Failure> {
    let mut used: BTreeMap<OsString, BTreeSet<String>> = BTreeMap::new();
    for parent in [home.servers(), home.projects()] {
        for server in names(&parent)? {
            let folder = parent.join(&server);
            for place in [folder.clone(), folder.join(NEXT), folder.join(PREVIOUS)] {
                for name in named_in(home, &place.join(MANIFEST_FILE))? {
                    used.entry(name)
                        .or_default()
                        .insert(server.to_string_lossy().into_owned());
                }
            }
        }
    }
    Ok(used)
}

fn named_in(home: &Home, file: &Path) -> Result<BTreeSet<OsString>, Failure> {
    if file.symlink_metadata().is_err() {
        return Ok(BTreeSet::new());
    }
    let unclear = |what: String| {
        Failure::misconfigured(format!("{what}, so nobody knows what it needs; nothing was removed"))
            .help("mend or remove that server first")
    };
    let text = read_own_file(file, MANIFEST_BYTES_MAX).map_err(|failure| unclear(failure.what))?;
    let manifest =
        parse(&text, "the manifest").map_err(|_error| unclear(format!("`{}` does not check", file.display())))?;
    Ok(folders_of(home, &manifest))
}

/// The names in a folder, in order, without our own lock files; none where it is not there.
fn names(folder: &Path) -> Result<Vec<OsString>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(file_failure("list", folder, &cause)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|cause| file_failure("list", folder, &cause))?.file_name();
        let text = name.to_string_lossy();
        if !text.starts_with('.') || text.starts_with(STAGED) || text.starts_with(GONE) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
