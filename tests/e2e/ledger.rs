//! The ledger behind the record: what the chain of one session cannot show, it shows.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use cofferdam_audit::{Clock, Durability, Entry, Kind, Log, Opening, Options, Quota, Reader, Rotation, SystemClock};
use serde_json::{Value, json};

use crate::recording::{segments, set};
use crate::support::{STUCK, Stage, said_in, text};

/// A stage whose ledger is published, with one closed session of the fixture after the one that `add` made.
fn witnessed() -> (Stage, PathBuf) {
    let stage = Stage::new();
    fs::create_dir_all(stage.home().join("config")).unwrap();
    for folder in ["", "config"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(stage.home().join(folder), mode).unwrap();
    }
    let witness = stage.workspace().join("witness.jsonl");
    set(&stage, &format!("[ledger]\npublish = \"{}\"\n", witness.display()));
    let added = stage.add("fixture", &[], &[crate::support::fixture().as_str()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    session(&stage, "first");
    (stage, witness)
}

fn session(stage: &Stage, message: &str) {
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    assert!(gate.end().success());
}

/// The exit code of `audit verify`, what it says in JSON, and the ledger's own line.
fn verify(stage: &Stage) -> (Option<i32>, Vec<Value>, Value) {
    let verified = stage.run(&["--format", "json", "audit", "verify"]);
    let mut lines: Vec<Value> = text(&verified.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ledger = lines.pop().unwrap_or_else(|| panic!("{}", text(&verified.stderr)));
    (verified.status.code(), lines, ledger)
}

fn problems(ledger: &Value) -> Vec<&str> {
    let problems = ledger["problems"].as_array().unwrap();
    problems
        .iter()
        .map(|problem| problem["what"].as_str().unwrap())
        .collect()
}

/// Where the newest session's last records begin, `close` included.
fn offsets(path: &Path) -> Vec<u64> {
    let mut reader = Reader::open(path).unwrap();
    std::iter::from_fn(|| reader.next_record().unwrap().map(|record| record.offset)).collect()
}

#[test]
fn a_published_line_that_was_cut_is_told_and_spoils_no_other() {
    let (stage, witness) = witnessed();
    let whole = fs::read_to_string(&witness).unwrap();
    let line = whole.lines().next().unwrap();
    fs::write(&witness, format!("{whole}{}", line.get(..line.len() / 2).unwrap())).unwrap();
    let (code, _, ledger) = verify(&stage);
    assert_eq!(code, Some(0), "{ledger}");
    assert!(ledger["remarks"].to_string().contains("is cut"), "{ledger}");
    session(&stage, "after");
    let (code, sessions, ledger) = verify(&stage);
    assert_eq!(code, Some(0), "{ledger}");
    assert!(ledger["remarks"].to_string().contains("is cut"), "{ledger}");
    for session in &sessions {
        assert_eq!(
            session["witnessed"].as_u64(),
            session["records"].as_u64().map(|count| count - 1),
            "{session}"
        );
    }
    // What is no line of ours at all is another matter.
    fs::write(&witness, format!("{whole}nothing of the kind\n")).unwrap();
    assert_eq!(problems(&verify(&stage).2), ["witness"]);
}

#[test]
fn every_session_reaches_the_ledger_and_its_witness() {
    let (stage, witness) = witnessed();
    let (code, sessions, ledger) = verify(&stage);
    assert_eq!(code, Some(0), "{ledger}");
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        let last = session["records"].as_u64().unwrap() - 1;
        assert_eq!(
            (session["in_ledger"].as_u64(), session["witnessed"].as_u64()),
            (Some(last), Some(last)),
            "{session}"
        );
    }
    assert!(ledger["ledger"]["entries"].as_u64().unwrap() >= 2, "{ledger}");
    assert!(fs::read_to_string(&witness).unwrap().lines().count() >= 2);
    let said = text(&stage.run(&["audit", "verify"]).stdout);
    assert!(
        said.contains("entries of the ledger are published") && !said.contains("not witnessed yet"),
        "{said}"
    );
    // A session that was killed before it could state its end leaves a window, and that is said.
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.call("echo", json!({"message": "unseen"}));
    gate.child.kill().unwrap();
    gate.wait();
    let said = text(&stage.run(&["audit", "verify"]).stdout);
    assert!(said.contains("not witnessed yet: session"), "{said}");
}

#[test]
fn a_cut_tail_is_found_and_named() {
    let (stage, _) = witnessed();
    let path = segments(&stage).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let offsets = offsets(&path);
    for keep in [1, offsets.len() - 1] {
        let end = usize::try_from(offsets[keep]).unwrap();
        fs::write(&path, &whole[..end]).unwrap();
        let (code, sessions, _) = verify(&stage);
        assert_eq!(code, Some(1));
        let cut = sessions.iter().find(|session| session["what"] == "cut").unwrap();
        assert_eq!(cut["seq"].as_u64(), Some(keep as u64), "{cut}");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(verify(&stage).0, Some(0));
}

#[test]
fn a_removed_or_replaced_session_is_found_and_named() {
    let (stage, _) = witnessed();
    session(&stage, "second");
    let paths = segments(&stage);
    let [one, other] = [&paths[paths.len() - 2], &paths[paths.len() - 1]];
    let whole = fs::read(one).unwrap();
    fs::remove_file(one).unwrap();
    let (code, _, ledger) = verify(&stage);
    assert_eq!(
        (code, problems(&ledger)),
        (Some(1), vec!["session-removed"]),
        "{ledger}"
    );
    // Another session's file under its name.
    fs::copy(other, one).unwrap();
    let (code, sessions, ledger) = verify(&stage);
    assert_eq!(
        (code, problems(&ledger)),
        (Some(1), vec!["session-removed"]),
        "{ledger}"
    );
    assert!(
        sessions.iter().any(|session| session["what"] == "succession"),
        "{sessions:?}"
    );
    fs::write(one, whole).unwrap();
    assert_eq!(verify(&stage).0, Some(0));
}

#[derive(Debug)]
struct Then(u64);

impl Clock for Then {
    fn now(&self) -> (u64, u64) {
        (self.0, SystemClock.now().1)
    }
}

/// The same session written anew: every hash fits, and nothing but the ledger knows better.
#[test]
fn a_session_written_anew_is_found_and_named() {
    let (stage, _) = witnessed();
    let path = segments(&stage).pop().unwrap();
    let (header, records) = {
        let mut reader = Reader::open(&path).unwrap();
        let header = reader.header().clone();
        let records: Vec<_> = std::iter::from_fn(|| reader.next_record().unwrap()).collect();
        (header, records)
    };
    let forge = stage.workspace().join("forge");
    let opening = Opening {
        session: &header.session,
        server: &header.server,
        principal: &header.principal,
        facts: "",
    };
    let options = Options {
        durability: Durability::Written,
        quota: Quota::UNLIMITED,
        clock: std::sync::Arc::new(Then(header.wall_ns)),
        rotation: Rotation::STANDARD,
        sealing: None,
    };
    let log = Log::create(&forge, opening, options).unwrap();
    for record in &records[1..records.len() - 1] {
        let payload = String::from_utf8_lossy(&record.payload).replace("first", "forged");
        let entry = Entry {
            kind: record.kind,
            facts: &record.facts,
            payload: payload.as_bytes(),
        };
        log.note(entry).unwrap();
    }
    log.close(&records[records.len() - 1].facts).unwrap();
    fs::copy(log.path(), &path).unwrap();
    let alone = stage.run(&["audit", "verify", path.to_str().unwrap()]);
    assert_eq!(
        alone.status.code(),
        Some(0),
        "the chain alone cannot tell: {}",
        text(&alone.stdout)
    );
    let (code, sessions, _) = verify(&stage);
    assert_eq!(code, Some(1));
    let found = sessions.iter().find(|session| session["intact"] == false).unwrap();
    assert_eq!(found["what"], "rewritten", "{found}");
    assert!(records.iter().any(|record| record.kind == Kind::ClientLine));
}

#[test]
fn a_ledger_taken_back_or_forked_is_found_by_its_witness() {
    let (stage, _) = witnessed();
    let ledger = stage.home().join("state/audit/.ledger");
    let saved = stage.workspace().join("saved");
    copy(&ledger, &saved);
    session(&stage, "second");
    let newest = segments(&stage).pop().unwrap();
    // Same user, same key: the ledger of an hour ago, and the session gone with it.
    fs::remove_dir_all(&ledger).unwrap();
    copy(&saved, &ledger);
    fs::remove_file(&newest).unwrap();
    let (code, _, said) = verify(&stage);
    assert_eq!((code, problems(&said)), (Some(1), vec!["ledger-rolled-back"]), "{said}");
    session(&stage, "another history");
    session(&stage, "and more of it");
    let (code, _, said) = verify(&stage);
    assert_eq!((code, problems(&said)), (Some(1), vec!["ledger-forked"]), "{said}");
    assert!(
        said["problems"][0]["words"].as_str().unwrap().contains("in line "),
        "{said}"
    );
}

#[test]
fn what_a_sink_was_shipped_witnesses_the_ledger() {
    let stage = Stage::with_fixture(&[]);
    let shipped = stage.workspace().join("events.jsonl");
    set(
        &stage,
        &format!(
            "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
            shipped.display()
        ),
    );
    let ship = || {
        let ran = stage.run(&["audit", "ship", "--once"]);
        assert!(ran.status.success(), "{}", text(&ran.stderr));
    };
    let held = || {
        let path = shipped.to_str().unwrap();
        let verified = stage.run(&["--format", "json", "audit", "verify", "--witness", path]);
        let ledger = text(&verified.stdout)
            .lines()
            .last()
            .map(|line| serde_json::from_str(line).unwrap());
        (verified.status.code(), ledger.unwrap_or(Value::Null))
    };
    session(&stage, "first");
    ship();
    let (code, ledger) = held();
    assert_eq!(
        (code, &ledger["ledger"]["witnessed"]),
        (Some(0), &ledger["ledger"]["entries"]),
        "{ledger}"
    );
    assert_ne!(ledger["ledger"]["witnessed"], 0, "{ledger}");
    let empty = stage.workspace().join("empty");
    fs::write(&empty, "").unwrap();
    let of_nothing = stage.run(&["audit", "verify", "--witness", empty.to_str().unwrap()]);
    assert!(
        text(&of_nothing.stdout).contains(&format!("no checkpoint in `{}`", empty.display())),
        "{}",
        text(&of_nothing.stdout)
    );
    let unwitnessed = text(&stage.run(&["audit", "verify"]).stdout);
    assert!(
        unwitnessed.contains("witness: none") && unwitnessed.contains("the sink `siem` took a checkpoint"),
        "{unwitnessed}"
    );
    let ledger = stage.home().join("state/audit/.ledger");
    let saved = stage.workspace().join("saved");
    copy(&ledger, &saved);
    session(&stage, "second");
    ship();
    let newest = segments(&stage).pop().unwrap();
    fs::remove_dir_all(&ledger).unwrap();
    copy(&saved, &ledger);
    fs::remove_file(&newest).unwrap();
    let (code, said) = held();
    assert_eq!((code, problems(&said)), (Some(1), vec!["ledger-rolled-back"]), "{said}");
    // Neither a line of no form nor another key's is passed over.
    let events = fs::read_to_string(&shipped).unwrap();
    for strange in ["{}", "{\"unmapped\":{\"cofferdam\":{}}}", "no json"] {
        fs::write(&shipped, format!("{strange}\n{events}")).unwrap();
        let (code, said) = held();
        assert_eq!((code, problems(&said)), (Some(1), vec!["witness"]), "{said}");
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_stopped_holder_of_the_ledgers_lock_stalls_nobody() {
    let (stage, _) = witnessed();
    let lock = File::open(stage.home().join("state/audit/.ledger/lock")).unwrap();
    lock.lock().unwrap();
    let began = Instant::now();
    session(&stage, "while it is stopped");
    assert!(began.elapsed() < STUCK / 3, "{:?}", began.elapsed());
    let (code, sessions, ledger) = verify(&stage);
    assert_eq!(code, Some(0), "{ledger}");
    assert!(ledger["ledger"]["waiting"].as_u64().unwrap() >= 1, "{ledger}");
    assert!(
        sessions.iter().any(|session| session["in_ledger"].is_null()),
        "{sessions:?}"
    );
    drop(lock);
    session(&stage, "and when it goes on");
    let (_, _, ledger) = verify(&stage);
    assert_eq!(ledger["ledger"]["waiting"].as_u64(), Some(0), "{ledger}");
}

#[test]
fn a_changed_ledger_is_found_and_named() {
    let (stage, _) = witnessed();
    let folder = stage.home().join("state/audit/.ledger/tile/entries/000.p");
    let bundle = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&bundle).unwrap();
    let mut bytes = whole.clone();
    let at = bytes.windows(7).position(|window| window == b"fixture").unwrap();
    bytes[at] = b'F';
    fs::write(&bundle, bytes).unwrap();
    let (code, _, ledger) = verify(&stage);
    assert_eq!((code, problems(&ledger)), (Some(1), vec!["ledger-broken"]), "{ledger}");
    fs::write(&bundle, whole).unwrap();
    let checkpoint = stage.home().join("state/audit/.ledger/checkpoint");
    let whole = fs::read_to_string(&checkpoint).unwrap();
    fs::write(&checkpoint, whole.replacen('\n', "\n1", 1)).unwrap();
    let (code, _, ledger) = verify(&stage);
    assert_eq!(
        (code, problems(&ledger)),
        (Some(1), vec!["ledger-checkpoint"]),
        "{ledger}"
    );
}
