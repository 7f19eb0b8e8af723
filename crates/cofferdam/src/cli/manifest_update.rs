//! `manifest update` and `manifest rollback`: another version of a server's package, installed beside the one that runs, shown, and switched
//! to after a yes; and back.

use std::collections::BTreeMap;
use std::time::Duration;

use cofferdam_manifest::{Change, Package, Program, diff_manifests, relaunch};

use super::args::{ManifestRollback, ManifestUpdate};
use super::draft::pinned;
use super::manifest_accept::agreed;
use super::manifest_sign::sign_own;
use super::output::Output;
use super::person::proven;
use super::review::{Review, counted, word_for};
use super::run::understood;
use crate::compartment::manner;
use crate::contract::folder::{ContractFolder, Texts};
use crate::contract::{Contract, Place, place, program_json};
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::install::{CodeSize, Installed, install, line_of, tree_of};
use crate::proposal::{Look, Proposal};

/// Installs another version beside, shows what it has different, and switches after a yes.
pub(crate) fn update(home: &Home, args: &ManifestUpdate, output: &mut Output) -> Result<Exit, Failure> {
    let (accepted, folder) = own(home, &args.name)?;
    let line = line_of(home, &args.name, &accepted.manifest, args.to.as_deref())?;
    output.say(&format!(
        "installing `{}` beside, in a compartment that reaches its registry only …",
        line.name
    ));
    let Installed {
        package,
        command,
        notes,
        held: _held,
    } = install(home, &args.name, &line, args.but.into())?;
    notes.iter().for_each(|note| output.say(&format!("  note      {note}")));
    let directory = accepted.manifest.launch.directory.as_deref();
    let program = understood(home, &command, directory)?;
    if program.argv == accepted.manifest.launch.command && accepted.program.check(super::now()).is_ok() {
        output.say(&format!(
            "`{}` is at {} already, and its files are the registry's",
            args.name, package.version
        ));
        return Ok(Exit::Nothing);
    }
    let moved = moved(home, &accepted, package, &program)?;
    let manner = manner(&accepted.manifest.isolation.waive);
    output.say(&format!("starting `{}` {manner}, to see what it lists …", args.name));
    let look = Look {
        timeout: Duration::from_secs(args.look.timeout),
        is_new_program: true,
    };
    let proposal = Proposal::observed(home, &moved, &look)?;
    let mut changes = diff_manifests(&accepted.stated, &moved.stated, None);
    changes.extend(proposal.changes.iter().cloned());
    let is_seen_whole = show(home, (&accepted, &proposal), (&changes, args.look.full), output);
    let mut words: Vec<String> = proposal.subjects_to_name(is_seen_whole).iter().map(word_for).collect();
    words.sort();
    words.dedup();
    agreed(&args.agreement, (&words, proposal.digest()), output)?;
    switch(home, (&accepted, &proposal.contract, &folder), output)?;
    output.say(&format!(
        "it counts from the server's next start; `cofferdam manifest rollback {}` switches back",
        args.name
    ));
    Ok(Exit::Fine)
}

/// Switches back to what counted before the last update.
pub(crate) fn rollback(home: &Home, args: &ManifestRollback, output: &mut Output) -> Result<Exit, Failure> {
    let (accepted, folder) = own(home, &args.name)?;
    let texts = folder
        .previous()?
        .filter(|texts| texts.manifest != accepted.texts.manifest);
    let texts = texts.ok_or_else(|| {
        Failure::new(
            Exit::Nothing,
            format!("there is nothing to switch `{}` back to", args.name),
        )
        .help("what counted is kept by `cofferdam manifest update`")
    })?;
    let previous = Contract::assemble(home, &args.name, texts, Place::Own(folder.clone()))?;
    previous.check_enforceable()?;
    previous.program.check(super::now()).map_err(|changed| {
        Failure::misconfigured(format!(
            "what `{}` was before cannot be started any more: {changed}",
            args.name
        ))
        .help("`cofferdam manifest update NAME --to VERSION` installs a version anew")
    })?;
    let changes = diff_manifests(&accepted.stated, &previous.stated, None);
    let none = BTreeMap::new();
    let review = Review {
        name: &args.name,
        heading: counted(&changes, "when it is switched back"),
        changes: &changes,
        findings: &none,
        unlisted: &[],
        unnameable: &[],
        digest: previous.stated.digest(),
    };
    let (lines, _is_whole) = review.lines(false, output);
    lines.iter().for_each(|line| output.say(line));
    if !args.yes && !output.is_confirmed("switch back?") {
        return Err(Failure::new(Exit::Nothing, "nothing was written").help("answer on a terminal, or say `--yes`"));
    }
    switch(home, (&accepted, &previous, &folder), output)?;
    output.say("it counts from the server's next start; another `rollback` switches forward again");
    Ok(Exit::Fine)
}

/// One of the user's own servers.
fn own(home: &Home, name: &str) -> Result<(Contract, ContractFolder), Failure> {
    match place(home, name)? {
        Place::Own(folder) => Ok((Contract::read_own(home, name, folder.clone())?, folder)),
        Place::Project(_) => Err(Failure::misconfigured(format!(
            "`{name}` is a server of a project, whose manifest is the project's"
        ))
        .help("update it where the project is kept, then `cofferdam manifest accept` it")),
    }
}

/// The accepted contract with another version of its package: everything that a person wrote stays.
fn moved(home: &Home, accepted: &Contract, package: Package, program: &Program) -> Result<Contract, Failure> {
    let tree = tree_of(home, &accepted.manifest);
    // What a person granted beside the package stays.
    let is_beside = |path: &&std::path::PathBuf| tree.as_ref().is_none_or(|tree| !path.starts_with(tree));
    let beside: Vec<_> = accepted
        .manifest
        .launch
        .program
        .iter()
        .filter(is_beside)
        .cloned()
        .collect();
    let mut stated = accepted.stated.clone();
    stated.launch.command.clone_from(&program.argv);
    stated.launch.program.clone_from(&program.grants);
    stated
        .launch
        .program
        .extend(beside.iter().filter(|path| !program.grants.contains(path)).cloned());
    stated.launch.package = Some(package);
    let pins = pinned(program, &beside, &accepted.manifest)?;
    stated.launch.digest = Some(pins.digest());
    let manifest = relaunch(&accepted.texts.manifest, &stated).map_err(|error| {
        Failure::misconfigured(format!("the manifest of `{}` cannot be moved: {error}", accepted.name))
            .help("`cofferdam add --replace` looks at the new version anew")
    })?;
    let texts = Texts {
        manifest,
        definitions: accepted.texts.definitions.clone(),
        program: program_json(&pins)?,
    };
    Contract::assemble(home, &accepted.name, texts, accepted.place.clone())
}

/// One screen; tells whether all of it is on it.
fn show(
    home: &Home,
    (accepted, proposal): (&Contract, &Proposal),
    (changes, is_full): (&[Change], bool),
    output: &mut Output,
) -> bool {
    let version = |contract: &Contract| {
        let package = contract.manifest.launch.package.as_ref();
        package.map(|package| package.version.clone()).unwrap_or_default()
    };
    let review = Review {
        name: &accepted.name,
        heading: format!(
            "{} → {}, {}",
            version(accepted),
            version(&proposal.contract),
            counted(changes, "with it")
        ),
        changes,
        findings: &proposal.findings,
        unlisted: &proposal.unlisted,
        unnameable: &proposal.unnameable,
        digest: proposal.digest(),
    };
    let (lines, is_whole) = review.lines(is_full, output);
    lines.iter().for_each(|line| output.say(line));
    let size = |contract: &Contract| tree_of(home, &contract.manifest).map(|tree| CodeSize::of(&tree));
    if let (Some(old), Some(new)) = (size(accepted), size(&proposal.contract)) {
        old.difference(&new)
            .iter()
            .for_each(|line| output.say(&format!("  {line}")));
    }
    output.say(&format!("digest {}", proposal.digest()));
    is_whole
}

/// Makes the other contract count, signed where that is needed.
fn switch(
    home: &Home,
    (before, after, folder): (&Contract, &Contract, &ContractFolder),
    output: &mut Output,
) -> Result<(), Failure> {
    let key = proven(home, "switching a server's program", output)?;
    let was_signed = folder.signature().exists();
    folder.switch(&before.texts, &after.texts)?;
    if let Some(key) = key {
        sign_own(folder, after, &key, output)?;
    } else if was_signed {
        output.say(&format!(
            "its signature was over the old manifest and is gone: `cofferdam manifest sign {} --key FILE` signs the new one",
            after.name
        ));
    }
    Ok(())
}
