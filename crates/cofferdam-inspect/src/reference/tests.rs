//! Bounds of schemas, each attack beside its harmless twin.

use serde_json::json;

use super::{Anchors, Expansion, OutOfBounds, resolve};
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
