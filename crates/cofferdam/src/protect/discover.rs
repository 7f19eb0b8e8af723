//! Which configurations of which clients are there: the user's own, and those of the project around the working directory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use cofferdam_scan::{CLIENTS, Client, Format, Place, Shape};

use crate::failure::Failure;

/// Files of one project's folder that are looked at.
const FOLDER_FILES_MAX: usize = 256;

/// A configuration that is there.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) client: &'static Client,
    pub(crate) shape: Shape,
    pub(crate) path: PathBuf,
}

/// Every configuration below `user_home` and in the project around `here`, each once, in the order of clients.
pub(crate) fn find(user_home: &Path, here: &Path) -> Vec<Found> {
    let project = project_of(here);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for client in CLIENTS {
        for file in client.files {
            for path in paths(&file.place, user_home, &project) {
                let real = path.canonicalize().unwrap_or_else(|_unresolved| path.clone());
                // A link that leads nowhere is there too, and is told.
                if path.symlink_metadata().is_ok() && seen.insert((real, file.shape.servers)) {
                    found.push(Found {
                        client,
                        shape: file.shape,
                        path,
                    });
                }
            }
        }
    }
    found
}

/// A file the person names; its client is the one they name, or one that has a file of this name.
pub(crate) fn named(path: &Path, client: Option<&str>) -> Result<Found, Failure> {
    let path = std::path::absolute(path)
        .map_err(|cause| Failure::usage(format!("`{}` cannot be resolved: {cause}", path.display())))?;
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => Format::Toml,
        Some("yaml" | "yml") => Format::Yaml,
        _ => Format::Jsonc,
    };
    let fits = |client: &&'static Client| client.files.iter().any(|file| file.shape.format == format);
    let by_name = || CLIENTS.iter().filter(fits).find(|client| has_file_like(client, &path));
    let client = match client {
        Some(id) => Some(by_id(id)?),
        None => by_name().or_else(|| CLIENTS.iter().find(|client| client.id == "mcp-json")),
    };
    let shape = client.and_then(|client| {
        let like = client.files.iter().find(|file| is_like(&file.place, &path));
        let same = client.files.iter().find(|file| file.shape.format == format);
        like.or(same).map(|file| (client, file.shape))
    });
    let (client, shape) = shape.ok_or_else(|| {
        Failure::usage(format!(
            "no client is known that writes a file like `{}`",
            path.display()
        ))
        .help("name the client with `--client`")
    })?;
    Ok(Found { client, shape, path })
}

/// The client of this id.
pub(crate) fn by_id(id: &str) -> Result<&'static Client, Failure> {
    CLIENTS.iter().find(|client| client.id == id).ok_or_else(|| {
        let known: Vec<&str> = CLIENTS.iter().map(|client| client.id).collect();
        Failure::usage(format!("there is no client `{id}`")).help(format!("known are {}", known.join(", ")))
    })
}

fn has_file_like(client: &Client, path: &Path) -> bool {
    client.files.iter().any(|file| is_like(&file.place, path))
}

/// Whether `path` ends as this place does: the same name in a folder of the same name.
fn is_like(place: &Place, path: &Path) -> bool {
    let ends = match place {
        Place::Home { linux, macos, windows } => vec![*linux, *macos, *windows],
        Place::Project(path) => vec![*path],
        Place::ProjectFolder { folder, ending } => {
            let is_inside = path.parent().is_some_and(|parent| parent.ends_with(folder));
            return is_inside && path.extension().is_some_and(|one| one == *ending);
        }
    };
    let tail = |whole: &str| {
        let path = Path::new(whole);
        let keep = path.components().count().min(2);
        path.components()
            .skip(path.components().count().saturating_sub(keep))
            .collect::<PathBuf>()
    };
    ends.into_iter().any(|end| path.ends_with(tail(end)))
}

fn paths(place: &Place, user_home: &Path, project: &Path) -> Vec<PathBuf> {
    match place {
        Place::Home { .. } => place.in_home().map(|path| user_home.join(path)).into_iter().collect(),
        Place::Project(path) => vec![project.join(path)],
        Place::ProjectFolder { folder, ending } => files_in(&project.join(folder), ending),
    }
}

fn files_in(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let files = entries.map_while(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|one| one == ending))
        .take(FOLDER_FILES_MAX)
        .collect();
    files.sort();
    files
}

/// The folder around `here` that holds a repository, or `here` itself.
fn project_of(here: &Path) -> PathBuf {
    let root = here.ancestors().find(|folder| folder.join(".git").exists());
    root.unwrap_or(here).to_owned()
}
