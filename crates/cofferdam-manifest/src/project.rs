//! Judges a project's manifest: a file in a repository, which widens no right by lying there.
//!
//! It counts when the user accepted exactly it, or when a key signed it that lies outside the project; and even then it
//! never takes the name of one of the user's servers and never binds one of the user's secrets.

mod accepted;
mod objection;

use std::path::{Component, Path};

use crate::key::TrustedKey;
use crate::manifest::Manifest;
use crate::signature::{Signature, SignatureError, verify};
pub use accepted::{AcceptedProject, AcceptedProjects, AcceptedProjectsError, AcceptedProjectsFault};
pub use objection::Objection;

/// Bytes of a server's name: it names a folder and begins lines.
pub const SERVER_NAME_BYTES_MAX: usize = 64;

/// A manifest as a project offers it. All paths are canonical: absolute, links resolved.
#[derive(Debug, Clone, Copy)]
pub struct ProjectManifest<'p> {
    /// The name it wants for the server.
    pub name: &'p str,
    /// The project's folder: the working tree, with everything an author of the project may write to.
    pub folder: &'p Path,
    /// The manifest's file.
    pub file: &'p Path,
    /// The manifest as [`parse`](crate::parse) gave it, before [`Manifest::resolve`].
    pub manifest: &'p Manifest,
    /// The signature beside it.
    pub signature: Option<&'p Signature>,
}

/// What a project's manifest is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict<'p> {
    /// It counts: here it is, and on whose word.
    Counts {
        /// The manifest that was judged.
        manifest: &'p Manifest,
        /// Who says so.
        authority: Authority<'p>,
    },
    /// It does not count, for each of these reasons; never empty.
    Refused(Vec<Objection>),
}

/// On whose word a project's manifest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority<'p> {
    /// The user accepted exactly this manifest at this place.
    Accepted(&'p AcceptedProject),
    /// This key signed it.
    Signed(&'p TrustedKey),
}

/// Judges a project's manifest against what the user accepted and trusts; `user_names` are the names of the user's own
/// servers.
///
/// A list or a key that lies in the project's folder is no word of the user's and is passed over.
pub fn judge<'p>(
    project: &ProjectManifest<'p>,
    accepted: &'p AcceptedProjects,
    trusted: &'p [TrustedKey],
    user_names: &[&str],
) -> Verdict<'p> {
    let mut objections = place_objections(project);
    objections.extend(name_objection(project.name, user_names));
    objections.extend(content_objections(project.manifest));
    let authority = authority(project, accepted, trusted);
    match authority {
        Ok(authority) if objections.is_empty() => Verdict::Counts {
            manifest: project.manifest,
            authority,
        },
        Ok(_) => Verdict::Refused(objections),
        Err(missing) => {
            objections.extend(missing);
            Verdict::Refused(objections)
        }
    }
}

/// Whether a server may bear this name: 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or digit.
#[must_use]
pub fn can_name_server(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    starts_well && is_plain && name.len() <= SERVER_NAME_BYTES_MAX
}

/// What makes two names one to a person or a client: case, and the marks that clients write as `_` in tool names.
fn folded(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

fn name_objection(name: &str, user_names: &[&str]) -> Option<Objection> {
    if !can_name_server(name) {
        return Some(Objection::NotAServerName { name: name.to_owned() });
    }
    let shadowed = user_names.iter().find(|user_name| folded(user_name) == folded(name));
    shadowed.map(|user_name| Objection::ShadowsServer {
        name: name.to_owned(),
        user_name: (*user_name).to_owned(),
    })
}

fn place_objections(project: &ProjectManifest<'_>) -> Vec<Objection> {
    let paths = [project.folder, project.file];
    let mut objections: Vec<Objection> = paths
        .into_iter()
        .filter(|path| !is_canonical(path))
        .map(|path| Objection::NotCanonical { path: path.to_owned() })
        .collect();
    if objections.is_empty() && !project.file.starts_with(project.folder) {
        objections.push(Objection::NotInProject {
            file: project.file.to_owned(),
            folder: project.folder.to_owned(),
        });
    }
    objections
}

fn content_objections(manifest: &Manifest) -> Vec<Objection> {
    let mut objections = Vec::new();
    if !manifest.secrets.is_empty() {
        let names = manifest.secrets.keys().cloned().collect();
        objections.push(Objection::BindsSecrets { names });
    }
    if manifest.launch.digest.is_none() {
        objections.push(Objection::ProgramNotPinned);
    }
    objections
}

/// Absolute, and without a part that leads elsewhere; whether links were resolved only the caller knows.
fn is_canonical(path: &Path) -> bool {
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(is_plain)
}

/// Out of reach of whoever writes to the project.
fn lies_outside(file: &Path, folder: &Path) -> bool {
    is_canonical(file) && !file.starts_with(folder)
}

fn authority<'p>(
    project: &ProjectManifest<'p>,
    accepted: &'p AcceptedProjects,
    trusted: &'p [TrustedKey],
) -> Result<Authority<'p>, Vec<Objection>> {
    let digest = project.manifest.digest();
    let mut objections = Vec::new();
    if lies_outside(accepted.file(), project.folder) {
        match accepted.entry(project.file) {
            Some(entry) if entry.digest == digest => return Ok(Authority::Accepted(entry)),
            Some(entry) => objections.push(Objection::ChangedSinceAccepted {
                accepted: entry.digest,
                found: digest,
            }),
            None => {}
        }
    } else {
        let file = accepted.file().to_owned();
        objections.push(Objection::ListInProject { file });
    }
    if let Some(signature) = project.signature {
        let outside = trusted.iter().filter(|key| lies_outside(key.file(), project.folder));
        match verify(project.name, project.manifest, signature, outside) {
            Ok(key) => return Ok(Authority::Signed(key)),
            Err(cause) => objections.push(signature_objection(cause, signature, trusted)),
        }
    }
    if objections.is_empty() {
        objections.push(Objection::NobodyVouches { digest });
    }
    Err(objections)
}

/// Says it when the key is there, only in the wrong place.
fn signature_objection(cause: SignatureError, signature: &Signature, trusted: &[TrustedKey]) -> Objection {
    let within = trusted.iter().find(|trusted| trusted.key() == signature.claimed_key());
    match (&cause, within) {
        (SignatureError::UntrustedKey { .. }, Some(key)) => Objection::KeyInProject {
            file: key.file().to_owned(),
        },
        _ => Objection::Signature(cause),
    }
}
