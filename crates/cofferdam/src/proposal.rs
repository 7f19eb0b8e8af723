//! What a server is now, observed once more, as the contract that could be accepted in place of the one that was.

use std::collections::BTreeMap;
use std::time::Duration;

use cofferdam_inspect::Finding;
use cofferdam_manifest::{
    Accepted, Change, ChangeKind, Consent, Definitions, Digest, Live, Manifest, ProgramChanged, ProgramPins, Subject,
    Tool, Weight, can_name_tool, diff, repin, tool_digest,
};

use crate::cli::draft::seen_with;
use crate::cli::observe::{Observed, converse, observe};
use crate::cli::{findings, now};
use crate::client::Declares;
use crate::contract::folder::Texts;
use crate::contract::{Contract, program_json};
use crate::failure::Failure;
use crate::gate::escaped;
use crate::home::Home;
use crate::protect::seal::STAND_IN;
use crate::session::Session;

/// A contract that nobody accepted yet, and what is new about it.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// Rights, consent and roles are the accepted ones; definitions, pins and program are what was seen.
    pub(crate) contract: Contract,
    /// What changed, the weightiest first.
    pub(crate) changes: Vec<Change>,
    /// Accepted tools that the server did not list: it may list fewer to some clients, and they stay accepted.
    pub(crate) unlisted: Vec<String>,
    /// Listed tools that no manifest can name, such as those with invisible characters: whatever is accepted, they stay hidden.
    pub(crate) unnameable: Vec<String>,
    /// What inspection says about tools that are new or changed.
    pub(crate) findings: BTreeMap<String, Vec<Finding>>,
}

/// How a server is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// For each answer.
    pub(crate) timeout: Duration,
    /// Nobody accepted its program yet, although it is what the pins say.
    pub(crate) is_new_program: bool,
}

/// The program as it is on disk now.
struct Program {
    pins: ProgramPins,
    changed: Option<ProgramChanged>,
    has_foreign_bytecode: bool,
}

impl Proposal {
    /// Starts the server of `accepted` once, sealed, and compares what it lists, and what it consists of, with what was
    /// accepted.
    ///
    /// A program that nobody accepted sees the folders it could write to read-only: looking at it must not let it leave anything behind.
    ///
    /// # Errors
    /// It cannot be observed, what it lists cannot be pinned, or its program changed meanwhile.
    pub(crate) fn observed(home: &Home, accepted: &Contract, look: &Look) -> Result<Self, Failure> {
        accepted.check_enforceable()?;
        let program = Program::now(accepted)?;
        let is_new = look.is_new_program || program.changed.is_some();
        let manifest = watched(&accepted.manifest, is_new);
        let session = Session::unpinned(home, &accepted.name, &manifest, "manifest diff")?;
        let session = session.with_own_bytecode(program.has_foreign_bytecode);
        let (observed, _ended) = converse(home, session, (Declares::Everything, look.timeout), observe)
            .map_err(|failure| explained(failure, accepted, &program))?;
        // What ran is what is pinned.
        if let Err(changed) = program.pins.check(now()) {
            return Err(Failure::misconfigured(format!(
                "the program of `{}` changed while it was observed: {changed}",
                accepted.name
            ))
            .help("wait until whatever updates it is done, then try again"));
        }
        Self::of(home, accepted, &observed, program)
    }

    fn of(home: &Home, accepted: &Contract, observed: &Observed, program: Program) -> Result<Self, Failure> {
        let name = &accepted.name;
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::misconfigured(format!("the tools of `{name}` cannot be accepted: {error}"))
        };
        let listed =
            Definitions::collect(observed.tools.iter().map(String::as_str)).map_err(|error| unusable(&error))?;
        let (nameable, unnameable): (Vec<_>, Vec<_>) = listed.iter().partition(|(tool, _)| can_name_tool(tool));
        let unnameable = unnameable.into_iter().map(|(tool, _)| tool.to_owned()).collect();
        let live = Definitions::collect(nameable.into_iter().map(|(_, definition)| definition))
            .map_err(|error| unusable(&error))?;
        let mut changes = diff(
            &Accepted {
                definitions: &accepted.definitions,
            },
            &Live {
                definitions: &live,
                program: program.changed.as_ref(),
            },
        );
        changes.retain(|change| change.kind != ChangeKind::ToolRemoved);
        let is_listed = |tool: &str| live.definition(tool).is_some();
        let kept = || accepted.definitions.iter().filter(|(tool, _)| !is_listed(tool));
        let unlisted = kept().map(|(tool, _)| tool.to_owned()).collect();
        let findings = found(&changes, &live);
        let all = kept().chain(live.iter()).map(|(_, definition)| definition);
        let definitions = Definitions::collect(all).map_err(|error| unusable(&error))?;
        let stated = restated(&accepted.stated, &live, &program.pins)?;
        let manifest = if stated == accepted.stated {
            accepted.texts.manifest.clone()
        } else {
            repin(&accepted.texts.manifest, &stated).map_err(|error| unusable(&error))?
        };
        let texts = Texts {
            manifest,
            definitions: definitions.to_json(),
            program: program_json(&program.pins)?,
        };
        Ok(Self {
            contract: Contract::assemble(home, name, texts, accepted.place.clone())?,
            changes,
            unlisted,
            unnameable,
            findings,
        })
    }

    /// Nothing changed, and nothing is listed that never can be accepted.
    pub(crate) fn is_clean(&self) -> bool {
        self.changes.is_empty() && self.unnameable.is_empty()
    }

    /// What stands for this very proposal: the digest of its manifest, which covers rights, pins and program.
    pub(crate) fn digest(&self) -> Digest {
        self.contract.stated.digest()
    }

    /// What has to be named one by one before it is accepted: the program, and tools with more than additions or with findings; all of them
    /// where a person did not see the whole. None: one keystroke is enough.
    pub(crate) fn subjects_to_name(&self, is_seen_whole: bool) -> Vec<Subject> {
        let weighty = self.changes.iter().filter(|change| match &change.subject {
            Subject::Tool(name) => {
                !is_seen_whole || change.weight != Weight::Additive || self.findings.contains_key(name)
            }
            _ => true,
        });
        let mut subjects: Vec<Subject> = weighty.map(|change| change.subject.clone()).collect();
        subjects.sort();
        subjects.dedup();
        subjects
    }
}

impl Program {
    fn now(accepted: &Contract) -> Result<Self, Failure> {
        let changed = match accepted.program.check(now()) {
            Ok(checked) => {
                accepted.check_bytecode(&checked.bytecode)?;
                return Ok(Self {
                    has_foreign_bytecode: !checked.bytecode.is_empty(),
                    pins: checked.fresh.unwrap_or_else(|| accepted.program.clone()),
                    changed: None,
                });
            }
            Err(changed) => changed,
        };
        let pins = accepted.program.retake(now()).map_err(|error| {
            Failure::misconfigured(format!("the program of `{}` cannot be pinned: {error}", accepted.name)).help(
                format!(
                    "if it moved, `cofferdam add --replace {} -- COMMAND…` observes and accepts it anew",
                    accepted.name
                ),
            )
        })?;
        let bytecode = pins.check(now()).map(|checked| checked.bytecode).unwrap_or_default();
        accepted.check_bytecode(&bytecode)?;
        Ok(Self {
            pins,
            changed: Some(changed),
            has_foreign_bytecode: !bytecode.is_empty(),
        })
    }
}

fn explained(failure: Failure, accepted: &Contract, program: &Program) -> Failure {
    if program.changed.is_none() || accepted.manifest.filesystem.write.is_empty() {
        return failure;
    }
    failure.help(format!(
        "its program changed, so it saw the folders it may write to read-only; if you trust the new one, `cofferdam add --replace {} -- COMMAND…` accepts it",
        accepted.name
    ))
}

/// The manifest for a look: no secret, and stand-ins for what a client would set and nobody set here.
fn watched(manifest: &Manifest, is_program_changed: bool) -> Manifest {
    let secrets = manifest.secrets.keys();
    let unset = manifest
        .environment
        .pass
        .iter()
        .filter(|name| std::env::var_os(name).is_none());
    let stand_ins: Vec<(String, String)> = secrets
        .chain(unset)
        .map(|name| (name.clone(), STAND_IN.to_owned()))
        .collect();
    let mut watched = seen_with(manifest, &stand_ins);
    if is_program_changed {
        let written = std::mem::take(&mut watched.filesystem.write);
        watched.filesystem.read.extend(written);
    }
    watched
}

/// The accepted manifest with the pins of what was seen. A new tool gets what `add` gives it.
fn restated(accepted: &Manifest, live: &Definitions, pins: &ProgramPins) -> Result<Manifest, Failure> {
    let mut stated = accepted.clone();
    if stated.launch.digest.is_some() {
        stated.launch.digest = Some(pins.digest());
    }
    for (name, definition) in live.iter() {
        let pin = tool_digest(definition).map_err(|error| {
            Failure::misconfigured(format!(
                "the tool `{}` cannot be pinned: {error}",
                escaped(name.as_bytes())
            ))
        })?;
        let tool = stated.tools.entry(name.to_owned()).or_insert_with(|| Tool {
            pin,
            consent: Consent::Allow,
            arguments: BTreeMap::new(),
        });
        tool.pin = pin;
    }
    Ok(stated)
}

/// What inspection finds in each tool that changed.
fn found(changes: &[Change], live: &Definitions) -> BTreeMap<String, Vec<Finding>> {
    let mut all = BTreeMap::new();
    for change in changes {
        if let Subject::Tool(name) = &change.subject
            && let Some(definition) = live.definition(name)
        {
            let found = findings(definition);
            if !found.is_empty() {
                all.insert(name.clone(), found);
            }
        }
    }
    all
}
