//! Which package a server was installed from, as the line that installs another version of it.

use std::path::{Path, PathBuf};

use cofferdam_manifest::Manifest;
use serde_json::Value;

use super::store::folders_of;
use super::wheels::name_and_specifier;
use super::{PackageLine, RegistryKind};
use crate::failure::Failure;
use crate::home::Home;

/// The folder of the store that a server's package lies in.
pub(crate) fn tree_of(home: &Home, manifest: &Manifest) -> Option<PathBuf> {
    let mut names = folders_of(home, manifest).into_iter();
    let (first, others) = (names.next()?, names.next());
    others.is_none().then(|| home.store().join(first))
}

/// The line that installs version `to` of a server's package, or else the newest.
///
/// # Errors
/// The server was not installed from a registry, or its launch line is not the one that was written then.
pub(crate) fn line_of(home: &Home, name: &str, manifest: &Manifest, to: Option<&str>) -> Result<PackageLine, Failure> {
    let unknown = || {
        Failure::misconfigured(format!(
            "`{name}` was not installed from a registry, so there is nothing to update"
        ))
        .help("update it as you installed it, then `cofferdam manifest accept` shows what changed")
    };
    let package = manifest.launch.package.as_ref().ok_or_else(unknown)?;
    let tree = tree_of(home, manifest).ok_or_else(unknown)?;
    let is_version = |text: &str| text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(is_plain);
    if let Some(odd) = to.filter(|text| !is_version(text)) {
        return Err(Failure::usage(format!(
            "`{}` is not one version",
            cofferdam_inspect::show_safely(odd)
        )));
    }
    let words = &manifest.launch.command;
    let started = match package.registry.as_str() {
        "npm" => tree.join("node_modules").join(&package.name),
        _ => tree.join("venv/bin"),
    };
    let at = words
        .iter()
        .rposition(|word| Path::new(word).starts_with(&started))
        .ok_or_else(unknown)?;
    let program = words
        .get(at)
        .and_then(|word| Path::new(word).strip_prefix(&started).ok());
    let program = program.ok_or_else(unknown)?;
    let arguments = words.get(at.saturating_add(1)..).unwrap_or_default().to_vec();
    let is_npm = package.registry == "npm";
    Ok(PackageLine {
        registry: if is_npm { RegistryKind::Npm } else { RegistryKind::PyPi },
        name: package.name.clone(),
        wanted: if is_npm {
            to.map(str::to_owned)
        } else {
            specifier(&tree, to)
        },
        python: None,
        program: if is_npm {
            bin_of(&started, program)
        } else {
            program.to_str().map(str::to_owned)
        },
        arguments,
    })
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'_' | b'!')
}

/// The name under which a package has a program; `None` where it has but one, or is gone.
fn bin_of(package: &Path, program: &Path) -> Option<String> {
    let text = std::fs::read_to_string(package.join("package.json")).ok()?;
    let description: Value = serde_json::from_str(&text).ok()?;
    let programs = description.get("bin")?.as_object()?;
    let wanted = package.join(program).canonicalize().ok()?;
    let mut named = programs.iter().filter_map(|(name, file)| {
        let file = package.join(file.as_str()?).canonicalize().ok()?;
        (file == wanted).then(|| name.clone())
    });
    named.next().filter(|_| programs.len() > 1)
}

/// Extras as they were asked for, with another version.
fn specifier(tree: &Path, to: Option<&str>) -> Option<String> {
    let asked = std::fs::read_to_string(tree.join("wanted.in")).unwrap_or_default();
    let asked = name_and_specifier(asked.trim()).and_then(|(_, wanted)| wanted);
    let extras = asked
        .as_deref()
        .and_then(|wanted| wanted.split_once(']'))
        .map(|(extras, _)| format!("{extras}]"));
    let version = to.map(|version| format!("=={version}"));
    let whole = [extras, version].into_iter().flatten().collect::<String>();
    Some(whole).filter(|whole| !whole.is_empty())
}
