//! Folders of policy files, and the organisation's in particular: root's alone, all the way up.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cofferdam_policy::{Layer, POLICY_FILE_BYTES_MAX, PolicyFile};
use nix::fcntl::OFlag;

use super::signed::is_signed;
use super::{shown, too_large, unreadable};
use crate::approvals::Approvers;
use crate::failure::{Failure, file_failure};
use crate::keys::organisation_keys;

/// The organisation's policies. A constant on purpose.
const ORGANISATION_FOLDER: &str = "/etc/cofferdam/policy";
/// What may lie in a policy folder beside policies: their tests, what explains them, and signatures.
const BESIDE: [&str; 4] = ["json", "md", "txt", "sig"];
/// Files of one folder.
const FILES_MAX: usize = 1_000;
/// Permission bits that let the group or everybody else write.
const OTHERS_WRITE: u32 = 0o022;

/// Where they lie.
pub(super) fn organisation_folder() -> &'static Path {
    Path::new(ORGANISATION_FOLDER)
}

/// The organisation's files; none where there is no such folder.
///
/// # Errors
/// A part of the path or a file is not root's alone, or the signature beside a file is none by a key of the organisation's.
pub(super) fn organisation() -> Result<Vec<PolicyFile>, Failure> {
    let files = root_owned_files(Path::new(ORGANISATION_FOLDER), "cedar")?;
    if !files.is_empty() {
        let keys = Approvers::of(organisation_keys()?);
        for (path, text) in &files {
            if is_signed(path, text, &keys)? == Some(false) {
                return Err(Failure::misconfigured(format!(
                    "the signature beside `{}` is none of the organisation's over it as it is now",
                    shown(path)
                ))
                .help("have it signed anew by a key in /etc/cofferdam/keys, or remove the signature"));
            }
        }
    }
    let files = files.into_iter().map(|(path, text)| PolicyFile {
        layer: Layer::Organisation,
        name: format!("organisation/{}", file_name(&path)),
        text,
    });
    Ok(files.collect())
}

/// The files with this ending in a folder that is root's alone, all the way up, with their texts; none where there is no such folder.
///
/// # Errors
/// A part of the path or a file is not root's alone, or a link, or cannot be read.
pub(crate) fn root_owned_files(folder: &Path, ending: &str) -> Result<Vec<(PathBuf, String)>, Failure> {
    if std::fs::symlink_metadata(folder).is_err_and(|cause| cause.kind() == std::io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    for part in folder.ancestors() {
        let metadata = std::fs::symlink_metadata(part).map_err(|cause| file_failure("look at", part, &cause))?;
        check_root_owned(part, &metadata, metadata.is_dir())?;
    }
    let mut files = Vec::new();
    for path in files_with(folder, ending)? {
        let mut file = open(&path)?;
        let metadata = file
            .metadata()
            .map_err(|cause| file_failure("look at", &path, &cause))?;
        check_root_owned(&path, &metadata, metadata.is_file())?;
        let text = text_of(&mut file, &path)?;
        files.push((path, text));
    }
    Ok(files)
}

fn check_root_owned(path: &Path, metadata: &Metadata, is_right_kind: bool) -> Result<(), Failure> {
    if metadata.uid() == 0 && metadata.mode() & OTHERS_WRITE == 0 && is_right_kind {
        return Ok(());
    }
    Err(Failure::misconfigured(format!(
        "`{}` is not root's alone, or a link, so what the organisation says there cannot be trusted",
        shown(path)
    ))
    .help("an administrator makes it root's and takes away the right to write of everybody else"))
}

/// The `.cedar` files of a folder, by name; none where there is no folder.
pub(super) fn policy_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    files_with(folder, "cedar")
}

fn files_with(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(file_failure("list", folder, &cause)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| file_failure("list", folder, &cause))?.path();
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        let name = file_name(&path);
        if name.starts_with('.') || name.ends_with('~') || BESIDE.contains(&extension) || path.is_dir() {
            continue;
        }
        // A misspelt ending must not silence a `forbid`.
        if extension != ending {
            return Err(
                Failure::misconfigured(format!("`{}` does not end in `.{ending}`", shown(&path))).help(format!(
                    "rename it to end in `.{ending}`, remove it, or hide it behind a `.`"
                )),
            );
        }
        found.push(path);
        if found.len() > FILES_MAX {
            return Err(Failure::misconfigured(format!(
                "`{}` has more than {FILES_MAX} files",
                shown(folder)
            )));
        }
    }
    found.sort();
    Ok(found)
}

/// The last part of a path, as people may see it.
pub(super) fn file_name(path: &Path) -> String {
    shown(Path::new(path.file_name().unwrap_or_default()))
}

/// A regular file's text, no longer than a policy file may be.
pub(super) fn bounded_text(path: &Path) -> Result<String, Failure> {
    let mut file = open(path)?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(Failure::misconfigured(format!("`{}` is no regular file", shown(path))));
    }
    text_of(&mut file, path)
}

fn open(path: &Path) -> Result<File, Failure> {
    let opened = File::options()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    opened.map_err(|cause| unreadable(path, &cause))
}

fn text_of(file: &mut File, path: &Path) -> Result<String, Failure> {
    let limit = u64::try_from(POLICY_FILE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    file.take(limit.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|cause| unreadable(path, &cause))?;
    if text.len() > POLICY_FILE_BYTES_MAX {
        Err(too_large(path))
    } else {
        Ok(text)
    }
}
