//! The record behind the gate: everything is in it, changes are found, and without it nothing passes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::frames::set_limit;
use crate::support::{Stage, rule_of, said_in, text};

fn segments(stage: &Stage) -> Vec<PathBuf> {
    let folder = stage.home().join("state/audit/fixture");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "cfa"))
        .collect();
    paths.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    paths
}

#[test]
fn every_byte_of_both_directions_is_recorded_in_order() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    for number in 0..50 {
        let message = format!("message {number}");
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    assert!(gate.end().success());
    let records = stage.records();
    let session = records.last().unwrap()["session"].clone();
    let of_session: Vec<&Value> = records.iter().filter(|record| record["session"] == session).collect();
    assert!(
        of_session
            .iter()
            .enumerate()
            .all(|(index, record)| record["seq"].as_u64() == Some(index as u64)),
        "no gap"
    );
    for number in 0..50 {
        let lines = |kind: &str| {
            of_session
                .iter()
                .filter(|record| {
                    record["kind"] == kind
                        && record["payload"]
                            .as_str()
                            .unwrap()
                            .contains(&format!("message {number}\""))
                })
                .count()
        };
        assert_eq!((lines("client-line"), lines("server-line")), (1, 1), "message {number}");
    }
}

#[test]
fn a_changed_record_is_found_and_named() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.call("echo", json!({"message": "the truth"}));
    assert!(gate.end().success());
    assert!(
        stage
            .verify()
            .iter()
            .all(|verdict| verdict["intact"] == true && verdict["ended"] == "closed")
    );
    let segment = segments(&stage).pop().unwrap();
    change(&segment, b"the truth", b"the trick");
    let verified = stage.run(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(
        text(&verified.stdout).contains("broken at record"),
        "{}",
        text(&verified.stdout)
    );
}

fn change(path: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flooding_server_is_ended_and_others_are_not_stopped() {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |text| set_limit(&text, "record_per_hour", "\"1MiB\""));
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    let call = gate.post("tools/call", json!({"name": "flood", "arguments": {"lines": 20_000}}));
    let answer = gate.answer(call);
    assert_eq!(rule_of(&answer), "session/ended", "{answer}");
    assert!(said_in(&answer).contains("record quota"), "{answer}");
    assert_eq!(gate.wait().code(), Some(1));
    let said = gate.said();
    assert!(said.contains("it is slowed, and ended when all is used"), "{said}");
    let records = stage.records();
    let slowed = records
        .iter()
        .position(|record| record["facts"]["rule"] == "record/quota");
    let closed = records
        .iter()
        .position(|record| record["facts"]["cause"] == "record-quota");
    assert!(slowed.is_some() && slowed < closed, "{slowed:?} {closed:?}");
    let kept = || -> u64 {
        segments(&stage)
            .iter()
            .map(|path| std::fs::metadata(path).unwrap().len())
            .sum()
    };
    assert!(kept() < 2 * 1024 * 1024, "{} bytes", kept());
    assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
    let again = stage.run(&["call", "fixture", "flood", r#"{"lines":20000}"#]);
    assert_eq!(
        again.status.code(),
        Some(1),
        "a new session has no new hour: {}",
        text(&again.stdout)
    );
    assert!(kept() < 2 * 1024 * 1024, "{} bytes", kept());
    let other = stage.add("other", &[], &[&crate::support::fixture()]);
    assert!(
        other.status.success(),
        "another server has a quota of its own: {}",
        text(&other.stderr)
    );
}

#[test]
fn without_a_record_nothing_starts() {
    let stage = Stage::with_fixture(&[]);
    let folder = stage.home().join("state/audit");
    std::fs::rename(&folder, folder.with_extension("away")).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let refused = stage.run(&["run", "fixture"]);
    assert!(matches!(refused.status.code(), Some(4 | 5)), "{:?}", refused.status);
    assert!(!text(&refused.stderr).is_empty());
}

/// A disk of one megabyte that fills up while the gate runs: nothing passes unrecorded.
#[test]
fn a_full_disk_stops_everything_with_an_answer() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root to mount a small tmpfs; CI has it"
    );
    let stage = Stage::with_fixture(&[]);
    let audit = stage.home().join("state/audit");
    let script = r#"mount -t tmpfs -o size=1m,mode=0700 tmpfs "$1" && shift && exec "$@""#;
    let mut gate = std::process::Command::new("unshare");
    gate.args(["-m", "/bin/sh", "-c", script, "sh"]).arg(&audit);
    let mut child = stage
        .command_in(gate, &["run", "fixture"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let message = "x".repeat(20_000);
    let mut passed = 0;
    for id in 1..400 {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": message}}});
        if std::io::Write::write_all(&mut stdin, format!("{call}\n").as_bytes()).is_err() {
            break;
        }
        let Some(Ok(line)) = lines.next() else { break };
        passed += u32::from(said_in(&serde_json::from_str(&line).unwrap()).starts_with("xxx"));
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(
        passed > 0 && passed < 30,
        "{passed} answers of 20 kB passed, though only 1 MiB can be recorded"
    );
    assert!(text(&output.stderr).contains("room"), "{}", text(&output.stderr));
}
