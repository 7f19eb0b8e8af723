//! Bounds of schemas, each attack beside its harmless twin.

use serde_json::json;

use super::graph::{EXPANSION_MAX, IN_PLACE_DEPTH_MAX};
use super::{Anchors, Expansion, OutOfBounds, STEP_KEYWORD, guard_recursion, resolve};
use serde_json::Value;

fn check_bounds(schema: &Value) -> Result<Expansion, OutOfBounds> {
    super::check_bounds(schema, &Anchors::of(schema)?)
}

#[test]
fn recursion_that_consumes_input_is_fine() {
    let tree = json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}});
    let expansion = check_bounds(&tree).unwrap();
    assert_eq!(expansion.recursive.len(), 1, "one reference leads back");
}

#[test]
fn recursion_in_place_is_endless() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"anyOf": [{"$ref": "#/allOf/0"}]}]}),
        json!({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"not": {"$ref": "#/$defs/y"}}, "y": {"$ref": "#/$defs/x"}}}),
    ] {
        assert_eq!(check_bounds(&schema), Err(OutOfBounds::Endless), "{schema}");
    }
}

#[test]
fn doubling_references_are_too_large() {
    let mut definitions = serde_json::Map::new();
    for level in 0..40 {
        let next = format!("#/$defs/d{}", level + 1);
        definitions.insert(format!("d{level}"), json!({"allOf": [{"$ref": next}, {"$ref": next}]}));
    }
    definitions.insert("d40".into(), json!({"type": "string"}));
    let schema = json!({"$ref": "#/$defs/d0", "$defs": definitions});
    assert_eq!(check_bounds(&schema), Err(OutOfBounds::TooLarge));
}

#[test]
fn references_out_of_the_schema_are_refused() {
    for reference in [
        "https://example.com/schema",
        "other.json#/a",
        "#/$defs/missing",
        "#missing",
        "file:///etc/passwd",
    ] {
        let schema = json!({"properties": {"a": {"$ref": reference}}});
        assert_eq!(check_bounds(&schema), Err(OutOfBounds::Unresolved(reference.into())));
    }
}

#[test]
fn pointers_and_anchors_resolve() {
    let schema = json!({"$defs": {"a b/c": {"const": 1}, "n": {"$anchor": "here", "const": 2}}});
    assert_eq!(
        resolve(&schema, &Anchors::of(&schema).unwrap(), "#/$defs/a%20b~1c"),
        Some(&json!({"const": 1}))
    );
    assert_eq!(
        resolve(&schema, &Anchors::of(&schema).unwrap(), "#here").and_then(|found| found.get("const")),
        Some(&json!(2))
    );
}

/// A chain of definitions `d0` to `d{length}`, each made by `link` from the reference to the next.
fn chain(length: usize, link: impl Fn(Value) -> Value, last: Value) -> Value {
    let mut definitions: serde_json::Map<_, _> = (0..length)
        .map(|step| {
            let next = json!({"$ref": format!("#/$defs/d{}", step + 1)});
            (format!("d{step}"), link(next))
        })
        .collect();
    definitions.insert(format!("d{length}"), last);
    json!({"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions})
}

#[test]
fn doubling_through_children_is_too_large_and_a_plain_chain_is_not() {
    let doubled = |next: Value| json!({"allOf": [{"properties": {"a": next}}, {"properties": {"a": next}}]});
    assert_eq!(check_bounds(&chain(26, doubled, json!({}))), Err(OutOfBounds::TooLarge));
    let elements = |next: Value| json!({"prefixItems": [next, next], "items": next, "contains": next});
    assert_eq!(
        check_bounds(&chain(26, elements, json!({}))),
        Err(OutOfBounds::TooLarge)
    );
    let plain = chain(26, |next| json!({"properties": {"a": next}}), json!({}));
    assert!(check_bounds(&plain).unwrap().weight < 100);
}

#[test]
fn asking_again_what_was_evaluated_counts() {
    let nested = |closing: &Value| {
        (0..14).fold(json!({}), |inner, _| {
            let mut outer = json!({"anyOf": [inner]});
            if !closing.is_null() {
                outer["unevaluatedProperties"] = closing.clone();
            }
            outer
        })
    };
    assert!(check_bounds(&nested(&Value::Null)).is_ok());
    assert_eq!(check_bounds(&nested(&json!(false))), Err(OutOfBounds::TooLarge));
}

#[test]
fn nesting_in_place_is_bounded() {
    let deepest = usize::try_from(IN_PLACE_DEPTH_MAX).unwrap();
    assert!(check_bounds(&chain(deepest - 1, |next| next, json!({}))).is_ok());
    assert_eq!(
        check_bounds(&chain(deepest, |next| next, json!({}))),
        Err(OutOfBounds::TooLarge)
    );
}

#[test]
fn a_large_recursive_schema_is_fine() {
    let all: Vec<Value> = (0..200).map(|n| json!({"$ref": format!("#/$defs/n{n}")})).collect();
    let definitions: serde_json::Map<_, _> = (0..200)
        .map(|n| {
            (
                format!("n{n}"),
                json!({"properties": {"children": {"items": {"$ref": "#/$defs/any"}}}}),
            )
        })
        .chain([("any".to_owned(), json!({"anyOf": all}))])
        .collect();
    let schema = json!({"$ref": "#/$defs/any", "$defs": definitions});
    let expansion = check_bounds(&schema).unwrap();
    assert!(expansion.weight < EXPANSION_MAX, "{}", expansion.weight);
}

#[test]
fn a_nested_id_beside_references_is_refused() {
    let inner = json!({"$id": "https://example.com/x", "$defs": {"y": {}}, "$ref": "#/$defs/y"});
    let schema = json!({"$defs": {"y": {}}, "properties": {"a": inner}});
    assert_eq!(check_bounds(&schema), Err(OutOfBounds::Rebased));
    let named = json!({"$id": "https://example.com/x", "properties": {"$id": {"type": "string"}, "a": {"$ref": "#"}}});
    assert!(check_bounds(&named).is_ok(), "a root `$id` and a property of that name");
}

#[test]
fn an_anchor_declared_twice_names_nothing() {
    let schema =
        json!({"$defs": {"a": {"$anchor": "x"}, "b": {"$dynamicAnchor": "x"}}, "properties": {"a": {"$ref": "#x"}}});
    assert_eq!(check_bounds(&schema), Err(OutOfBounds::Unresolved("#x".into())));
}

#[test]
fn anchors_take_bounded_room() {
    let long = "k".repeat(1024);
    let many: serde_json::Map<_, _> = (0..2000)
        .map(|n| (format!("d{n}"), json!({"$anchor": format!("a{n}")})))
        .collect();
    assert!(Anchors::of(&json!({"$defs": many})).is_ok());
    assert_eq!(
        Anchors::of(&json!({"$defs": {long: many}})).unwrap_err(),
        OutOfBounds::TooLarge
    );
}

#[test]
fn only_references_that_lead_back_get_a_step() {
    for siblings_count in [true, false] {
        let mut schema = json!({"properties": {"leaf": {"$ref": "#/$defs/leaf"}, "child": {"$ref": "#", "title": "t"}}, "$defs": {"leaf": {"type": "string"}}});
        let expansion = check_bounds(&schema).unwrap();
        guard_recursion(&mut schema, &expansion.recursive, siblings_count).unwrap();
        assert_eq!(schema["properties"]["leaf"], json!({"$ref": "#/$defs/leaf"}));
        assert_eq!(schema["properties"]["child"]["title"], "t");
        let child = schema.pointer("/properties/child").unwrap();
        let guard = match child["$ref"].as_str() {
            Some(reference) => resolve(&schema, &Anchors::default(), reference).unwrap(),
            None => child,
        };
        assert_eq!(guard["allOf"], json!([{STEP_KEYWORD: expansion.weight}, {"$ref": "#"}]));
    }
}
