//! Pins at work: changed, new, unlisted tools; arguments; limits; what a server may ask of the client.

use serde_json::{Value, json};

use crate::frames::set_limit;
use crate::support::{Stage, rule_of, said_in};

fn listed(gate: &mut crate::support::Conversation) -> Vec<String> {
    let answer = gate.request("tools/list", json!({}));
    answer["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_changed_or_new_tool_is_hidden_and_refused_when_called_anyway() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert!(listed(&mut gate).contains(&"echo".to_owned()));
    assert_eq!(said_in(&gate.call("change", json!({}))), "changed");
    let after = listed(&mut gate);
    assert!(
        !after.contains(&"echo".to_owned()) && !after.contains(&"fresh".to_owned()),
        "{after:?}"
    );
    assert!(
        after.contains(&"change".to_owned()),
        "what did not change stays: {after:?}"
    );
    assert_eq!(rule_of(&gate.call("echo", json!({"message": "x"}))), "tool/changed");
    assert_eq!(rule_of(&gate.call("fresh", json!({}))), "tool/not-in-manifest");
}

#[test]
fn a_change_the_client_never_lists_is_still_found() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    // The first call makes the gate list; the announced change makes it list again.
    assert_eq!(said_in(&gate.call("echo", json!({"message": "before"}))), "before");
    gate.call("change", json!({"announce": true}));
    assert_eq!(rule_of(&gate.call("echo", json!({"message": "after"}))), "tool/changed");
}

#[test]
fn pages_are_followed_by_the_gates_own_list() {
    let stage = Stage::with_fixture(&["--paged"]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert_eq!(
        said_in(&gate.call("echo", json!({"message": "first page"}))),
        "first page"
    );
    assert!(
        said_in(&gate.call("look", json!({}))).contains("processes"),
        "on the second page"
    );
}

#[test]
fn arguments_are_held_to_the_pinned_schema() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert_eq!(rule_of(&gate.call("echo", json!({"message": 7}))), "argument/schema");
    assert_eq!(
        rule_of(&gate.call("echo", json!({"message": "a", "unknown": 1}))),
        "argument/schema"
    );
    assert_eq!(rule_of(&gate.call("echo", json!({"Message": "a"}))), "argument/schema");
    let answer = gate.call("echo", json!({"message": 7}));
    assert_eq!(answer["result"]["isError"], true);
    let text = said_in(&answer);
    assert!(
        text.contains("argument/schema") && !text.contains("cofferdam add"),
        "an id and a reason, never a command: {text}"
    );
}

#[test]
fn every_refusal_names_a_record_that_can_be_shown() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let answer = gate.call("no-such-tool", json!({}));
    let reference = answer["result"]["_meta"]["dev.cofferdam/record"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(gate.end().success());
    let shown = stage.run(&["--format", "json", "audit", "show", &reference]);
    let record: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&record["facts"]["rule"], &record["facts"]["tool"]),
        (&json!("tool/not-in-manifest"), &json!("no-such-tool"))
    );
    assert!(record["payload"].as_str().unwrap().contains("no-such-tool"));
}

#[test]
fn consent_that_cannot_be_asked_for_is_a_refusal() {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |text| {
        let (before, after) = text.split_once("[tools.echo]").unwrap();
        format!(
            "{before}[tools.echo]{}",
            after.replacen("consent = \"allow\"", "consent = \"person\"", 1)
        )
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert_eq!(
        rule_of(&gate.call("echo", json!({"message": "x"}))),
        "consent/unreachable"
    );
    assert_eq!(
        said_in(&gate.call("stderr", json!({"text": "other tools still pass"}))),
        "said"
    );
}

#[test]
fn limits_answer_in_band() {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |text| {
        set_limit(
            &set_limit(&set_limit(&text, "calls_per_minute", "3"), "calls_in_flight", "2"),
            "seconds_per_call",
            "1",
        )
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let silent = gate.post("tools/call", json!({"name": "silence", "arguments": {}}));
    let other = gate.post("tools/call", json!({"name": "silence", "arguments": {}}));
    let too_many = gate.request("tools/call", json!({"name": "echo", "arguments": {}}));
    assert_eq!(rule_of(&too_many), "protocol/too-many-in-flight");
    let (first, second) = (gate.message(), gate.message());
    for answer in [&first, &second] {
        assert_eq!(rule_of(answer), "limit/seconds-per-call", "{answer}");
        assert!(answer["id"] == json!(silent) || answer["id"] == json!(other));
    }
    assert_eq!(said_in(&gate.call("echo", json!({"message": "third"}))), "third");
    assert_eq!(
        rule_of(&gate.call("echo", json!({"message": "fourth"}))),
        "limit/calls-per-minute"
    );
    assert!(gate.end().success());
    let cancelled = stage
        .records()
        .into_iter()
        .filter(|record| record["kind"] == "gate-to-server" && record["facts"]["authored"] == "cancellation")
        .count();
    assert_eq!(cancelled, 2, "the server is told");
}

#[test]
fn a_server_asks_the_client_only_for_what_the_manifest_lets_it() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let refused = gate.call("ask", json!({"method": "sampling/createMessage"}));
    let got: Value = serde_json::from_str(said_in(&refused)).unwrap();
    assert_eq!(got["error"]["data"]["dev.cofferdam/rule"], "client-request/not-granted");
    assert!(gate.end().success());

    stage.edit_manifest("fixture", |text| {
        text.replacen("[client]\nallow = []", "[client]\nallow = [\"roots\"]", 1)
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    let call = gate.post(
        "tools/call",
        json!({"name": "ask", "arguments": {"method": "roots/list"}}),
    );
    let asked = gate.message();
    assert_eq!(
        (&asked["method"], &asked["id"]),
        (&json!("roots/list"), &json!("ask-1"))
    );
    gate.send_line(r#"{"jsonrpc":"2.0","id":"ask-1","result":{"roots":[]}}"#);
    assert!(said_in(&gate.answer(call)).contains("\"roots\":[]"));
}

#[test]
fn without_a_manifest_everything_listed_passes_and_the_record_says_unpinned() {
    let stage = Stage::new();
    let mut gate = stage.converse(&["--", &crate::support::fixture()]);
    gate.initialize("2025-11-25");
    assert_eq!(said_in(&gate.call("echo", json!({"message": "x"}))), "x");
    gate.call("change", json!({}));
    assert_eq!(said_in(&gate.call("fresh", json!({}))), "");
    assert!(gate.end().success());
    let opening = stage
        .records()
        .into_iter()
        .find(|record| record["kind"] == "open")
        .unwrap();
    assert_eq!(opening["facts"]["opening"]["unpinned"], true);
}
