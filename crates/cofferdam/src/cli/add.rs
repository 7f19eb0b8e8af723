//! `add NAME -- COMMAND…`: watch a server once, sealed, with no network but what is granted; show it; write its manifest after a yes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_inspect::{Finding, Severity, show_safely};
use cofferdam_manifest::{
    Access, ClientRequest, Consent, Definitions, Deliver, Interpreter, Isolation, Launch, Manifest, Profile, Program,
    ProgramKind, ProgramPins, SECRET_TTL_SECONDS_MAX, Secret, Tool, forbidden_grant, tool_digest,
};
use serde_json::Value;

use super::args::{Add, ClientMay};
use super::manifest_sign::{sign_own, sign_project};
use super::observe::{Observed, converse, observe};
use super::output::{Output, Style};
use super::person::proven;
use super::run::understood;
use crate::client::Declares;
use crate::compartment::given_up;
use crate::contract::folder::{Before, Texts};
use crate::contract::project::Project;
use crate::contract::{Contract, Place, own_folder, program_json};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::image::wanted;
use crate::install::{Held, PackageLine, install, package_line};
use crate::own_files::shown;
use crate::protect::Scope;
use crate::session::Session;

/// Adds a server.
pub(crate) fn run(home: &Home, args: Add, output: &mut Output) -> Result<Exit, Failure> {
    let place = destination(home, &args)?;
    if place.exists() && !args.replace {
        return Err(
            Failure::misconfigured(format!("there is a server `{}` already", args.name))
                .help("choose another name, or `--replace` it"),
        );
    }
    // What is refused by its words alone is refused before anything is said to start.
    wanted(home, &args)?;
    let package = packaged(&args)?;
    for finding in cofferdam_scan::launch_line(&args.command) {
        // What is installed here once is one exact version from then on.
        if package.is_some() && finding.rule.id == "launch/unpinned-package" {
            continue;
        }
        output.say(&format!(
            "{} {}: {}",
            output.styled(Style::Yellow, "finding"),
            finding.rule.id,
            finding.evidence
        ));
    }
    if let Some(line) = package {
        output.say(&format!(
            "installing `{}` in a compartment that reaches its registry only, without running anything of it …",
            line.name
        ));
    }
    output.say(&format!(
        "starting `{}` sealed, {}, to see what it lists …",
        args.name,
        if args.network.is_empty() {
            "without network"
        } else {
            "with the network you grant"
        }
    ));
    let candidate = Candidate::observed(home, &args, &[])?;
    candidate.show(output)?;
    if !args.yes && !output.is_confirmed(&format!("accept `{}` as shown?", args.name)) {
        return Err(Failure::new(Exit::Nothing, "nothing was written").help("answer `y` on a terminal, or say `--yes`"));
    }
    let file = candidate.accept(home, args.replace, output)?;
    output.say(&format!("wrote {file}"));
    output.say(&format!(
        "in your MCP client: command `{}`, arguments `run {}`",
        own_program().display(),
        args.name
    ));
    Ok(Exit::Fine)
}

/// A server that was seen once and that nobody accepted yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) contract: Contract,
    observed: Observed,
    notes: Vec<String>,
    /// What was installed for it is not pruned before it is accepted.
    _held: Option<Held>,
}

impl Candidate {
    /// Starts the server once, sealed and without network. `stand_ins` are variables for this start alone.
    ///
    /// # Errors
    /// The launch line is not understood, a grant can never be given, or the server cannot be observed.
    pub(crate) fn observed(home: &Home, args: &Add, stand_ins: &[(String, String)]) -> Result<Self, Failure> {
        let place = destination(home, args)?;
        let Drafted {
            mut manifest,
            program,
            mut pins,
            held,
        } = Drafted::of(home, args)?;

        let mut seen = seen_with(&manifest, stand_ins);
        if args.as_before.is_some() {
            seen.client.allow = vec![ClientRequest::Roots];
        }
        let mut session = Session::unpinned(home, &args.name, &seen, "add")?;
        let executed = session.any_program();
        let timeout = Duration::from_secs(args.timeout);
        let (observed, _ended) = converse(home, session, (Declares::Everything, timeout), observe)?;

        if manifest.isolation.image.is_none() {
            allow_executed(&mut manifest, &executed.paths());
        }

        let definitions = Definitions::collect(observed.tools.iter().map(String::as_str)).map_err(|error| {
            Failure::misconfigured(format!("the tools of `{}` cannot be accepted: {error}", args.name))
        })?;
        manifest.tools = accepted(&definitions)?;
        if let Some(before) = &args.as_before {
            if observed.has_asked_roots {
                manifest.client.allow = vec![ClientRequest::Roots];
            }
            if definitions.iter().any(|(_, definition)| says_it_writes(definition)) {
                let own = manifest.launch.program.clone();
                let scope = Scope::of(home, before.project.as_deref(), &own);
                write_named(&mut manifest, &program, |root| scope.may_write(root));
            }
            pins = pinned(&program, &args.program, &manifest)?;
            manifest.launch.digest = Some(pins.digest());
        }
        let texts = Texts {
            manifest: manifest.to_toml(),
            definitions: definitions.to_json(),
            program: program_json(&pins)?,
        };
        // As it will be read: what cannot be written down, such as a tool with an invisible name, is refused now.
        let contract = Contract::assemble(home, &args.name, texts, place)?;
        Ok(Self {
            contract,
            observed,
            notes: program.notes,
            _held: held,
        })
    }

    /// One screen: what it is, what it may reach, what it offers, what was found.
    pub(crate) fn show(&self, output: &mut Output) -> Result<(), Failure> {
        show(&self.contract, &self.observed, &self.notes, output)
    }

    /// Writes it where it belongs; gives the manifest's path, as it can be shown.
    ///
    /// # Errors
    /// Nobody proved to be a person where that is needed, or it cannot be written.
    pub(crate) fn accept(&self, home: &Home, replace: bool, output: &mut Output) -> Result<String, Failure> {
        let key = proven(home, "accepting a server", output)?;
        let before = if replace { Before::Anything } else { Before::Nothing };
        match (&self.contract.place, &key) {
            (Place::Own(folder), key) => {
                self.contract.write(folder, before)?;
                if let Some(key) = key {
                    sign_own(folder, &self.contract, key, output)?;
                }
                Ok(shown(&folder.manifest()))
            }
            (Place::Project(project), Some(key)) => {
                project.write(&self.contract)?;
                sign_project(project, &self.contract, key, output)?;
                Ok(shown(&project.file))
            }
            (Place::Project(project), None) => {
                project.acceptance(home, &self.contract)?;
                project.write(&self.contract)?;
                project.accept(home, &self.contract)?;
                Ok(shown(&project.file))
            }
        }
    }
}

/// What a person asked for, before the server was seen.
struct Drafted {
    manifest: Manifest,
    program: Program,
    pins: ProgramPins,
    held: Option<Held>,
}

impl Drafted {
    fn of(home: &Home, args: &Add) -> Result<Self, Failure> {
        if let Some(wanted) = wanted(home, args)? {
            let (program, isolation, args) = wanted.understood(home, args)?;
            return Self::from(home, &args, program, isolation);
        }
        let installed = match package_line(&args.command)? {
            Some(line) => Some(install(home, &args.name, &line, args.but.into())?),
            None => None,
        };
        let command = installed.as_ref().map_or(&args.command, |installed| &installed.command);
        let program = understood(home, command, args.directory.as_deref())?;
        let mut drafted = Self::from(home, args, program, Isolation::default())?;
        if let Some(installed) = installed {
            drafted.program.notes.extend(installed.notes);
            drafted.manifest.launch.package = Some(installed.package);
            drafted.held = Some(installed.held);
        }
        Ok(drafted)
    }

    fn from(home: &Home, args: &Add, program: Program, isolation: Isolation) -> Result<Self, Failure> {
        let mut manifest = draft(home, args, &program, isolation)?;
        let pins = pinned(&program, &args.program, &manifest)?;
        manifest.launch.digest = Some(pins.digest());
        Ok(Self {
            manifest,
            program,
            pins,
            held: None,
        })
    }
}

/// The package that the line names, where the server does not come as an image.
fn packaged(args: &Add) -> Result<Option<PackageLine>, Failure> {
    if args.image.is_some() {
        return Ok(None);
    }
    package_line(&args.command)
}

/// Whether a tool says of itself that it does more than read. One that says nothing is not taken for one that writes.
fn says_it_writes(definition: &str) -> bool {
    let parsed: Value = serde_json::from_str(definition).unwrap_or_default();
    parsed.pointer("/annotations/readOnlyHint").and_then(Value::as_bool) == Some(false)
}

/// Folders that the launch line names, for writing.
fn write_named(manifest: &mut Manifest, program: &Program, may: impl Fn(&Path) -> bool) {
    let named = |root: &PathBuf| program.offered_roots.contains(root) && may(root);
    let (write, read) = std::mem::take(&mut manifest.filesystem.read)
        .into_iter()
        .partition(named);
    manifest.filesystem.read = read;
    manifest.filesystem.write.extend::<Vec<PathBuf>>(write);
}

/// The manifest for a first look: variables that are passed on stand in for themselves, and no secret is there.
pub(crate) fn seen_with(manifest: &Manifest, stand_ins: &[(String, String)]) -> Manifest {
    let mut seen = manifest.clone();
    let is_stood_in = |name: &String| stand_ins.iter().any(|(one, _)| one == name);
    seen.environment.pass.retain(|name| !is_stood_in(name));
    seen.secrets.clear();
    seen.environment.set.extend(stand_ins.iter().cloned());
    seen
}

/// Among the user's own servers, or with `--project` in the working tree.
fn destination(home: &Home, args: &Add) -> Result<Place, Failure> {
    let own = own_folder(home, &args.name)?;
    if args.project {
        return Project::here(home, &args.name).map(Place::Project);
    }
    Ok(Place::Own(own))
}

/// Our own absolute path: GUI clients have a short PATH.
pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_unknown| PathBuf::from("cofferdam"))
}

/// The manifest before the server was seen: its program, and what the person grants.
fn draft(home: &Home, args: &Add, program: &Program, isolation: Isolation) -> Result<Manifest, Failure> {
    let own: Vec<PathBuf> = args
        .program
        .iter()
        .map(|path| absolute(path))
        .collect::<Result<_, _>>()?;
    let command = program.argv.clone();
    let grants = program.grants.iter().cloned().chain(own).collect();
    let mut manifest = Manifest::new(Launch {
        command,
        directory: program.directory.clone(),
        program: grants,
        digest: None,
        package: None,
    });
    manifest.isolation = isolation;
    manifest.filesystem.write = args.write.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
    let asked = args
        .read
        .iter()
        .map(|path| absolute(path))
        .collect::<Result<Vec<_>, _>>()?;
    for root in asked.into_iter().chain(program.offered_roots.iter().cloned()) {
        if !manifest.filesystem.write.contains(&root) && !manifest.filesystem.read.contains(&root) {
            manifest.filesystem.read.push(root);
        }
    }
    check_grants(home, &manifest)?;
    manifest.environment.set = crate::compartment::PINNED_LOCALE
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    if let Some(zone) = time_zone() {
        manifest.environment.set.insert("TZ".to_owned(), zone);
    }
    if program.kind == ProgramKind::Interpreter(Interpreter::Python) {
        manifest.environment.set.insert(HASH_SEED.to_owned(), hash_seed()?);
    }
    for variable in &args.env {
        match variable.split_once('=') {
            Some((name, value)) => drop(manifest.environment.set.insert(name.to_owned(), value.to_owned())),
            None => manifest.environment.pass.push(variable.clone()),
        }
    }
    manifest.programs.allow.clone_from(&args.execute);
    manifest.isolation.profile = args.browser.then_some(Profile::Browser);
    for name in &args.secret {
        manifest.secrets.insert(name.clone(), environment_secret());
    }
    manifest.network.allow.clone_from(&args.network);
    manifest.client.allow = args.client.iter().copied().map(ClientMay::into).collect();
    // What a person cannot write into a manifest, a flag cannot either.
    cofferdam_manifest::parse(&manifest.to_toml(), "the new manifest")
        .map_err(|error| Failure::misconfigured(error.to_string()))?;
    Ok(manifest)
}

/// A secret that the client has in our environment: as long-lived as it is there.
fn environment_secret() -> Secret {
    Secret {
        source: Secret::ENVIRONMENT.to_owned(),
        ttl_seconds: SECRET_TTL_SECONDS_MAX,
        deliver: Deliver::Env,
        hosts: Vec::new(),
        header: None,
    }
}

impl From<ClientMay> for ClientRequest {
    fn from(may: ClientMay) -> Self {
        match may {
            ClientMay::Roots => Self::Roots,
            ClientMay::Elicitation => Self::Elicitation,
            ClientMay::Sampling => Self::Sampling,
        }
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|cause| Failure::misconfigured(format!("`{}` cannot be granted: {cause}", path.display())))
}

/// Refuses what can never be granted, by its spelling and by where it leads.
pub(crate) fn check_grants(home: &Home, manifest: &Manifest) -> Result<(), Failure> {
    let reads = manifest
        .filesystem
        .read
        .iter()
        .chain(&manifest.launch.program)
        .map(|root| (root, Access::Read));
    let writes = manifest.filesystem.write.iter().map(|root| (root, Access::Write));
    for (root, access) in reads.chain(writes) {
        let real = root.canonicalize().ok();
        let mut own = home.own_folders();
        if access == Access::Write {
            own.extend(home.data_folders());
        }
        let reason = std::iter::once(root)
            .chain(&real)
            .find_map(|path| forbidden_grant(path, access, &own));
        if let Some(why) = reason {
            return Err(Failure::misconfigured(format!(
                "`{}` cannot be granted: {why}",
                escaped(root.display().to_string().as_bytes())
            )));
        }
    }
    Ok(())
}

/// The machine's own zone, by name: a server that shows the time shall show the user's.
fn time_zone() -> Option<String> {
    let link = std::fs::canonicalize("/etc/localtime").ok()?;
    let name = link.strip_prefix("/usr/share/zoneinfo").ok()?.to_str()?.to_owned();
    Some(name.strip_prefix("posix/").unwrap_or(&name).to_owned())
}

/// Python's seed for the order of its sets. Without it some servers list their tools in other words at each start, and
/// what was accepted would look changed.
const HASH_SEED: &str = "PYTHONHASHSEED";

/// One value for the life of the manifest, and another in each: whoever feeds a server keys that collide would have to know
/// it.
fn hash_seed() -> Result<String, Failure> {
    let seed = getrandom::u32().map_err(|cause| Failure::not_enforced(format!("no random number: {cause}")))?;
    Ok(seed.to_string())
}

/// Pins the program's content; folders the person may write to are data, not program.
pub(crate) fn pinned(program: &Program, more: &[PathBuf], manifest: &Manifest) -> Result<ProgramPins, Failure> {
    let mut roots = program.pinned.clone();
    for path in more {
        roots.push(absolute(path)?);
    }
    let except: Vec<PathBuf> = program
        .unpinned
        .iter()
        .chain(&manifest.filesystem.write)
        .cloned()
        .collect();
    ProgramPins::take(&roots, &except, super::now())
        .map_err(|error| Failure::misconfigured(format!("the program cannot be pinned: {error}")))
}

fn accepted(definitions: &Definitions) -> Result<BTreeMap<String, Tool>, Failure> {
    let tools = definitions.iter().map(|(name, definition)| {
        let pin = tool_digest(definition).map_err(|error| {
            Failure::misconfigured(format!("the tool `{}` cannot be pinned: {error}", show_safely(name)))
        })?;
        Ok((
            name.to_owned(),
            Tool {
                pin,
                consent: Consent::Allow,
                arguments: BTreeMap::new(),
            },
        ))
    });
    tools.collect()
}

/// One screen: what it is, what it may reach, what it offers, what was found.
fn show(contract: &Contract, observed: &Observed, notes: &[String], output: &mut Output) -> Result<(), Failure> {
    let manifest = &contract.manifest;
    output.say(&output.styled(Style::Bold, &contract.name));
    output.say(&format!(
        "  program   {}",
        escaped(manifest.launch.command.join(" ").as_bytes())
    ));
    match &manifest.isolation.image {
        Some(image) => output.say(&format!("  image     {}", escaped(image.reference.as_bytes()))),
        None => output.say(&format!(
            "  pinned    {} files, {}",
            contract.program.len(),
            contract.program.digest()
        )),
    }
    output.say(&format!("  reads     {}", list_of(&manifest.filesystem.read)));
    output.say(&format!("  writes    {}", list_of(&manifest.filesystem.write)));
    output.say(&format!("  executes  {}", programs_in_words(manifest)));
    for program in manifest.programs.allow.iter().filter(|program| runs_any_code(program)) {
        let program = escaped(program.as_bytes());
        output.say(&format!(
            "  note      `{program}` runs any code that is given to it: only what is granted bounds that"
        ));
    }
    for what in given_up(manifest) {
        output.say(&format!("  gives up  {}", escaped(what.as_bytes())));
    }
    let hosts: Vec<String> = manifest.network.allow.iter().map(ToString::to_string).collect();
    output.say(&format!(
        "  network   {}",
        if hosts.is_empty() {
            "none".to_owned()
        } else {
            hosts.join(", ")
        }
    ));
    let variables: Vec<&str> = manifest
        .environment
        .set
        .keys()
        .chain(&manifest.environment.pass)
        .map(String::as_str)
        .collect();
    output.say(&format!("  variables {}", variables.join(", ")));
    if !manifest.secrets.is_empty() {
        let names: Vec<&str> = manifest.secrets.keys().map(String::as_str).collect();
        output.say(&format!(
            "  secrets   {} (long-lived: the server gets what the client has)",
            names.join(", ")
        ));
    }
    for note in notes.iter().chain(&observed.unlisted) {
        output.say(&format!("  note      {note}"));
    }
    output.say(&format!(
        "  {} tools, {} prompts, {} resources",
        observed.tools.len(),
        observed.prompts.len(),
        observed.resources.len()
    ));
    show_tools(contract, output);
    for (what, names) in [("prompt", &observed.prompts), ("resource", &observed.resources)] {
        for name in names {
            output.say(&format!("    {what} {}", show_safely(name)));
        }
    }
    Ok(())
}

/// Each tool with the beginning of its description, and what was found.
fn show_tools(contract: &Contract, output: &mut Output) {
    for (name, definition) in contract.definitions.iter() {
        output.say(&format!(
            "    {}  {}",
            output.styled(Style::Bold, &show_safely(name)),
            first_words(definition)
        ));
        for finding in findings(definition) {
            output.say(&format!(
                "      {} {}: {}",
                output.styled(Style::Red, "finding"),
                finding.rule.id,
                finding.evidence
            ));
        }
    }
}

/// Lists what the server executed while it was observed, besides itself. A program on the path inside is listed by name.
fn allow_executed(manifest: &mut Manifest, executed: &[String]) {
    for path in executed {
        let is_itself = manifest.launch.command.first() == Some(path);
        let name = crate::compartment::name_inside(path).unwrap_or(path);
        let allow = &mut manifest.programs.allow;
        if !is_itself && !allow.iter().any(|known| known == name || known == path) {
            allow.push(name.to_owned());
        }
    }
}

/// Whether a program is a shell, an interpreter, or one that starts whatever it is told to.
fn runs_any_code(program: &str) -> bool {
    const NAMES: [&str; 16] = [
        "sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "env", "xargs", "python", "node", "perl", "ruby", "php",
        "lua", "awk",
    ];
    let name = Path::new(program).file_name().and_then(|name| name.to_str());
    let base = name
        .unwrap_or(program)
        .trim_end_matches(|end: char| end.is_ascii_digit() || end == '.');
    NAMES.contains(&base)
}

/// What it may execute, for people.
fn programs_in_words(manifest: &Manifest) -> String {
    let allow = &manifest.programs.allow;
    if manifest.isolation.image.is_some() {
        return "whatever is in the image".to_owned();
    }
    if allow.is_empty() {
        return "nothing but itself".to_owned();
    }
    escaped(format!("itself, {}", allow.join(", ")).as_bytes())
}

fn list_of(roots: &[PathBuf]) -> String {
    if roots.is_empty() {
        return "nothing".to_owned();
    }
    roots
        .iter()
        .map(|root| escaped(root.display().to_string().as_bytes()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Characters of a description that fit on its tool's line.
const FIRST_WORDS_CHARS: usize = 72;

/// The beginning of a description, for a list; `tools` shows it whole.
fn first_words(definition: &str) -> String {
    let whole = description(definition);
    let line = whole.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(FIRST_WORDS_CHARS).collect();
    if shown.len() < whole.len() {
        shown.push('…');
    }
    escaped(shown.as_bytes())
}

/// A tool's description as its server wrote it. Not safe to print.
pub(crate) fn description(definition: &str) -> String {
    let parsed: Value = serde_json::from_str(definition).unwrap_or_default();
    parsed
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// What inspection says about a definition, its schema and every text in it, from medium on: weaker cues stand in honest texts.
pub(crate) fn findings(definition: &str) -> Vec<Finding> {
    let mut findings = super::inspect::definition_findings(definition);
    findings.retain(|finding| finding.severity >= Severity::Medium);
    findings
}
