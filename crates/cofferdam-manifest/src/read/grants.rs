//! Paths a manifest grants: filesystem roots and sockets.

use std::path::{Path, PathBuf};

use super::table::{Faults, Table, Text};
use crate::grant::{Access, forbidden_grant, path_fault};
use crate::manifest::{Filesystem, Sockets};
use crate::mask::mask_fault;

pub(super) fn filesystem(root: &Table<'_>, faults: &mut Faults) -> Filesystem {
    let Some(section) = root.table("filesystem", &["read", "write", "mask"], faults) else {
        return Filesystem::default();
    };
    Filesystem {
        read: granted(&section, "read", Access::Read, faults),
        write: granted(&section, "write", Access::Write, faults),
        mask: masks(&section, faults),
    }
}

/// Names that are masked, each the last parts of a path.
fn masks(section: &Table<'_>, faults: &mut Faults) -> Vec<String> {
    let mut masks = Vec::new();
    for item in section.distinct_strings("mask", faults) {
        match mask_fault(item.text) {
            Some(help) => faults.add(
                &item.span,
                format!("`{}` cannot be masked", item.text),
                Some(help.to_owned()),
            ),
            None => masks.push(item.text.to_owned()),
        }
    }
    masks
}

pub(super) fn sockets(root: &Table<'_>, faults: &mut Faults) -> Sockets {
    let Some(section) = root.table("sockets", &["allow"], faults) else {
        return Sockets::default();
    };
    Sockets {
        allow: granted(&section, "allow", Access::Connect, faults),
    }
}

/// The paths of a list, each absolute or under `~`, none of them forbidden.
pub(super) fn granted(section: &Table<'_>, key: &str, access: Access, faults: &mut Faults) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for item in section.strings(key, faults) {
        match granted_path(&section.path_of(key), &item, access, faults) {
            Some(path) if paths.contains(&path) => {
                faults.add(
                    &item.span,
                    format!("`{}` occurs twice in `{}`", item.text, section.path_of(key)),
                    None,
                );
            }
            path => paths.extend(path),
        }
    }
    paths
}

fn granted_path(name: &str, item: &Text<'_>, access: Access, faults: &mut Faults) -> Option<PathBuf> {
    let path = plain_path(name, item, faults)?;
    if let Some(reason) = forbidden_grant(&path, access, &[]) {
        faults.add(
            &item.span,
            format!("`{}` can never be granted: {reason}", item.text),
            None,
        );
        return None;
    }
    Some(path)
}

/// A path that is absolute or under `~`, without `..`.
pub(super) fn plain_path(name: &str, item: &Text<'_>, faults: &mut Faults) -> Option<PathBuf> {
    if let Some((message, help)) = path_fault(item.text) {
        faults.add(&item.span, format!("`{name}`: {message}"), Some(help.to_owned()));
        return None;
    }
    Some(Path::new(item.text).components().collect())
}
