//! `manifest check`: everything that can be known without starting anything.

use std::path::Path;

use serde_json::json;

use super::args::ManifestCheck;
use super::output::{Output, Style};
use crate::contract::{Contract, checked_manifest};
use crate::failure::{Exit, Failure, file_failure};
use crate::home::Home;

/// Checks one manifest file, one server, or every server; exit 4 when one does not check.
pub(crate) fn check(home: &Home, args: &ManifestCheck, output: &mut Output) -> Result<Exit, Failure> {
    match &args.target {
        Some(file) if file.contains('/') || file.ends_with(".toml") => check_file(home, Path::new(file), output),
        Some(name) => {
            let contract = Contract::load(home, name)?;
            tell(&contract, output)?;
            Ok(Exit::Fine)
        }
        None => check_all(home, output),
    }
}

fn check_file(home: &Home, path: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(path).map_err(|cause| file_failure("read", path, &cause))?;
    let manifest = checked_manifest(home, &text, path)?;
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

fn check_all(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Nothing;
    let folder = home.servers();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::new(Exit::Nothing, "there are no servers yet"));
        }
        Err(cause) => return Err(file_failure("list", &folder, &cause)),
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
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
    let (tools, files) = (contract.manifest.tools.len(), contract.program.len());
    let digest = contract.manifest.digest().to_string();
    if output.is_json() {
        return output.line(
            &json!({"name": contract.name, "ok": true, "tools": tools, "pinned_files": files, "digest": digest})
                .to_string(),
        );
    }
    let word = output.styled(Style::Green, "ok");
    output.line(&format!(
        "{}: {word}, {tools} tools, {files} pinned files, {digest}",
        contract.name
    ))
}
