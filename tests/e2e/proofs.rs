//! `audit prove`: one record, proven to somebody who has nothing but the ledger's key.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::recording::set;
use crate::support::{Stage, said_in, text};

fn prove_py(proof: &Path, key: &str) -> (Option<i32>, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audit/prove.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(proof)
        .arg(key)
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// A session over several segments: its id and the numbers of the client's calls.
fn session(stage: &Stage) -> (String, Vec<u64>) {
    set(stage, "[record]\nsegment = \"64KiB\"\n");
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for number in 0..30 {
        let message = format!("{number} {}", "m".repeat(3_000));
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    assert!(gate.end().success());
    let verdicts = stage.verify();
    assert!(verdicts[0]["segments"].as_u64().unwrap() > 2, "{}", verdicts[0]);
    let id = verdicts[0]["session"].as_str().unwrap().to_owned();
    let records = stage.records();
    let calls = records.iter().filter(|record| {
        record["session"] == id.as_str() && record["kind"] == "client-line" && record["facts"]["tool"] == "echo"
    });
    let calls = calls.map(|record| record["seq"].as_u64().unwrap()).collect();
    (id, calls)
}

fn key(stage: &Stage) -> String {
    std::fs::read_to_string(stage.home().join("state/audit/.ledger/key.pub"))
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn a_record_is_proven_to_a_third_party_who_has_only_the_key() {
    let stage = Stage::with_fixture(&[]);
    let (id, calls) = session(&stage);
    // The first call waited for the list of tools: its line is a record without a decision.
    assert!(calls.len() >= 29, "{}", calls.len());
    let path: PathBuf = stage.workspace().join("proof.json");
    let key = key(&stage);
    // From the first segment, from the middle, the last one; and the end of the session itself.
    let last = stage.verify()[0]["records"].as_u64().unwrap() - 1;
    for seq in [0, calls[0], calls[15], calls[28], last] {
        let proof = stage.run(&["audit", "prove", &format!("{}:{seq}", id.get(..12).unwrap())]);
        assert!(proof.status.success(), "{}", text(&proof.stderr));
        std::fs::write(&path, &proof.stdout).unwrap();
        let (code, said) = prove_py(&path, &key);
        assert_eq!(code, Some(0), "{said}");
        let theirs: Value = serde_json::from_str(&said).unwrap();
        let ours = stage.run(&[
            "--format",
            "json",
            "audit",
            "verify",
            "--proof",
            path.to_str().unwrap(),
            "--key",
            &key,
        ]);
        assert!(ours.status.success(), "{}", text(&ours.stdout));
        let ours: Value = serde_json::from_slice(&ours.stdout).unwrap();
        assert_eq!((&theirs["seq"], &theirs["session"]), (&json!(seq), &json!(id)));
        assert_eq!(
            (&ours["seq"], &ours["session"], &ours["key_is_pinned"]),
            (&json!(seq), &json!(id), &json!(true))
        );
    }
    let hidden = stage.run(&["audit", "prove", &format!("{id}:{}", calls[3]), "--without-payload"]);
    let hidden = text(&hidden.stdout);
    assert!(!hidden.contains(&"6d".repeat(100)), "the payload is kept back");
    std::fs::write(&path, hidden).unwrap();
    assert_eq!(prove_py(&path, &key).0, Some(0));
}

#[test]
fn no_changed_proof_and_no_other_key_is_accepted() {
    let stage = Stage::with_fixture(&[]);
    let (id, calls) = session(&stage);
    let path = stage.workspace().join("proof.json");
    let key = key(&stage);
    let proof = stage.run(&["audit", "prove", &format!("{id}:{}", calls[2])]);
    let proof: Value = serde_json::from_slice(&proof.stdout).unwrap();
    let refused = |proof: &Value, what: &str| {
        std::fs::write(&path, proof.to_string()).unwrap();
        let ours = stage.run(&["audit", "verify", "--proof", path.to_str().unwrap(), "--key", &key]);
        assert_eq!(ours.status.code(), Some(1), "{what}: {}", text(&ours.stdout));
        assert_eq!(prove_py(&path, &key).0, Some(1), "{what}");
    };
    for member in ["front", "payload_digest", "payload", "before", "entry", "checkpoint"] {
        let whole = proof[member].as_str().unwrap();
        for at in [0, whole.len() / 2] {
            let mut changed = proof.clone();
            let mut bytes = whole.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            changed[member] = json!(String::from_utf8_lossy(&bytes));
            refused(&changed, &format!("{member}, byte {at}"));
        }
    }
    let mut changed = proof.clone();
    changed["index"] = json!(proof["index"].as_u64().unwrap() + 1);
    refused(&changed, "index");
    let mut changed = proof.clone();
    changed["then"].as_array_mut().unwrap().pop();
    refused(&changed, "a step dropped");
    let mut changed = proof.clone();
    changed["path"].as_array_mut().unwrap().reverse();
    if changed["path"] != proof["path"] {
        refused(&changed, "the path turned round");
    }
    let other = Stage::with_fixture(&[]);
    std::fs::write(&path, proof.to_string()).unwrap();
    let theirs = self::key(&other);
    let ours = stage.run(&["audit", "verify", "--proof", path.to_str().unwrap(), "--key", &theirs]);
    assert_eq!(ours.status.code(), Some(1));
    assert_eq!(prove_py(&path, &theirs).0, Some(1));
    assert_eq!(prove_py(&path, &key).0, Some(0));
}
