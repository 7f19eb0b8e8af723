//! The cargo tools that the steps need, installed only where they are missing.

use std::process::Stdio;

use anyhow::Result;

use crate::command;

/// A cargo subcommand from the registry.
pub(crate) struct Tool {
    /// As in `cargo NAME`.
    pub(crate) name: &'static str,
    /// The version that is installed, and for `exact` tools the only one accepted.
    pub(crate) version: &'static str,
    /// Whether another version could decide differently.
    pub(crate) exact: bool,
}

/// Licences, bans and sources: another version reads `deny.toml` differently.
pub(crate) const DENY: Tool = Tool {
    name: "deny",
    version: "0.20.2",
    exact: true,
};
/// The test runner: any version runs the tests.
pub(crate) const NEXTEST: Tool = Tool {
    name: "nextest",
    version: "0.9.143",
    exact: false,
};

impl Tool {
    /// Installs the tool if `cargo NAME --version` does not answer with an accepted version.
    ///
    /// # Errors
    /// The registry cannot be reached, or the tool does not build.
    pub(crate) fn ensure(&self) -> Result<()> {
        if self.is_installed() {
            return Ok(());
        }
        let package = format!("cargo-{}", self.name);
        command::run(command::cargo().args(["install", "--locked", "--version", self.version, &package]))
    }

    fn is_installed(&self) -> bool {
        let mut version = command::cargo();
        version
            .args([self.name, "--version"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let Ok(answer) = version.output() else { return false };
        let text = String::from_utf8_lossy(&answer.stdout);
        answer.status.success() && (!self.exact || text.split_whitespace().any(|word| word == self.version))
    }
}
