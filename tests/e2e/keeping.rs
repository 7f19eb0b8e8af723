//! Keeping the record: ninety days at least, holds, signed entries for what was pruned.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cofferdam_audit::{Clock, Durability, Entry, Kind, Log, Opening, Options, Quota, Rotation, SystemClock};
use serde_json::Value;

use crate::support::{Stage, text};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct Then(u64);

impl Clock for Then {
    fn now(&self) -> (u64, u64) {
        (self.0, SystemClock.now().1)
    }
}

fn ago(days: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(SystemClock.now().0) - DAY * days
}

/// A session of several segments that ended so many days ago.
pub(crate) fn old_session(stage: &Stage, id: u8, days: u32) -> (String, Vec<PathBuf>) {
    let wall_ns = u64::try_from(ago(days).duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let session = format!("{id:02x}").repeat(16);
    let opening = Opening {
        session: &session,
        server: "fixture",
        principal: "somebody",
        facts: "",
    };
    let options = Options {
        durability: Durability::Written,
        quota: Quota::UNLIMITED,
        clock: Arc::new(Then(wall_ns)),
        rotation: Rotation {
            bytes: 4_000,
            ..Rotation::STANDARD
        },
        sealing: None,
    };
    let folder = stage.home().join("state/audit");
    let log = Log::create(&folder, opening, options).unwrap();
    for _ in 0..30 {
        let payload = "x".repeat(300);
        let entry = Entry {
            kind: Kind::ClientLine,
            facts: "",
            payload: payload.as_bytes(),
        };
        log.note(entry).unwrap();
    }
    log.close("").unwrap();
    drop(log);
    let files = segments_of(&folder.join("fixture"), &session);
    assert!(files.len() > 2);
    for path in &files {
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(ago(days))
            .unwrap();
    }
    (session, files)
}

fn segments_of(folder: &Path, session: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains(session))
        .collect();
    paths.sort();
    paths
}

pub(crate) fn are_there(stage: &Stage, session: &str) -> bool {
    !segments_of(&stage.home().join("state/audit/fixture"), session).is_empty()
}

fn run(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String) {
    let output = stage.run(arguments);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn what_is_older_than_ninety_days_is_pruned_whole_and_accounted_for() {
    let stage = Stage::with_fixture(&[]);
    let (old, _) = old_session(&stage, 0xaa, 91);
    let (young, _) = old_session(&stage, 0xbb, 89);
    let (code, said) = run(&stage, &["audit", "prune", "--older-than", "30"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = run(&stage, &["audit", "prune", "--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("would prune session aaaaaaaa") && are_there(&stage, &old),
        "{said}"
    );
    let (code, said) = run(&stage, &["audit", "prune"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!are_there(&stage, &old) && are_there(&stage, &young), "{said}");
    let (code, said) = run(&stage, &["audit", "verify"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 session was pruned in order"), "{said}");
    assert_eq!(run(&stage, &["audit", "prune"]).0, Some(3));
    // The rest was compressed on the way, and reads as before.
    let young_files = segments_of(&stage.home().join("state/audit/fixture"), &young);
    assert!(
        young_files.iter().all(|path| path.extension().unwrap() == "zst"),
        "{young_files:?}"
    );
}

#[test]
fn what_a_sink_does_not_have_yet_stays() {
    let stage = Stage::with_fixture(&[]);
    let (old, _) = old_session(&stage, 0xaa, 91);
    let sink = stage.workspace().join("events.jsonl");
    let settings = format!(
        "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
        sink.display()
    );
    fs::write(stage.home().join("config/cofferdam.toml"), settings).unwrap();
    let (code, said) = run(&stage, &["audit", "prune"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("the sink `siem` does not have all of it") && are_there(&stage, &old),
        "{said}"
    );
    let cursor = stage.home().join("state/ship/siem.cursor");
    fs::create_dir_all(cursor.parent().unwrap()).unwrap();
    fs::write(&cursor, "something else").unwrap();
    let (code, said) = run(&stage, &["audit", "prune"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("--unshipped") && are_there(&stage, &old), "{said}");
    assert_eq!(run(&stage, &["audit", "prune", "--unshipped", "--dry-run"]).0, Some(0));
    fs::remove_file(&cursor).unwrap();
    assert_eq!(run(&stage, &["audit", "ship", "--once"]).0, Some(0));
    let (code, said) = run(&stage, &["audit", "prune"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!are_there(&stage, &old));
}

#[test]
fn what_is_held_stays_until_it_is_released_and_all_of_it_is_in_the_ledger() {
    let stage = Stage::with_fixture(&[]);
    let (old, _) = old_session(&stage, 0xaa, 200);
    let (other, _) = old_session(&stage, 0xbb, 200);
    let held = stage.run(&[
        "--format",
        "json",
        "audit",
        "hold",
        "add",
        "--session",
        "aaaa",
        "--why",
        "case 7 of the court",
    ]);
    let held: Value = serde_json::from_slice(&held.stdout).unwrap();
    let id = held["hold"].as_str().unwrap();
    let (_, listed) = run(&stage, &["audit", "hold", "list"]);
    assert!(
        listed.contains(id) && listed.contains("case 7 of the court"),
        "{listed}"
    );
    let (code, said) = run(&stage, &["audit", "prune"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("is held by {id}")), "{said}");
    assert!(are_there(&stage, &old) && !are_there(&stage, &other));
    for wrong in [
        &["remove", "0000", "--why", "x"][..],
        &["add", "--session", "aa", "--why", " "],
        &["add", "--why", "x"],
    ] {
        let (code, said) = run(&stage, &[&["audit", "hold"], wrong].concat());
        assert_eq!(code, Some(2), "{said}");
    }
    let (code, said) = run(&stage, &["audit", "hold", "remove", id, "--why", "the case is closed"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(run(&stage, &["audit", "hold", "list"]).0, Some(3));
    assert_eq!(run(&stage, &["audit", "prune"]).0, Some(0));
    assert!(!are_there(&stage, &old));
    assert_eq!(run(&stage, &["audit", "verify"]).0, Some(0));
}

#[test]
fn a_broken_session_is_kept_as_evidence_and_a_broken_ledger_stops_pruning() {
    let stage = Stage::with_fixture(&[]);
    let (old, files) = old_session(&stage, 0xaa, 200);
    let mut bytes = fs::read(&files[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[1], &bytes).unwrap();
    File::options()
        .append(true)
        .open(&files[1])
        .unwrap()
        .set_modified(ago(200))
        .unwrap();
    let (code, said) = run(&stage, &["audit", "prune"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("session aaaaaaaa of server `fixture` stays: broken"),
        "{said}"
    );
    assert!(are_there(&stage, &old));
    let (_, _) = old_session(&stage, 0xbb, 200);
    let checkpoint = stage.home().join("state/audit/.ledger/checkpoint");
    fs::write(&checkpoint, "nothing of the kind").unwrap();
    let (code, said) = run(&stage, &["audit", "prune"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(are_there(&stage, &"bb".repeat(16)));
}

#[test]
fn removing_without_pruning_and_pruning_too_early_are_told_apart() {
    let stage = Stage::with_fixture(&[]);
    let (_, files) = old_session(&stage, 0xaa, 200);
    assert_eq!(run(&stage, &["audit", "prune", "--dry-run"]).0, Some(0));
    // Removed by hand before the ledger ever heard of it: nobody can know. After it did, it is found.
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert!(gate.end().success());
    let newest = stage.verify()[0]["session"].as_str().unwrap().to_owned();
    for path in segments_of(&stage.home().join("state/audit/fixture"), &newest) {
        fs::remove_file(path).unwrap();
    }
    let (code, said) = run(&stage, &["audit", "verify"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it was removed"), "{said}");
    assert!(files[0].exists());
    // Somebody with the user's key says that it was pruned: a day old, it could not be.
    let entry = cofferdam_ledger::Entry {
        what: cofferdam_ledger::What::Pruned,
        session: newest,
        server: "fixture".to_owned(),
        seq: 1_000,
        hash: String::new(),
        wall_ns: SystemClock.now().0,
        about: None,
    };
    let ledger = cofferdam_ledger::Ledger::at(&stage.home().join("state/audit/.ledger"));
    ledger.submit(&entry).unwrap();
    ledger.integrate().unwrap();
    let (code, said) = run(&stage, &["audit", "verify"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("pruned less than 90 days after"), "{said}");
}

#[test]
fn the_timer_prunes_this_home_every_day() {
    let stage = Stage::with_fixture(&[]);
    let (code, said) = run(&stage, &["audit", "prune", "--install-timer"]);
    assert_eq!(code, Some(0), "{said}");
    let folder = stage.home().join("config/systemd/user");
    let service = fs::read_to_string(folder.join("cofferdam-prune.service")).unwrap();
    let home = stage.home();
    assert!(
        service.contains(&format!("\"--home\" \"{}\" \"audit\" \"prune\"", home.display())),
        "{service}"
    );
    let timer = fs::read_to_string(folder.join("cofferdam-prune.timer")).unwrap();
    assert!(
        timer.contains("OnCalendar=daily") && timer.contains("Persistent=true"),
        "{timer}"
    );
}
