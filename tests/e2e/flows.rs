//! What a session adds up to: a call that completes a chain, calls that repeat, and calls after refusals.

use serde_json::{Value, json};

use crate::scripted::Scripted;
use crate::support::{Conversation, Stage, rule_of, text};

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
        evidence.contains("`list_issues` of server `mail` (session ")
            && evidence.contains("`read_notes` of server `mail` (session "),
        "{evidence}"
    );

    // Another user's day: what the first session was brought counts for the same user's next.
    let stage = Stage::new();
    add(&stage, &["--network", "mail.example.com:443"]);
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

/// Two servers that reach hosts, one with untrusted and private tools, and one that sends.
fn two_servers() -> Stage {
    let stage = Stage::new();
    add(&stage, &["--network", "mail.example.com:443"]);
    let script = Scripted::write(&stage, "other", MAIL);
    let command = ["/usr/bin/python3", script.to_str().unwrap(), "quiet"];
    let added = stage.add("other", &["--network", "mail.example.com:443"], &command);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage.write_policy(
        "chain.cedar",
        r#"forbid (principal, action in Action::"call", resource) when { context.findings.contains("flow/trifecta") };"#,
    );
    stage
}

fn talk(stage: &Stage, server: &str) -> Conversation {
    let mut gate = stage.converse(&[server]);
    gate.initialize("2025-11-25");
    gate
}

fn rule(gate: &mut Conversation, tool: &str) -> String {
    rule_of(&gate.call(tool, json!({}))).to_owned()
}

#[test]
fn a_chain_goes_through_the_servers_of_a_user() {
    let stage = two_servers();
    let (mut one, mut other) = (talk(&stage, "mail"), talk(&stage, "other"));
    assert_eq!(rule(&mut other, "send_message"), "");
    assert_eq!(rule(&mut one, "list_issues"), "");
    assert_eq!(rule(&mut other, "send_message"), "", "two of three");
    assert_eq!(rule(&mut one, "read_notes"), "");
    assert_eq!(rule(&mut other, "send_message"), "policy/denied");
    assert_eq!(rule(&mut other, "read_notes"), "", "only what sends completes it");
    one.end();
    // The model has seen it, whether that server still runs or not.
    assert_eq!(rule(&mut other, "send_message"), "policy/denied");
    other.end();
    let chains = found(&stage, "flow/trifecta");
    let evidence = chains[0]["evidence"].as_str().unwrap();
    let sessions = stage.records();
    let opened = sessions.iter().filter(|record| record["kind"] == "open");
    let of_mail: Vec<&str> = opened.filter_map(|record| record["session"].as_str()).collect();
    assert!(
        of_mail.iter().any(|session| evidence.contains(&format!(
            "`list_issues` of server `mail` (session {}",
            session.split_at(8).0
        ))),
        "{evidence} {of_mail:?}"
    );
    // Of another user there is another folder.
    let elsewhere = two_servers();
    let mut alone = talk(&elsewhere, "other");
    assert_eq!(rule(&mut alone, "send_message"), "");
}

#[test]
fn labels_that_were_damaged_count_as_both_and_no_compartment_has_them() {
    let stage = two_servers();
    let (mut one, mut other) = (talk(&stage, "mail"), talk(&stage, "other"));
    assert_eq!(rule(&mut one, "list_issues"), "");
    let folder = stage.home().join("state/run/labels");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "half").unwrap();
    assert_eq!(rule(&mut other, "send_message"), "policy/denied");
    // It is whole again with what the session is brought next.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(rule(&mut one, "list_issues"), "");
    assert_eq!(rule(&mut other, "send_message"), "");
    let look = stage.run(&["enter", "mail", "--", "/bin/ls", folder.to_str().unwrap()]);
    assert!(!look.status.success());
    assert!(text(&look.stderr).contains("No such file"), "{}", text(&look.stderr));
    // What cannot be told does not go out.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    assert_eq!(rule(&mut other, "read_notes"), "flow/unshared");
    assert_eq!(rule(&mut other, "send_message"), "policy/denied");
}
