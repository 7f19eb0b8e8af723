//! What a session adds up to: a call that completes a chain, calls that repeat, and calls after refusals.

use serde_json::{Value, json};

use crate::scripted::Scripted;
use crate::support::{Stage, rule_of, text};

/// Three tools by whose names a chain is made.
const MAIL: &str = r#"
    schema = {"type": "object", "properties": {"n": {"type": "string"}}}
    if method == "tools/list":
        tools = [{"name": name, "description": "Does it.", "inputSchema": schema} for name in ["read_notes", "list_issues", "send_message"]]
        say({"jsonrpc": "2.0", "id": id, "result": {"tools": tools}})
        continue
"#;

fn add(stage: &Stage, rights: &[&str]) {
    let script = Scripted::write(stage, "mail", MAIL);
    let added = stage.add("mail", rights, &["/usr/bin/python3", script.to_str().unwrap(), "quiet"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
}

/// Findings of the rule, in the records of calls.
fn found(stage: &Stage, rule: &str) -> Vec<Value> {
    let records = stage.records();
    let lines = records.iter().filter(|record| record["kind"] == "client-line");
    let findings = lines
        .filter_map(|record| record["facts"]["findings"].as_array())
        .flatten();
    findings.filter(|finding| finding["rule"] == rule).cloned().collect()
}

#[test]
fn the_call_that_completes_a_chain_is_found_and_a_policy_decides() {
    let stage = Stage::new();
    add(&stage, &["--network", "mail.example.com:443"]);
    let mut gate = stage.converse(&["mail"]);
    gate.initialize("2025-11-25");
    let refused = |answer: &Value| rule_of(answer).to_owned();
    assert_eq!(refused(&gate.call("send_message", json!({"n": "before"}))), "");
    assert_eq!(refused(&gate.call("read_notes", json!({}))), "");
    assert_eq!(refused(&gate.call("list_issues", json!({}))), "");
    assert_eq!(refused(&gate.call("send_message", json!({"n": "after"}))), "");
    assert!(gate.end().success());
    let chains = found(&stage, "flow/trifecta");
    assert_eq!(chains.len(), 1, "{chains:?}");
    let evidence = chains[0]["evidence"].as_str().unwrap();
    assert!(
        evidence.contains("`list_issues` (id 4)") && evidence.contains("`read_notes` (id 3)"),
        "{evidence}"
    );

    stage.write_policy(
        "chain.cedar",
        r#"forbid (principal, action in Action::"call", resource) when { context.findings.contains("flow/trifecta") };"#,
    );
    let mut gate = stage.converse(&["mail"]);
    gate.initialize("2025-11-25");
    for (tool, rule) in [
        ("send_message", ""),
        ("read_notes", ""),
        ("list_issues", ""),
        ("send_message", "policy/denied"),
    ] {
        assert_eq!(refused(&gate.call(tool, json!({}))), rule, "{tool}");
    }
}

#[test]
fn a_sealed_server_completes_no_chain() {
    let stage = Stage::new();
    add(&stage, &[]);
    let mut gate = stage.converse(&["mail"]);
    gate.initialize("2025-11-25");
    for tool in ["read_notes", "list_issues", "send_message"] {
        assert_eq!(rule_of(&gate.call(tool, json!({}))), "");
    }
    assert!(gate.end().success());
    assert!(found(&stage, "flow/trifecta").is_empty());
}

#[test]
fn repeats_and_calls_after_refusals_are_found() {
    let stage = Stage::new();
    add(&stage, &[]);
    let mut gate = stage.converse(&["mail"]);
    gate.initialize("2025-11-25");
    for _ in 0..8 {
        gate.call("read_notes", json!({"n": "same"}));
    }
    for _ in 0..5 {
        assert_eq!(rule_of(&gate.call("read_notes", json!({"n": 7}))), "argument/schema");
    }
    gate.call("read_notes", json!({"n": "next"}));
    assert!(gate.end().success());
    assert_eq!(found(&stage, "flow/repeat").len(), 1);
    assert_eq!(found(&stage, "flow/probe").len(), 1);
}
