//! The gate's own `tools/list` is nobody else's business, and an answer in a refused batch is still owed.

use serde_json::json;

use crate::scripted::Scripted;
use crate::support::{Stage, rule_of};

const OWN: &str = r#"
    if method == "tools/list" and str(id).startswith("cofferdam-"):
        if MODE == "batch":
            sys.stdout.write(json.dumps([{"jsonrpc": "2.0", "id": id, "result": {"tools": [ECHO]}}]) + "\n")
        else:
            sys.stdout.write('{"jsonrpc":"2.0","id":%s,"result":{"tools":[],"tools":[]}}\n' % json.dumps(id))
        sys.stdout.flush()
        continue
"#;

fn nothing_of_the_gates_own_leaves(mode: &str) {
    let stage = Stage::new();
    Scripted::add(&stage, "own", OWN).become_(mode);
    let mut gate = stage.converse(&["own"]);
    gate.initialize("2025-03-26");
    gate.post("tools/call", json!({"name": "echo", "arguments": {"message": "x"}}));
    let line = gate.line().unwrap();
    assert!(!line.contains("\"cofferdam-"), "the client never asked this: {line}");
}

#[test]
fn its_answer_in_a_batch_stays_inside() {
    nothing_of_the_gates_own_leaves("batch");
}

#[test]
fn its_unreadable_answer_stays_inside() {
    nothing_of_the_gates_own_leaves("unreadable");
}

const BATCH: &str = r#"
    if method == "ping":
        sys.stdout.write(json.dumps([{"jsonrpc": "2.0", "id": id, "result": {}}, {"jsonrpc": "2.0", "id": "never-asked", "result": {}}]) + "\n")
        sys.stdout.flush()
        continue
"#;

#[test]
fn an_answer_in_a_refused_batch_is_answered_by_the_gate() {
    let stage = Stage::new();
    Scripted::add(&stage, "batch", BATCH);
    let mut gate = stage.converse(&["batch"]);
    gate.initialize("2025-03-26");
    gate.post("ping", json!({}));
    gate.post("resources/list", json!({}));
    // The gate's own lines and the server's keep no order among each other; the ping must not stay open for ever.
    let first = gate.answer(2);
    assert!(
        rule_of(&first).starts_with("batch/") || rule_of(&first).starts_with("protocol/"),
        "{first}"
    );
}
