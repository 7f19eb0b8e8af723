//! How the record is written: settings, segments one after another, failures of the folder below it.

use std::path::PathBuf;

use serde_json::json;

use crate::support::{Stage, said_in, text};

/// The segments of the fixture server, oldest first.
pub(crate) fn segments(stage: &Stage) -> Vec<PathBuf> {
    let folder = stage.home().join("state/audit/fixture");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "cfa"))
        .collect();
    paths.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    paths
}

/// Writes the user's `cofferdam.toml`.
pub(crate) fn set(stage: &Stage, settings: &str) {
    std::fs::write(stage.home().join("config/cofferdam.toml"), settings).unwrap();
}

#[test]
fn a_session_over_many_segments_is_one_session() {
    let stage = Stage::with_fixture(&[]);
    set(&stage, "[record]\ndurability = \"synced\"\nsegment = \"64KiB\"\n");
    let before = segments(&stage).len();
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for number in 0..40 {
        let message = format!("{number} {}", "m".repeat(3_000));
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    assert!(gate.end().success());
    let written = segments(&stage);
    assert!(written.len() >= before + 4, "{} segments", written.len());
    let verdicts = stage.verify();
    let newest = &verdicts[0];
    assert_eq!(
        (newest["intact"] == true, newest["ended"] == "closed"),
        (true, true),
        "{newest}"
    );
    assert!(newest["segments"].as_u64().unwrap() >= 4, "{newest}");
    let session = newest["session"].as_str().unwrap();
    let shown = stage.run(&["--format", "json", "audit", "show", session]);
    let shown = text(&shown.stdout);
    let numbers: Vec<u64> = shown
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(
        numbers.iter().copied().eq(0..numbers.len() as u64),
        "every record, in order"
    );
    assert!(shown.contains(r#"\"durability\":\"synced\""#) || shown.contains("synced"));
    let late = stage.run(&["audit", "show", &format!("{session}:{}", numbers.len() - 2)]);
    assert!(late.status.success(), "{}", text(&late.stderr));
    // Compressed, it reads as before.
    let compressed = stage.run(&["--format", "json", "audit", "compress", "--all"]);
    assert!(compressed.status.success(), "{}", text(&compressed.stderr));
    assert_eq!(stage.run(&["audit", "compress"]).status.code(), Some(3));
    assert_eq!(stage.verify()[0]["intact"], true);
    let again = stage.run(&["--format", "json", "audit", "show", session]);
    assert_eq!(text(&again.stdout), shown);
    // A segment out of the middle: found and named.
    let packed = format!("{}.zst", written[before + 2].display());
    std::fs::remove_file(packed).unwrap();
    let found = stage.run(&["audit", "verify", session]);
    assert_eq!(found.status.code(), Some(1));
    assert!(
        text(&found.stdout).contains("one is missing or replaced"),
        "{}",
        text(&found.stdout)
    );
}

#[test]
fn settings_that_are_not_understood_stop_everything() {
    let stage = Stage::with_fixture(&[]);
    set(&stage, "[record]\ndurabilty = \"synced\"\n");
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("durabilty"), "{}", text(&refused.stderr));
}

#[test]
fn a_disk_that_is_nearly_full_is_said_and_recorded() {
    let stage = Stage::with_fixture(&[]);
    set(&stage, "[record]\nwarn_below = \"1000000TiB\"\n");
    let called = stage.run(&["call", "fixture", "echo", r#"{"message":"still fine"}"#]);
    assert!(called.status.success());
    assert!(
        text(&called.stderr).contains("free on the disk of the record"),
        "{}",
        text(&called.stderr)
    );
    let records = stage.records();
    let is_warning = |record: &serde_json::Value| {
        record["facts"]["warning"]
            .as_str()
            .is_some_and(|it| it.contains("free on the disk"))
    };
    assert!(records.iter().any(is_warning));
    set(&stage, "[record]\nwarn_below = \"1B\"\n");
    let called = stage.run(&["call", "fixture", "echo", r#"{"message":"fine"}"#]);
    assert!(
        !text(&called.stderr).contains("free on the disk"),
        "{}",
        text(&called.stderr)
    );
}

#[test]
fn a_removed_folder_is_noticed_and_the_record_goes_on_in_a_new_one() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert_eq!(said_in(&gate.call("echo", json!({"message": "before"}))), "before");
    // The ledger's thread may put a file there meanwhile.
    while std::fs::remove_dir_all(stage.home().join("state/audit")).is_err() {}
    // The next sync, within 10 ms of this record, finds that its file leads nowhere.
    assert_eq!(
        said_in(&gate.call("echo", json!({"message": "into the void"}))),
        "into the void"
    );
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(
        said_in(&gate.call("echo", json!({"message": "found again"}))),
        "found again"
    );
    assert!(gate.end().success());
    let kept = stage.records();
    assert_eq!(kept[0]["kind"], "resumed", "{}", kept[0]);
    assert!(
        kept[0]["facts"]["cause"].as_str().unwrap().contains("removed"),
        "{}",
        kept[0]
    );
    assert!(
        kept.iter()
            .any(|record| record["payload"].as_str().unwrap().contains("found again"))
    );
    // Its beginning is gone, and nothing hides that.
    let verified = stage.run(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", text(&verified.stdout));
}
