//! `audit query`: the records that answer a question.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Conversation, Stage, said_in, text};

fn rows(stage: &Stage, question: &[&str]) -> Vec<Value> {
    let asked = stage.run(&[&["--format", "json", "audit", "query"], question].concat());
    assert!(matches!(asked.status.code(), Some(0 | 3)), "{}", text(&asked.stderr));
    text(&asked.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Two sessions of two servers: calls that pass and one that is refused.
fn stage() -> Stage {
    let stage = Stage::with_fixture(&[]);
    let added = stage.add("other", &[], &[&crate::support::fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    for server in ["fixture", "other"] {
        let mut gate = stage.converse(&[server]);
        gate.initialize("2025-11-25");
        gate.request("tools/list", json!({}));
        for number in 0..5 {
            let message = format!("{server} says {number}");
            assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
        }
        gate.call("nowhere", json!({"message": "refused of course"}));
        assert!(gate.end().success());
    }
    stage
}

#[test]
fn each_question_has_its_answer() {
    let stage = stage();
    let calls = rows(&stage, &["--tool", "echo", "--kind", "client-line"]);
    assert_eq!(calls.len(), 10);
    assert!(
        calls
            .iter()
            .all(|row| row["facts"]["tool"] == "echo" && row["facts"]["decision"] == "allow")
    );
    let times: Vec<u64> = calls.iter().map(|row| row["time_ns"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "oldest first");
    let denied = rows(&stage, &["--decision", "deny", "--server", "other"]);
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["facts"]["rule"], "tool/not-in-manifest");
    let refused = denied[0]["session"].as_str().unwrap();
    assert_eq!(rows(&stage, &["--rule", "tool/", "--decision", "deny"]).len(), 2);
    assert_eq!(
        rows(&stage, &["--rule", "tool/", "--decision", "deny", "--session", refused]).len(),
        1
    );
    let said = rows(&stage, &["--text", "other says 3"]);
    assert_eq!(said.len(), 2, "the call and its answer");
    assert!(said.iter().all(|row| row["server"] == "other"));
    assert_eq!(rows(&stage, &["--tool", "echo", "--until", "1h"]).len(), 0);
    assert_eq!(
        rows(&stage, &["--tool", "echo", "--since", "1h", "--kind", "client-line"]).len(),
        10
    );
    assert_eq!(
        rows(&stage, &["--tool", "echo", "--kind", "client-line", "--limit", "3"]),
        calls[7..]
    );
    assert_eq!(rows(&stage, &["--principal", "nobody-of-this-name"]).len(), 0);
    let wrong = stage.run(&["audit", "query", "--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

#[test]
fn a_call_is_told_from_its_question_to_its_answer() {
    let stage = stage();
    let shown = |reference: &str| {
        let shown = stage.run(&["audit", "show", reference]);
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        text(&shown.stdout)
    };
    let of = |row: &Value| format!("{}:{}", row["session"].as_str().unwrap(), row["seq"]);
    let calls = rows(
        &stage,
        &["--tool", "echo", "--kind", "client-line", "--server", "other"],
    );
    let told = shown(&of(&calls[3]));
    let lines: Vec<&str> = told.lines().skip(3).collect();
    assert!(
        lines.len() == 2
            && lines[0].contains(r#"tools/call echo {"message":"other says 3"}  allowed by user/default.cedar:1"#)
            && lines[1].contains("server ← ")
            && lines[1].contains("ms other says 3  allowed"),
        "{told}"
    );
    let denied = rows(&stage, &["--decision", "deny", "--server", "other"]);
    let told = shown(&of(&denied[0]));
    let lines: Vec<&str> = told.lines().skip(3).collect();
    assert!(
        lines.len() == 2
            && lines[0].ends_with("refused: the tool is not in the server's manifest (tool/not-in-manifest)")
            && lines[1].contains("gate   → client  refused by cofferdam"),
        "{told}"
    );
    let session = shown(denied[0]["session"].as_str().unwrap());
    let order = [
        "the session began",
        "the compartment was measured",
        "initialize",
        "other says 0",
        "other says 4",
        "nowhere",
        "the session ended",
    ];
    let places: Vec<_> = order.iter().map(|part| session.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{session}");
}

#[test]
fn answers_are_counted_and_grouped_also_from_compressed_segments() {
    let stage = stage();
    for round in 0..2 {
        let grouped = rows(
            &stage,
            &[
                "--kind",
                "client-line",
                "--method",
                "tools/call",
                "--group-by",
                "server,decision",
            ],
        );
        let count = |server: &str, decision: &str| {
            let group = grouped
                .iter()
                .find(|row| row["server"] == server && row["decision"] == decision);
            group.and_then(|group| group["count"].as_u64())
        };
        assert_eq!(
            (count("fixture", "allow"), count("fixture", "deny")),
            (Some(5), Some(1)),
            "{grouped:?}"
        );
        assert_eq!((count("other", "allow"), count("other", "deny")), (Some(5), Some(1)));
        let all = rows(&stage, &["--tool", "echo", "--kind", "client-line", "--count"]);
        assert_eq!(all, [json!({"count": 10})]);
        if round == 0 {
            assert!(stage.run(&["audit", "compress", "--all"]).status.success());
        }
    }
    let csv = text(
        &stage
            .run(&["--format", "csv", "audit", "query", "--decision", "deny"])
            .stdout,
    );
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.starts_with("time,session,seq,"), "{csv}");
    let refused = stage.run(&["--format", "csv", "audit", "tail"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stdout));
    assert!(csv.contains(r#"""id"":8,""#), "quoted as RFC 4180 wants: {csv}");
}

#[test]
fn a_followed_question_hears_what_comes() {
    let stage = stage();
    let question = [
        "--format",
        "json",
        "audit",
        "query",
        "--follow",
        "--decision",
        "deny",
        "--since",
        "0s",
    ];
    let mut following = Conversation::with(stage.command(&question));
    // It answers from the moment it looks; what is refused again and again is heard in the end.
    let mut gate = stage.converse(&["other"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    let heard = (0..150).find_map(|_| {
        gate.call("nowhere", json!({}));
        gate.call("echo", json!({"message": "allowed"}));
        following.line_within(Duration::from_millis(200))
    });
    let heard: Value = serde_json::from_str(&heard.unwrap()).unwrap();
    assert_eq!(
        (&heard["server"], &heard["facts"]["rule"], &heard["facts"]["tool"]),
        (&json!("other"), &json!("tool/not-in-manifest"), &json!("nowhere"))
    );
    assert!(gate.end().success());
}
