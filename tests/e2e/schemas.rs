//! Schemas of a hostile server: closed where they say nothing, and never the end of the gate.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scripted::Scripted;
use crate::support::{Conversation, Stage, rule_of};

fn with_schema(stage: &Stage, schema: &Value) -> Conversation {
    let body = format!(
        "\n    if method == \"tools/list\":\n        result = {{\"tools\": [{{\"name\": \"echo\", \"inputSchema\": json.loads({:?})}}]}}\n        say({{\"jsonrpc\": \"2.0\", \"id\": id, \"result\": result}})\n        continue\n",
        schema.to_string()
    );
    Scripted::add(stage, "schema", &body);
    let mut gate = stage.converse(&["schema"]);
    gate.initialize("2025-11-25");
    gate
}

fn nested(depth: usize, leaf: Value) -> Value {
    (0..depth).fold(leaf, |inner, _| json!({"a": inner}))
}

#[test]
fn a_draft_7_root_that_is_a_reference_is_closed_too() {
    let stage = Stage::new();
    let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/X",
        "definitions": {"X": {"type": "object", "properties": {"message": {"type": "string"}}}}});
    let mut gate = with_schema(&stage, &schema);
    assert!(
        gate.call("echo", json!({"message": "x"}))["result"]
            .get("isError")
            .is_none()
    );
    assert_eq!(
        rule_of(&gate.call("echo", json!({"message": "x", "extra": 1}))),
        "argument/schema"
    );
}

#[test]
fn a_tool_that_names_no_argument_gets_what_it_is_given_and_the_guards_judge_it_by_name() {
    let stage = Stage::new();
    let mut gate = with_schema(&stage, &json!({"type": "object"}));
    let answer = gate.call("echo", json!({"anything": {"deep": [1, 2]}}));
    assert!(answer["result"].get("isError").is_none(), "{answer}");
    let answer = gate.call("echo", json!({"path": "/etc/shadow"}));
    assert_eq!(rule_of(&answer), "argument/sensitive-path");
}

#[test]
fn arguments_that_double_the_work_at_every_level_are_refused_in_time() {
    let stage = Stage::new();
    let schema = json!({"type": "object", "allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]});
    let mut gate = with_schema(&stage, &schema);
    let began = Instant::now();
    // Small enough not to harm the machine while this is broken: at 55 the gate takes half a gigabyte a second.
    assert_eq!(rule_of(&gate.call("echo", nested(19, json!(7)))), "argument/schema");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_deep_chain_of_references_does_not_overflow_a_pump() {
    let stage = Stage::new();
    let mut definitions = serde_json::Map::new();
    for step in 0..120 {
        definitions.insert(format!("d{step}"), json!({"$ref": format!("#/$defs/d{}", step + 1)}));
    }
    definitions.insert(
        "d120".to_owned(),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}}),
    );
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
    let mut gate = with_schema(&stage, &schema);
    assert_eq!(
        rule_of(&gate.call("echo", nested(55, json!(7)))),
        "tool/schema-unusable"
    );
    assert!(
        gate.request("ping", json!({})).get("result").is_some(),
        "the gate lives"
    );
}

#[test]
fn definitions_that_double_without_referring_to_themselves_are_bounded_too() {
    let stage = Stage::new();
    let mut definitions = serde_json::Map::new();
    for level in 0..26 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions.insert(
            format!("d{level}"),
            json!({"allOf": [{"properties": {"a": next}}, {"properties": {"a": next}}]}),
        );
    }
    definitions.insert("d26".to_owned(), json!({"type": "object"}));
    let mut gate = with_schema(
        &stage,
        &json!({"type": "object", "$ref": "#/$defs/d0", "$defs": definitions}),
    );
    let began = Instant::now();
    let answer = gate.call("echo", nested(26, json!({})));
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?} for {}",
        began.elapsed(),
        rule_of(&answer)
    );
}
