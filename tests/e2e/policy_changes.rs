//! Policies that change: taken by a running gate without a dropped call, tried under a shadow, replayed on the record.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Conversation, STUCK, Stage, rule_of, said_in, text};

const FORBID_ECHO: &str = r#"permit(principal, action, resource);
forbid(principal, action == Action::"fixture/echo", resource) when { context.input has message && context.input.message like "bad*" };"#;

fn echo(conversation: &mut Conversation, message: &str) -> Value {
    conversation.call("echo", json!({"message": message}))
}

fn talk(stage: &Stage) -> Conversation {
    let mut conversation = stage.converse(&["fixture"]);
    conversation.initialize("2025-11-25");
    conversation.request("tools/list", json!({}));
    conversation
}

/// Calls until the answer is by `rule`; every answer before that must be the echo.
fn until(conversation: &mut Conversation, message: &str, rule: &str) -> usize {
    let began = Instant::now();
    let mut calls = 0;
    loop {
        let answer = echo(conversation, message);
        calls += 1;
        // Within the calls of a minute that the manifest allows.
        std::thread::sleep(Duration::from_millis(25));
        if rule_of(&answer) == rule {
            return calls;
        }
        assert!(
            rule.is_empty() || said_in(&answer) == message,
            "a call was dropped: {answer}"
        );
        assert!(began.elapsed() < STUCK, "the change is not taken: {answer}");
    }
}

#[test]
fn a_running_gate_takes_changed_policies_and_drops_no_call() {
    let stage = Stage::with_fixture(&[]);
    let mut conversation = talk(&stage);
    assert_eq!(said_in(&echo(&mut conversation, "bad")), "bad");
    stage.write_policy("default.cedar", FORBID_ECHO);
    assert!(until(&mut conversation, "bad", "policy/denied") >= 1);
    assert_eq!(said_in(&echo(&mut conversation, "good")), "good");
    stage.write_policy("default.cedar", "permit(principal, action");
    let began = Instant::now();
    let mut told = String::new();
    while !told.contains("those from before stay in force") {
        assert_eq!(
            rule_of(&echo(&mut conversation, "bad")),
            "policy/denied",
            "a half-written file frees nothing"
        );
        told.push_str(&conversation.said());
        assert!(began.elapsed() < STUCK, "{told}");
    }
    stage.write_policy("default.cedar", "permit(principal, action, resource);");
    until(&mut conversation, "bad", "");
    conversation.end();
    let records = stage.records();
    let notices: Vec<&str> = records
        .iter()
        .filter_map(|record| record["facts"]["policies"].as_str())
        .collect();
    assert_eq!(notices, ["reloaded", "kept", "reloaded"]);
}

#[test]
fn what_was_consented_to_dies_with_the_policies_it_was_consented_under() {
    let stage = Stage::with_fixture(&[]);
    let ask = "permit(principal, action, resource) unless { action in Action::\"call\" && context.consent < 1 };";
    stage.write_policy("default.cedar", ask);
    let mut conversation = talk(&stage);
    let call = conversation.post("tools/call", json!({"name": "echo", "arguments": {"message": "x"}}));
    let id = question(&stage);
    assert!(
        stage
            .run(&["approvals", "allow", &id, "--for", "tool"])
            .status
            .success()
    );
    assert_eq!(said_in(&conversation.answer(call)), "x");
    assert_eq!(said_in(&echo(&mut conversation, "y")), "y", "by the grant");
    stage.write_policy("default.cedar", &format!("{ask}\n// another text"));
    let began = Instant::now();
    while stage.run(&["approvals", "grants"]).status.code() != Some(3) {
        assert!(began.elapsed() < STUCK, "the grant outlives its policies");
    }
    conversation.post("tools/call", json!({"name": "echo", "arguments": {"message": "z"}}));
    question(&stage);
}

fn question(stage: &Stage) -> String {
    let began = Instant::now();
    loop {
        let listed = stage.run(&["--format", "json", "approvals", "list"]);
        let open: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        if let Some(first) = open.first() {
            return first["id"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < STUCK, "nothing asks");
    }
}

#[test]
fn policies_under_a_shadow_enforce_nothing_and_the_record_says_what_they_would() {
    let stage = Stage::with_fixture(&[]);
    stage.write_policy("default.shadow.cedar", FORBID_ECHO);
    let mut conversation = talk(&stage);
    for message in ["good", "bad"] {
        assert_eq!(said_in(&echo(&mut conversation, message)), message);
    }
    conversation.end();
    let records = stage.records();
    let shadows: Vec<&Value> = records
        .iter()
        .map(|record| &record["facts"]["shadow"])
        .filter(|shadow| !shadow.is_null())
        .collect();
    assert_eq!(shadows.len(), 1, "{shadows:?}");
    assert_eq!(
        (&shadows[0]["enforced"], &shadows[0]["candidate"]),
        (&json!("allow"), &json!("deny"))
    );
    assert!(
        shadows[0]["by"].as_str().unwrap().contains("default.cedar:2"),
        "{}",
        shadows[0]
    );
    // One that does not check starts nothing: nobody would look at what it never said.
    stage.write_policy("default.shadow.cedar", "permit(");
    assert_eq!(stage.run(&["run", "fixture"]).status.code(), Some(4));
    assert_eq!(stage.run(&["policy", "check"]).status.code(), Some(4));
}

#[test]
fn a_candidate_is_replayed_on_the_calls_of_the_record() {
    let stage = Stage::with_fixture(&[]);
    let candidate = stage.workspace().join("default.cedar");
    std::fs::write(&candidate, FORBID_ECHO).unwrap();
    let replay = |since: &str| {
        stage.run(&[
            "--format",
            "json",
            "policy",
            "replay",
            "--since",
            since,
            candidate.to_str().unwrap(),
        ])
    };
    let mut conversation = talk(&stage);
    for message in ["good", "bad", "bad again"] {
        echo(&mut conversation, message);
    }
    conversation.end();
    let told = replay("7d");
    assert_eq!(told.status.code(), Some(1), "{}", text(&told.stderr));
    let report: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&report["calls"], &report["unjudged"]), (&json!(3), &json!(0)));
    let change = &report["changes"][0];
    assert_eq!(
        (&change["tool"], &change["now"], &change["then"], &change["calls"]),
        (&json!("echo"), &json!("allow"), &json!("deny"), &json!(2))
    );
    assert!(
        change["by"].as_str().unwrap().contains("candidate/default.cedar:2"),
        "{change}"
    );
    assert_eq!(replay("2199-01-01").status.code(), Some(3));
    std::fs::write(&candidate, "permit(principal, action, resource);").unwrap();
    assert_eq!(replay("7d").status.code(), Some(0));
    std::fs::write(&candidate, "permit(").unwrap();
    let broken = replay("7d");
    assert_eq!(broken.status.code(), Some(4));
    assert!(
        text(&broken.stderr).contains("candidate/default.cedar:1"),
        "{}",
        text(&broken.stderr)
    );
}
