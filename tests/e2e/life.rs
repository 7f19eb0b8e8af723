//! Beginnings and ends: nothing outlives a session, every end is recorded with its cause.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Conversation, Stage, rule_of, said_in};

/// What clients wait after closing stdin.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);

fn started(stage: &Stage) -> Conversation {
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    gate
}

fn close_facts(stage: &Stage) -> Value {
    stage
        .records()
        .into_iter()
        .rfind(|record| record["kind"] == "close")
        .unwrap()["facts"]
        .clone()
}

fn cause(stage: &Stage) -> String {
    let facts = close_facts(stage);
    facts
        .pointer("/closing/cause")
        .or_else(|| facts.get("cause"))
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{facts}"))
        .to_owned()
}

/// Processes of this machine whose command line holds `mark`.
fn processes_with(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}

fn is_gone(mark: &str) -> bool {
    let began = Instant::now();
    while began.elapsed() < CLIENT_PATIENCE {
        if processes_with(mark).is_empty() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_client_that_hangs_up_ends_everything() {
    let stage = Stage::with_fixture(&["--mark=hang-up-71"]);
    let gate = started(&stage);
    assert_eq!(gate.end().code(), Some(0));
    assert!(is_gone("--mark=hang-up-71"));
    assert_eq!(cause(&stage), "client-closed");
}

#[test]
fn a_server_that_ignores_the_end_of_its_input_is_ended_in_time() {
    let stage = Stage::with_fixture(&["--mark=stubborn-72"]);
    let mut gate = started(&stage);
    gate.post("tools/call", json!({"name": "stubborn", "arguments": {}}));
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    assert_eq!(gate.end().code(), Some(0));
    assert!(began.elapsed() < CLIENT_PATIENCE, "took {:?}", began.elapsed());
    assert!(is_gone("--mark=stubborn-72"));
}

#[test]
fn a_process_the_server_left_behind_does_not_outlive_the_session() {
    let stage = Stage::with_daemon_fixture(&[]);
    let mut gate = started(&stage);
    assert!(said_in(&gate.call("daemon", json!({}))).contains("left"));
    let session = gate.child.id();
    assert_eq!(gate.end().code(), Some(0));
    assert!(
        is_gone("sleep 600"),
        "left by the compartment of gate {session}: {:?}",
        processes_with("sleep 600")
    );
}

#[test]
fn a_server_that_crashes_is_told_to_whoever_waits() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = started(&stage);
    let waiting = gate.post("tools/call", json!({"name": "exit", "arguments": {"code": 3}}));
    let answer = gate.answer(waiting);
    assert_eq!(rule_of(&answer), "session/ended", "{answer}");
    assert!(said_in(&answer).contains('3'), "how it ended is said: {answer}");
    assert_eq!(gate.line(), None);
    assert_eq!(gate.wait().code(), Some(1));
    assert_eq!(cause(&stage), "server-ended");
}

#[test]
fn sigterm_ends_in_order() {
    let stage = Stage::with_fixture(&["--mark=sigterm-73"]);
    let mut gate = started(&stage);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(gate.child.id().cast_signed()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(gate.wait().code(), Some(0));
    assert!(is_gone("--mark=sigterm-73"));
    assert_eq!(cause(&stage), "signal");
}

#[test]
fn sigkill_of_the_gate_leaves_no_process_and_an_intact_record() {
    let stage = Stage::with_daemon_fixture(&["--mark=sigkill-74"]);
    let mut gate = started(&stage);
    gate.call("daemon", json!({}));
    gate.child.kill().unwrap();
    gate.wait();
    assert!(is_gone("--mark=sigkill-74"), "{:?}", processes_with("sigkill-74"));
    let verdicts = stage.verify();
    assert!(verdicts.iter().all(|verdict| verdict["intact"] == true), "{verdicts:?}");
    assert!(
        verdicts.iter().any(|verdict| verdict["ended"] == "unclosed"),
        "{verdicts:?}"
    );
}

#[test]
fn stderr_is_prefixed_escaped_and_recorded() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = started(&stage);
    gate.call("stderr", json!({"text": "\u{1b}[2Jcleared"}));
    let said = gate.said();
    assert!(said.contains("[fixture] \\u{1b}[2Jcleared"), "{said}");
    assert!(gate.end().success());
    let recorded = stage
        .records()
        .into_iter()
        .any(|record| record["kind"] == "server-stderr" && record["payload"].as_str().unwrap().contains("cleared"));
    assert!(recorded);
}

#[test]
fn what_waits_for_a_list_that_never_comes_is_refused_and_the_rest_flows() {
    let stage = Stage::with_fixture(&[]);
    // The same server, mute from now on: its program is the same, its argument another.
    stage.edit_manifest("fixture", |text| {
        text.replacen("fixture_server\"", "fixture_server\", \"--mute\"", 1)
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let held = gate.post("tools/call", json!({"name": "echo", "arguments": {"message": "x"}}));
    assert_eq!(
        gate.request("ping", json!({}))["result"],
        json!({}),
        "a held call holds nothing else"
    );
    let answer = gate.answer(held);
    assert_eq!(rule_of(&answer), "tool/unverified");
}
