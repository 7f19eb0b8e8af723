//! Where the repository and its build folder are, as cargo sees them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command;

/// The repository's root and the target folder in force (`CARGO_TARGET_DIR` or configuration).
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks `cargo metadata`, so that every way to configure the target folder is respected.
    ///
    /// # Errors
    /// Cargo fails, or its answer lacks a field it documents.
    pub(crate) fn find() -> Result<Self> {
        let metadata = metadata(&["--no-deps"])?;
        let folder = |key: &str| -> Result<PathBuf> {
            let path = metadata.get(key).and_then(Value::as_str);
            path.map(PathBuf::from)
                .with_context(|| format!("`cargo metadata` has no `{key}`"))
        };
        Ok(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where the real test servers are installed.
    pub(crate) fn servers(&self) -> PathBuf {
        self.target.join("servers")
    }
}

/// The whole answer of `cargo metadata` for this workspace.
///
/// # Errors
/// Cargo fails or its answer is not JSON.
pub(crate) fn metadata(arguments: &[&str]) -> Result<Value> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut cargo = command::cargo();
    cargo
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments);
    let answer = command::output_of(cargo.arg("--manifest-path").arg(manifest))?;
    serde_json::from_str(&answer).context("`cargo metadata` did not print JSON")
}
