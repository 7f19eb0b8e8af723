//! Servers that a working tree brings along: found below the working directory's repository, counted only on somebody's word.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{
    AcceptedProject, AcceptedProjects, Authority, DEFINITIONS_BYTES_MAX, Definitions, Digest, KEY_FILE_BYTES_MAX,
    MANIFEST_BYTES_MAX, Manifest, Objection, ProgramPins, ProjectManifest, Signature, Verdict, judge, parse,
};

use super::folder::{
    Before, ContractFolder, DEFINITIONS_FILE, MANIFEST_FILE, PROGRAM_BYTES_MAX, PROGRAM_FILE, SIGNATURE_FILE, Texts,
    replace_file,
};
use super::{Contract, Place, check_name, own_names, program_json};
use crate::failure::{Failure, file_failure};
use crate::home::Home;
use crate::keys::{key_failure, signer, trusted_keys};
use crate::own_files::{read_foreign_file, read_own_file, shown};

/// Where a working tree keeps its servers, one folder each.
const SERVERS: &str = ".cofferdam/servers";
/// Servers of one working tree that are looked at.
const SERVERS_MAX: usize = 256;
/// The largest list of accepted projects that is read, in bytes.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One server of a working tree.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The repository's root, or the folder itself where there is no repository: all of it can be written by the project's authors.
    pub(crate) folder: PathBuf,
    /// The manifest's file, links resolved.
    pub(crate) file: PathBuf,
    /// What was accepted of it, in our own folder.
    copy: ContractFolder,
}

/// What was accepted of a project's server.
#[derive(Debug)]
pub(crate) struct Previous {
    pub(crate) manifest: Manifest,
    pub(crate) definitions: Definitions,
}

/// The server `name` of the nearest folder that has one, from the working directory up to its repository's root and never above. Without a
/// repository only the working directory itself counts.
///
/// # Errors
/// The working directory is gone, or the manifest cannot be resolved.
pub(crate) fn find(home: &Home, name: &str) -> Result<Option<Project>, Failure> {
    let here = std::env::current_dir().map_err(|cause| file_failure("find", Path::new("."), &cause))?;
    let root = repository(&here).unwrap_or(&here);
    for folder in here.ancestors().take_while(|folder| folder.starts_with(root)) {
        let file = folder.join(SERVERS).join(name).join(MANIFEST_FILE);
        if file.symlink_metadata().is_ok() {
            return Project::new(home, root, &file).map(Some);
        }
    }
    Ok(None)
}

/// The names of all servers that [`find`] would find from the working directory, in their order.
///
/// # Errors
/// The working directory is gone, a folder cannot be listed, or there are more servers than are looked at.
pub(crate) fn names() -> Result<Vec<String>, Failure> {
    let here = std::env::current_dir().map_err(|cause| file_failure("find", Path::new("."), &cause))?;
    let root = repository(&here).unwrap_or(&here);
    let mut names = BTreeSet::new();
    for folder in here.ancestors().take_while(|folder| folder.starts_with(root)) {
        let servers = folder.join(SERVERS);
        let entries = match std::fs::read_dir(&servers) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(file_failure("list", &servers, &cause)),
        };
        for entry in entries {
            let entry = entry.map_err(|cause| file_failure("list", &servers, &cause))?;
            if entry.path().join(MANIFEST_FILE).symlink_metadata().is_ok() {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
            if names.len() > SERVERS_MAX {
                return Err(Failure::misconfigured(format!(
                    "`{}` has more than {SERVERS_MAX} servers",
                    shown(&servers)
                ))
                .help("name one"));
            }
        }
    }
    Ok(names.into_iter().collect())
}

/// The root of the repository a folder lies in.
fn repository(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(".git").exists())
}

impl Project {
    fn new(home: &Home, root: &Path, file: &Path) -> Result<Self, Failure> {
        let real = |path: &Path| {
            path.canonicalize()
                .map_err(|cause| file_failure("resolve", path, &cause))
        };
        Ok(Self::of(home, real(root)?, real(file)?))
    }

    /// The place of a server `name` in the working directory's repository, whether or not there is one yet.
    ///
    /// # Errors
    /// The working directory is gone, or its place cannot be made.
    pub(crate) fn here(home: &Home, name: &str) -> Result<Self, Failure> {
        let here = std::env::current_dir().map_err(|cause| file_failure("find", Path::new("."), &cause))?;
        let root = repository(&here).unwrap_or(&here);
        let real = |path: &Path| {
            path.canonicalize()
                .map_err(|cause| file_failure("resolve", path, &cause))
        };
        let servers = root.join(SERVERS);
        std::fs::create_dir_all(&servers).map_err(|cause| file_failure("make the folder", &servers, &cause))?;
        Ok(Self::of(
            home,
            real(root)?,
            real(&servers)?.join(name).join(MANIFEST_FILE),
        ))
    }

    fn of(home: &Home, folder: PathBuf, file: PathBuf) -> Self {
        let key = Digest::of(file.as_os_str().as_encoded_bytes()).to_hex();
        Self {
            copy: ContractFolder::of_project(home, key.get(..32).unwrap_or_default()),
            folder,
            file,
        }
    }

    /// A server by path, and its name: its manifest, its folder, or a folder whose `.cofferdam/servers` holds only this one.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(crate) fn at(home: &Home, path: &Path) -> Result<(String, Self), Failure> {
        let real = path
            .canonicalize()
            .map_err(|cause| file_failure("resolve", path, &cause))?;
        let folder = if real.file_name().is_some_and(|name| name == MANIFEST_FILE) {
            real.parent().unwrap_or(&real).to_owned()
        } else if real.join(MANIFEST_FILE).exists() {
            real
        } else {
            only_server(&real)?
        };
        let tree = folder
            .parent()
            .and_then(|servers| servers.to_str()?.strip_suffix(SERVERS));
        let name = folder.file_name().and_then(|name| name.to_str());
        let (Some(tree), Some(name)) = (tree, name) else {
            return Err(
                Failure::misconfigured(format!("`{}` is no server of a project", shown(&folder))).help(format!(
                    "a project keeps its servers in `{SERVERS}/NAME/{MANIFEST_FILE}`"
                )),
            );
        };
        check_name(name)?;
        let tree = Path::new(tree);
        let root = repository(tree).unwrap_or(tree);
        Ok((name.to_owned(), Self::new(home, root, &folder.join(MANIFEST_FILE))?))
    }

    /// The contract, if it counts.
    ///
    /// # Errors
    /// It cannot be read, or nobody's word makes it count: every reason, and the way out.
    pub(super) fn judged(self, home: &Home, name: &str) -> Result<Contract, Failure> {
        let mut contract = self.stated(home, name)?;
        let accepted = self.accepted(home)?;
        contract.signed_by = self.authority(home, &contract, &accepted)?;
        Ok(contract)
    }

    /// The contract as the project states it, whether or not it counts.
    ///
    /// # Errors
    /// It cannot be read, or its files do not belong together.
    pub(crate) fn stated(&self, home: &Home, name: &str) -> Result<Contract, Failure> {
        let mut texts = Texts {
            manifest: self.read(MANIFEST_FILE, MANIFEST_BYTES_MAX)?,
            definitions: self.read(DEFINITIONS_FILE, DEFINITIONS_BYTES_MAX)?,
            program: self.read(PROGRAM_FILE, PROGRAM_BYTES_MAX)?,
        };
        if let Some(own) = self.own_index(&texts.manifest) {
            texts.program = own;
        } else if let Ok(foreign) = serde_json::from_str::<ProgramPins>(&texts.program) {
            // Whoever wrote it could keep a file from being hashed, or a compiled one from being noticed.
            texts.program = program_json(&foreign.without_index())?;
        }
        Contract::assemble(home, name, texts, Place::Project(self.clone()))
    }

    /// The index we wrote ourselves for the program this manifest names.
    fn own_index(&self, manifest: &str) -> Option<String> {
        let texts = self.copy.exists().then(|| self.copy.read().ok()).flatten()?;
        (texts.manifest == manifest).then_some(texts.program)
    }

    /// A file beside the manifest, from inside the project.
    fn read(&self, name: &str, bytes_max: usize) -> Result<String, Failure> {
        let path = self.file.with_file_name(name);
        let real = path
            .canonicalize()
            .map_err(|cause| file_failure("read", &path, &cause))?;
        if !real.starts_with(&self.folder) {
            return Err(
                Failure::misconfigured(format!("`{}` leads out of the project", shown(&path)))
                    .help("put the file itself into the project"),
            );
        }
        read_foreign_file(&real, bytes_max)
    }

    fn signature(&self) -> Result<Option<Signature>, Failure> {
        let path = self.file.with_file_name(SIGNATURE_FILE);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let text = self.read(SIGNATURE_FILE, KEY_FILE_BYTES_MAX)?;
        let signature = Signature::parse(text.as_bytes(), &path).map_err(|error| key_failure(&error))?;
        Ok(Some(signature))
    }

    /// The list of accepted projects.
    pub(crate) fn accepted(&self, home: &Home) -> Result<AcceptedProjects, Failure> {
        let file = home.accepted_projects();
        let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
        let real = folder.map_or_else(
            || file.clone(),
            |folder| folder.join(file.file_name().unwrap_or_default()),
        );
        if real.symlink_metadata().is_err() {
            return Ok(AcceptedProjects::empty(&real));
        }
        let text = read_own_file(&real, LIST_BYTES_MAX)?;
        AcceptedProjects::parse(text.as_bytes(), &real)
            .map_err(|error| Failure::misconfigured(error.to_string()).help(error.help()))
    }

    /// Judges the contract: the signer in words, or `None` where the user's own acceptance is the word.
    ///
    /// # Errors
    /// It does not count.
    pub(crate) fn authority(
        &self,
        home: &Home,
        contract: &Contract,
        accepted: &AcceptedProjects,
    ) -> Result<Option<String>, Failure> {
        check_pinned_whole(home, contract)?;
        let (keys, names, signature) = (trusted_keys(home)?, own_names(home)?, self.signature()?);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // The list is the user's file, as open to any process of the user as the project itself.
        let nobodys = AcceptedProjects::empty(accepted.file());
        let accepted = if keys.needs_signature { &nobodys } else { accepted };
        let project = ProjectManifest {
            name: &contract.name,
            folder: &self.folder,
            file: &self.file,
            manifest: &contract.stated,
            signature: signature.as_ref(),
        };
        match judge(&project, accepted, &keys.trusted, &names) {
            Verdict::Counts {
                authority: Authority::Signed(key),
                ..
            } => Ok(Some(signer(key))),
            Verdict::Counts { .. } => Ok(None),
            Verdict::Refused(objections) => Err(self.refusal(contract, &objections)),
        }
    }

    fn refusal(&self, contract: &Contract, objections: &[Objection]) -> Failure {
        let digest = contract.stated.digest().to_string();
        let mut list: String = objections.iter().map(|objection| format!("\n  {objection}")).collect();
        if !list.contains(&digest) {
            list.push_str(&format!("\n  its digest is {digest}"));
        }
        let what = format!(
            "the project's manifest of `{}` does not count, `{}`:{list}",
            contract.name,
            shown(&self.file)
        );
        let help = match objections {
            [Objection::NobodyVouches { .. } | Objection::ChangedSinceAccepted { .. }] => format!(
                "`cofferdam manifest diff {0}` shows what it asks for, `cofferdam manifest accept {0}` accepts exactly that",
                contract.name
            ),
            _ => objections.first().map(Objection::help).unwrap_or_default().to_owned(),
        };
        Failure::misconfigured(what).help(help)
    }

    /// The list with this contract on it; what a project can never have is refused whoever accepts it.
    ///
    /// # Errors
    /// As [`Project::authority`], or the entry cannot be written down.
    pub(crate) fn acceptance(&self, home: &Home, contract: &Contract) -> Result<AcceptedProjects, Failure> {
        let entry = AcceptedProject {
            digest: contract.stated.digest(),
            path: self.file.clone(),
            comment: String::new(),
        };
        let list = self.accepted(home)?.with(entry);
        let list = list.map_err(|error| Failure::misconfigured(error.to_string()).help(error.help()))?;
        self.authority(home, contract, &list)?;
        Ok(list)
    }

    /// Remembers that the user accepted exactly this contract. The list comes last: it is what counts.
    ///
    /// # Errors
    /// As [`Project::acceptance`], or something cannot be written.
    pub(crate) fn accept(&self, home: &Home, contract: &Contract) -> Result<(), Failure> {
        self.copy.replace(Before::Anything, &contract.texts)?;
        self.copy.while_locked(|| {
            let list = self.acceptance(home, contract)?;
            replace_file(list.file(), &list.to_text())
        })
    }

    /// What was accepted at this place, if it is still known.
    pub(crate) fn previous(&self, home: &Home) -> Result<Option<Previous>, Failure> {
        let accepted = self.accepted(home)?;
        let Some(entry) = accepted.entry(&self.file).filter(|_| self.copy.exists()) else {
            return Ok(None);
        };
        let texts = self.copy.read()?;
        let manifest = parse(&texts.manifest, "the accepted manifest").ok();
        let Some(manifest) = manifest.filter(|manifest| manifest.digest() == entry.digest) else {
            return Ok(None);
        };
        let definitions = Definitions::load(&texts.definitions, &manifest).ok();
        Ok(definitions.map(|definitions| Previous { manifest, definitions }))
    }

    /// Writes the contract into the working tree, the manifest last, without what only this machine knows of its files.
    ///
    /// # Errors
    /// Something cannot be written; a manifest whose files do not belong together is refused by every reader.
    pub(crate) fn write(&self, contract: &Contract) -> Result<(), Failure> {
        let folder = self.file.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder).map_err(|cause| file_failure("make the folder", folder, &cause))?;
        if folder.canonicalize().ok().as_deref() != Some(folder) {
            return Err(Failure::misconfigured(format!("`{}` leads elsewhere", shown(folder)))
                .help("put the folder itself into the project"));
        }
        let program = program_json(&contract.program.without_index())?;
        replace_file(&self.file.with_file_name(PROGRAM_FILE), &program)?;
        replace_file(&self.file.with_file_name(DEFINITIONS_FILE), &contract.texts.definitions)?;
        replace_file(&self.file, &contract.texts.manifest)
    }

    /// Keeps a fresh index of the program's files in our own folder. It only makes the next start fast.
    pub(super) fn renew_program(&self, texts: &Texts, program: String) {
        let texts = Texts {
            program,
            ..texts.clone()
        };
        // A folder that cannot be written to will be met, and told, by the next change that matters.
        drop(self.copy.replace(Before::Anything, &texts));
    }
}

/// A program of which a part is not pinned could be exchanged after anyone's word. What a project states is not taken for the whole: its launch
/// line is understood anew, as `add` does.
fn check_pinned_whole(home: &Home, contract: &Contract) -> Result<(), Failure> {
    let command = &contract.manifest.launch.command;
    let program = crate::cli::understood(home, command, None)?;
    let is_part = |path: &&Path| program.pinned.iter().any(|root| path.starts_with(root));
    let named = command
        .iter()
        .map(Path::new)
        .filter(|word| word.is_file())
        .filter(is_part);
    let parts = program.pinned.iter().map(PathBuf::as_path).chain(named);
    let Some(part) = parts.into_iter().find(|part| !contract.program.covers(part)) else {
        return Ok(());
    };
    Err(Failure::misconfigured(format!(
        "the program of `{}` is not pinned whole: `{}` is part of it and could change after it was accepted",
        contract.name,
        shown(part)
    ))
    .help("write the manifest with `cofferdam add`, which pins the program"))
}

/// The folder of the one server a project has.
fn only_server(folder: &Path) -> Result<PathBuf, Failure> {
    let servers = folder.join(SERVERS);
    let entries = std::fs::read_dir(&servers).map_err(|cause| {
        file_failure("list", &servers, &cause).help(format!(
            "a project keeps its servers in `{SERVERS}/NAME/{MANIFEST_FILE}`"
        ))
    })?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.join(MANIFEST_FILE).exists())
        .collect();
    found.sort();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Failure::misconfigured(format!("`{}` has no servers", shown(folder)))),
        (Some(last), false) => Err(
            Failure::misconfigured(format!("`{}` has several servers", shown(folder)))
                .help(format!("name one, such as `{}`", shown(&last))),
        ),
    }
}
