//! The product as a subject: its own home folder, the echo server added to it, limits out of the way.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// What the bench asks for; the defaults are meant for a model that calls tools, not for a load generator.
const LIMITS: [(&str, &str); 3] = [
    ("calls_per_minute", "10000000"),
    ("calls_in_flight", "1024"),
    ("record_per_hour", "\"1000GiB\""),
];

/// A home folder of the bench's own; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    program: PathBuf,
    home: PathBuf,
}

impl Gate {
    /// Adds `server` under the name `echo`, with these options of `add`.
    ///
    /// # Errors
    /// The folder cannot be made, or `cofferdam add` fails, or its manifest is not where it was.
    pub(crate) fn prepare(program: &Path, options: &[&str], server: &[String]) -> Result<Self> {
        // Outside the working directory, as `--home` demands.
        let home = std::env::temp_dir().join(format!("cofferdam-bench-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&home)
            .with_context(|| format!("cannot make `{}`", home.display()))?;
        let gate = Self {
            program: program.to_owned(),
            home,
        };
        let mut add = Command::new(&gate.program);
        add.arg("--home")
            .arg(&gate.home)
            .args(["add", "echo", "--yes"])
            .args(options)
            .arg("--")
            .args(server);
        let added = add.stdin(Stdio::null()).output().context("cannot start `cofferdam`")?;
        if !added.status.success() {
            bail!(
                "`cofferdam add` failed: {}\n{}",
                added.status,
                String::from_utf8_lossy(&added.stderr)
            );
        }
        let manifest = gate.home.join("config/servers/echo/manifest.toml");
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read `{}`", manifest.display()))?;
        fs::write(&manifest, with_limits(&text)?)?;
        Ok(gate)
    }

    /// A policy under which nobody is asked, for servers that are granted what the shipped ones ask about.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn permit(&self) -> Result<()> {
        let folder = self.home.join("config/policy");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.context("cannot make the policies' folder")?;
        fs::write(folder.join("default.cedar"), "permit(principal, action, resource);\n")
            .context("cannot write a policy")
    }

    /// The command an MCP client would start.
    pub(crate) fn command(&self) -> Vec<String> {
        let word = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            word(&self.program),
            "--home".into(),
            word(&self.home),
            "run".into(),
            "echo".into(),
        ]
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// The manifest with the bench's limits in place of its own.
fn with_limits(manifest: &str) -> Result<String> {
    let mut lines: Vec<String> = manifest.lines().map(str::to_owned).collect();
    for (key, value) in LIMITS {
        let line = lines
            .iter_mut()
            .find(|line| line.split('=').next().is_some_and(|name| name.trim() == key));
        *line.with_context(|| format!("the manifest does not spell out `{key}`"))? = format!("{key} = {value}");
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::with_limits;

    #[test]
    fn limits_are_replaced_in_place() {
        let manifest =
            "[limits]\ncalls_per_minute = 600\nmemory = \"1GiB\"\ncalls_in_flight = 64\nrecord_per_hour = \"1GiB\"\n";
        let wanted = "[limits]\ncalls_per_minute = 10000000\nmemory = \"1GiB\"\ncalls_in_flight = 1024\nrecord_per_hour = \"1000GiB\"\n";
        assert_eq!(with_limits(manifest).unwrap(), wanted);
        assert!(with_limits("[limits]\n").is_err());
    }
}
