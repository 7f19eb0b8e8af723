//! Moves the pins of a manifest's text, and leaves everything else of it as a person wrote it: rights, comments, order, layout.

use toml_edit::{DocumentMut, Item, TableLike, Value};

use crate::manifest::Manifest;
use crate::read::parse;
use crate::write::tool;

/// Why the pins of a text cannot be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepinError {
    /// Not the text of a manifest.
    #[error("the text is not that of a manifest")]
    NotAManifest,
    /// The text with other pins would not say what it must.
    #[error("the pins cannot be moved in the text as it is written")]
    NotFaithful,
}

/// The text with the program's digest and the tools of `wanted`; all else stays as it is. New tools come last, with their consent.
///
/// # Errors
/// When `text` is none of a manifest, or when reading the result does not give exactly `wanted`: then `wanted` differs from `text` in more
/// than its pins, or `tools` is an inline table, to which no section can be added.
pub fn repin(text: &str, wanted: &Manifest) -> Result<String, RepinError> {
    let mut document: DocumentMut = text.parse().map_err(|_cause| RepinError::NotAManifest)?;
    let launch = document.get_mut("launch").and_then(Item::as_table_like_mut);
    let launch = launch.ok_or(RepinError::NotAManifest)?;
    if let Some(digest) = &wanted.launch.digest {
        set(launch, "digest", &digest.to_string());
    }
    let mut new = String::new();
    for (name, tool_of) in &wanted.tools {
        match known(&mut document, name) {
            Some(known) => set(known, "pin", &tool_of.pin.to_string()),
            None => tool(name, tool_of, &mut new),
        }
    }
    let mut text = document.to_string();
    if !(new.is_empty() || text.ends_with('\n')) {
        text.push('\n');
    }
    text.push_str(&new);
    match parse(&text, "the manifest") {
        Ok(parsed) if parsed == *wanted => Ok(text),
        _ => Err(RepinError::NotFaithful),
    }
}

/// The text with the launch of `wanted`: command, files, digest and package of another version. All else stays as it is.
///
/// # Errors
/// When `text` is none of a manifest, or when reading the result does not give exactly `wanted`: then `wanted` differs from `text` in more
/// than its launch, or `launch.package` is written in a way that cannot be exchanged.
pub fn relaunch(text: &str, wanted: &Manifest) -> Result<String, RepinError> {
    let mut document: DocumentMut = text.parse().map_err(|_cause| RepinError::NotAManifest)?;
    let launch = document.get_mut("launch").and_then(Item::as_table_like_mut);
    let launch = launch.ok_or(RepinError::NotAManifest)?;
    set_list(launch, "command", &wanted.launch.command);
    let program: Vec<String> = wanted
        .launch
        .program
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    set_list(launch, "program", &program);
    if let Some(digest) = &wanted.launch.digest {
        set(launch, "digest", &digest.to_string());
    }
    let package = launch.get_mut("package").and_then(Item::as_table_like_mut);
    let (package, new) = package
        .zip(wanted.launch.package.as_ref())
        .ok_or(RepinError::NotFaithful)?;
    set(package, "version", &new.version);
    set(package, "integrity", &new.integrity);
    if new.exceptions.is_empty() {
        package.remove("exceptions");
    } else {
        set_list(package, "exceptions", &new.exceptions);
    }
    let text = document.to_string();
    match parse(&text, "the manifest") {
        Ok(parsed) if parsed == *wanted => Ok(text),
        _ => Err(RepinError::NotFaithful),
    }
}

fn set_list(table: &mut dyn TableLike, key: &str, words: &[String]) {
    table.insert(key, toml_edit::value(words.iter().collect::<toml_edit::Array>()));
}

/// The section of an accepted tool, however its table is written.
fn known<'d>(document: &'d mut DocumentMut, name: &str) -> Option<&'d mut dyn TableLike> {
    let tools = document.get_mut("tools").and_then(Item::as_table_like_mut)?;
    tools.get_mut(name).and_then(Item::as_table_like_mut)
}

/// Exchanges a value and keeps the comment beside it; one that is the same already is not touched.
fn set(table: &mut dyn TableLike, key: &str, text: &str) {
    let Some(value) = table.get_mut(key).and_then(Item::as_value_mut) else {
        table.insert(key, toml_edit::value(text));
        return;
    };
    if value.as_str() != Some(text) {
        let beside = value.decor().clone();
        *value = Value::from(text);
        *value.decor_mut() = beside;
    }
}
