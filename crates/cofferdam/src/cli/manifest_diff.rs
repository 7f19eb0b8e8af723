//! `manifest diff`: what changed since a server was accepted, or what one manifest allows and another does not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cofferdam_manifest::{Manifest, diff_manifests};

use super::args::ManifestDiff;
use super::manifest::{is_file, manifest_of_file};
use super::output::Output;
use super::review::{Review, counted};
use crate::contract::project::Project;
use crate::contract::{Contract, Place, place};
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::proposal::Proposal;

/// Shows the differences; exit 1 when there are any.
pub(crate) fn run(home: &Home, args: &ManifestDiff, output: &mut Output) -> Result<Exit, Failure> {
    if let Some(other) = &args.against {
        return against(home, args, other, output);
    }
    if is_file(&args.target) {
        return Err(Failure::usage(format!(
            "`{}` is a file, and with what shall it be compared?",
            args.target
        ))
        .help("say `--against FILE`, or name a server to compare it with what it is now"));
    }
    let contract = match place(home, &args.target)? {
        Place::Own(folder) => Contract::read_own(home, &args.target, folder)?,
        Place::Project(project) => {
            let stated = project.stated(home, &args.target)?;
            let accepted = project.accepted(home)?;
            if project.authority(home, &stated, &accepted).is_err() {
                return unaccepted(home, &project, &stated, (args.full, output));
            }
            Contract::read(home, &args.target)?
        }
    };
    let proposal = observed(home, &contract, args.timeout, output)?;
    review(&proposal).print(args.full, output)?;
    if proposal.changes.is_empty() {
        return Ok(if proposal.is_clean() {
            Exit::Fine
        } else {
            Exit::Findings
        });
    }
    output.say(&format!("digest {}", proposal.digest()));
    output.say(&format!("`cofferdam manifest accept {}` accepts it", args.target));
    Ok(Exit::Findings)
}

/// Starts the server once and compares.
pub(crate) fn observed(
    home: &Home,
    contract: &Contract,
    timeout: u64,
    output: &mut Output,
) -> Result<Proposal, Failure> {
    output.say(&format!(
        "starting `{}` sealed and without network, to see what it lists …",
        contract.name
    ));
    Proposal::observed(home, contract, Duration::from_secs(timeout))
}

pub(crate) fn review(proposal: &Proposal) -> Review<'_> {
    Review {
        name: &proposal.contract.name,
        heading: counted(&proposal.changes, "since it was accepted"),
        changes: &proposal.changes,
        findings: &proposal.findings,
        unlisted: &proposal.unlisted,
        unnameable: &proposal.unnameable,
        digest: proposal.digest(),
    }
}

/// A project's manifest that does not count yet: what it asks for beyond what was accepted. Nothing is started.
fn unaccepted(
    home: &Home,
    project: &Project,
    stated: &Contract,
    (is_full, output): (bool, &mut Output),
) -> Result<Exit, Failure> {
    let asked = Asked::of(home, project, stated)?;
    asked.review(stated).print(is_full, output)?;
    output.say(&format!("digest {}", stated.stated.digest()));
    output.say(&format!("`cofferdam manifest accept {}` accepts it", stated.name));
    Ok(Exit::Findings)
}

/// What a project's manifest asks for.
pub(crate) struct Asked {
    changes: Vec<cofferdam_manifest::Change>,
    findings: BTreeMap<String, Vec<cofferdam_inspect::Finding>>,
    heading: String,
}

impl Asked {
    /// Compared with what was accepted at its place, or else with a manifest that grants nothing.
    pub(crate) fn of(home: &Home, project: &Project, stated: &Contract) -> Result<Self, Failure> {
        let found = |(name, definition): (&str, &str)| (name.to_owned(), super::findings(definition));
        let mut findings: BTreeMap<_, _> = stated.definitions.iter().map(found).collect();
        findings.retain(|_, found| !found.is_empty());
        let (changes, heading) = match project.previous(home)? {
            Some(previous) => {
                let definitions = Some((&previous.definitions, &stated.definitions));
                let changes = diff_manifests(&previous.manifest, &stated.stated, definitions);
                let heading = counted(&changes, "in the project since you accepted it");
                (changes, heading)
            }
            None => {
                let nothing = Manifest::new(stated.stated.launch.clone());
                let changes = diff_manifests(&nothing, &stated.stated, None);
                (changes, "nobody accepted it yet; this is all it asks for".to_owned())
            }
        };
        Ok(Self {
            changes,
            findings,
            heading,
        })
    }

    pub(crate) fn review<'r>(&'r self, stated: &'r Contract) -> Review<'r> {
        Review {
            name: &stated.name,
            heading: self.heading.clone(),
            changes: &self.changes,
            findings: &self.findings,
            unlisted: &[],
            unnameable: &[],
            digest: stated.stated.digest(),
        }
    }
}

/// Two manifests, neither of them started.
fn against(home: &Home, args: &ManifestDiff, other: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let before = if is_file(&args.target) {
        manifest_of_file(home, Path::new(&args.target))?
    } else {
        Contract::read(home, &args.target)?.stated
    };
    let after = manifest_of_file(home, other)?;
    let changes = diff_manifests(&before, &after, None);
    let since = format!("in `{}`", crate::own_files::shown(other));
    let review = Review {
        name: &args.target,
        heading: counted(&changes, &since),
        changes: &changes,
        findings: &BTreeMap::new(),
        unlisted: &[],
        unnameable: &[],
        digest: after.digest(),
    };
    review.print(args.full, output)?;
    Ok(if changes.is_empty() { Exit::Fine } else { Exit::Findings })
}
