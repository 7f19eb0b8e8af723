//! Policy files of the three layers, found, checked and loaded for one server.
//!
//! Invariants:
//! - The organisation's folder is one fixed path: no variable and no `--home` leads elsewhere, and only root may write any part of it.
//! - A project's files count only while the user's own list has their digest, or a key outside the repository signed them; they can only narrow.
//! - What lies beside an organisation's file as its signature is one by a key of the organisation's, or nothing starts.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{AcceptedProjects, Digest, Manifest};
use cofferdam_policy::{
    DEFAULT_POLICIES, Layer, POLICY_FILE_BYTES_MAX, Policies, PolicyError, PolicyFile, ServerFacts, ToolFacts, World,
};
use nix::unistd::{Group, getegid, getgroups};

use crate::approvals::Approvers;
use crate::contract::Contract;
use crate::egress::Grants;
use crate::failure::{Failure, file_failure};
use crate::gate::{InForce, Reload, escaped};
use crate::home::Home;
use crate::keys::trusted_keys;
use crate::own_files::{check_folder, read_own_file};
use crate::settings::Settings;

mod folder;
mod signed;

pub(crate) use folder::root_owned_files;
pub(crate) use signed::{signature, signature_file};

/// Where a project keeps its policies, below the working directory.
pub(crate) const PROJECT_FOLDER: &str = ".cofferdam/policy";
/// How the names of files under a shadow end.
const SHADOW_ENDING: &str = ".shadow.cedar";
/// Files whose change is noticed while a gate runs; a folder with more is refused at the start.
const STAMPS_MAX: usize = 4_096;
/// Bytes of the list of accepted policy files.
const ACCEPTED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The policies of every layer, as they are on disk now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyFiles {
    pub(crate) files: Vec<PolicyFile>,
    /// Those under a shadow (`NAME.shadow.cedar`): they enforce nothing, and the record has what they would have changed.
    shadow: Vec<PolicyFile>,
    /// Files of the project that nobody accepted, and which therefore do not count.
    pub(crate) unaccepted: Vec<PathBuf>,
}

impl PolicyFiles {
    /// Reads all layers.
    ///
    /// # Errors
    /// A folder or file is not its owner's alone, or cannot be read.
    pub(crate) fn read(home: &Home) -> Result<Self, Failure> {
        let mut files = folder::organisation()?;
        files.extend(user_files(home)?);
        let (project, unaccepted) = project_files(home)?;
        files.extend(project);
        let (shadow, files) = files.into_iter().partition(|file| file.name.ends_with(SHADOW_ENDING));
        Ok(Self {
            files,
            shadow,
            unaccepted,
        })
    }

    /// The files with `others` in force: one takes the place of the file of its layer and name, or is added.
    pub(crate) fn with(&self, others: Vec<PolicyFile>) -> Self {
        let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let mut files = self.files.clone();
        files.retain(|file| {
            let is_replaced = |other: &PolicyFile| other.layer == file.layer && last(&other.name) == last(&file.name);
            !others.iter().any(is_replaced)
        });
        files.extend(others);
        Self {
            files,
            shadow: Vec::new(),
            unaccepted: self.unaccepted.clone(),
        }
    }

    /// What would be in force without a shadow; `None` where nothing is under one.
    pub(crate) fn candidate(&self) -> Option<Self> {
        let others = self.shadow.iter().map(|file| PolicyFile {
            name: file.name.replace(SHADOW_ENDING, ".cedar"),
            ..file.clone()
        });
        let others: Vec<PolicyFile> = others.collect();
        (!others.is_empty()).then(|| self.with(others))
    }

    /// What decides about the server of `world`; `accepted` is what else an approval is bound to.
    ///
    /// # Errors
    /// Policies in force or under a shadow do not check.
    pub(crate) fn in_force(&self, world: &World, accepted: &str) -> Result<InForce, Failure> {
        let digest = self.digest().to_string();
        Ok(InForce {
            policies: self.load(world)?,
            candidate: self.candidate().map(|files| files.load(world)).transpose()?,
            binding: format!("{accepted} {digest}"),
            accepted: accepted.to_owned(),
            digest,
        })
    }

    /// Looks for changes of these files from now on.
    pub(crate) fn reload(self, home: &Home, world: World, accepted: String) -> Reload {
        let (home, mut known) = (home.clone(), self);
        let mut seen = stamps(&home);
        let mut settling = None;
        Reload(Box::new(move || {
            let now = stamps(&home);
            if now == seen {
                settling = None;
                return None;
            }
            if settling.as_ref() != Some(&now) {
                settling = Some(now);
                return None;
            }
            seen = now;
            let files = match Self::read(&home) {
                Ok(files) if files == known => return None,
                Ok(files) => files,
                Err(failure) => return Some(Err(failure)),
            };
            let loaded = files.in_force(&world, &accepted);
            if loaded.is_ok() {
                known = files;
            }
            Some(loaded)
        }))
    }

    /// Digest of everything that counts: an approval given under other policies is none.
    pub(crate) fn digest(&self) -> Digest {
        let mut all = Vec::new();
        for file in &self.files {
            for part in [file.layer.word(), &file.name, &file.text] {
                all.extend_from_slice(&part.len().to_le_bytes());
                all.extend_from_slice(part.as_bytes());
            }
        }
        Digest::of(&all)
    }

    /// The policies about the server of `world`.
    pub(crate) fn load(&self, world: &World) -> Result<Policies, Failure> {
        Policies::load(&self.files, world).map_err(|error| unusable(&error))
    }
}

/// What tells one state of the policy files from another without reading them: path, size, time of change and inode of each.
type Stamps = Vec<(PathBuf, u64, i64, i64, u64)>;

fn stamps(home: &Home) -> Stamps {
    let mut folders = vec![folder::organisation_folder().to_owned(), home.policy()];
    folders.extend(project_folder());
    let listed = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let paths = listed.flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut stamps: Stamps = paths
        .take(STAMPS_MAX)
        .chain([home.accepted_policies()])
        .filter_map(|path| {
            let metadata = std::fs::symlink_metadata(&path).ok()?;
            Some((
                path,
                metadata.len(),
                metadata.ctime(),
                metadata.ctime_nsec(),
                metadata.ino(),
            ))
        })
        .collect();
    stamps.sort();
    stamps
}

/// What is wrong with the policies, and the way out.
pub(crate) fn unusable(error: &PolicyError) -> Failure {
    Failure::misconfigured(format!("the policies cannot be used: {error}")).help(
        "correct the file, then try it with `cofferdam policy check`; nothing is decided by policies that do not check",
    )
}

/// What ships in the program, where the user's folder has no file of that name, and the user's own.
fn user_files(home: &Home) -> Result<Vec<PolicyFile>, Failure> {
    let folder = home.policy();
    check_folder(&folder)?;
    let mut files = Vec::new();
    for path in folder::policy_files(&folder)? {
        let name = format!("user/{}", folder::file_name(&path));
        let text = read_own_file(&path, POLICY_FILE_BYTES_MAX)?;
        files.push(PolicyFile {
            layer: Layer::User,
            name,
            text,
        });
    }
    for (name, text) in DEFAULT_POLICIES {
        if !files.iter().any(|file| file.name == format!("user/{name}")) {
            files.push(PolicyFile {
                layer: Layer::User,
                name: format!("shipped/{name}"),
                text: (*text).to_owned(),
            });
        }
    }
    Ok(files)
}

/// The project's files whose digest the user accepted or that a trusted key signed, and the others.
fn project_files(home: &Home) -> Result<(Vec<PolicyFile>, Vec<PathBuf>), Failure> {
    let Some(folder) = project_folder() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let accepted = accepted_policies(home)?;
    let keys = Approvers::of(trusted_keys(home)?.trusted);
    let (mut files, mut unaccepted) = (Vec::new(), Vec::new());
    for path in folder::policy_files(&folder)? {
        let text = folder::bounded_text(&path)?;
        let is_accepted = accepted
            .entry(&path)
            .is_some_and(|entry| entry.digest == Digest::of(text.as_bytes()));
        // A signature that cannot be read is none: the file waits for somebody's yes.
        let is_signed = || signed::is_signed(&path, &text, &keys).is_ok_and(|is| is == Some(true));
        if is_accepted || is_signed() {
            files.push(PolicyFile {
                layer: Layer::Project,
                name: format!("project/{}", folder::file_name(&path)),
                text,
            });
        } else {
            unaccepted.push(path);
        }
    }
    Ok((files, unaccepted))
}

/// The working directory's policy folder, as the kernel sees it, if there is one.
pub(crate) fn project_folder() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?.canonicalize().ok()?;
    let folder = here.join(PROJECT_FOLDER).canonicalize().ok()?;
    folder.is_dir().then_some(folder)
}

/// The user's list of accepted policy files of projects.
pub(crate) fn accepted_policies(home: &Home) -> Result<AcceptedProjects, Failure> {
    let list = home.accepted_policies();
    if !list.exists() {
        return Ok(AcceptedProjects::empty(&list));
    }
    AcceptedProjects::parse(read_own_file(&list, ACCEPTED_BYTES_MAX)?.as_bytes(), &list)
        .map_err(|error| Failure::misconfigured(error.to_string()).help(error.help()))
}

/// The text of a project's policy file.
pub(crate) fn project_text(path: &Path) -> Result<String, Failure> {
    folder::bounded_text(path)
}

/// What is known about a server before its first call.
///
/// # Errors
/// The settings, which say whether anybody can be asked, cannot be read.
pub(crate) fn world(
    home: &Home,
    name: &str,
    manifest: &Manifest,
    tools: Option<Vec<ToolFacts>>,
) -> Result<World, Failure> {
    Ok(World {
        user: home.user_name.clone(),
        groups: groups(),
        is_ci: Settings::load(home)?.is_ci,
        server: ServerFacts {
            name: name.to_owned(),
            is_pinned: tools.is_some(),
            writes: !manifest.filesystem.write.is_empty(),
            network: !manifest.network.allow.is_empty(),
            sockets: !manifest.sockets.allow.is_empty(),
            programs: !manifest.programs.allow.is_empty(),
            hosts: manifest.network.allow.iter().map(Grants::resource).collect(),
            secrets: manifest.secrets.keys().cloned().collect(),
        },
        tools: tools.unwrap_or_default(),
    })
}

/// The world of an accepted contract.
///
/// # Errors
/// As [`world`].
pub(crate) fn pinned_world(home: &Home, contract: &Contract) -> Result<World, Failure> {
    let tools = contract.definitions.iter().map(|(name, definition)| ToolFacts {
        name: name.to_owned(),
        definition: definition.to_owned(),
    });
    world(home, &contract.name, &contract.manifest, Some(tools.collect()))
}

/// Names of this process's groups; a group without a name cannot be named by a policy either.
fn groups() -> Vec<String> {
    let mut ids = getgroups().unwrap_or_default();
    ids.push(getegid());
    ids.sort_unstable_by_key(|id| id.as_raw());
    ids.dedup();
    let named = ids.into_iter().filter_map(|id| Group::from_gid(id).ok().flatten());
    named.map(|group| group.name).collect()
}

/// A path as people may see it.
pub(crate) fn shown(path: &Path) -> String {
    escaped(path.display().to_string().as_bytes())
}

fn too_large(path: &Path) -> Failure {
    Failure::misconfigured(format!("`{}` has more than {POLICY_FILE_BYTES_MAX} bytes", shown(path)))
}

fn unreadable(path: &Path, cause: &std::io::Error) -> Failure {
    file_failure("read", path, cause)
}
