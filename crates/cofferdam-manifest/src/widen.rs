//! Adds one right to a manifest's text, and leaves everything else of it as a person wrote it: comments, order, layout.

use std::fmt;

use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

use crate::manifest::Manifest;
use crate::read::parse;

/// A right that a list of a manifest's section gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// An absolute file or folder, readable: `[filesystem] read`.
    Read(String),
    /// An absolute file or folder, readable and writable: `[filesystem] write`.
    Write(String),
    /// `HOST:PORT`: `[network] allow`.
    Host(String),
    /// A program by name or absolute path: `[programs] allow`.
    Program(String),
    /// An absolute path of a UNIX socket: `[sockets] allow`.
    Socket(String),
    /// The name of a variable: `[environment] pass`.
    Variable(String),
}

impl Right {
    fn place(&self) -> (&'static str, &'static str, &str) {
        match self {
            Self::Read(path) => ("filesystem", "read", path),
            Self::Write(path) => ("filesystem", "write", path),
            Self::Host(endpoint) => ("network", "allow", endpoint),
            Self::Program(program) => ("programs", "allow", program),
            Self::Socket(path) => ("sockets", "allow", path),
            Self::Variable(name) => ("environment", "pass", name),
        }
    }
}

impl fmt::Display for Right {
    /// As it stands in the manifest: `[filesystem] read = […, "/path"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (section, key, value) = self.place();
        write!(f, "[{section}] {key} = […, {}]", Value::from(value))
    }
}

/// Why a right cannot be added to a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WidenError {
    /// Not the text of a manifest, or none any more with the right in it.
    #[error("{0}")]
    NotAManifest(String),
    /// It has the right already.
    #[error("the manifest has it already")]
    AlreadyThere,
    /// The list is there in a form to which nothing can be added.
    #[error("the list cannot be added to as it is written")]
    NotAList,
}

/// The text with one more entry in the list of a right; a section or a list that is missing is made.
///
/// A folder that becomes writable leaves the list of those that are only readable.
///
/// # Errors
/// [`WidenError`]: `text` is none of a manifest, has the right already, or would be none with it.
pub fn widen(text: &str, right: &Right) -> Result<String, WidenError> {
    let unreadable = |error: &dyn fmt::Display| WidenError::NotAManifest(error.to_string());
    let before = parse(text, "the manifest").map_err(|error| unreadable(&error))?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| unreadable(&error))?;
    let (section, key, value) = right.place();
    let table = document
        .entry(section)
        .or_insert_with(toml_edit::table)
        .as_table_like_mut()
        .ok_or(WidenError::NotAList)?;
    if list(table, key)?.iter().any(|entry| entry.as_str() == Some(value)) {
        return Err(WidenError::AlreadyThere);
    }
    push(list(table, key)?, value);
    if matches!(right, Right::Write(_)) {
        list(table, "read")?.retain(|entry| entry.as_str() != Some(value));
    }
    let text = document.to_string();
    let after: Manifest = parse(&text, "the manifest").map_err(|error| unreadable(&error))?;
    if after == before {
        // Written in another way, it is the same right.
        return Err(WidenError::AlreadyThere);
    }
    Ok(text)
}

/// The list at `key`, made where there is none.
fn list<'t>(table: &'t mut dyn TableLike, key: &str) -> Result<&'t mut Array, WidenError> {
    let item = table
        .entry(key)
        .or_insert_with(|| Item::Value(Value::Array(Array::new())));
    item.as_array_mut().ok_or(WidenError::NotAList)
}

/// Adds an entry as the one before it is written: on a line of its own, or behind it. A comment behind that one stays there.
fn push(list: &mut Array, value: &str) {
    let mut entry = Value::from(value);
    let last = list.iter().last().and_then(|last| last.decor().prefix()?.as_str());
    let line = last
        .and_then(|prefix| prefix.rsplit_once('\n'))
        .map(|(_, indent)| indent.to_owned());
    let prefix = match (last, line) {
        (_, Some(indent)) => {
            let trailing = list.trailing().as_str().unwrap_or_default().trim_end().to_owned();
            list.set_trailing("\n");
            format!("{trailing}\n{indent}")
        }
        (Some(_), None) => " ".to_owned(),
        (None, None) => String::new(),
    };
    entry.decor_mut().set_prefix(prefix);
    list.push_formatted(entry);
}
