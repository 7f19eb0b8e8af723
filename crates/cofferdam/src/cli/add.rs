//! `add NAME -- COMMAND…`: watch a server once, sealed, with no network but what is granted; show it; write its manifest after a yes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_manifest::{ClientRequest, Definitions, Endpoint, Isolation, Manifest, Program, ProgramPins, SigningKey};
use serde_json::Value;

use super::add_screen::show;
use super::args::Add;
use super::draft::{accepted, allow_executed, draft, pinned, seen_with};
use super::manifest_sign::{sign_own, sign_project};
use super::observe::{Observed, converse, observe};
use super::output::{Output, Style};
use super::person::proven;
use super::run::understood;
use crate::client::Declares;
use crate::compartment::manner;
use crate::contract::folder::{Before, Texts};
use crate::contract::project::Project;
use crate::contract::{Contract, Place, own_folder, program_json};
use crate::egress::Grants;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::image::wanted;
use crate::install::{Held, PackageLine, install, package_line};
use crate::own_files::shown;
use crate::protect::Scope;
use crate::refusals::{Refused, remember};
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
        "starting `{}` {}, {}, to see what it lists …",
        args.name,
        manner(&args.waive),
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
    /// What it was refused meanwhile, each with its record.
    refused: Vec<(Refused, String)>,
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
        let gathered = session.gathering(home, &seen);
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
            refused: gathered.take(),
            _held: held,
        })
    }

    /// Public hosts that it asked for and may not reach: what a person could grant.
    pub(crate) fn hosts(&self) -> Vec<Endpoint> {
        let wanted = self.refused.iter().filter_map(|(refused, _)| match refused {
            Refused::Host(wanted) => Grants::grantable(wanted),
            _ => None,
        });
        let granted = &self.contract.manifest.network.allow;
        let mut hosts: Vec<Endpoint> = wanted.filter(|host| !granted.contains(host)).collect();
        hosts.dedup();
        hosts
    }

    /// One screen: what it is, what it may reach, what it offers, what was found.
    pub(crate) fn show(&self, output: &mut Output) -> Result<(), Failure> {
        show(&self.contract, &self.observed, (&self.notes, &self.refused), output)
    }

    /// Writes it where it belongs; gives the manifest's path, as it can be shown.
    ///
    /// # Errors
    /// Nobody proved to be a person where that is needed, or it cannot be written.
    pub(crate) fn accept(&self, home: &Home, replace: bool, output: &mut Output) -> Result<String, Failure> {
        let key = proven(home, "accepting a server", output)?;
        let file = self.write(home, replace, key.as_ref(), output)?;
        remember(home, &self.contract.name, &self.refused);
        Ok(file)
    }

    fn write(
        &self,
        home: &Home,
        replace: bool,
        key: Option<&SigningKey>,
        output: &mut Output,
    ) -> Result<String, Failure> {
        let before = if replace { Before::Anything } else { Before::Nothing };
        match (&self.contract.place, key) {
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
