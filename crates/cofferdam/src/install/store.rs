//! The store: what was installed, under the digest of its own content.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cofferdam_manifest::Manifest;
use sha2::{Digest as _, Sha256};

use super::Staging;
use crate::failure::{Failure, file_failure};
use crate::home::Home;

/// How the folders of what is being installed begin.
pub(super) const STAGED: &str = ".new-";
/// Digits of a digest in a folder's name.
const DIGITS: usize = 32;
/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 64;

/// A new, empty folder for an install.
pub(super) fn staging(home: &Home) -> Result<Staging, Failure> {
    let name = crate::random::hex(8)
        .map_err(|error| Failure::not_enforced(format!("the kernel gives no random bytes: {error}")))?;
    let outer = home.store().join(format!("{STAGED}{name}"));
    let folder = outer.join("package");
    Home::make(&folder)?;
    let held = Held::of(&outer).map_err(|cause| file_failure("lock", &outer, &cause))?;
    Ok(Staging {
        outer,
        folder,
        _held: held,
    })
}

/// A folder of the store that is not pruned while this is held.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl Held {
    fn of(folder: &Path) -> io::Result<Self> {
        let file = File::open(folder)?;
        file.lock_shared()?;
        Ok(Self(file))
    }

    /// The folders of the store that a server consists of. One that is gone is told by whoever needs it.
    pub(crate) fn of_server(home: &Home, manifest: &Manifest) -> Vec<Self> {
        let names = folders_of(home, manifest).into_iter();
        names
            .filter_map(|name| Self::of(&home.store().join(name)).ok())
            .collect()
    }
}

/// The names of the store's folders that a manifest names.
pub(super) fn folders_of(home: &Home, manifest: &Manifest) -> BTreeSet<OsString> {
    let store = home.store();
    let words = manifest.launch.command.iter().map(Path::new);
    let paths = words.chain(manifest.launch.program.iter().map(PathBuf::as_path));
    let names = paths.filter_map(|path| path.strip_prefix(&store).ok()?.iter().next());
    names.map(OsStr::to_owned).collect()
}

/// Moves what was installed to its place, and gives that. The same content is there once; what is there under its name and has another
/// content was changed, and is put aside.
pub(super) fn keep(home: &Home, staging: Staging, name: &str) -> Result<(PathBuf, Held), Failure> {
    let place = moved(home, &staging, name)?;
    // Whoever prunes at this moment finds nobody who names it yet, but it is held.
    let held = Held::of(&place).map_err(|cause| file_failure("lock", &place, &cause))?;
    Ok((place, held))
}

fn moved(home: &Home, staging: &Staging, name: &str) -> Result<PathBuf, Failure> {
    let unreadable = |cause: io::Error| file_failure("read what was installed in", &staging.folder, &cause);
    let digest = content_digest(&staging.folder).map_err(unreadable)?;
    let place = home
        .store()
        .join(format!("{name}-{}", digest.get(..DIGITS).unwrap_or_default()));
    if place.exists() {
        if content_digest(&place).is_ok_and(|there| there == digest) {
            return Ok(place);
        }
        let aside = staging.outer.with_extension("changed");
        fs::rename(&place, &aside).map_err(|cause| file_failure("put aside", &place, &cause))?;
    }
    fs::rename(&staging.folder, &place).map_err(|cause| file_failure("move the install to", &place, &cause))?;
    Ok(place)
}

/// The digest of every file, link and folder under a folder: names, whether they can be executed, and contents.
fn content_digest(folder: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    add(folder, Path::new(""), DEPTH_MAX, &mut digest)?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn add(root: &Path, inner: &Path, depth: usize, digest: &mut Sha256) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
    let mut names: Vec<_> = fs::read_dir(root.join(inner))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let inner = inner.join(name);
        let path = root.join(&inner);
        let found = fs::symlink_metadata(&path)?;
        let (kind, content) = if found.is_dir() {
            (b'd', Vec::new())
        } else if found.is_symlink() {
            (b'l', fs::read_link(&path)?.into_os_string().into_encoded_bytes())
        } else if found.is_file() {
            let executable = found.permissions().mode() & 0o111 != 0;
            (if executable { b'x' } else { b'f' }, fs::read(&path)?)
        } else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        for part in [inner.as_os_str().as_encoded_bytes(), &[kind], &content] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        if found.is_dir() {
            add(root, &inner, depth, digest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::content_digest;

    #[test]
    fn everything_in_a_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut seen = vec![content_digest(folder.path()).unwrap()];
        let mut differs = || {
            let digest = content_digest(folder.path()).unwrap();
            assert!(!seen.contains(&digest));
            seen.push(digest);
        };
        fs::write(path("a"), "one").unwrap();
        differs();
        fs::write(path("a"), "two").unwrap();
        differs();
        fs::set_permissions(path("a"), fs::Permissions::from_mode(0o755)).unwrap();
        differs();
        fs::create_dir(path("inner")).unwrap();
        differs();
        fs::rename(path("a"), path("inner/a")).unwrap();
        differs();
        symlink("inner/a", path("a")).unwrap();
        differs();
        fs::remove_file(path("a")).unwrap();
        symlink("inner", path("a")).unwrap();
        differs();
    }
}
