//! Names longer than a record's facts: refused like anything else, the session alive afterwards.

use serde_json::json;

use crate::scripted::Scripted;
use crate::support::{Stage, rule_of};

#[test]
fn a_client_line_with_a_huge_name_is_refused_alone() {
    let stage = Stage::new();
    Scripted::add(&stage, "plain", "");
    let mut gate = stage.converse(&["plain"]);
    gate.initialize("2025-11-25");
    let huge = "x".repeat(1_100_000);
    gate.send_line(&json!({"jsonrpc": "2.0", "method": huge}).to_string());
    assert_eq!(rule_of(&gate.request(&huge, json!({}))), "protocol/unknown-method");
    assert_eq!(rule_of(&gate.call(&huge, json!({}))), "tool/not-in-manifest");
    assert!(gate.request("ping", json!({})).get("result").is_some());
}

const HUGE: &str = r#"
    if method == "tools/list" and MODE == "huge":
        say({"jsonrpc": "2.0", "id": id, "result": {"tools": [ECHO, {"name": "n" * 1100000, "inputSchema": {"type": "object"}}]}})
        continue
"#;

#[test]
fn a_hidden_tool_with_a_huge_name_does_not_end_the_session() {
    let stage = Stage::new();
    Scripted::add(&stage, "huge", HUGE).become_("huge");
    let mut gate = stage.converse(&["huge"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    assert!(gate.request("ping", json!({})).get("result").is_some());
}
