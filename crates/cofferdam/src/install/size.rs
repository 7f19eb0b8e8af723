//! How much code an install is, and what two of them have different: files, bytes, packages, native code, install scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::gate::escaped;

/// Files that are counted.
const FILES_MAX: usize = 500_000;
/// Folders within folders.
const DEPTH_MAX: usize = 64;
/// Longest description of an install that is read, in bytes.
const DESCRIPTION_BYTES_MAX: u64 = 32 << 20;
/// Packages that are named in a line.
const NAMED_MAX: usize = 12;

/// One install, measured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeSize {
    files: usize,
    bytes: u64,
    /// Files of machine code.
    native: usize,
    /// Versions by name.
    packages: BTreeMap<String, String>,
    /// Packages with install scripts.
    scripts: BTreeSet<String>,
}

impl CodeSize {
    /// Of the install in a folder of the store. What cannot be read is not counted: the pins say whether it is whole.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut size = Self::default();
        size.count(folder, DEPTH_MAX);
        size.npm(&folder.join("node_modules/.package-lock.json"));
        size.python(&folder.join("pylock.toml"));
        size
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn count(&mut self, folder: &Path, depth: usize) {
        for entry in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth > 0 {
                self.count(&entry.path(), depth.saturating_sub(1));
            } else if kind.is_file() && self.files < FILES_MAX {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                self.files = self.files.saturating_add(1);
                let bytes = entry.metadata().map_or(0, |found| found.len());
                self.bytes = self.bytes.saturating_add(bytes);
                let is_native = name.ends_with(".node") || name.ends_with(".so") || name.contains(".so.");
                self.native = self.native.saturating_add(usize::from(is_native));
            }
        }
    }

    fn npm(&mut self, list: &Path) {
        let text = short(list).unwrap_or_default();
        let lock: Value = serde_json::from_str(&text).unwrap_or_default();
        let packages = lock.get("packages").and_then(Value::as_object);
        for (path, entry) in packages.into_iter().flatten() {
            let name = path
                .rsplit_once("node_modules/")
                .map_or(path.as_str(), |(_, name)| name);
            let version = entry.get("version").and_then(Value::as_str).unwrap_or_default();
            self.packages.insert(name.to_owned(), version.to_owned());
            if entry.get("hasInstallScript") == Some(&Value::Bool(true)) {
                self.scripts.insert(name.to_owned());
            }
        }
    }

    fn python(&mut self, list: &Path) {
        let text = short(list).unwrap_or_default();
        let resolved: toml::Table = toml::from_str(&text).unwrap_or_default();
        let packages = resolved.get("packages").and_then(toml::Value::as_array);
        for found in packages.into_iter().flatten() {
            let word = |key: &str| {
                found
                    .get(key)
                    .and_then(toml::Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            self.packages.insert(word("name"), word("version"));
        }
    }

    /// What another install has different, line by line.
    pub(crate) fn difference(&self, new: &Self) -> Vec<String> {
        let mut lines = vec![format!(
            "code       {} files, {} → {} files, {}",
            self.files,
            in_words(self.bytes),
            new.files,
            in_words(new.bytes)
        )];
        let change = |name: &String| match (self.packages.get(name), new.packages.get(name)) {
            (None, Some(now)) => Some(format!("+ {name} {now}")),
            (Some(then), None) => Some(format!("- {name} {then}")),
            (Some(then), Some(now)) if then != now => Some(format!("{name} {then} → {now}")),
            _ => None,
        };
        let names: BTreeSet<&String> = self.packages.keys().chain(new.packages.keys()).collect();
        let changed: Vec<String> = names.into_iter().filter_map(change).collect();
        if !changed.is_empty() {
            lines.push(format!("packages   {}", listed(&changed)));
        }
        if self.native != new.native {
            lines.push(format!(
                "native     {} files of machine code → {}",
                self.native, new.native
            ));
        }
        let scripts: Vec<String> = new.scripts.difference(&self.scripts).cloned().collect();
        if !scripts.is_empty() {
            lines.push(format!("scripts    new install scripts: {}", listed(&scripts)));
        }
        lines
    }
}

fn short(path: &Path) -> Option<String> {
    let is_short = fs::metadata(path).is_ok_and(|found| found.len() <= DESCRIPTION_BYTES_MAX);
    is_short.then(|| fs::read_to_string(path).ok()).flatten()
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMED_MAX)
        .map(|name| escaped(name.as_bytes()))
        .collect();
    match names.len().checked_sub(NAMED_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// `12.3 MB`.
pub(crate) fn in_words(bytes: u64) -> String {
    let (unit, per) = match bytes {
        0..1_000 => return format!("{bytes} bytes"),
        1_000..1_000_000 => ("kB", 1_000),
        _ => ("MB", 1_000_000),
    };
    format!("{}.{} {unit}", bytes / per, bytes % per * 10 / per)
}

#[cfg(test)]
mod tests {
    use super::{CodeSize, in_words};

    #[test]
    fn what_differs_is_told_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, lock: &str, extra: &str| {
            let folder = place.path().join(name);
            std::fs::create_dir_all(folder.join("node_modules/a")).unwrap();
            std::fs::write(folder.join("node_modules/.package-lock.json"), lock).unwrap();
            std::fs::write(folder.join(extra), "0123456789").unwrap();
            CodeSize::of(&folder)
        };
        let old = make(
            "old",
            r#"{"packages": {"node_modules/a": {"version": "1.0.0"}, "node_modules/gone": {"version": "2.0.0"}}}"#,
            "x.js",
        );
        let new = make(
            "new",
            r#"{"packages": {"node_modules/a": {"version": "1.1.0"}, "node_modules/b\u001b": {"version": "3.0.0", "hasInstallScript": true}}}"#,
            "x.node",
        );
        let told = old.difference(&new).join("\n");
        for expected in [
            "a 1.0.0 → 1.1.0",
            "- gone 2.0.0",
            "3.0.0",
            "0 files of machine code → 1",
            "new install scripts: b",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        assert!(!told.contains('\u{1b}'), "{told}");
        assert_eq!(old.difference(&old).len(), 1);
        assert_eq!([999, 1_500, 2_340_000].map(in_words), ["999 bytes", "1.5 kB", "2.3 MB"]);
    }
}
