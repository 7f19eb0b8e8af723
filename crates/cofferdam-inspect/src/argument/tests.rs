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
fn a_root_that_names_no_property_takes_any_and_one_that_names_none_takes_none() {
    for dialect in [
        "https://json-schema.org/draft/2020-12/schema",
        "http://json-schema.org/draft-07/schema#",
    ] {
        let any = json!({"$schema": dialect, "type": "object", "required": ["a"]});
        assert!(rules(&any, r#"{"a": 1, "b": {"c": 2}}"#).is_empty());
        assert_eq!(rules(&any, r#"{"b": 1}"#), ["argument/schema"]);
        let none = json!({"$schema": dialect, "type": "object", "properties": {}});
        assert_eq!(rules(&none, r#"{"a": 1}"#), ["argument/schema"]);
        let nowhere = json!({"$schema": dialect, "type": "object", "allOf": [{"properties": {}}]});
        assert_eq!(rules(&nowhere, r#"{"a": 1}"#), ["argument/schema"]);
    }
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

fn nested(depth: usize, leaf: Value) -> String {
    (0..depth).fold(leaf, |inner, _| json!({"a": inner})).to_string()
}

const OLD: &str = "http://json-schema.org/draft-07/schema#";

#[test]
fn a_draft_7_root_that_is_a_reference_is_closed_too() {
    let mut input = json!({"$schema": OLD, "type": "object", "$ref": "#/definitions/Y", "additionalProperties": true,
        "definitions": {"Y": {"$ref": "#/definitions/X"}, "X": {"type": "object", "properties": {"message": {"type": "string"}}, "patternProperties": {"^x-": {}}}}});
    assert!(rules(&input, r#"{"message": "x", "x-a": 1}"#).is_empty());
    assert_eq!(rules(&input, r#"{"message": "x", "extra": 1}"#), ["argument/schema"]);
    assert_eq!(rules(&input, r#"{"message": 1}"#), ["argument/schema"]);
    input["definitions"]["X"]["additionalProperties"] = json!({"type": "integer"});
    assert!(
        rules(&input, r#"{"message": "x", "extra": 1}"#).is_empty(),
        "the target allows them"
    );
    assert_eq!(rules(&input, r#"{"extra": "s"}"#), ["argument/schema"]);
}

#[test]
fn a_recursive_reference_that_is_judged_twice_stays_cheap() {
    let part = json!({"properties": {"a": {"$ref": "#"}}});
    for dialect in [OLD, "https://json-schema.org/draft/2020-12/schema"] {
        for combinator in ["allOf", "anyOf"] {
            let input = json!({"$schema": dialect, "type": "object", combinator: [part, part]});
            assert_eq!(rules(&input, &nested(55, json!(7))), ["argument/schema"]);
            assert!(rules(&input, &nested(55, json!({}))).is_empty());
        }
    }
}

#[test]
fn recursion_that_multiplies_ends_when_its_work_is_spent() {
    let mut definitions = serde_json::Map::new();
    for level in 0..26 {
        let next = json!({"$ref": format!("#/$defs/d{}", (level + 1) % 26)});
        definitions.insert(
            format!("d{level}"),
            json!({"type": "object", "allOf": [{"properties": {"a": next}}, {"properties": {"a": next}}]}),
        );
    }
    let schema = schema(&json!({"type": "object", "$ref": "#/$defs/d0", "$defs": definitions}));
    let findings = schema.check(Some(&nested(60, json!({}))));
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].evidence.contains("too much work"),
        "{}",
        findings[0].evidence
    );
    assert!(
        schema.check(Some(&nested(6, json!({})))).is_empty(),
        "each check has its own budget"
    );
}

#[test]
fn ordinary_recursion_is_judged() {
    fn tree(depth: usize) -> Value {
        let children: Vec<Value> = (0..depth.min(2)).map(|_| tree(depth - 1)).collect();
        json!({"op": if depth == 0 { "is" } else { "and" }, "args": children})
    }
    let args = json!({"type": "array", "items": {"$ref": "#/$defs/e"}});
    let one = |op: &str| json!({"type": "object", "properties": {"op": {"const": op}, "args": args}, "required": ["op", "args"], "additionalProperties": false});
    let input = json!({"type": "object", "properties": {"filter": {"$ref": "#/$defs/e"}}, "$defs": {"e": {"oneOf": [one("and"), one("or"), one("is")]}}});
    let right = json!({"filter": tree(8)});
    assert!(rules(&input, &right.to_string()).is_empty());
    let wrong = right.to_string().replacen("is", "as", 1);
    assert_eq!(rules(&input, &wrong), ["argument/schema"]);
}

#[test]
fn steps_that_a_server_writes_do_not_open_its_schema() {
    let input = json!({"type": "object", "properties": {"a": {"x-cofferdam-step": "x"}}});
    assert_eq!(rules(&input, r#"{"a": 1}"#), ["argument/schema"]);
    let recursive = json!({"type": "object", "properties": {"a": {"$ref": "#"}}});
    let mut old = recursive.clone();
    old["$schema"] = json!(OLD);
    old["x-cofferdam-steps"] = json!({"1": true});
    let definition = json!({"name": "t", "inputSchema": old}).to_string();
    assert!(ArgumentSchema::compile(&definition).is_err());
    assert_eq!(rules(&recursive, &nested(3, json!(7))), ["argument/schema"]);
}

#[test]
fn the_deepest_schemas_and_arguments_fit_the_stack_of_a_pump() {
    let judged = |wrap: fn(Value) -> Value| {
        let mut definitions = serde_json::Map::new();
        // A link is an applicator and a reference: with the reference that leads there, 15 of 16 levels.
        for step in 0..7 {
            definitions.insert(
                format!("d{step}"),
                wrap(json!({"$ref": format!("#/$defs/d{}", step + 1)})),
            );
        }
        definitions.insert(
            "d7".into(),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}}),
        );
        let input = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
        let pump = std::thread::Builder::new().stack_size(1024 * 1024);
        let run = move || rules(&input, &nested(64, json!(7)));
        assert_eq!(pump.spawn(run).unwrap().join().unwrap(), ["argument/schema"]);
    };
    judged(|next| json!({"allOf": [next]}));
    judged(|next| json!({"anyOf": [next, false]}));
    judged(|next| json!({"oneOf": [next, false]}));
    judged(|next| json!({"if": next, "else": false}));
}

#[test]
fn a_chain_of_references_is_as_deep_as_the_stack_bears() {
    let chain = |length: usize| {
        let definitions: serde_json::Map<_, _> = (0..length)
            .map(|step| (format!("d{step}"), json!({"$ref": format!("#/$defs/d{}", step + 1)})))
            .chain([(
                format!("d{length}"),
                json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}}),
            )])
            .collect();
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions})
    };
    let refused = json!({"name": "t", "inputSchema": chain(120)}).to_string();
    assert!(ArgumentSchema::compile(&refused).is_err());
    let pump = std::thread::Builder::new().stack_size(1024 * 1024);
    let run = move || rules(&chain(15), &nested(64, json!(7)));
    assert_eq!(pump.spawn(run).unwrap().join().unwrap(), ["argument/schema"]);
}

#[test]
fn arguments_nested_deeper_than_a_message_are_refused() {
    let input = json!({"type": "object", "additionalProperties": true});
    assert!(rules(&input, &nested(64, json!(7))).is_empty());
    assert_eq!(rules(&input, &nested(65, json!(7))), ["argument/schema"]);
}

#[test]
fn thousands_of_anchors_compile() {
    let names = 0..6000;
    let properties: serde_json::Map<_, _> = names
        .clone()
        .map(|n| (format!("p{n}"), json!({"$ref": format!("#a{n}")})))
        .collect();
    let definitions: serde_json::Map<_, _> = names
        .map(|n| (format!("d{n}"), json!({"$anchor": format!("a{n}"), "type": "string"})))
        .collect();
    let input = json!({"type": "object", "properties": properties, "$defs": definitions});
    assert!(rules(&input, r#"{"p5999": "x"}"#).is_empty());
    assert_eq!(rules(&input, r#"{"p5999": 1}"#), ["argument/schema"]);
}
