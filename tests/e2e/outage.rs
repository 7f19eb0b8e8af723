//! A disk that fills up, folders that go away, file systems that turn read-only: nothing passes, the client hears why, and traffic goes on
//! when the record does. Each in a mount namespace that ends with the gate.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Conversation, STUCK, Stage, rule_of, said_in, text};

const UNAVAILABLE: &str = "record/unavailable";

/// A gate over the fixture whose record lies in a small file system of its own, and that folder as seen from here.
struct Small {
    stage: Stage,
    gate: Conversation,
    audit: PathBuf,
}

impl Small {
    fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "needs root to mount a small tmpfs; CI has it"
        );
        let stage = Stage::with_fixture(&[]);
        let audit = stage.home().join("state/audit");
        std::fs::remove_dir_all(&audit).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(&audit).unwrap();
        let script = r#"mount -t tmpfs -o size=2m,mode=0700 tmpfs "$1" && shift && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["-m", "/bin/sh", "-c", script, "sh"]).arg(&audit);
        let mut gate = Conversation::with(stage.command_in(command, &["run", "fixture"]));
        gate.initialize("2025-11-25");
        let inside = format!("/proc/{}/root{}", gate.child.id(), audit.display());
        Self {
            stage,
            gate,
            audit: PathBuf::from(inside),
        }
    }

    /// Takes all room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.audit.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [65_536, 4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }

    /// In the mount namespace of the gate.
    fn inside(&self, words: &[&str]) {
        let pid = self.gate.child.id().to_string();
        let output = Command::new("nsenter")
            .args(["-t", &pid, "-m"])
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    }

    fn call(&mut self, bytes: usize) -> Value {
        self.gate.call("echo", json!({"message": "x".repeat(bytes)}))
    }

    /// Calls until one is refused because of the record; the refusal.
    fn until_refused(&mut self) -> Value {
        let began = Instant::now();
        loop {
            let answer = self.call(20_000);
            if rule_of(&answer) == UNAVAILABLE {
                return answer;
            }
            assert!(said_in(&answer).starts_with("xxx"), "{answer}");
            assert!(began.elapsed() < STUCK, "never refused");
        }
    }

    fn until_it_passes(&mut self) {
        let began = Instant::now();
        while !said_in(&self.call(10)).starts_with("xxx") {
            assert!(began.elapsed() < STUCK, "never resumed");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The notice at the end of the outage. It comes within a moment of the traffic.
    fn summary(&mut self) -> Value {
        let began = Instant::now();
        loop {
            let records = self.records();
            let notice = records.iter().rfind(|record| record["facts"]["record"] == "available");
            if let Some(notice) = notice {
                return notice["facts"].clone();
            }
            assert!(began.elapsed() < STUCK, "no notice");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What is recorded, copied out of the namespace.
    fn records(&self) -> Vec<Value> {
        let copy = self.stage.home().join("state/audit");
        std::fs::remove_dir_all(copy.join("fixture")).unwrap_or_default();
        copy_folder(&self.audit.join("fixture"), &copy.join("fixture"));
        self.stage.records()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

fn refers_to_a_record(answer: &Value) -> bool {
    answer["result"]["_meta"]["dev.cofferdam/record"].is_string()
}

#[test]
fn a_full_disk_is_answered_and_recorded_and_traffic_resumes() {
    let mut small = Small::new();
    assert!(said_in(&small.call(10)).starts_with("xxx"));
    let ballast = small.fill();
    let refused = small.until_refused();
    assert_eq!(refused["result"]["isError"], true);
    assert!(refers_to_a_record(&refused), "{refused}");
    assert!(
        said_in(&refused).contains("nothing passes until it can"),
        "{}",
        said_in(&refused)
    );
    let padding = "x".repeat(20_000);
    let other = small.gate.request("ping", json!({"_meta": {"padding": padding}}));
    assert_eq!(
        (rule_of(&other), &other["error"]["code"]),
        (UNAVAILABLE, &json!(4030)),
        "{other}"
    );
    std::fs::remove_file(ballast).unwrap();
    small.until_it_passes();
    let summary = small.summary();
    assert!(
        summary["refused"].as_u64().unwrap() >= 2 && summary["unrecorded"] == 0,
        "{summary}"
    );
    let records = small.records();
    let began = records
        .iter()
        .find(|record| record["facts"]["record"] == "unavailable")
        .unwrap();
    let number = began["seq"].as_u64().unwrap();
    let reference = refused["result"]["_meta"]["dev.cofferdam/record"].as_str().unwrap();
    assert!(reference.ends_with(&format!(":{number}")), "{reference} {began}");
    assert!(small.stage.verify().iter().all(|verdict| verdict["intact"] == true));
    assert!(small.gate.end().success());
}

#[test]
fn on_a_full_disk_every_request_is_answered_once_even_when_the_reserve_is_used_up() {
    let mut small = Small::new();
    let ballast = small.fill();
    let message = "x".repeat(5_000);
    let mut ids = BTreeMap::new();
    for _ in 0..400 {
        let id = small
            .gate
            .post("tools/call", json!({"name": "echo", "arguments": {"message": message}}));
        ids.insert(id, 0);
    }
    let mut rules = BTreeMap::new();
    for _ in 0..ids.len() {
        let answer = small.gate.message();
        *ids.get_mut(&answer["id"].as_u64().unwrap()).unwrap() += 1;
        *rules.entry(rule_of(&answer).to_owned()).or_insert(0) += 1;
    }
    assert!(ids.values().all(|count| *count == 1), "{ids:?}");
    assert!(rules[UNAVAILABLE] > 100, "{rules:?}");
    std::fs::remove_file(ballast).unwrap();
    small.until_it_passes();
    assert!(small.summary()["unrecorded"].as_u64().unwrap() > 10);
    assert!(small.stage.verify().iter().all(|verdict| verdict["intact"] == true));
    assert!(small.gate.end().success());
}

#[test]
fn a_removed_folder_is_made_again_and_the_gap_is_seen() {
    let mut small = Small::new();
    assert!(said_in(&small.call(10)).starts_with("xxx"));
    std::fs::remove_dir_all(small.audit.join("fixture")).unwrap();
    // Found at the next sync.
    std::thread::sleep(Duration::from_millis(100));
    small.until_it_passes();
    std::thread::sleep(Duration::from_millis(100));
    small.until_it_passes();
    let records = small.records();
    let resumed = records.iter().find(|record| record["kind"] == "resumed").unwrap();
    assert!(
        resumed["facts"]["cause"].as_str().unwrap().contains("removed"),
        "{resumed}"
    );
    // What was removed is missed.
    assert!(small.stage.verify().iter().any(|verdict| verdict["intact"] == false));
    assert!(small.gate.end().success());
}

#[test]
fn a_file_in_the_folders_place_is_answered_without_a_record_until_it_is_gone() {
    let mut small = Small::new();
    let folder = small.audit.join("fixture");
    assert!(said_in(&small.call(10)).starts_with("xxx"));
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let refused = small.until_refused();
    assert!(
        !refers_to_a_record(&refused) && said_in(&refused).contains("not recorded"),
        "{refused}"
    );
    std::fs::remove_file(&folder).unwrap();
    small.until_it_passes();
    assert!(small.summary()["unrecorded"].as_u64().unwrap() > 0);
    let said = small.gate.said();
    assert!(
        said.contains("nothing passes") && said.contains("is written again"),
        "{said}"
    );
    assert!(small.gate.end().success());
}

#[test]
fn a_read_only_file_system_is_answered_until_it_can_be_written() {
    let mut small = Small::new();
    let inside = small.stage.home().join("state/audit");
    let inside = inside.to_str().unwrap();
    assert!(said_in(&small.call(10)).starts_with("xxx"));
    std::fs::remove_dir_all(small.audit.join("fixture")).unwrap();
    small.inside(&["mount", "-t", "tmpfs", "-o", "ro,mode=0700", "tmpfs", inside]);
    let refused = small.until_refused();
    assert_eq!(refused["result"]["isError"], true);
    assert!(small.gate.said().contains("Read-only"));
    small.inside(&["mount", "-o", "remount,rw", inside]);
    small.until_it_passes();
    assert!(small.summary()["cause"].as_str().unwrap().contains("removed"));
    assert!(small.gate.end().success());
}

#[test]
fn a_session_that_ends_in_an_outage_says_so() {
    let mut small = Small::new();
    small.fill();
    small.until_refused();
    small.gate.hang_up();
    assert_eq!(small.gate.wait().code(), Some(5));
    assert!(small.gate.said().contains("no room"));
}

/// A write that fails for another reason than room, as a broken disk's does: here the kernel refuses files over 300 KiB.
#[test]
fn a_failed_write_is_not_repeated_and_the_next_segment_goes_on() {
    let stage = Stage::with_fixture(&[]);
    let script = "trap '' XFSZ; ulimit -f 600; exec \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_cofferdam"), "--home"]);
    command.arg(stage.home()).args(["run", "fixture"]).current_dir("/");
    let mut gate = Conversation::with(command);
    gate.initialize("2025-11-25");
    let message = "x".repeat(20_000);
    for _ in 0..40 {
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    assert!(gate.end().success());
    let records = stage.records();
    let resumed: Vec<&Value> = records.iter().filter(|record| record["kind"] == "resumed").collect();
    assert!(resumed.len() > 3, "{resumed:?}");
    assert!(
        resumed
            .iter()
            .all(|record| record["facts"]["cause"].as_str().unwrap().contains("File too large")),
        "{resumed:?}"
    );
    let answers = records.iter().filter(|record| record["kind"] == "server-line");
    assert!(answers.count() > 40);
    let verdicts = stage.verify();
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict["intact"] == true && verdict["lost"] == json!([])),
        "{verdicts:?}"
    );
}
