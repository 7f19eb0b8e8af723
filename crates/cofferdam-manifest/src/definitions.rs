//! The accepted tool definitions beside the manifest, checked against its pins.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::diagnostic::printable;
use crate::digest::{Digest, ToolDefinitionError, tool_digest};
use crate::manifest::Manifest;

/// The largest `definitions.json` that is read, in bytes.
pub const DEFINITIONS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The raw definition of each accepted tool, exactly as the server listed it when it was accepted.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    by_name: BTreeMap<String, Box<RawValue>>,
}

/// Why definitions do not belong to a manifest.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// Larger than [`DEFINITIONS_BYTES_MAX`].
    #[error("the definitions have {bytes} bytes, more than {DEFINITIONS_BYTES_MAX}")]
    TooLarge {
        /// Their size.
        bytes: usize,
    },
    /// Not a JSON list of tool definitions.
    #[error("the definitions are not a list of tool definitions: {0}")]
    NotDefinitions(#[source] serde_json::Error),
    /// One definition cannot be digested.
    #[error("the definition of `{}`: {cause}", printable(name))]
    Definition {
        /// The tool.
        name: String,
        /// What is wrong with it.
        cause: ToolDefinitionError,
    },
    /// Two definitions bear one name.
    #[error("the tool `{}` is defined twice", printable(.0))]
    Twice(String),
    /// A tool of the manifest has no definition.
    #[error("the tool `{}` is in the manifest and has no definition", printable(.0))]
    Missing(String),
    /// A definition has no tool in the manifest.
    #[error("the tool `{}` is defined and not in the manifest", printable(.0))]
    NotInManifest(String),
    /// A definition is not the one that was accepted.
    #[error(
        "the definition of `{}` has the digest {found}, the manifest pins {pinned}",
        printable(name)
    )]
    OtherThanPinned {
        /// The tool.
        name: String,
        /// The digest of the definition.
        found: Digest,
        /// The manifest's pin.
        pinned: Digest,
    },
}

/// The one member of a definition that is needed here.
#[derive(serde::Deserialize)]
struct Named {
    name: String,
}

impl Definitions {
    /// Collects raw definitions, each a JSON object with a `name`, as `tools/list` gave them.
    ///
    /// # Errors
    /// When one has no name, two have the same, or one cannot be pinned.
    pub fn collect<'d>(definitions: impl IntoIterator<Item = &'d str>) -> Result<Self, DefinitionsError> {
        let mut by_name = BTreeMap::new();
        for text in definitions {
            let raw: Box<RawValue> = serde_json::from_str(text).map_err(DefinitionsError::NotDefinitions)?;
            insert(&mut by_name, raw)?;
        }
        Ok(Self { by_name })
    }

    /// Reads `definitions.json` and checks it against the manifest's pins: every tool has its definition, every
    /// definition its tool, and each digest is the pinned one.
    ///
    /// # Errors
    /// At the first definition that does not belong.
    pub fn load(text: &str, manifest: &Manifest) -> Result<Self, DefinitionsError> {
        if text.len() > DEFINITIONS_BYTES_MAX {
            return Err(DefinitionsError::TooLarge { bytes: text.len() });
        }
        let list: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(DefinitionsError::NotDefinitions)?;
        let mut by_name = BTreeMap::new();
        for raw in list {
            let (name, found) = insert(&mut by_name, raw)?;
            let Some(tool) = manifest.tools.get(&name) else {
                return Err(DefinitionsError::NotInManifest(name));
            };
            if tool.pin != found {
                return Err(DefinitionsError::OtherThanPinned {
                    name,
                    found,
                    pinned: tool.pin,
                });
            }
        }
        match manifest.tools.keys().find(|name| !by_name.contains_key(*name)) {
            Some(missing) => Err(DefinitionsError::Missing(missing.clone())),
            None => Ok(Self { by_name }),
        }
    }

    /// The text of `definitions.json`: a list in the order of names, each definition byte for byte as it came.
    #[must_use]
    pub fn to_json(&self) -> String {
        let definitions: Vec<&str> = self.by_name.values().map(|raw| raw.get()).collect();
        format!("[\n{}\n]\n", definitions.join(",\n"))
    }

    /// The raw definition of a tool.
    #[must_use]
    pub fn definition(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(|raw| raw.get())
    }

    /// Each tool's name and raw definition, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name.iter().map(|(name, raw)| (name.as_str(), raw.get()))
    }
}

/// The definition's name and digest, after both were checked.
fn insert(
    by_name: &mut BTreeMap<String, Box<RawValue>>,
    raw: Box<RawValue>,
) -> Result<(String, Digest), DefinitionsError> {
    let Named { name } = serde_json::from_str(raw.get()).map_err(DefinitionsError::NotDefinitions)?;
    let digest = tool_digest(raw.get()).map_err(|cause| DefinitionsError::Definition {
        name: name.clone(),
        cause,
    })?;
    if by_name.insert(name.clone(), raw).is_some() {
        return Err(DefinitionsError::Twice(name));
    }
    Ok((name, digest))
}
