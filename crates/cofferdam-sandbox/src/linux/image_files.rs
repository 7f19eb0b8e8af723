//! The files of an image as the system of a compartment: everything but what the compartment has of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sources::{DEVICES, Sources, resolved, source_error};
use super::wire::{Access, Graft};
use super::{errno, mountinfo};
use crate::SandboxError;
use crate::image::is_own_place;
use crate::plan::HOME;

/// What an engine mounts in every container, and we on it, besides what lies in places of the container's own.
const ENGINE_MOUNTS: [&str; 5] = [
    "/",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/ld.so.preload",
];
/// Most entries of the root, and of `/etc`, of an image: each is a mount.
const IMAGE_ENTRIES_MAX: usize = 300;

/// Everything of the image around this process, and in it the places that were granted and mounted there. Files of
/// `/etc` that are made up (`own`) are not the image's.
pub(super) fn of_image(granted: &[Graft], own: &[&Path]) -> Result<Sources, SandboxError> {
    refuse_strange_mounts(granted)?;
    let mut sources = Sources::default();
    for graft in granted {
        let (found, _links) = resolved(&graft.target, graft.access)?;
        if found.identity != graft.identity {
            let path = graft.target.clone();
            return Err(SandboxError::SourceSwapped { path });
        }
        sources.grafts.push(found);
    }
    for path in image_entries(Path::new("/"))? {
        if is_own_place(&path) || own.contains(&path.as_path()) {
            continue;
        }
        // Folders in which something is made up, or lies a place of the compartment's own, are shown by their entries.
        let is_shared = path == Path::new("/etc") || Path::new(HOME).starts_with(&path);
        if !is_shared {
            add(&mut sources, &path);
            continue;
        }
        for entry in image_entries(&path)? {
            if !own.contains(&entry.as_path()) && entry != Path::new(HOME) {
                add(&mut sources, &entry);
            }
        }
    }
    for path in DEVICES {
        sources.add_if_present(Path::new(path), Access::Device);
    }
    sources.grafts.sort_by_key(|graft| graft.target.components().count());
    Ok(sources)
}

/// Refuses whatever is mounted in the container and was not asked for: what the engine's own configuration puts into
/// every container, and what a link of the image has led to another place, where it would be seen without its masks.
fn refuse_strange_mounts(granted: &[Graft]) -> Result<(), SandboxError> {
    let table = "/proc/self/mountinfo";
    let text = fs::read_to_string(table).map_err(|error| SandboxError::Measure {
        what: table.to_owned(),
        errno: errno(&error),
    })?;
    let is_known = |path: &Path| {
        ENGINE_MOUNTS.iter().any(|known| path == Path::new(known))
            || path
                .ancestors()
                .any(|above| is_own_place(above) && above != Path::new("/tmp"))
            || granted.iter().any(|graft| graft.target == path)
    };
    let strange = text
        .lines()
        .filter_map(mountinfo::parse)
        .find(|mount| !is_known(&mount.path));
    let missing = |graft: &&Graft| {
        let mut mounts = text.lines().filter_map(mountinfo::parse);
        !mounts.any(|mount| mount.path == graft.target)
    };
    let path = strange.map(|mount| mount.path);
    match path.or_else(|| granted.iter().find(missing).map(|graft| graft.target.clone())) {
        None => Ok(()),
        Some(path) => Err(SandboxError::SourceForbidden {
            path,
            reason: "it is mounted in the container where nobody asked for it: by a link of the image, or by the \
                     engine's own configuration (`volumes`, `mounts` in containers.conf)"
                .to_owned(),
        }),
    }
}

/// What lies in a folder of the image; a link in its place has nothing in it.
fn image_entries(folder: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir());
    if !is_folder {
        return Ok(Vec::new());
    }
    let failed = |error: io::Error| source_error(folder, &error);
    let entries = fs::read_dir(folder).map_err(failed)?.take(IMAGE_ENTRIES_MAX + 1);
    let entries: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if entries.len() > IMAGE_ENTRIES_MAX {
        return Err(SandboxError::SourceForbidden {
            path: folder.to_path_buf(),
            reason: format!("the image has more than {IMAGE_ENTRIES_MAX} entries in it"),
        });
    }
    Ok(entries)
}

/// A file, folder or link of the image. What is none of these, or cannot be read there, is not shown.
fn add(sources: &mut Sources, path: &Path) {
    match fs::read_link(path) {
        Ok(leads_to) => sources.links.push((path.to_path_buf(), leads_to)),
        Err(_not_a_link) => {
            if let Ok((graft, _links)) = resolved(path, Access::System)
                && sources.grafts.iter().all(|other| other.target != graft.target)
            {
                sources.grafts.push(graft);
            }
        }
    }
}
