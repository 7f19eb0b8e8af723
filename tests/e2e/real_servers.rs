//! The protocol's own servers driven by real clients, bare and gated: the same results.

use crate::driven::{Case, Client, Folder, installed, node_server};

fn everything() -> Case {
    Case {
        name: "everything",
        server: node_server("server-everything"),
        ..Case::default()
    }
}

fn filesystem() -> Case {
    Case {
        name: "filesystem",
        server: [node_server("server-filesystem"), vec!["@ROOT@".to_owned()]].concat(),
        folder: Folder::Filled,
        ..Case::default()
    }
}

fn memory() -> Case {
    Case {
        name: "memory",
        server: node_server("server-memory"),
        bare_prefix: vec!["env", "MEMORY_FILE_PATH=@ROOT@/memory.jsonl"],
        options: vec!["--env", "MEMORY_FILE_PATH=@ROOT@/memory.jsonl"],
        folder: Folder::Empty,
    }
}

fn sequential_thinking() -> Case {
    Case {
        name: "sequential-thinking",
        server: node_server("server-sequential-thinking"),
        ..Case::default()
    }
}

fn git() -> Case {
    let server = ["python/bin/mcp-server-git"].map(installed).to_vec();
    Case {
        name: "git",
        server: [server, ["--repository", "@ROOT@"].map(str::to_owned).to_vec()].concat(),
        folder: Folder::Filled,
        ..Case::default()
    }
}

fn time() -> Case {
    let server = ["python/bin/mcp-server-time"].map(installed).to_vec();
    Case {
        name: "time",
        server: [
            server,
            ["--local-timezone", "Europe/Berlin"].map(str::to_owned).to_vec(),
        ]
        .concat(),
        ..Case::default()
    }
}

/// What it answers where there is no network: bare in a network namespace of its own, gated by default.
fn fetch() -> Case {
    Case {
        name: "fetch",
        server: vec![installed("python/bin/mcp-server-fetch")],
        bare_prefix: vec!["unshare", "--map-root-user", "--net"],
        ..Case::default()
    }
}

#[test]
fn everything_with_the_python_client() {
    everything().is_the_same_with(Client::Python("legacy"));
}

#[test]
fn everything_with_the_python_client_that_probes_first() {
    everything().is_the_same_with(Client::Python("auto"));
}

#[test]
fn everything_with_the_typescript_client() {
    everything().is_the_same_with(Client::TypeScript1);
}

#[test]
fn filesystem_with_the_python_client() {
    filesystem().is_the_same_with(Client::Python("auto"));
}

#[test]
fn filesystem_with_the_typescript_client() {
    filesystem().is_the_same_with(Client::TypeScript1);
}

#[test]
fn memory_with_the_python_client() {
    memory().is_the_same_with(Client::Python("auto"));
}

#[test]
fn memory_with_the_newer_typescript_client() {
    memory().is_the_same_with(Client::TypeScript2("auto"));
}

#[test]
fn sequential_thinking_with_both_clients() {
    sequential_thinking().is_the_same_with(Client::Python("legacy"));
    sequential_thinking().is_the_same_with(Client::TypeScript2("legacy"));
}

#[test]
fn git_with_the_python_client_in_the_modern_era() {
    git().is_the_same_with(Client::Python("auto"));
}

#[test]
fn git_with_the_typescript_client() {
    git().is_the_same_with(Client::TypeScript1);
}

#[test]
fn time_with_both_clients() {
    time().is_the_same_with(Client::Python("auto"));
    time().is_the_same_with(Client::TypeScript1);
}

#[test]
fn fetch_without_network_with_both_clients_in_the_modern_era() {
    fetch().is_the_same_with(Client::Python("auto"));
    fetch().is_the_same_with(Client::TypeScript2("2026-07-28"));
}
