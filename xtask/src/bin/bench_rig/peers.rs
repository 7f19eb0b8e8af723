//! Other people's gateways as subjects: how each is started is written by `cargo xtask bench`, which installs them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::load::{Passes, Target};

/// Reads a list of `{"name", "tool", "command": […]}`.
///
/// # Errors
/// The file cannot be read, or an entry lacks a member.
pub(crate) fn read(file: &Path) -> Result<Vec<(String, Target)>> {
    let text = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let list: Vec<Value> = serde_json::from_slice(&text).context("the peers are not a list")?;
    list.iter()
        .map(|entry| peer(entry).with_context(|| format!("a peer lacks a member: {entry}")))
        .collect()
}

fn peer(entry: &Value) -> Option<(String, Target)> {
    let text = |key: &str| Some(entry.get(key)?.as_str()?.to_owned());
    let words = entry.get("command")?.as_array()?;
    let target = Target {
        command: words
            .iter()
            .map(|word| Some(word.as_str()?.to_owned()))
            .collect::<Option<_>>()?,
        tool: text("tool")?,
        passes: Passes::Meaning,
    };
    Some((text("name")?, target))
}
