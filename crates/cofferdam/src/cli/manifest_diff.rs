//! `manifest diff`: what changed since a server was accepted, or what one manifest allows and another does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_manifest::{
    Accepted, Change, ChangeKind, Definitions, Detail, Direction, Launch, Live, Manifest, Subject, Weight, diff,
    diff_manifests,
};

use super::args::ManifestDiff;
use super::manifest::{is_file, manifest_of_file};
use super::output::Output;
use super::review::{Review, counted};
use crate::compartment::manner;
use crate::contract::project::Project;
use crate::contract::{Contract, Place, place};
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::own_files::shown;
use crate::proposal::{Look, Proposal};

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
                return unaccepted(home, &project, &stated, (args.look.full, output));
            }
            Contract::read(home, &args.target)?
        }
    };
    let proposal = observed(home, &contract, args.look.timeout, output)?;
    review(&proposal).print(args.look.full, output)?;
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
    let manner = manner(&contract.manifest.isolation.waive);
    output.say(&format!(
        "starting `{}` {manner}, to see what it lists …",
        contract.name
    ));
    let look = Look {
        timeout: Duration::from_secs(timeout),
        is_new_program: false,
    };
    Proposal::observed(home, contract, &look)
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
    changes: Vec<Change>,
    findings: BTreeMap<String, Vec<cofferdam_inspect::Finding>>,
    heading: String,
}

impl Asked {
    /// Compared with what was accepted at its place, or else with a manifest that grants nothing.
    pub(crate) fn of(home: &Home, project: &Project, stated: &Contract) -> Result<Self, Failure> {
        let found = |(name, definition): (&str, &str)| (name.to_owned(), super::findings(definition));
        let mut findings: BTreeMap<_, _> = stated.definitions.iter().map(found).collect();
        findings.retain(|_, found| !found.is_empty());
        let previous = project.previous(home)?;
        let (mut changes, since) = match &previous {
            Some(previous) => {
                let definitions = Some((&previous.definitions, &stated.definitions));
                let changes = diff_manifests(&previous.manifest, &stated.stated, definitions);
                (changes, "in the project since you accepted it")
            }
            None => (asked_from_nothing(stated), ""),
        };
        let accepted = previous.and_then(|previous| previous.manifest.launch.digest);
        // Which folders are left out is part of what the program's digest covers.
        if accepted.is_none() || accepted != stated.stated.launch.digest {
            changes.extend(unpinned(stated));
        }
        Ok(Self {
            heading: match accepted {
                Some(_) => counted(&changes, since),
                None => "nobody accepted it yet; this is all it asks for".to_owned(),
            },
            changes,
            findings,
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

/// Everything a manifest asks for, the program first.
fn asked_from_nothing(stated: &Contract) -> Vec<Change> {
    let nothing = Manifest::new(Launch {
        command: Vec::new(),
        directory: None,
        program: Vec::new(),
        digest: None,
        package: None,
    });
    let mut changes = diff_manifests(&nothing, &stated.stated, None);
    // Tools are told by what they say, below.
    changes.retain(|change| change.subject != Subject::Section("tools".to_owned()));
    for change in &mut changes {
        "asked for".clone_into(&mut change.summary);
        let is_now = |detail: &Detail| !matches!(detail, Detail::Line(line) if line.starts_with("accepted: "));
        change.details.retain(is_now);
    }
    changes.sort_by_key(|change| !change.subject.to_string().starts_with("launch."));
    let none = Definitions::default();
    let accepted = Accepted { definitions: &none };
    let live = Live {
        definitions: &stated.definitions,
        program: None,
    };
    changes.extend(diff(&accepted, &live));
    changes
}

/// Folders of the program that may change without anyone's word.
fn unpinned(stated: &Contract) -> Option<Change> {
    // What it may write to is told by itself.
    let is_told = |folder: &&PathBuf| !stated.manifest.filesystem.write.contains(folder);
    let folders: Vec<&PathBuf> = stated.program.unpinned().iter().filter(is_told).collect();
    let line = |folder: &&PathBuf| Detail::Line(shown(folder));
    (!folders.is_empty()).then(|| Change {
        kind: ChangeKind::Right(Direction::Widened),
        weight: Weight::Risky,
        subject: Subject::Program,
        summary: "not pinned in these folders".to_owned(),
        details: folders.iter().map(line).collect(),
    })
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
    let since = format!("in `{}`", shown(other));
    let review = Review {
        name: &args.target,
        heading: counted(&changes, &since),
        changes: &changes,
        findings: &BTreeMap::new(),
        unlisted: &[],
        unnameable: &[],
        digest: after.digest(),
    };
    review.print(args.look.full, output)?;
    Ok(if changes.is_empty() { Exit::Fine } else { Exit::Findings })
}
