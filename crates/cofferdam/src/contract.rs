//! One server's contract: manifest, accepted definitions, program pins; loaded and checked as a whole, or refused.

mod bytecode;
pub(crate) mod folder;
pub(crate) mod project;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{
    Access, Definitions, KEY_FILE_BYTES_MAX, Manifest, ManifestError, ProgramPins, Signature, Tool, can_name_server,
    forbidden_grant, parse, verify,
};
use nix::unistd::geteuid;

use crate::cli::UNPINNED;
use crate::failure::{Failure, file_failure};
use crate::gate::{PinnedTool, escaped};
use crate::home::Home;
use crate::keys::{key_failure, trusted_keys};
use crate::own_files::read_file_of;
use bytecode::environment_ignored_by;
use folder::{Before, ContractFolder, Texts};
use project::Project;

/// Paths named in a message; the rest is counted.
const NAMED_MAX: usize = 10;

/// What was accepted for one server.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) name: String,
    /// The manifest as its file says it: digests, signatures and acceptances are about this one.
    pub(crate) stated: Manifest,
    /// The same with `~` expanded.
    pub(crate) manifest: Manifest,
    pub(crate) definitions: Definitions,
    pub(crate) program: ProgramPins,
    /// Compiled Python files that nobody accepted lie beside the program; the interpreter must not load them.
    pub(crate) has_foreign_bytecode: bool,
    pub(crate) texts: Texts,
    pub(crate) place: Place,
    /// Whose word it counts on beside the user's own: a trusted key's, in words.
    pub(crate) signed_by: Option<String>,
}

/// Where a contract lies.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Among the user's own servers.
    Own(ContractFolder),
    /// In a working tree, where it counts only on somebody's word.
    Project(Project),
}

impl Place {
    pub(crate) fn exists(&self) -> bool {
        match self {
            Self::Own(folder) => folder.exists(),
            Self::Project(project) => project.file.exists(),
        }
    }
}

/// A server's name is a folder's name and a prefix on lines.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let shown = escaped(name.as_bytes());
    if name.starts_with(UNPINNED) {
        return Err(Failure::usage(format!(
            "`{shown}` cannot name a server: such names stand for commands without a manifest"
        ))
        .help("choose a name that does not begin with `unpinned`"));
    }
    if can_name_server(name) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{shown}` cannot name a server"))
        .help("use up to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"))
}

/// The folder of the user's own server `name`.
///
/// # Errors
/// `name` cannot name a server.
pub(crate) fn own_folder(home: &Home, name: &str) -> Result<ContractFolder, Failure> {
    check_name(name)?;
    Ok(ContractFolder::of_server(home, name))
}

/// The user's own server of this name, or else the working tree's.
///
/// # Errors
/// `name` cannot name a server, or there is none.
pub(crate) fn place(home: &Home, name: &str) -> Result<Place, Failure> {
    let own = own_folder(home, name)?;
    if own.exists() {
        return Ok(Place::Own(own));
    }
    match project::find(home, name)? {
        Some(project) => Ok(Place::Project(project)),
        None => Err(Failure::misconfigured(format!("there is no server `{name}`"))
            .help(format!("`cofferdam add {name} -- COMMAND…` makes one"))),
    }
}

/// The names of the user's own servers, in order.
///
/// # Errors
/// Their folder cannot be listed.
pub(crate) fn own_names(home: &Home) -> Result<Vec<String>, Failure> {
    let folder = home.servers();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(file_failure("list", &folder, &cause)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry
            .map_err(|cause| file_failure("list", &folder, &cause))?
            .file_name();
        let name = name.to_string_lossy().into_owned();
        // Our lock, and drafts of files.
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

impl Contract {
    /// Loads and checks everything about server `name` before anything of it is started.
    ///
    /// # Errors
    /// As [`Contract::read`]; or the program differs from what was accepted, or the manifest asks for something this version cannot enforce.
    pub(crate) fn load(home: &Home, name: &str) -> Result<Self, Failure> {
        let mut contract = Self::read(home, name)?;
        contract.check_enforceable()?;
        contract.has_foreign_bytecode = contract.check_program()?;
        Ok(contract)
    }

    /// Reads the files, checks that they belong together and on whose word they count; the program itself is not looked at.
    ///
    /// # Errors
    /// There is no such server; its files are not ours alone, or not vouched for; the manifest does not check; definitions or pins are not
    /// those it names.
    pub(crate) fn read(home: &Home, name: &str) -> Result<Self, Failure> {
        match place(home, name)? {
            Place::Own(folder) => Self::read_own(home, name, folder),
            Place::Project(project) => project.judged(home, name),
        }
    }

    pub(crate) fn read_own(home: &Home, name: &str, folder: ContractFolder) -> Result<Self, Failure> {
        let texts = folder.read()?;
        let mut contract = Self::assemble(home, name, texts, Place::Own(folder.clone()))?;
        contract.signed_by = contract.checked_signature(home, &folder.signature())?;
        Ok(contract)
    }

    /// A contract out of its three files' texts, which must belong together.
    pub(crate) fn assemble(home: &Home, name: &str, texts: Texts, place: Place) -> Result<Self, Failure> {
        let file = match &place {
            Place::Own(folder) => folder.manifest(),
            Place::Project(project) => project.file.clone(),
        };
        let (stated, manifest) = checked_manifest(home, &texts.manifest, &file)?;
        let again = || format!("`cofferdam add --replace {name} -- COMMAND…` observes and accepts the server anew");
        let definitions = Definitions::load(&texts.definitions, &manifest).map_err(|error| {
            Failure::misconfigured(format!(
                "the accepted tool definitions of `{name}` do not match its manifest: {error}"
            ))
            .help(again())
        })?;
        let program = serde_json::from_str::<ProgramPins>(&texts.program).map_err(|error| {
            Failure::misconfigured(format!("the program pins of `{name}` cannot be read: {error}")).help(again())
        })?;
        if manifest.launch.digest.is_some_and(|digest| digest != program.digest()) {
            return Err(Failure::misconfigured(format!(
                "the program pins of `{name}` are not those its manifest names"
            ))
            .help(again()));
        }
        if let Some(path) = manifest.launch.program.iter().find(|path| !program.covers(path)) {
            return Err(Failure::misconfigured(format!(
                "`{}` is granted to `{name}` as its program and is not pinned",
                path.display()
            ))
            .help(again()));
        }
        Ok(Self {
            name: name.to_owned(),
            stated,
            manifest,
            definitions,
            program,
            has_foreign_bytecode: false,
            texts,
            place,
            signed_by: None,
        })
    }

    /// Writes it among the user's own servers.
    ///
    /// # Errors
    /// What is there is not `before`, or it cannot be written.
    pub(crate) fn write(&self, folder: &ContractFolder, before: Before<'_>) -> Result<(), Failure> {
        folder.replace(before, &self.texts)
    }

    /// Who signed the manifest of one of the user's own servers. Whoever put a signature there wants it checked.
    fn checked_signature(&self, home: &Home, file: &Path) -> Result<Option<String>, Failure> {
        let keys = trusted_keys(home)?;
        if file.symlink_metadata().is_err() {
            return if keys.needs_signature {
                Err(self.unsigned())
            } else {
                Ok(None)
            };
        }
        let bytes = read_file_of(file, geteuid(), KEY_FILE_BYTES_MAX)?;
        let signature = Signature::parse(&bytes, file).map_err(|error| key_failure(&error))?;
        let signer = verify(&self.name, &self.stated, &signature, &keys.trusted).map_err(|error| {
            Failure::misconfigured(format!("the manifest of `{}`: {error}", self.name)).help(error.help())
        })?;
        Ok(Some(crate::keys::signer(signer)))
    }

    /// Where a person can be proven, a manifest that no person signed is one that any process of the user may have written.
    fn unsigned(&self) -> Failure {
        Failure::misconfigured(format!(
            "the manifest of `{}` is not signed, and this machine has approvers",
            self.name
        ))
        .help(format!(
            "look at it, then sign it with your approver key: `cofferdam manifest sign {}`",
            self.name
        ))
    }

    pub(crate) fn check_enforceable(&self) -> Result<(), Failure> {
        crate::compartment::required_features(&self.manifest)?;
        let not_yet = self.manifest.not_yet();
        if not_yet.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = not_yet
            .iter()
            .map(|part| format!("`{}`: {}", part.section, part.why))
            .collect();
        Err(Failure::not_enforced(format!(
            "the manifest of `{}` asks for what this version cannot enforce: {}",
            self.name,
            list.join("; ")
        ))
        .help("remove these entries from the manifest, or wait for the version that has them"))
    }

    /// The program's files are what was accepted; a stale index is renewed, so that the next start is fast again. Tells whether there is
    /// compiled Python that nobody accepted; a Python that would load it all the same is refused.
    fn check_program(&self) -> Result<bool, Failure> {
        let checked = self.program.check(crate::cli::now()).map_err(|changed| {
            let failure = Failure::misconfigured(format!("`{}`: {changed}", self.name));
            match &self.manifest.launch.package {
                // Nobody has a reason to change what was installed.
                Some(package) => failure.help(format!(
                    "what was installed was changed since: `cofferdam manifest update {} --to {}` installs it anew",
                    self.name, package.version
                )),
                None => failure.help(format!(
                    "`cofferdam manifest diff {0}` shows what changed; if it was you, `cofferdam manifest accept {0}` accepts it",
                    self.name
                )),
            }
        })?;
        if let Some(fresh) = checked.fresh {
            self.renew_index(&fresh)?;
        }
        self.check_bytecode(&checked.bytecode)?;
        Ok(!checked.bytecode.is_empty())
    }

    fn renew_index(&self, fresh: &ProgramPins) -> Result<(), Failure> {
        let program = program_json(fresh)?;
        match &self.place {
            Place::Own(folder) => folder.renew_program(&self.texts.manifest, &program),
            Place::Project(project) => project.renew_program(&self.texts, program),
        }
        Ok(())
    }

    /// `foreign` are compiled Python files that nobody accepted. `PYTHONPYCACHEPREFIX` keeps Python from loading them, unless an option
    /// makes it ignore its environment.
    pub(crate) fn check_bytecode(&self, foreign: &[PathBuf]) -> Result<(), Failure> {
        let Some(option) = environment_ignored_by(&self.manifest.launch.command).filter(|_| !foreign.is_empty()) else {
            return Ok(());
        };
        let mut list: String = foreign
            .iter()
            .take(NAMED_MAX)
            .map(|path| format!("\n  {}", escaped(path.display().to_string().as_bytes())))
            .collect();
        if let Some(more @ 1..) = foreign.len().checked_sub(NAMED_MAX) {
            list.push_str(&format!("\n  and {more} more"));
        }
        Err(Failure::misconfigured(format!(
            "compiled Python that was not accepted lies beside the program of `{}`, and `{}` makes Python load it:{list}",
            self.name,
            escaped(option.as_bytes())
        ))
        .help(format!(
            "remove these files (Python compiles its sources anew), or accept them with `cofferdam add --replace {} -- COMMAND…`",
            self.name
        )))
    }

    /// The accepted tools, ready for the gate.
    pub(crate) fn pins(&self) -> BTreeMap<String, PinnedTool> {
        let tools = self.manifest.tools.iter().filter_map(|(name, tool)| {
            let definition = self.definitions.definition(name)?.to_owned();
            Some((
                name.clone(),
                PinnedTool {
                    pin: tool.pin,
                    consent: tool.consent,
                    definition,
                    roles: tool
                        .arguments
                        .iter()
                        .filter_map(|(name, argument)| Some((name.clone(), argument.role?)))
                        .collect(),
                    within: within(tool),
                    directory: self.manifest.launch.directory.as_ref().map(|path| text(path)),
                },
            ))
        });
        tools.collect()
    }
}

/// The roots of each argument that is kept in some.
fn within(tool: &Tool) -> BTreeMap<String, Vec<String>> {
    let kept = tool
        .arguments
        .iter()
        .filter(|(_, argument)| !argument.within.is_empty());
    kept.map(|(name, argument)| (name.clone(), argument.within.iter().map(|root| text(root)).collect()))
        .collect()
}

/// A path as text; manifests are UTF-8.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The text of `program.json`.
pub(crate) fn program_json(program: &ProgramPins) -> Result<String, Failure> {
    serde_json::to_string(program)
        .map_err(|error| Failure::misconfigured(format!("the program pins cannot be written: {error}")))
}

/// A manifest's diagnostics begin with `error: ` like ours do; once is enough.
fn unprefixed(error: &ManifestError) -> Failure {
    let text = error.to_string();
    Failure::misconfigured(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
}

/// Parses a manifest, expands `~`, and refuses grants that can never be given: as it stands in the file, and as it counts here.
pub(crate) fn checked_manifest(home: &Home, text: &str, path: &Path) -> Result<(Manifest, Manifest), Failure> {
    let stated = parse(text, &path.display().to_string()).map_err(|error| unprefixed(&error))?;
    let manifest = stated
        .resolve(&home.user_home, &home.own_folders())
        .map_err(|error| unprefixed(&error))?;
    for root in &manifest.filesystem.write {
        if let Some(why) = forbidden_grant(root, Access::Write, &home.data_folders()) {
            let root = escaped(root.display().to_string().as_bytes());
            return Err(Failure::misconfigured(format!(
                "`{root}` cannot be granted for writing: {why}"
            )));
        }
    }
    Ok((stated, manifest))
}
