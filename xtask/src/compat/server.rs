//! What is known about a server: the member `server` of its script in `tests/servers/compat/scripts`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::servers;

/// The folder that stands for `@ROOT@` in a script.
const ROOT: &str = "@ROOT@";

/// One server and how it is started and called.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) package: String,
    /// From the lock file that installs it.
    pub(super) version: String,
    /// The script that a client performs, in the form of tests/clients/README.md.
    pub(super) script: PathBuf,
    /// The folder of its install under `target/servers/compat`.
    set: String,
    /// Its program, in `node_modules` or `bin` of that folder.
    entry: String,
    arguments: Vec<String>,
    /// Made-up values only; numbers, since anything else under the name of a credential is refused in a manifest.
    pub(super) environment: BTreeMap<String, String>,
    /// What its folder holds when it starts (`empty`, or a kind of tests/clients/folders.py); without it, it gets none.
    pub(super) folder: Option<String>,
    /// What `add` lets it ask the client for.
    pub(super) client: Vec<String>,
}

impl Server {
    /// Every server described under `descriptions`, in the order of their names.
    ///
    /// # Errors
    /// A description cannot be read, lacks a member, or names a package that its lock file does not have.
    pub(super) fn all(descriptions: &Path) -> Result<Vec<Self>> {
        let folder = descriptions.join("scripts");
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .with_context(|| format!("cannot read `{}`", folder.display()))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        ensure!(!files.is_empty(), "`{}` is empty", folder.display());
        files
            .into_iter()
            .map(|script| {
                let shown = script.display().to_string();
                Self::read(descriptions, script).with_context(|| format!("cannot use `{shown}`"))
            })
            .collect()
    }

    fn read(descriptions: &Path, script: PathBuf) -> Result<Self> {
        let whole: Value = serde_json::from_slice(&fs::read(&script)?)?;
        let about = whole.get("server").context("there is no member `server`")?;
        let (package, set) = (text(about, "package")?, text(about, "set")?);
        let version = locked_version(&descriptions.join(&set), &package)?;
        let name = script
            .file_stem()
            .context("there is no name")?
            .to_string_lossy()
            .into_owned();
        let environment = about.get("environment").and_then(Value::as_object);
        Ok(Self {
            name,
            version,
            script,
            entry: text(about, "entry")?,
            arguments: words(about, "arguments")?,
            environment: environment
                .into_iter()
                .flatten()
                .map(|(name, value)| {
                    Ok((
                        name.clone(),
                        value.as_str().context("a variable is not text")?.to_owned(),
                    ))
                })
                .collect::<Result<_>>()?,
            folder: about.get("folder").and_then(Value::as_str).map(str::to_owned),
            client: words(about, "client")?,
            package,
            set,
        })
    }

    /// The launch line, for a server installed under `installed` with `root` as its folder.
    pub(super) fn command(&self, installed: &Path, root: &Path) -> Vec<String> {
        let set = installed.join(&self.set);
        let shown = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut command = if self.set == "node" {
            vec!["node".to_owned(), shown(set.join("node_modules").join(&self.entry))]
        } else {
            vec![shown(set.join("bin").join(&self.entry))]
        };
        let root = root.to_string_lossy();
        command.extend(self.arguments.iter().map(|word| word.replace(ROOT, &root)));
        command
    }

    /// The launcher and package as clients have them, at the version that is locked.
    pub(super) fn package_line(&self) -> (&'static str, Vec<String>) {
        if self.set == "node" {
            return (
                "npx",
                vec!["-y".to_owned(), format!("{}@{}", self.package, self.version)],
            );
        }
        let program = self.entry.clone();
        let from = format!("{}=={}", self.package, self.version);
        ("uvx", vec!["--from".to_owned(), from, program])
    }

    /// The server's own arguments, with `root` as its folder.
    pub(super) fn arguments_in(&self, root: &str) -> Vec<String> {
        self.arguments.iter().map(|word| word.replace(ROOT, root)).collect()
    }

    /// The variables, with `root` as its folder.
    pub(super) fn variables(&self, root: &str) -> BTreeMap<String, String> {
        let set = self.environment.iter();
        set.map(|(name, value)| (name.clone(), value.replace(ROOT, root)))
            .collect()
    }

    /// The variables as `NAME=VALUE`, with `root` as its folder.
    pub(super) fn settings(&self, root: &Path) -> Vec<String> {
        let root = root.to_string_lossy();
        let setting = |(name, value): (&String, &String)| format!("{name}={}", value.replace(ROOT, &root));
        self.environment.iter().map(setting).collect()
    }
}

fn text(about: &Value, key: &str) -> Result<String> {
    let value = about.get(key).and_then(Value::as_str);
    value
        .map(str::to_owned)
        .with_context(|| format!("`server.{key}` is not text"))
}

/// A list of words; an absent one is empty.
fn words(about: &Value, key: &str) -> Result<Vec<String>> {
    let Some(value) = about.get(key) else {
        return Ok(Vec::new());
    };
    let words: Option<Vec<String>> = value
        .as_array()
        .and_then(|words| words.iter().map(|word| word.as_str().map(str::to_owned)).collect());
    words.with_context(|| format!("`server.{key}` is not a list of words"))
}

/// The version of `package` that the lock file in `set` installs.
fn locked_version(set: &Path, package: &str) -> Result<String> {
    let npm = set.join("package-lock.json");
    if npm.exists() {
        let lock: Value = serde_json::from_slice(&fs::read(npm)?)?;
        let version = lock
            .get("packages")
            .and_then(|packages| packages.get(format!("node_modules/{package}")))
            .and_then(|entry| entry.get("version"))
            .and_then(Value::as_str);
        return version
            .map(str::to_owned)
            .with_context(|| format!("package-lock.json does not have `{package}`"));
    }
    servers::locked_python_version(&set.join("requirements.txt"), package)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::floor::Floor;
    use super::Server;

    fn descriptions() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/compat")
    }

    #[test]
    fn every_description_can_be_used_and_the_floor_names_only_them() {
        let all = Server::all(&descriptions()).unwrap();
        assert_eq!(all.len(), 25);
        assert!(
            !Floor::read(&descriptions().join("floor.txt"), &all)
                .unwrap()
                .names()
                .is_empty()
        );
    }

    #[test]
    fn the_folder_stands_in_arguments_and_variables() {
        let all = Server::all(&descriptions()).unwrap();
        let of = |name: &str| all.iter().find(|server| server.name == name).unwrap();
        let command = of("filesystem").command(Path::new("/installed"), Path::new("/root-of-it"));
        assert_eq!(command.first().map(String::as_str), Some("node"));
        assert_eq!(command.last().map(String::as_str), Some("/root-of-it"));
        assert!(
            of("memory")
                .settings(Path::new("/there"))
                .contains(&"MEMORY_FILE_PATH=/there/memory.jsonl".to_owned())
        );
    }

    #[test]
    fn a_package_outside_the_lock_file_is_refused() {
        for set in ["node", "python"] {
            assert!(super::locked_version(&descriptions().join(set), "no-such-package").is_err());
        }
    }
}
