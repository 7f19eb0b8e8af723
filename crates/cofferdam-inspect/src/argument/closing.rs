//! The root of a schema that says nothing about unknown properties, closed.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::reference::{Anchors, OutOfBounds, in_place_children};

/// Whether the schema is written in a draft that has no `unevaluatedProperties`.
pub(super) fn is_old_draft(schema: &Value) -> bool {
    let dialect = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    ["draft-03", "draft-04", "draft-06", "draft-07"]
        .iter()
        .any(|draft| dialect.contains(draft))
}

/// Keywords at the root that name properties, or apply schemas that may.
const NAMES_PROPERTIES: [&str; 13] = [
    "properties",
    "patternProperties",
    "propertyNames",
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "dependentSchemas",
    "dependencies",
    "extends",
];

/// The schema with a root that refuses unknown properties where it names properties and says nothing about others. A root that names none at
/// all is a tool that takes what it is given: closing it would refuse every argument, and the guards judge those by name.
pub(super) fn closed(schema: &Value) -> Result<Value, OutOfBounds> {
    let mut root = schema.clone();
    if !NAMES_PROPERTIES.iter().any(|keyword| root.get(*keyword).is_some()) {
        return Ok(root);
    }
    let is_old = is_old_draft(schema);
    if is_old {
        free_root_reference(&mut root);
    }
    let says_something = ["additionalProperties", "unevaluatedProperties"]
        .iter()
        .any(|key| root.get(*key).is_some());
    if says_something || (is_old && referred_root_says_something(&root)?) {
        return Ok(root);
    }
    // Draft 7 cannot say "unevaluated": the names come from every combinator and reference at the root.
    let allowed = if is_old { Some(names_in_place(&root)?) } else { None };
    if let Value::Object(members) = &mut root {
        if let Some(allowed) = allowed {
            let previous = members.remove("propertyNames").unwrap_or(Value::Bool(true));
            members.insert("propertyNames".into(), json!({"allOf": [previous, allowed]}));
        } else {
            members.insert("unevaluatedProperties".into(), Value::Bool(false));
        }
    }
    Ok(root)
}

/// Moves the reference at the root of an old draft into `allOf`, since those drafts ignore whatever stands beside it.
///
/// What stood beside it counts from then on, except what it said of unknown properties without knowing any.
fn free_root_reference(root: &mut Value) {
    let Value::Object(members) = root else { return };
    if !members.get("$ref").is_some_and(Value::is_string) {
        return;
    }
    members.remove("additionalProperties");
    let reference = members.remove("$ref").map(|reference| json!({"$ref": reference}));
    match members.entry("allOf").or_insert_with(|| json!([])) {
        Value::Array(all) => all.extend(reference),
        other => *other = Value::Array(reference.into_iter().collect()),
    }
}

/// Whether what the root only refers to (an `allOf` of references) speaks of unknown properties.
fn referred_root_says_something(root: &Value) -> Result<bool, OutOfBounds> {
    let anchors = Anchors::of(root)?;
    let mut open: Vec<&Value> = root
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let mut seen = HashSet::new();
    while let Some(node) = open.pop() {
        if node.get("$ref").is_some() && seen.insert(std::ptr::from_ref(node).addr()) {
            let target = in_place_children(root, &anchors, node)?;
            if target
                .iter()
                .any(|target| target.get("$ref").is_none() && target.get("additionalProperties").is_some())
            {
                return Ok(true);
            }
            open.extend(target);
        }
    }
    Ok(false)
}

/// A schema for the property names that every combinator and reference at the root knows.
fn names_in_place(schema: &Value) -> Result<Value, OutOfBounds> {
    let anchors = Anchors::of(schema)?;
    let mut names = Vec::new();
    let mut patterns = vec![Value::Bool(false)];
    let mut open = vec![schema];
    let mut seen = HashSet::new();
    let keys = |node: &Value, keyword: &str| -> Vec<String> {
        let map = node.get(keyword).and_then(Value::as_object);
        map.into_iter().flat_map(|map| map.keys().cloned()).collect()
    };
    while let Some(node) = open.pop() {
        if seen.insert(std::ptr::from_ref(node).addr()) {
            names.extend(keys(node, "properties"));
            patterns.extend(
                keys(node, "patternProperties")
                    .iter()
                    .map(|pattern| json!({"pattern": pattern})),
            );
            open.extend(in_place_children(schema, &anchors, node)?);
        }
    }
    Ok(json!({"anyOf": [{"enum": names}, {"anyOf": patterns}]}))
}
