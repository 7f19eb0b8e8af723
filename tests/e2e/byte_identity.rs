//! A tee on each side of the gate: allowed traffic is byte for byte the same, in both eras. Only the gate's own lists of
//! the tools, which it records as such, are on the server's side alone.

use std::path::Path;

use serde_json::Value;

use crate::driven::{
    ASKS_THE_CLIENT, Client, installed, node_server, python, root, suite_server, through_the_gate, transcript,
};
use crate::support::{Stage, text};

/// Drives `server` through tee, gate and tee, and compares what both kept.
fn is_byte_identical(client: Client, script: &str, server: &[String], program: &str) {
    let stage = Stage::new();
    let tee = root().join("tests/clients/tee.py");
    let tee = [python(), tee.to_str().unwrap().to_owned()];
    let (outside, folder) = (stage.workspace().join("outside"), stage.workspace().join("logs"));
    let inside = folder.join("inside");
    std::fs::create_dir(&folder).unwrap();
    let line = [tee.to_vec(), vec![inside.to_str().unwrap().to_owned()], server.to_vec()].concat();
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let rights = ["--write", folder.to_str().unwrap(), "--program", program];
    let added = stage.add("teed", &[rights.as_slice(), &ASKS_THE_CLIENT].concat(), &line);
    assert!(added.status.success(), "{}", text(&added.stderr));
    // What `add` said to the server is of no interest.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();

    let outer = vec![outside.to_str().unwrap().to_owned()];
    let through = [tee.to_vec(), outer, through_the_gate(&stage, "teed")].concat();
    transcript(client, script, &stage.workspace(), &through);
    let own = own_ids(&stage);
    for direction in ["in", "out"] {
        let read = |prefix: &Path| std::fs::read(prefix.with_extension(direction)).unwrap();
        let before = read(&outside);
        let (after, removed) = without(&own, &read(&inside));
        let lengths = (before.len(), after.len());
        assert!(before.len() > 2_000, "{direction}: {lengths:?} bytes prove nothing");
        assert!(before == after, "{direction} differs: {lengths:?} bytes");
        assert!(
            removed <= own.len(),
            "{direction}: {removed} lines of the gate's own, {own:?}"
        );
    }
}

/// The ids of what the gate asked the server itself, from the record: after a change it lists the tools. The client
/// sees nothing of it.
fn own_ids(stage: &Stage) -> Vec<Value> {
    let asked = stage
        .records()
        .into_iter()
        .filter(|record| record["kind"] == "gate-to-server");
    asked
        .map(|record| serde_json::from_str(record["facts"]["id"].as_str().unwrap()).unwrap())
        .collect()
}

/// The bytes without the lines that have one of these ids, and how many those were.
fn without(own: &[Value], bytes: &[u8]) -> (Vec<u8>, usize) {
    let is_own = |line: &&[u8]| serde_json::from_slice::<Value>(line).is_ok_and(|line| own.contains(&line["id"]));
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let kept: Vec<&[u8]> = lines.iter().copied().filter(|line| !is_own(line)).collect();
    (kept.concat(), lines.len() - kept.len())
}

fn suite_is_byte_identical(client: Client) {
    let program = root().join("tests/fixture/suite");
    let mut server = suite_server();
    server[0] = "python".to_owned();
    is_byte_identical(client, "suite.json", &server, program.to_str().unwrap());
}

#[test]
fn everything_in_the_legacy_era() {
    let program = installed("node/node_modules");
    let server = node_server("server-everything");
    is_byte_identical(Client::Python("legacy"), "everything.json", &server, &program);
}

#[test]
fn everything_with_a_client_that_probes_first() {
    let program = installed("node/node_modules");
    let server = node_server("server-everything");
    is_byte_identical(Client::Python("auto"), "everything.json", &server, &program);
}

#[test]
fn the_fixture_in_the_legacy_era() {
    suite_is_byte_identical(Client::TypeScript1);
}

#[test]
fn the_fixture_in_the_modern_era() {
    suite_is_byte_identical(Client::Python("2026-07-28"));
}

#[test]
fn the_fixture_with_the_newer_typescript_client_that_probes_first() {
    suite_is_byte_identical(Client::TypeScript2("auto"));
}
