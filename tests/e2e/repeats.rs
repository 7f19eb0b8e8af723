//! A large line that comes again is stored once, and stands whole in every answer about the record.

use std::path::Path;
use std::process::Command;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use serde_json::{Value, json};

use crate::recording::set;
use crate::scripted::Scripted;
use crate::shipping::{lines, ship_once};
use crate::support::{Stage, text};

/// What the server says before it answers a call: the same each time.
const SAYS: &str = r#"
    if method == "tools/call":
        say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "again " * 2000}})
"#;
const CALLS: usize = 8;
const LINE_BYTES: u64 = 12_000;

/// A session in which the same large line comes with each call: its id and its records.
fn session(stage: &Stage) -> (String, Vec<Value>) {
    Scripted::add(stage, "again", SAYS).become_("loud");
    let mut gate = stage.converse(&["again"]);
    gate.initialize("2025-11-25");
    for number in 0..CALLS {
        gate.call("echo", json!({"message": format!("call {number}")}));
    }
    assert!(gate.end().success());
    let verdict = stage.verify().remove(0);
    assert_eq!(
        (&verdict["intact"], &verdict["ended"]),
        (&json!(true), &json!("closed")),
        "{verdict}"
    );
    let id = verdict["session"].as_str().unwrap().to_owned();
    let shown = stage.run(&["--format", "json", "audit", "show", &id, "--full"]);
    let records = text(&shown.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (id, records)
}

fn is_large(record: &&Value) -> bool {
    record["kind"] == "server-line" && record["payload_bytes"].as_u64() > Some(LINE_BYTES)
}

fn segments(stage: &Stage, id: &str) -> Vec<std::path::PathBuf> {
    let folder = std::fs::read_dir(stage.home().join("state/audit/again")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().contains(id)).collect()
}

fn python(script: &str, arguments: &[&Path], key: Option<&str>) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/audit")
        .join(script);
    let mut command = Command::new("python3");
    command.arg(script).args(arguments).args(key);
    let output = command.output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_large_line_that_comes_again_is_stored_once_and_read_everywhere() {
    let stage = Stage::new();
    let (id, records) = session(&stage);
    let large: Vec<&Value> = records.iter().filter(is_large).collect();
    assert_eq!(large.len(), CALLS);
    assert!(
        large
            .iter()
            .all(|record| record["payload"] == large[0]["payload"] && record["payload_is_whole"] == true)
    );
    let segments = segments(&stage, &id);
    let bytes: u64 = segments.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!(bytes < 4 * LINE_BYTES, "{bytes} bytes");
    let (fine, said) = python("verify.py", &[&segments[0]], None);
    assert!(
        fine && said.contains(&format!("\"records\": {}", records.len())),
        "{said}"
    );
    // Found by its text, counted, exported, and proven to a third party.
    let found = stage.run(&[
        "--format",
        "json",
        "audit",
        "query",
        "--session",
        &id,
        "--text",
        "again again",
        "--count",
    ]);
    assert_eq!(text(&found.stdout).trim(), format!("{{\"count\":{CALLS}}}"));
    let exported = stage.workspace().join("record.jsonl");
    let path = exported.to_str().unwrap();
    assert!(
        stage
            .run(&["--format", "json", "audit", "export", path, "--session", &id])
            .status
            .success()
    );
    let rows = lines(&exported);
    let rows: Vec<&Value> = rows.iter().filter(is_large).collect();
    assert!(rows.len() == CALLS && rows.iter().all(|row| row["payload"] == large[0]["payload"]));
    let key = std::fs::read_to_string(stage.home().join("state/audit/.ledger/key.pub")).unwrap();
    let proof = stage.run(&["audit", "prove", &format!("{id}:{}", large[CALLS - 1]["seq"])]);
    assert!(proof.status.success(), "{}", text(&proof.stderr));
    assert_proven(&stage, &serde_json::from_slice(&proof.stdout).unwrap(), key.trim());
}

/// The proof holds for both checkers, with its payload, and no longer when the payload or the reference is another.
fn assert_proven(stage: &Stage, proof: &Value, key: &str) {
    let path = stage.workspace().join("proof.json");
    let check = |proof: &Value| {
        std::fs::write(&path, proof.to_string()).unwrap();
        let ours = stage.run(&["audit", "verify", "--proof", path.to_str().unwrap(), "--key", key]);
        let theirs = python("prove.py", &[&path], Some(key)).0;
        assert_eq!(ours.status.success(), theirs, "{}", text(&ours.stdout));
        (theirs, text(&ours.stdout))
    };
    let (holds, said) = check(proof);
    assert!(holds && said.contains("again again"), "{said}");
    for (member, value) in [
        ("payload", json!("61")),
        ("payload", proof["reference"].clone()),
        ("reference", Value::Null),
        ("reference", json!(format!("{:096x}", 1))),
    ] {
        let mut changed = proof.clone();
        changed[member] = value;
        assert!(!check(&changed).0, "{member} {}", changed[member]);
    }
}

#[test]
fn a_sink_gets_each_of_them_whole() {
    let stage = Stage::new();
    let events = stage.workspace().join("events.jsonl");
    std::fs::create_dir_all(stage.home().join("config")).unwrap();
    set(
        &stage,
        &format!(
            "[[sinks]]\nname = \"siem\"\ntype = \"file\"\npath = \"{}\"\n",
            events.display()
        ),
    );
    let (id, _records) = session(&stage);
    let shipped = ship_once(&stage);
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    let arrived = lines(&events);
    let large: Vec<&Value> = arrived
        .iter()
        .filter(|event| {
            event["metadata"]["correlation_uid"] == id.as_str() && event["raw_data_size"].as_u64() > Some(LINE_BYTES)
        })
        .collect();
    assert_eq!(large.len(), CALLS);
    assert!(
        large
            .iter()
            .all(|event| event["raw_data"] == large[0]["raw_data"]
                && event["raw_data_hash"] == large[0]["raw_data_hash"])
    );
}

#[test]
fn sealed_it_opens_wherever_it_is_referred_to() {
    let stage = Stage::new();
    let recipient = Identity::generate();
    std::fs::create_dir_all(stage.home().join("config")).unwrap();
    set(
        &stage,
        &format!("[record]\nrecipients = [\"{}\"]\n", recipient.to_public()),
    );
    let (id, records) = session(&stage);
    let sealed: Vec<&Value> = records.iter().filter(is_large).collect();
    assert!(sealed.len() == CALLS && sealed.iter().all(|record| record["sealed"] == true));
    let bytes = std::fs::metadata(&segments(&stage, &id)[0]).unwrap().len();
    assert!(bytes < 4 * LINE_BYTES, "{bytes} bytes");
    let identity = stage.workspace().join("identity");
    std::fs::write(&identity, recipient.to_string().expose_secret()).unwrap();
    let opened = stage.run(&[
        "--format",
        "json",
        "audit",
        "show",
        &id,
        "--full",
        "--identity",
        identity.to_str().unwrap(),
    ]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let opened = text(&opened.stdout);
    assert_eq!(
        opened.lines().filter(|line| line.contains("again again")).count(),
        CALLS
    );
    let last = format!("{id}:{}", sealed[CALLS - 1]["seq"]);
    let one = stage.run(&["audit", "show", &last, "--identity", identity.to_str().unwrap()]);
    assert!(text(&one.stdout).contains("again again"), "{}", text(&one.stderr));
}
