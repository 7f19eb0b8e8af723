//! Real servers driven by real clients, bare and gated: the same results, and allowed traffic byte for byte the same.
//!
//! `cargo xtask servers` installs what this needs; a test that does not find it fails and says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Stage, text};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// A file that `cargo xtask servers` installed.
fn installed(relative: &str) -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let path = target.join("servers").join(relative);
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask servers`",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

fn python() -> String {
    installed("python/bin/python")
}

pub(crate) fn node_server(name: &str) -> Vec<String> {
    vec![
        "node".to_owned(),
        installed(&format!("node/node_modules/@modelcontextprotocol/{name}/dist/index.js")),
    ]
}

/// The two clients of ours that drive the SDKs.
#[derive(Clone, Copy)]
enum Client {
    Python(&'static str),
    TypeScript,
}

/// What a client prints for a script against a server.
fn transcript(client: Client, script: &str, workspace: &Path, server: &[String]) -> String {
    let clients = root().join("tests/clients");
    let mut command = match client {
        Client::Python(mode) => {
            let mut command = Command::new(python());
            command.arg(clients.join("client.py")).args(["--mode", mode]);
            command
        }
        Client::TypeScript => {
            let mut command = Command::new("node");
            command.arg(clients.join("client.mjs"));
            command
        }
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

/// A fresh folder as the scripts expect it.
fn folder(kind: &str, at: &Path) {
    let made = Command::new(python())
        .arg(root().join("tests/clients/folders.py"))
        .arg(kind)
        .arg(at)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
}

/// The same script bare and gated prints the same.
fn same_bare_and_gated(client: Client, kind: &str, server: &[String], grants: bool) {
    let script = format!("{kind}.json");
    let stage = Stage::new();
    let (bare, gated) = (stage.workspace().join("bare"), stage.workspace().join("gated"));
    for at in [&bare, &gated] {
        if grants {
            folder(kind, at)
        } else {
            std::fs::create_dir(at).unwrap()
        }
    }
    let bare_server: Vec<String> = server
        .iter()
        .map(|word| word.replace("@ROOT@", bare.to_str().unwrap()))
        .collect();
    let expected = transcript(client, &script, &bare, &bare_server);
    assert!(expected.len() > 1_000, "the bare run proves nothing: {expected}");

    let gated_server: Vec<String> = server
        .iter()
        .map(|word| word.replace("@ROOT@", gated.to_str().unwrap()))
        .collect();
    let words: Vec<&str> = gated_server.iter().map(String::as_str).collect();
    let mut options = vec!["--client", "roots", "--client", "sampling", "--client", "elicitation"];
    if grants {
        options.extend(["--write", gated.to_str().unwrap()]);
    }
    let added = stage.add(kind, &options, &words);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let home = stage.home().to_str().unwrap().to_owned();
    let through = [env!("CARGO_BIN_EXE_cofferdam"), "--home", &home, "run", kind].map(str::to_owned);
    let actual = transcript(client, &script, &gated, &through);
    assert!(
        expected == actual,
        "bare and gated differ:\n{}",
        difference(&expected, &actual)
    );
    assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
}

/// The first lines that differ.
fn difference(expected: &str, actual: &str) -> String {
    let pairs = expected.lines().zip(actual.lines()).filter(|(one, other)| one != other);
    pairs
        .take(12)
        .map(|(one, other)| format!("bare  {one}\ngated {other}\n"))
        .collect()
}

#[test]
fn everything_with_the_python_client() {
    same_bare_and_gated(
        Client::Python("legacy"),
        "everything",
        &node_server("server-everything"),
        false,
    );
}

#[test]
fn everything_with_the_typescript_client() {
    same_bare_and_gated(
        Client::TypeScript,
        "everything",
        &node_server("server-everything"),
        false,
    );
}

#[test]
fn filesystem_with_the_python_client() {
    let server = [node_server("server-filesystem"), vec!["@ROOT@".to_owned()]].concat();
    same_bare_and_gated(Client::Python("auto"), "filesystem", &server, true);
}

#[test]
fn filesystem_with_the_typescript_client() {
    let server = [node_server("server-filesystem"), vec!["@ROOT@".to_owned()]].concat();
    same_bare_and_gated(Client::TypeScript, "filesystem", &server, true);
}

#[test]
fn git_with_the_python_client_in_the_modern_era() {
    let server = vec![
        installed("python/bin/mcp-server-git"),
        "--repository".to_owned(),
        "@ROOT@".to_owned(),
    ];
    same_bare_and_gated(Client::Python("auto"), "git", &server, true);
}

#[test]
fn git_with_the_typescript_client() {
    let server = vec![
        installed("python/bin/mcp-server-git"),
        "--repository".to_owned(),
        "@ROOT@".to_owned(),
    ];
    same_bare_and_gated(Client::TypeScript, "git", &server, true);
}

#[test]
fn time_with_both_clients() {
    let server = vec![
        installed("python/bin/mcp-server-time"),
        "--local-timezone".to_owned(),
        "Europe/Berlin".to_owned(),
    ];
    same_bare_and_gated(Client::Python("auto"), "time", &server, false);
    same_bare_and_gated(Client::TypeScript, "time", &server, false);
}

/// A tee on each side of the gate: what passes is byte for byte what came.
#[test]
fn allowed_traffic_is_byte_identical() {
    let stage = Stage::new();
    let tee = root().join("tests/clients/tee.py");
    let (outside, inside) = (stage.workspace().join("outside"), stage.workspace().join("logs"));
    std::fs::create_dir(&inside).unwrap();
    let python = python();
    let prefix = inside.join("inside");
    let server = node_server("server-everything");
    let mut line = vec![python.as_str(), tee.to_str().unwrap(), prefix.to_str().unwrap()];
    line.extend(server.iter().map(String::as_str));
    let program = installed("node/node_modules");
    let options = [
        "--write",
        inside.to_str().unwrap(),
        "--program",
        &program,
        "--client",
        "roots",
        "--client",
        "sampling",
        "--client",
        "elicitation",
    ];
    let added = stage.add("teed", &options, &line);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let _ = std::fs::remove_dir_all(&inside);
    std::fs::create_dir(&inside).unwrap();
    let home = stage.home().to_str().unwrap().to_owned();
    let gate = [env!("CARGO_BIN_EXE_cofferdam"), "--home", &home, "run", "teed"].map(str::to_owned);
    let through = [
        vec![
            python.clone(),
            tee.to_str().unwrap().to_owned(),
            outside.to_str().unwrap().to_owned(),
        ],
        gate.to_vec(),
    ]
    .concat();
    transcript(
        Client::Python("legacy"),
        "everything.json",
        &stage.workspace(),
        &through,
    );
    for direction in ["in", "out"] {
        let read = |prefix: &Path| std::fs::read(prefix.with_extension(direction)).unwrap();
        let (before, after) = (read(&outside), read(&prefix));
        assert!(
            before.len() > 2_000,
            "{direction}: {} bytes prove nothing",
            before.len()
        );
        assert!(
            before == after,
            "{direction} differs: {} and {} bytes",
            before.len(),
            after.len()
        );
    }
}
