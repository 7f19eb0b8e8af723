//! Questions about places in the file system that every kind of program asks.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{Findings, LaunchError, Surroundings};

/// Folders many things share: none of them is a project.
const SHARED: &[&str] = &[
    "/",
    "/home",
    "/root",
    "/tmp",
    "/var",
    "/var/tmp",
    "/opt",
    "/srv",
    "/mnt",
    "/media",
    "/usr",
    "/usr/local",
];

/// The path as it goes into a manifest.
pub(super) fn utf8(path: &Path) -> Result<String, LaunchError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| LaunchError::NotUtf8(path.to_owned()))
}

/// Tells of a script that is a link out of its folder: whoever wrote the folder chose what is granted. Links of
/// `node_modules/.bin` into its `node_modules` are the ordinary case and are passed over.
pub(super) fn tell_link(named: &Path, real: &Path, found: &mut Findings) {
    let Some(folder) = named.parent().and_then(|folder| folder.canonicalize().ok()) else {
        return;
    };
    let around = if folder.ends_with(".bin") {
        folder.parent().unwrap_or(&folder)
    } else {
        &folder
    };
    if !real.starts_with(around) {
        found.note(format!(
            "`{}` is a link to `{}`, which is granted",
            named.display(),
            real.display()
        ));
    }
}

/// Links that may lead to one another; Linux itself follows 40.
const LINKS_MAX: usize = 40;

/// Where a path leads.
pub(super) fn real(path: &Path) -> Result<PathBuf, LaunchError> {
    path.canonicalize().map_err(|cause| LaunchError::Unreadable {
        path: path.to_owned(),
        cause,
    })
}

/// The names a link leads through, one after the other, the last being no link in its last part.
pub(super) fn links_of(link: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = Vec::new();
    let mut at = link.to_owned();
    while let Ok(target) = fs::read_link(&at) {
        if names.len() >= LINKS_MAX {
            break;
        }
        let plain = target.is_absolute() && !target.components().any(|part| part == Component::ParentDir);
        let folder = at.parent().unwrap_or(&at).join(target.parent().unwrap_or(&target));
        let folder = if plain {
            folder
        } else {
            folder.canonicalize().unwrap_or(folder)
        };
        at = target
            .file_name()
            .map_or_else(|| folder.clone(), |name| folder.join(name));
        names.push(at.clone());
    }
    names
}

/// The nearest folder at or above `from` that holds one of `markers`, below anything shared.
pub(super) fn project_of(from: &Path, markers: &[&str], around: &Surroundings<'_>) -> Option<PathBuf> {
    let folders = from.ancestors().take_while(|folder| !is_shared(folder, around));
    folders
        .into_iter()
        .find(|folder| markers.iter().any(|marker| folder.join(marker).is_file()))
        .map(Path::to_owned)
}

/// True for folders that hold much more than one program: the home folder, what lies above it, and the system's own.
pub(super) fn is_shared(folder: &Path, around: &Surroundings<'_>) -> bool {
    let home = around.home.canonicalize();
    let above_home = [Some(around.home), home.as_deref().ok()]
        .into_iter()
        .flatten()
        .any(|home| home.starts_with(folder));
    above_home || SHARED.iter().any(|shared| folder == Path::new(shared))
}

/// The entries of a folder, at most `most`, sorted; none when it cannot be read.
pub(super) fn entries(folder: &Path, most: usize) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).map(|items| items.take(most).filter_map(Result::ok).map(|item| item.path()));
    let mut entries: Vec<PathBuf> = listed.map(Iterator::collect).unwrap_or_default();
    entries.sort();
    entries
}

/// The paths, sorted, without those that lie inside another one.
pub(super) fn without_inner(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    let mut outer: Vec<PathBuf> = Vec::with_capacity(paths.len());
    for path in paths {
        if !outer.iter().any(|before| path.starts_with(before)) {
            outer.push(path);
        }
    }
    outer
}
