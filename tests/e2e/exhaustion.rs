//! A server that takes as much as it gets: it gets what it is granted, the gate and the machine stay well, and the client hears why.

use serde_json::{Value, json};

use crate::support::{Conversation, Stage, rule_of, said_in};

/// A gate over the fixture with these limits in its manifest.
fn limited(stage: &Stage, limits: &[(&str, &str, &str)]) -> Conversation {
    for (key, from, to) in limits {
        stage.edit_manifest("fixture", |text| {
            text.replacen(&format!("{key} = {from}\n"), &format!("{key} = {to}\n"), 1)
        });
    }
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate
}

/// After whatever was done, the same server still answers through the same gate.
fn is_well(gate: &mut Conversation) {
    assert_eq!(said_in(&gate.call("echo", json!({"message": "well"}))), "well");
}

fn got(answer: &Value) -> u64 {
    let count = said_in(answer).split(',').next().unwrap().parse();
    count.unwrap_or_else(|_| panic!("{answer}"))
}

/// Memory that a process holds in RAM, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn processes_files_and_descriptors_are_bounded() {
    let stage = Stage::with_fixture(&[]);
    let limits = [
        ("processes", "256", "40"),
        ("disk", "\"256MiB\"", "\"8MiB\""),
        ("files", "65536", "100"),
        ("open_files", "1024", "64"),
    ];
    let mut gate = limited(&stage, &limits);
    let mut take = |what: &str| gate.call("exhaust", json!({"what": what, "at": "/tmp"}));
    let processes = take("processes");
    assert!(
        (30..40).contains(&got(&processes)) && said_in(&processes).contains("os error 11"),
        "{processes}"
    );
    assert_eq!(
        said_in(&take("orphans")),
        "500 started",
        "whoever is first inside reaps them"
    );
    let descriptors = take("descriptors");
    assert!(
        got(&descriptors) < 64 && said_in(&descriptors).contains("os error 24"),
        "{descriptors}"
    );
    let disk = take("disk");
    assert!(got(&disk) <= 8 && said_in(&disk).contains("os error 28"), "{disk}");
    is_well(&mut gate);
    assert!(gate.end().success());
    let mut gate = limited(&stage, &[("disk", "\"8MiB\"", "\"9MiB\"")]);
    let inodes = gate.call("exhaust", json!({"what": "inodes", "at": "/dev/shm"}));
    assert!(
        got(&inodes) < 100 && said_in(&inodes).contains("os error 28"),
        "{inodes}"
    );
    is_well(&mut gate);
    assert!(gate.end().success());
}

#[test]
fn a_file_over_its_size_ends_the_server_and_not_the_gate() {
    let stage = Stage::new();
    let folder = stage.workspace().join("data");
    std::fs::create_dir(&folder).unwrap();
    let added = stage.add(
        "fixture",
        &["--write", folder.to_str().unwrap()],
        &[&crate::support::fixture()],
    );
    assert!(added.status.success());
    let mut gate = limited(&stage, &[("file", "\"1GiB\"", "\"4MiB\"")]);
    let answer = gate.call("exhaust", json!({"what": "disk", "at": folder}));
    // SIGXFSZ, or, where a runtime ignores it, an error.
    assert!(
        rule_of(&answer) == "session/ended" || said_in(&answer).contains("os error 27"),
        "{answer}"
    );
    assert_eq!(std::fs::metadata(folder.join("file")).unwrap().len(), 4 << 20);
}

#[test]
fn a_memory_bomb_ends_the_server_and_the_client_hears_why() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = limited(&stage, &[("memory", "\"2GiB\"", "\"64MiB\"")]);
    let answer = gate.call("exhaust", json!({"what": "memory"}));
    assert_eq!(rule_of(&answer), "session/ended", "{answer}");
    let is_capped = stage
        .records()
        .iter()
        .any(|record| record["facts"]["memory"].is_object());
    let why = if is_capped {
        "it used more memory than it is granted"
    } else {
        "signal 6"
    };
    assert!(said_in(&answer).contains(why), "{answer}");
}

#[test]
fn an_endless_line_ends_the_server_and_the_gate_stays_small() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = limited(&stage, &[("record_per_hour", "\"1GiB\"", "\"64MiB\"")]);
    let answer = gate.call("oversize", json!({"bytes": 1_u64 << 30}));
    assert!(said_in(&answer).contains("record quota"), "{answer}");
    let held = resident(gate.child.id());
    assert!(held < 200 * 1024, "the gate held {held} KiB");
    assert_eq!(gate.wait().code(), Some(1));
    assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
}

#[test]
fn a_server_that_spins_is_answered_for_in_time() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = limited(&stage, &[("seconds_per_call", "300", "1")]);
    let answer = gate.call("exhaust", json!({"what": "time"}));
    assert_eq!(rule_of(&answer), "limit/seconds-per-call", "{answer}");
}
