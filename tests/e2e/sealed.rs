//! Payloads sealed to age recipients: decisions stay open, what passed does not.

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use serde_json::{Value, json};

use crate::recording::{segments, set};
use crate::support::{Stage, said_in, text};

const SECRET: &str = "the combination is 8-21-3";

/// A session of thirty calls over several segments, sealed to this identity.
fn session(stage: &Stage, recipient: &Identity) -> String {
    let settings = format!(
        "[record]\nsegment = \"64KiB\"\nrecipients = [\"{}\"]\n",
        recipient.to_public()
    );
    set(stage, &settings);
    let before = segments(stage).len();
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for number in 0..30 {
        let message = format!("{number} {SECRET} {}", "m".repeat(3_000));
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    assert!(gate.end().success());
    let written = segments(stage).split_off(before);
    assert!(written.len() > 2, "{} segments", written.len());
    let clear = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(
        written.iter().all(|path| !clear(&std::fs::read(path).unwrap())),
        "in the clear on the disk"
    );
    let verdict = &stage.verify()[0];
    assert_eq!(
        (&verdict["intact"], &verdict["ended"]),
        (&json!(true), &json!("closed")),
        "{verdict}"
    );
    verdict["session"].as_str().unwrap().to_owned()
}

#[test]
fn sealed_payloads_are_open_to_the_recipient_and_to_nobody_else() {
    let stage = Stage::with_fixture(&[]);
    let (recipient, stranger) = (Identity::generate(), Identity::generate());
    let session = &session(&stage, &recipient);
    // Decisions are found without a key; what passed is not.
    let found = stage.run(&[
        "--format",
        "json",
        "audit",
        "query",
        "--session",
        session,
        "--tool",
        "echo",
        "--decision",
        "allow",
    ]);
    assert!(text(&found.stdout).lines().count() >= 29);
    assert!(!text(&found.stdout).contains(SECRET));
    assert_eq!(
        stage
            .run(&["audit", "query", "--session", session, "--text", SECRET])
            .status
            .code(),
        Some(3)
    );
    assert!(!text(&stage.run(&["audit", "show", session, "--full"]).stdout).contains(SECRET));
    let keys = [&recipient, &stranger].map(|identity| {
        let path = stage.workspace().join(identity.to_public().to_string());
        std::fs::write(&path, format!("# a key\n{}\n", identity.to_string().expose_secret())).unwrap();
        path
    });
    let opened = stage.run(&[
        "--format",
        "json",
        "audit",
        "show",
        session,
        "--identity",
        keys[0].to_str().unwrap(),
    ]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let said: Vec<Value> = text(&opened.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let with_secret = said
        .iter()
        .filter(|record| record["payload"].as_str().unwrap().contains(SECRET))
        .count();
    assert!(with_secret >= 60, "each call and its answer: {with_secret}");
    let refused = stage.run(&["audit", "show", session, "--identity", keys[1].to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        text(&refused.stderr).contains("cannot be opened"),
        "{}",
        text(&refused.stderr)
    );
    // One record, by its number, and its proof, which shows what is stored.
    let call = said
        .iter()
        .find(|record| record["payload"].as_str().unwrap().contains(SECRET))
        .unwrap();
    let reference = format!("{session}:{}", call["seq"]);
    let one = stage.run(&["audit", "show", &reference, "--identity", keys[0].to_str().unwrap()]);
    assert!(text(&one.stdout).contains(SECRET), "{}", text(&one.stderr));
    let proof = stage.run(&["audit", "prove", &reference]);
    assert!(proof.status.success(), "{}", text(&proof.stderr));
}

#[test]
fn a_recipient_that_is_none_stops_everything() {
    let stage = Stage::with_fixture(&[]);
    set(&stage, "[record]\nrecipients = [\"age1nobody\"]\n");
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        text(&refused.stderr).contains("is not an age recipient"),
        "{}",
        text(&refused.stderr)
    );
}
