//! The schema judge against small schemas, each attack beside its harmless twin.

use serde_json::{Value, json};

use super::{ArgumentSchema, FINDINGS_MAX};

fn schema(input: &Value) -> ArgumentSchema {
    ArgumentSchema::compile(&json!({"name": "t", "inputSchema": input}).to_string()).unwrap()
}

fn rules(input: &Value, arguments: &str) -> Vec<&'static str> {
    schema(input)
        .check(Some(arguments))
        .iter()
        .map(|finding| finding.rule.id)
        .collect()
}

#[test]
fn root_that_says_nothing_is_closed_in_both_dialects() {
    for dialect in [
        json!("https://json-schema.org/draft/2020-12/schema"),
        json!("http://json-schema.org/draft-07/schema#"),
        Value::Null,
    ] {
        let mut input = json!({"type": "object", "properties": {"path": {"type": "string"}}, "allOf": [{"properties": {"more": {"type": "integer"}}}]});
        if !dialect.is_null() {
            input["$schema"] = dialect;
        }
        assert_eq!(rules(&input, r#"{"path": "a", "more": 1}"#), Vec::<&str>::new());
        assert_eq!(rules(&input, r#"{"path": "a", "extra": 1}"#), ["argument/schema"]);
        assert_eq!(rules(&input, r#"{"path": 7}"#), ["argument/schema"]);
    }
}

#[test]
fn what_the_schema_says_of_unknown_properties_counts() {
    let open = json!({"type": "object", "properties": {"a": {}}, "additionalProperties": true});
    assert!(rules(&open, r#"{"anything": 1}"#).is_empty());
    let patterned = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "patternProperties": {"^x-": {}}});
    assert!(rules(&patterned, r#"{"x-a": 1}"#).is_empty());
    assert_eq!(rules(&patterned, r#"{"y": 1}"#), ["argument/schema"]);
}

#[test]
fn nested_objects_follow_the_schema() {
    let input = json!({"type": "object", "properties": {"options": {"type": "object", "properties": {"a": {}}}}});
    assert!(rules(&input, r#"{"options": {"a": 1, "unknown": 2}}"#).is_empty());
}

#[test]
fn absent_arguments_are_an_empty_object() {
    assert!(schema(&json!({"type": "object"})).check(None).is_empty());
    assert!(
        !schema(&json!({"type": "object", "required": ["a"]}))
            .check(None)
            .is_empty()
    );
}

#[test]
fn a_key_that_only_differs_in_case_is_found_where_the_schema_knows_it() {
    let input = json!({"type": "object", "additionalProperties": true, "properties": {
        "path": {"type": "string"}, "task": {}, "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}}}, "$defs": {"item": {"type": "object", "properties": {"name": {}}}}});
    assert_eq!(
        rules(&input, r#"{"path": "a", "Path": "b"}"#),
        ["argument/case-folded-key"]
    );
    assert_eq!(
        rules(&input, "{\"tas\u{212a}\": 1}"),
        ["argument/case-folded-key"],
        "the Kelvin sign folds to k"
    );
    assert_eq!(
        rules(&input, r#"{"items": [{"name": 1}, {"Name": 2}]}"#),
        ["argument/case-folded-key"]
    );
    assert!(
        rules(&input, r#"{"headers": {"Name": "x", "PATH": "y"}}"#).is_empty(),
        "free-form objects may hold what they like"
    );
}

#[test]
fn values_are_never_quoted_in_evidence() {
    let input = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let findings = schema(&input).check(Some(r#"{"n": "my-secret-password"}"#));
    assert_eq!(findings.len(), 1);
    assert!(!findings[0].evidence.contains("my-secret"), "{}", findings[0].evidence);
    assert_eq!(findings[0].at, "/params/arguments/n");
}

#[test]
fn hostile_schemas_do_not_compile() {
    for input in [
        json!({"$ref": "#"}),
        json!({"$ref": "https://example.com/x"}),
        json!({"type": "nonsense"}),
        json!(true),
        json!({"$schema": "https://example.com/mine"}),
    ] {
        let definition = json!({"name": "t", "inputSchema": input}).to_string();
        assert!(ArgumentSchema::compile(&definition).is_err(), "{input}");
    }
    assert!(ArgumentSchema::compile("{}").is_err());
}

#[test]
fn a_catastrophic_pattern_ends() {
    let input = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=(a+)+$)b"}}});
    let arguments = json!({"a": format!("{}!", "a".repeat(4000))}).to_string();
    assert_eq!(rules(&input, &arguments), ["argument/schema"]);
}

#[test]
fn findings_are_bounded() {
    let input = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let arguments = Value::Object((0..1000).map(|n| (format!("k{n}"), json!(n))).collect()).to_string();
    assert!(schema(&input).check(Some(&arguments)).len() <= FINDINGS_MAX);
}
