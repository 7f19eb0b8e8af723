//! Other people's gateways, for the bench: installed at exact versions on first need, each configured to carry the echo
//! server with as little else as it can do without.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::workspace::Workspace;
use crate::{command, servers};

const ARBIT_VERSION: &str = "0.18.0";

/// Installs the peers under `target/bench` and writes how each is started in front of `server`.
///
/// Gives the file, in the form that the rig's `--peers` reads.
///
/// # Errors
/// A peer cannot be installed, or a file cannot be written.
pub(super) fn prepare(workspace: &Workspace, server: &[String]) -> Result<PathBuf> {
    let place = workspace.target().join("bench");
    fs::create_dir_all(&place).with_context(|| format!("cannot create `{}`", place.display()))?;
    let locks = workspace.root().join("tests/peers");
    let peers = [
        rmcp_pump(&locks, &place, server)?,
        arbit(&locks, &place, server)?,
        mcp_gateway(&locks, &place, server)?,
        fastmcp(&locks, &place, server)?,
    ];
    let file = place.join("peers.json");
    write_json(&file, &json!(peers))?;
    Ok(file)
}

/// A pump on rmcp's transports and types, from a workspace of its own.
fn rmcp_pump(locks: &Path, place: &Path, server: &[String]) -> Result<Value> {
    let build = place.join("build");
    let mut cargo = command::cargo();
    cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
    cargo
        .arg(locks.join("rmcp-pump/Cargo.toml"))
        .arg("--target-dir")
        .arg(&build);
    command::run(&mut cargo)?;
    let program = build.join("release/rmcp_pump");
    Ok(peer(
        "pump on rmcp 3.9.0",
        "echo",
        &[&[word(&program)], server].concat(),
    ))
}

/// A policy proxy with audit. Its rules are those of its own example; the load generator is its one agent.
fn arbit(locks: &Path, place: &Path, server: &[String]) -> Result<Value> {
    let root = place.join(format!("arbit-{ARBIT_VERSION}"));
    if !root.join(".crates.toml").exists() {
        let mut cargo = command::cargo();
        cargo.args([
            "install",
            "--quiet",
            "--locked",
            "--version",
            ARBIT_VERSION,
            "arbit",
            "--root",
        ]);
        cargo.arg(&root).arg("--target-dir").arg(place.join("build"));
        command::run(&mut cargo)?;
    }
    let template = fs::read_to_string(locks.join("arbit/gateway.yml")).context("cannot read arbit's configuration")?;
    let configuration = template
        .replace("@SERVER@", &json!(server).to_string())
        .replace("@AUDIT@", &word(&root.join("audit.db")));
    let file = root.join("gateway.yml");
    fs::write(&file, configuration).with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(peer(
        &format!("arbit {ARBIT_VERSION}"),
        "echo",
        // What it logs goes to stdout, among the messages.
        &[
            "env".to_owned(),
            "LOG_LEVEL=error".to_owned(),
            word(&root.join("bin/arbit")),
            word(&file),
        ],
    ))
}

/// A Python gateway, without plugins. It puts the server's name in front of its tools'.
fn mcp_gateway(locks: &Path, place: &Path, server: &[String]) -> Result<Value> {
    let file = place.join("mcp-gateway.json");
    let (program, arguments) = server.split_first().context("no server")?;
    write_json(
        &file,
        &json!({"mcpServers": {"gateway": {"servers": {"s": {"command": program, "args": arguments}}}}}),
    )?;
    let name = python_peer(locks, place, "mcp-gateway")?;
    let program = place.join("mcp-gateway/bin/mcp-gateway");
    Ok(peer(
        &name,
        "s_echo",
        &[word(&program), "--mcp-json-path".to_owned(), word(&file)],
    ))
}

/// The proxy of a Python framework, as its own command line starts it.
fn fastmcp(locks: &Path, place: &Path, server: &[String]) -> Result<Value> {
    let file = place.join("mcp.json");
    let (program, arguments) = server.split_first().context("no server")?;
    write_json(
        &file,
        &json!({"mcpServers": {"s": {"command": program, "args": arguments}}}),
    )?;
    let name = python_peer(locks, place, "fastmcp")?;
    let program = place.join("fastmcp/bin/fastmcp");
    let options = ["run", "--no-banner", "--log-level", "ERROR"].map(str::to_owned);
    Ok(peer(
        &format!("{name} as a proxy"),
        "echo",
        &[&[word(&program)], options.as_slice(), &[word(&file)]].concat(),
    ))
}

/// Installs a Python peer, and gives its name with its version.
fn python_peer(locks: &Path, place: &Path, package: &str) -> Result<String> {
    servers::install_python_set(locks, place, package)?;
    let lock = locks.join(package).join("requirements.txt");
    Ok(format!("{package} {}", servers::locked_python_version(&lock, package)?))
}

fn peer(name: &str, tool: &str, command: &[String]) -> Value {
    json!({"name": name, "tool": tool, "command": command})
}

fn word(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn write_json(file: &Path, value: &Value) -> Result<()> {
    fs::write(file, value.to_string()).with_context(|| format!("cannot write `{}`", file.display()))
}
