//! `manifest accept`: what a server is now, or what a project asks for, shown and then accepted as shown.

use std::path::Path;

use cofferdam_manifest::Digest;
use serde_json::json;

use super::args::{Agreement, ManifestAccept};
use super::manifest::is_file;
use super::manifest_diff::{Asked, observed, review};
use super::manifest_sign::{sign_own, sign_project};
use super::output::Output;
use super::person::proven;
use super::review::{Review, word_for};
use crate::approvals::Approvers;
use crate::contract::folder::Before;
use crate::contract::project::Project;
use crate::contract::{Contract, Place, place};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::own_files::shown;
use crate::proposal::Proposal;

/// Shows what would be accepted, and accepts it after a yes.
pub(crate) fn run(home: &Home, args: &ManifestAccept, output: &mut Output) -> Result<Exit, Failure> {
    if is_file(&args.target) || Path::new(&args.target).is_dir() && place(home, &args.target).is_err() {
        let (name, project) = Project::at(home, Path::new(&args.target))?;
        let stated = project.stated(home, &name)?;
        return accept_project(home, (&project, &stated), args, output);
    }
    match place(home, &args.target)? {
        Place::Own(folder) => {
            let contract = Contract::read_own(home, &args.target, folder)?;
            accept_server(home, &contract, args, output)
        }
        Place::Project(project) => {
            let stated = project.stated(home, &args.target)?;
            let accepted = project.accepted(home)?;
            if project.authority(home, &stated, &accepted).is_err() {
                return accept_project(home, (&project, &stated), args, output);
            }
            accept_server(home, &stated, args, output)
        }
    }
}

/// A server that changed since it was accepted.
fn accept_server(
    home: &Home,
    accepted: &Contract,
    args: &ManifestAccept,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let proposal = observed(home, accepted, args.look.timeout, output)?;
    if proposal.changes.is_empty() {
        review(&proposal).print(args.look.full, output)?;
        return Ok(Exit::Nothing);
    }
    let is_seen_whole = show(&review(&proposal), args.look.full, output)?;
    let subjects = proposal.subjects_to_name(is_seen_whole);
    let words: Vec<String> = subjects.iter().map(word_for).collect();
    agreed(&args.agreement, (&words, proposal.digest()), output)?;
    let key = proven(home, "accepting a manifest", output)?;
    match &accepted.place {
        Place::Own(folder) => {
            let was_signed = folder.signature().exists();
            proposal.contract.write(folder, Before::Same(&accepted.texts))?;
            done(&proposal, &shown(&folder.manifest()), output)?;
            if let Some(key) = key {
                sign_own(folder, &proposal.contract, &key, output)?;
            } else if was_signed {
                output.say(&format!(
                    "its signature was over the old manifest and is gone: `cofferdam manifest sign {} --key FILE` signs the new one",
                    accepted.name
                ));
            }
        }
        Place::Project(project) => {
            if project.stated(home, &accepted.name)?.texts.manifest != accepted.texts.manifest {
                return Err(Failure::misconfigured(format!(
                    "`{}` was changed by somebody else in the meantime; nothing was written",
                    shown(&project.file)
                ))
                .help("look at it anew, and decide again"));
            }
            match key {
                Some(key) => {
                    project.write(&proposal.contract)?;
                    sign_project(project, &proposal.contract, &key, output)?;
                }
                None => {
                    project.acceptance(home, &proposal.contract)?;
                    project.write(&proposal.contract)?;
                    project.accept(home, &proposal.contract)?;
                }
            }
            done(&proposal, &shown(&project.file), output)?;
        }
    }
    Ok(Exit::Fine)
}

fn done(proposal: &Proposal, file: &str, output: &mut Output) -> Result<(), Failure> {
    told(&review(proposal), output)?;
    output.say(&format!("accepted; wrote {file}"));
    Ok(())
}

/// A manifest that a project brings along.
fn accept_project(
    home: &Home,
    (project, stated): (&Project, &Contract),
    args: &ManifestAccept,
    output: &mut Output,
) -> Result<Exit, Failure> {
    if !Approvers::read()?.is_empty() {
        return Err(Failure::misconfigured(
            "this machine has approvers, so a project's manifest counts when one of them signed it",
        )
        .help(format!(
            "look at `{}`, then sign it: `cofferdam manifest sign {}`",
            shown(&project.file),
            stated.name
        )));
    }
    let digest = stated.stated.digest();
    let accepted = project.accepted(home)?;
    if accepted
        .entry(&project.file)
        .is_some_and(|entry| entry.digest == digest)
    {
        project.authority(home, stated, &accepted)?;
        output.say(&format!("`{}` is accepted already: {digest}", stated.name));
        return Ok(Exit::Nothing);
    }
    // What no project can have is refused before anybody is asked.
    project.acceptance(home, stated)?;
    let asked = Asked::of(home, project, stated)?;
    let review = asked.review(stated);
    if !output.is_json() {
        output.say(&format!("a server of the project `{}`", shown(&project.folder)));
        if let Err(changed) = stated.program.check(super::now()) {
            output.say(&format!("  note      not as pinned on this machine: {changed}"));
        }
    }
    show(&review, args.look.full, output)?;
    agreed(&args.agreement, (std::slice::from_ref(&stated.name), digest), output)?;
    project.accept(home, stated)?;
    told(&review, output)?;
    output.say(&format!("accepted {digest} for `{}`", shown(&project.file)));
    Ok(Exit::Fine)
}

/// Shows people what they decide about; tells whether they see all of it.
fn show(review: &Review<'_>, is_full: bool, output: &mut Output) -> Result<bool, Failure> {
    let (lines, is_whole) = review.lines(is_full, output);
    lines.iter().for_each(|line| output.say(line));
    output.say(&format!("digest {}", review.digest));
    Ok(is_whole)
}

/// For programs: what was accepted.
fn told(review: &Review<'_>, output: &mut Output) -> Result<(), Failure> {
    if !output.is_json() {
        return Ok(());
    }
    let mut told = review.json();
    if let Some(members) = told.as_object_mut() {
        members.insert("accepted".to_owned(), json!(true));
    }
    output.line(&told.to_string())
}

/// Whether exactly this was agreed to: by its digest on the command line, by a yes where `words` is empty, else by typing each word.
pub(super) fn agreed(
    agreement: &Agreement,
    (words, digest): (&[String], Digest),
    output: &mut Output,
) -> Result<(), Failure> {
    if let Some(expected) = &agreement.digest {
        let expected: Digest = expected
            .parse()
            .map_err(|error| Failure::usage(format!("`{}`: {error}", escaped(expected.as_bytes()))))?;
        if expected != digest {
            return Err(Failure::new(
                Exit::Findings,
                format!("what is there is {digest}, and you agreed to {expected}; nothing was written"),
            )
            .help("look at what changed above, and agree to its digest if it is right"));
        }
        return Ok(());
    }
    let declined = || {
        Failure::new(Exit::Nothing, "nothing was written").help(format!(
            "answer on a terminal, or say `--yes --digest {digest}` to accept exactly what is shown"
        ))
    };
    if words.is_empty() {
        return if output.is_confirmed("accept as shown?") {
            Ok(())
        } else {
            Err(declined())
        };
    }
    for word in words {
        let answer = output.asked(&format!("type {word} to accept it, anything else to stop: "));
        if answer.is_none_or(|answer| answer != *word) {
            return Err(declined());
        }
    }
    Ok(())
}
