//! `manifest check`: everything that can be known without starting anything.

use std::path::Path;

use cofferdam_manifest::{MANIFEST_BYTES_MAX, Manifest};
use serde_json::json;

use super::args::ManifestCheck;
use super::output::{Output, Style};
use crate::compartment::{given_up, required_features};
use crate::contract::{Contract, checked_manifest, own_names, project};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::own_files::read_foreign_file;

/// Checks one manifest file, one server, or every server; exit 4 when one does not check.
pub(crate) fn check(home: &Home, args: &ManifestCheck, output: &mut Output) -> Result<Exit, Failure> {
    match &args.target {
        Some(file) if is_file(file) => check_file(home, Path::new(file), output),
        Some(name) => {
            let contract = Contract::load(home, name)?;
            tell(&contract, output)?;
            Ok(Exit::Fine)
        }
        None => check_all(home, output),
    }
}

/// Whether a target is a path and no server's name.
pub(crate) fn is_file(target: &str) -> bool {
    target.contains('/') || target.ends_with(".toml")
}

/// The manifest a file states, after everything that can be known without starting anything was checked.
pub(crate) fn manifest_of_file(home: &Home, path: &Path) -> Result<Manifest, Failure> {
    let text = read_foreign_file(path, MANIFEST_BYTES_MAX)?;
    let (stated, manifest) = checked_manifest(home, &text, path)?;
    required_features(&manifest)?;
    Ok(stated)
}

fn check_file(home: &Home, path: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let manifest = manifest_of_file(home, path)?;
    tell_given_up(&manifest, output);
    let not_yet = manifest.not_yet();
    for section in &not_yet {
        output.say(&format!(
            "not enforced by this version: `{}`: {}",
            section.section, section.why
        ));
    }
    output.line(&format!(
        "{}: {} tools, {}",
        path.display(),
        manifest.tools.len(),
        manifest.digest()
    ))?;
    Ok(if not_yet.is_empty() {
        Exit::Fine
    } else {
        Exit::NotEnforced
    })
}

/// Said to people, also where data goes to a program.
fn tell_given_up(manifest: &Manifest, output: &mut Output) {
    for what in given_up(manifest) {
        output.say(&format!("gives up {}", escaped(what.as_bytes())));
    }
}

fn check_all(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Nothing;
    let mut names = own_names(home)?;
    // An own server stands before a project's of the same name, as everywhere.
    let of_project = project::names()?;
    names.extend(
        of_project
            .into_iter()
            .filter(|name| !names.contains(name))
            .collect::<Vec<_>>(),
    );
    if names.is_empty() {
        return Err(Failure::new(Exit::Nothing, "there are no servers yet"));
    }
    for name in names {
        match Contract::load(home, &name) {
            Ok(contract) => {
                tell(&contract, output)?;
                if exit == Exit::Nothing {
                    exit = Exit::Fine;
                }
            }
            Err(failure) => {
                output.failure(&failure);
                exit = Exit::Misconfigured;
            }
        }
    }
    Ok(exit)
}

fn tell(contract: &Contract, output: &mut Output) -> Result<(), Failure> {
    tell_given_up(&contract.manifest, output);
    let (tools, files) = (contract.manifest.tools.len(), contract.program.len());
    let digest = contract.stated.digest().to_string();
    if output.is_json() {
        return output.line(
            &json!({"name": contract.name, "ok": true, "tools": tools, "pinned_files": files, "digest": digest,
                "signed_by": contract.signed_by})
            .to_string(),
        );
    }
    let word = output.styled(Style::Green, "ok");
    let signed = contract.signed_by.as_ref();
    let signed = signed.map(|signer| format!(", signed by {signer}")).unwrap_or_default();
    output.line(&format!(
        "{}: {word}, {tools} tools, {files} pinned files, {digest}{signed}",
        contract.name
    ))
}
