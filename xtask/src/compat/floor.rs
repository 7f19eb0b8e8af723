//! The servers that are known to pass: one name a line in `floor.txt`. A line is only ever added.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::server::Server;

/// The names in the floor.
#[derive(Debug)]
pub(super) struct Floor(Vec<String>);

impl Floor {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or names what is not one of the servers in `all`.
    pub(super) fn read(file: &Path, all: &[Server]) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let names: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        if let Some(unknown) = names.iter().find(|name| all.iter().all(|server| server.name != **name)) {
            bail!("`{}` names `{unknown}`, which is not described", file.display());
        }
        Ok(Self(names))
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.0.iter().any(|held| held == name)
    }

    pub(super) fn names(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
impl Floor {
    pub(super) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(ToString::to_string).collect())
    }
}
