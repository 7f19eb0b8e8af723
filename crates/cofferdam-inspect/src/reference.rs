//! Bounds for schemas that come from a hostile server: every reference local, nothing endless, nothing exponential.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Subschemas that one place of an instance may be judged by, references followed. Real tools stay below 300.
pub(crate) const IN_PLACE_SUBSCHEMAS_MAX: u32 = 4096;
/// References and applicators that may be nested in place.
const IN_PLACE_DEPTH_MAX: u32 = 128;
/// Keywords whose value is one schema applied to the same place.
const IN_PLACE_ONE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords whose value is a list of schemas applied to the same place.
const IN_PLACE_LIST: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords whose value is an object of schemas applied to the same place.
const IN_PLACE_MAP: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords that refer to another schema for the same place.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Why a schema is out of bounds, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutOfBounds {
    /// `$ref` that leads out of this schema or to nothing.
    Unresolved(String),
    /// A place that refers to itself without consuming any input.
    Endless,
    /// More than [`IN_PLACE_SUBSCHEMAS_MAX`] subschemas at one place, or nested too deep.
    TooLarge,
}

/// The schema that a local reference names: `#`, `#/json/pointer`, or `#anchor`.
pub(crate) fn resolve<'schema>(root: &'schema Value, reference: &str) -> Option<&'schema Value> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() || fragment.starts_with('/') {
        return root.pointer(&percent_decoded(fragment)?);
    }
    anchored(root, fragment)
}

/// Depth-first search for `$anchor` or `$dynamicAnchor`.
fn anchored<'schema>(node: &'schema Value, anchor: &str) -> Option<&'schema Value> {
    match node {
        Value::Object(members) => {
            let named = ["$anchor", "$dynamicAnchor"];
            if named
                .iter()
                .any(|key| members.get(*key).and_then(Value::as_str) == Some(anchor))
            {
                return Some(node);
            }
            members.values().find_map(|child| anchored(child, anchor))
        }
        Value::Array(elements) => elements.iter().find_map(|child| anchored(child, anchor)),
        _ => None,
    }
}

fn percent_decoded(fragment: &str) -> Option<String> {
    if !fragment.contains('%') {
        return Some(fragment.to_owned());
    }
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The schemas applied to the same place as `node`: its combinators and what it refers to.
pub(crate) fn in_place_children<'schema>(
    root: &'schema Value,
    node: &'schema Value,
) -> Result<Vec<&'schema Value>, OutOfBounds> {
    let Value::Object(members) = node else {
        return Ok(Vec::new());
    };
    let mut children: Vec<&Value> = Vec::new();
    children.extend(IN_PLACE_ONE.iter().filter_map(|key| members.get(*key)));
    children.extend(
        IN_PLACE_LIST
            .iter()
            .filter_map(|key| members.get(*key))
            .filter_map(Value::as_array)
            .flatten(),
    );
    children.extend(
        IN_PLACE_MAP
            .iter()
            .filter_map(|key| members.get(*key))
            .filter_map(Value::as_object)
            .flat_map(|map| map.values()),
    );
    for reference in REFERENCES
        .iter()
        .filter_map(|key| members.get(*key))
        .filter_map(Value::as_str)
    {
        children.push(resolve(root, reference).ok_or_else(|| OutOfBounds::Unresolved(reference.to_owned()))?);
    }
    Ok(children)
}

/// Checks every place of `root`: references resolve inside it, no place refers to itself in place, none expands beyond the bound.
pub(crate) fn check_bounds(root: &Value) -> Result<(), OutOfBounds> {
    let mut walk = Walk {
        root,
        known: HashMap::new(),
        open: HashSet::new(),
    };
    walk.every_place(root)
}

struct Walk<'schema> {
    root: &'schema Value,
    /// Subschemas in place by node address; the schema does not move while it is borrowed.
    known: HashMap<usize, u32>,
    open: HashSet<usize>,
}

impl<'schema> Walk<'schema> {
    fn every_place(&mut self, node: &'schema Value) -> Result<(), OutOfBounds> {
        match node {
            Value::Object(members) => {
                self.subschemas_in_place(node, 0)?;
                members.values().try_for_each(|child| self.every_place(child))
            }
            Value::Array(elements) => elements.iter().try_for_each(|child| self.every_place(child)),
            _ => Ok(()),
        }
    }

    fn subschemas_in_place(&mut self, node: &'schema Value, depth: u32) -> Result<u32, OutOfBounds> {
        let address = std::ptr::from_ref(node).addr();
        if let Some(known) = self.known.get(&address) {
            return Ok(*known);
        }
        if depth > IN_PLACE_DEPTH_MAX {
            return Err(OutOfBounds::TooLarge);
        }
        if !self.open.insert(address) {
            return Err(OutOfBounds::Endless);
        }
        let mut sum: u32 = 1;
        for child in in_place_children(self.root, node)? {
            sum = sum.saturating_add(self.subschemas_in_place(child, depth + 1)?);
        }
        self.open.remove(&address);
        if sum > IN_PLACE_SUBSCHEMAS_MAX {
            return Err(OutOfBounds::TooLarge);
        }
        self.known.insert(address, sum);
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{OutOfBounds, check_bounds, resolve};

    #[test]
    fn recursion_that_consumes_input_is_fine() {
        let tree = json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}});
        assert_eq!(check_bounds(&tree), Ok(()));
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
        assert_eq!(resolve(&schema, "#/$defs/a%20b~1c"), Some(&json!({"const": 1})));
        assert_eq!(
            resolve(&schema, "#here").and_then(|found| found.get("const")),
            Some(&json!(2))
        );
    }
}
