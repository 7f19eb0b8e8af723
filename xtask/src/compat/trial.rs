//! One server, tried: bare without network, added sealed, then gated; and the two transcripts compared.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::server::Server;
use crate::workspace::Workspace;

/// How long a whole conversation may take, in seconds.
const CONVERSATION_SECONDS_MAX: &str = "90";
/// How long any program that a trial starts may take, in seconds; then it is killed.
const PROGRAM_SECONDS_MAX: &str = "180";
/// Characters of a reason that are shown.
const REASON_CHARS_MAX: usize = 400;

/// How a trial ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Bare and gated showed the same.
    Passed(Shown),
    /// The reason, on one line.
    Failed(String),
}

/// How a server comes behind the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By `add`, with everything it needs granted.
    Added,
    /// By `protect --yes` in a client's file that names its package.
    Protected,
}

/// What the transcripts hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) tools: usize,
    pub(super) calls: usize,
    /// Calls that the server itself answered with an error, gated as bare.
    pub(super) errors: usize,
    /// Calls that get an error now and got none before: they need a person's consent, or a grant.
    pub(super) held_back: usize,
}

/// Where trials take place: a folder of our own, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
    keep: bool,
    gate: PathBuf,
    /// Where the servers are installed.
    installed: PathBuf,
    /// The folder of `uv`.
    uv: PathBuf,
    /// The interpreter that has the client's SDK.
    python: PathBuf,
    clients: PathBuf,
}

impl Stage {
    /// Makes the folder, for the release build of the program.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(super) fn set_up(workspace: &Workspace, keep: bool) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("cofferdam-compat-{}", std::process::id()));
        make(&folder)?;
        if keep {
            super::say(&format!("xtask: compat: the trials are kept in {}", folder.display()))?;
        }
        Ok(Self {
            folder,
            keep,
            gate: workspace.target().join("release/cofferdam"),
            installed: workspace.servers().join("compat"),
            uv: workspace.servers().join("uv/bin"),
            python: workspace.servers().join("python/bin/python"),
            clients: workspace.root().join("tests/clients"),
        })
    }

    /// Tries one server.
    ///
    /// # Errors
    /// What the trial itself needs cannot be made or started. A server that does not pass is no error.
    pub(super) fn tries(&self, server: &Server, way: Way) -> Result<Outcome> {
        let place = self.folder.join(format!("{}-{way:?}", server.name));
        let trial = Trial {
            stage: self,
            server,
            home: place.join("home"),
            root: place.join("root"),
            person: place.join("person"),
        };
        for folder in [&place, &trial.home, &trial.person] {
            make(folder)?;
        }
        let outcome = match way {
            Way::Added => trial.outcome(),
            Way::Protected => trial.protected(),
        };
        outcome.map_or_else(|stopped| stopped.into_outcome(), Ok)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.keep {
            // What is left in the temporary folder harms nobody.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn make(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().mode(0o700).create(folder);
    made.with_context(|| format!("cannot make `{}`", folder.display()))
}

/// Why a trial went no further.
pub(super) enum Stopped {
    /// The server does not pass.
    Failed(String),
    /// The trial could not be made.
    Broken(anyhow::Error),
}

impl Stopped {
    fn into_outcome(self) -> Result<Outcome> {
        match self {
            Self::Failed(reason) => Ok(Outcome::Failed(reason)),
            Self::Broken(error) => Err(error),
        }
    }
}

impl From<anyhow::Error> for Stopped {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

pub(super) struct Trial<'a> {
    stage: &'a Stage,
    pub(super) server: &'a Server,
    /// Cofferdam's folder.
    pub(super) home: PathBuf,
    /// The server's folder.
    pub(super) root: PathBuf,
    /// The bare server's `HOME`: what it leaves there is not left in the developer's.
    person: PathBuf,
}

impl Trial<'_> {
    fn outcome(&self) -> Result<Outcome, Stopped> {
        self.lay_out()?;
        let bare = self.transcript("bare", &self.bare())?;
        let shown = shown(&bare).map_err(|reason| Stopped::Failed(format!("bare: {reason}")))?;
        self.lay_out()?;
        self.permit()?;
        self.add()?;
        self.lay_out()?;
        let gated = self.transcript("gated", &self.gated())?;
        if let Some(difference) = difference(&bare, &gated) {
            return Err(Stopped::Failed(format!("bare and gated differ: {difference}")));
        }
        self.verify()?;
        Ok(Outcome::Passed(shown))
    }

    /// The server's folder as it shall find it.
    pub(super) fn lay_out(&self) -> Result<(), Stopped> {
        let Some(kind) = &self.server.folder else {
            return Ok(());
        };
        if self.root.exists() {
            fs::remove_dir_all(&self.root).context("cannot clear the server's folder")?;
        }
        if kind == "empty" {
            return Ok(make(&self.root)?);
        }
        let mut folders = Command::new(&self.stage.python);
        folders
            .arg(self.stage.clients.join("folders.py"))
            .arg(kind)
            .arg(&self.root);
        let output = output_of(folders)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Stopped::Broken(anyhow::anyhow!(
            "cannot make the folder of kind `{kind}`: {}",
            last_words(&output.stderr)
        )))
    }

    /// The launch line of the bare server: no network, as in the compartment, so that a tool that needs one must fail
    /// in the same way.
    pub(super) fn bare(&self) -> Vec<String> {
        let words = ["unshare", "--user", "--map-current-user", "--net", "env"].map(str::to_owned);
        [
            words.to_vec(),
            self.server.settings(&self.root),
            self.server.command(&self.stage.installed, &self.root),
        ]
        .concat()
    }

    fn gated(&self) -> Vec<String> {
        let word = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            word(&self.stage.gate),
            "--home".to_owned(),
            word(&self.home),
            "run".to_owned(),
            self.server.name.clone(),
        ]
    }

    /// What the client prints for the server's script.
    pub(super) fn transcript(&self, which: &str, command: &[String]) -> Result<String, Stopped> {
        let mut client = Command::new(&self.stage.python);
        client
            .arg(self.stage.clients.join("client.py"))
            .args(["--seconds", CONVERSATION_SECONDS_MAX, "--define"])
            .arg(format!("ROOT={}", self.root.display()))
            .arg(&self.server.script)
            .arg("--")
            .args(command)
            .env("HOME", &self.person)
            .current_dir("/");
        let output = output_of(client)?;
        self.keep(which, &output)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Stopped::Failed(format!("{which}: {}", last_words(&output.stderr))))
    }

    /// A policy under which nobody is asked: whether the two differ is the question here, and a person would make them.
    fn permit(&self) -> Result<(), Stopped> {
        let folder = self.home.join("config/policy");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.context("cannot make the policies' folder")?;
        let policy = fs::write(folder.join("default.cedar"), "permit(principal, action, resource);\n");
        Ok(policy.context("cannot write a policy")?)
    }

    fn add(&self) -> Result<(), Stopped> {
        let mut add = self.cofferdam();
        add.args(["add", &self.server.name, "--yes"]);
        for setting in self.server.settings(&self.root) {
            add.args(["--env", &setting]);
        }
        for request in &self.server.client {
            add.args(["--client", request]);
        }
        if self.server.folder.is_some() {
            add.arg("--write").arg(&self.root);
        }
        add.arg("--")
            .args(self.server.command(&self.stage.installed, &self.root));
        self.must_succeed("add", add)
    }

    pub(super) fn verify(&self) -> Result<(), Stopped> {
        let mut verify = self.cofferdam();
        verify.args(["audit", "verify"]);
        self.must_succeed("audit verify", verify)
    }

    pub(super) fn cofferdam(&self) -> Command {
        let mut cofferdam = Command::new(&self.stage.gate);
        cofferdam.arg("--home").arg(&self.home).current_dir("/");
        // `uv` is what installs packages of Python.
        let mut path = self.stage.uv.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        cofferdam.env("PATH", path);
        cofferdam
    }

    pub(super) fn must_succeed(&self, what: &str, command: Command) -> Result<(), Stopped> {
        let output = output_of(command)?;
        self.keep(what, &output)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Stopped::Failed(format!("`{what}`: {}", last_words(&output.stderr))))
    }

    /// Beside the folders of the trial, for whoever looks into a failure.
    fn keep(&self, what: &str, output: &Output) -> Result<()> {
        let place = self.home.with_file_name(what);
        fs::write(place.with_extension("out"), &output.stdout)?;
        Ok(fs::write(place.with_extension("err"), &output.stderr)?)
    }
}

/// Runs `command` with a bound on its time.
fn output_of(command: Command) -> Result<Output> {
    let mut bounded = Command::new("timeout");
    bounded
        .args(["--kill-after=5", PROGRAM_SECONDS_MAX])
        .arg(command.get_program())
        .args(command.get_args())
        // What continuous integration sets would change what policies decide.
        .env_remove("CI");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            bounded.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        bounded.current_dir(folder);
    }
    bounded.stdin(Stdio::null()).output().context("cannot start `timeout`")
}

/// The line of an error output that says most: the first that begins with `error`, or the last.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = lines.clone().find(|line| line.starts_with("error"));
    let line = telling
        .or_else(|| lines.next_back())
        .unwrap_or("it ended without a word");
    shortened(line)
}

/// Bounded, and with nothing in it that moves a terminal's cursor.
fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(REASON_CHARS_MAX).collect()
}

/// Counts what a transcript shows.
///
/// Errors, as a reason: it lists no tool or calls none, and so proves nothing.
pub(super) fn shown(transcript: &str) -> Result<Shown, String> {
    let whole: Value =
        serde_json::from_str(transcript).map_err(|error| format!("the client did not print JSON: {error}"))?;
    let steps = whole
        .get("steps")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let of = |method: &str| -> Vec<&Value> {
        let is_of = |step: &&Value| step.pointer("/step/method").and_then(Value::as_str) == Some(method);
        steps.iter().filter(is_of).collect()
    };
    let tools = of("tools/list")
        .iter()
        .filter_map(|step| Some(step.pointer("/result/tools")?.as_array()?.len()))
        .max()
        .unwrap_or_default();
    let calls = of("tools/call");
    let is_error = |step: &&&Value| {
        step.get("result").is_none() || step.pointer("/result/isError").and_then(Value::as_bool) == Some(true)
    };
    if tools == 0 || calls.is_empty() {
        return Err(format!("{tools} tools and {} calls prove nothing", calls.len()));
    }
    Ok(Shown {
        tools,
        calls: calls.len(),
        errors: calls.iter().filter(is_error).count(),
        held_back: 0,
    })
}

/// The first line that differs, or what one has more of.
fn difference(bare: &str, gated: &str) -> Option<String> {
    if bare == gated {
        return None;
    }
    let pair = bare.lines().zip(gated.lines()).find(|(one, other)| one != other);
    Some(pair.map_or_else(
        || format!("{} and {} bytes", bare.len(), gated.len()),
        |(one, other)| shortened(&format!("`{}` became `{}`", one.trim(), other.trim())),
    ))
}

#[cfg(test)]
mod tests {
    use super::{Shown, difference, last_words, shown};

    const TRANSCRIPT: &str = r#"{"steps": [
        {"step": {"method": "tools/list"}, "result": {"tools": [{}, {}]}},
        {"step": {"method": "tools/call"}, "result": {"content": []}},
        {"step": {"method": "tools/call"}, "result": {"isError": true}},
        {"step": {"method": "tools/call"}, "error": {"code": -1}}
    ]}"#;

    #[test]
    fn a_transcript_is_counted() {
        let counted = Shown {
            tools: 2,
            calls: 3,
            errors: 2,
            held_back: 0,
        };
        assert_eq!(shown(TRANSCRIPT), Ok(counted));
    }

    #[test]
    fn a_transcript_that_proves_nothing_does_not_pass() {
        let none_listed = TRANSCRIPT.replace("[{}, {}]", "[]");
        let none_called = TRANSCRIPT.replace("tools/call", "ping");
        for transcript in [&none_listed, &none_called, "{}", "not json", ""] {
            assert!(shown(transcript).is_err(), "{transcript}");
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\n b\nc", "a\n d\nc"), Some("`b` became `d`".to_owned()));
        assert_eq!(difference("a\n", "a\nb\n"), Some("2 and 4 bytes".to_owned()));
    }

    #[test]
    fn an_error_is_preferred_to_what_follows_it() {
        assert_eq!(last_words(b"start\nerror: x\nhelp: y\n"), "error: x");
        assert_eq!(last_words(b"start\nTypeError\x1b[0m\n\n"), "TypeError [0m");
        assert_eq!(last_words(b""), "it ended without a word");
    }
}
