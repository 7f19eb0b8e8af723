//! `audit ship`: the record in the hands of those who collect it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ocsf::assert_valid;
use crate::support::{STUCK, Stage, said_in, text};

/// Writes `cofferdam.toml`.
pub(crate) fn configure(stage: &Stage, settings: &str) {
    let path = stage.home().join("config/cofferdam.toml");
    std::fs::write(&path, settings).unwrap();
}

/// One session of the fixture: `calls` that pass, and one that is refused.
pub(crate) fn session(stage: &Stage, calls: usize) {
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for number in 0..calls {
        let message = format!("call {number}");
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    gate.call("nowhere", json!({"message": "refused of course"}));
    assert!(gate.end().success());
}

pub(crate) fn ship_once(stage: &Stage) -> std::process::Output {
    stage.run(&["--format", "json", "audit", "ship", "--once"])
}

/// Ids of all records there are.
pub(crate) fn recorded(stage: &Stage) -> HashSet<String> {
    let id = |record: &Value| format!("{}:{}", record["session"].as_str().unwrap(), record["seq"]);
    stage.records().iter().map(id).collect()
}

/// Nothing is missing, nothing came that was not recorded, and each session's records are in order, the repeated ones apart.
pub(crate) fn assert_all_arrived(stage: &Stage, events: &[Value]) {
    let mut arrived = HashSet::new();
    let mut last: HashMap<&str, u64> = HashMap::new();
    for event in events {
        assert_valid(event);
        if is_checkpoint(event) {
            continue;
        }
        let session = event["metadata"]["correlation_uid"].as_str().unwrap();
        let seq = event["metadata"]["sequence"].as_u64().unwrap();
        let id = event["metadata"]["uid"].as_str().unwrap();
        assert_eq!(id, format!("{session}:{seq}"));
        if arrived.insert(id.to_owned()) {
            let before = last.insert(session, seq);
            assert!(
                before.map_or(seq == 0, |before| before + 1 == seq),
                "{id} after {before:?}"
            );
        }
    }
    let recorded = recorded(stage);
    let missing: Vec<&String> = recorded.difference(&arrived).take(5).collect();
    assert!(missing.is_empty(), "missing: {missing:?}, and more");
    assert_eq!(arrived.len(), recorded.len(), "what was never recorded came");
}

/// What the ledger says comes beside the records.
pub(crate) fn is_checkpoint(event: &Value) -> bool {
    event["unmapped"]["cofferdam"]["kind"] == "checkpoint"
}

/// How many records came, those that came twice twice.
pub(crate) fn count_of_records(events: &[Value]) -> usize {
    events.iter().filter(|event| !is_checkpoint(event)).count()
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_file_gets_every_record_once_and_goes_on_where_it_was() {
    let stage = Stage::with_fixture(&[]);
    let path = stage.workspace().join("events.jsonl");
    configure(
        &stage,
        &format!(
            "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
            path.display()
        ),
    );
    session(&stage, 3);
    let shipped = ship_once(&stage);
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    let first = lines(&path);
    assert_all_arrived(&stage, &first);
    session(&stage, 2);
    // What is packed meanwhile is found again.
    assert!(stage.run(&["audit", "compress", "--all"]).status.success());
    assert!(ship_once(&stage).status.success());
    let all = lines(&path);
    assert_all_arrived(&stage, &all);
    assert_eq!(
        count_of_records(&all),
        recorded(&stage).len(),
        "each once: nobody was killed"
    );
    assert_eq!(all[..first.len()], first);
    let shipped: Value = serde_json::from_slice(&ship_once(&stage).stdout).unwrap();
    assert_eq!(shipped["delivered"], 0);
}

#[test]
fn a_changed_record_is_a_finding_at_the_sink_and_for_who_ships() {
    let stage = Stage::with_fixture(&[]);
    let path = stage.workspace().join("events.jsonl");
    configure(
        &stage,
        &format!(
            "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
            path.display()
        ),
    );
    session(&stage, 1);
    let folder = stage.home().join("state/audit/fixture");
    let segments = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let said = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let at = bytes.windows(6).position(|window| window == b"call 0");
        at.map(|at| (path.clone(), bytes, at))
    };
    let segments: Vec<PathBuf> = segments.collect();
    // `add` watched a session of its own.
    let (segment, mut bytes, at) = segments.iter().find_map(said).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let shipped = ship_once(&stage);
    assert_eq!(shipped.status.code(), Some(1), "{}", text(&shipped.stderr));
    assert!(text(&shipped.stderr).contains("changed"), "{}", text(&shipped.stderr));
    let events = lines(&path);
    let findings = events.iter().filter(|event| event["class_uid"] == 2004);
    assert_eq!(findings.count(), 1);
    assert!(
        !text(&std::fs::read(&path).unwrap()).contains("call 0"),
        "nothing behind it is shipped"
    );
    events.iter().for_each(assert_valid);
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_shipped() {
    let stage = Stage::with_fixture(&[]);
    let none = stage.run(&["audit", "ship", "--once"]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none.stderr));
    configure(
        &stage,
        "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"/dev/full\"\n",
    );
    let unknown = stage.run(&["audit", "ship", "--once", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown.stderr));
    session(&stage, 1);
    let device = stage.run(&["audit", "ship", "--once"]);
    assert_eq!(device.status.code(), Some(5), "{}", text(&device.stderr));
    assert!(
        text(&device.stderr).contains("not a regular file"),
        "{}",
        text(&device.stderr)
    );
}

#[test]
fn run_starts_the_shipper_where_the_settings_say_so_and_it_ends_when_nothing_is_left() {
    let stage = Stage::with_fixture(&[]);
    let path = stage.workspace().join("events.jsonl");
    let settings = format!(
        "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
        path.display()
    );
    configure(&stage, &format!("[shipping]\nwith_run = true\n{settings}"));
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let began = Instant::now();
    let has_arrived = |text: &str| std::fs::read_to_string(&path).is_ok_and(|events| events.contains(text));
    gate.call("echo", json!({"message": "while it runs"}));
    while !has_arrived("while it runs") {
        assert!(began.elapsed() < STUCK, "nothing is shipped");
        std::thread::sleep(Duration::from_millis(50));
    }
    // A second session finds the shipper of the first.
    session(&stage, 1);
    assert_eq!(ship_once(&stage).status.code(), Some(3), "it is in use");
    assert!(gate.end().success());
    while ship_once(&stage).status.code() == Some(3) {
        assert!(began.elapsed() < STUCK, "it does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    let events = lines(&path);
    assert_all_arrived(&stage, &events);
    assert_eq!(count_of_records(&events), recorded(&stage).len());
    let said = std::fs::read_to_string(stage.home().join("state/ship/said")).unwrap();
    assert_eq!(said, "shipping to `siem`\n");
}
