//! Bounds for schemas that come from a hostile server: every reference local, nothing endless, nothing exponential.

use std::collections::HashMap;

use serde_json::Value;

mod graph;
mod steps;

pub(crate) use graph::{Expansion, check_bounds};
pub(crate) use steps::{Budget, STEP_KEYWORD, Step, guard_recursion};

/// Bytes that the paths of all anchors of one schema may take together.
const ANCHOR_PATHS_BYTES_MAX: usize = 1024 * 1024;
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
    /// A nested `$id` beside references: what they name would depend on where they stand.
    Rebased,
    /// A place that refers to itself without consuming any input.
    Endless,
    /// Too many subschemas for one place or for one instance, or nested too deep.
    TooLarge,
}

/// Where the anchors of one schema lie, found once.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    /// JSON pointer by name; none where the name is declared twice, since then it names nothing for certain.
    paths: HashMap<String, Option<String>>,
    bytes: usize,
}

impl Anchors {
    /// Finds every `$anchor` and `$dynamicAnchor` of `root`.
    ///
    /// # Errors
    /// [`OutOfBounds::TooLarge`] when the paths take more than [`ANCHOR_PATHS_BYTES_MAX`] bytes.
    pub(crate) fn of(root: &Value) -> Result<Self, OutOfBounds> {
        let mut anchors = Self::default();
        anchors.collect(root, &mut String::new())?;
        Ok(anchors)
    }

    fn collect(&mut self, node: &Value, path: &mut String) -> Result<(), OutOfBounds> {
        let here = path.len();
        match node {
            Value::Object(members) => {
                self.declare(node, path)?;
                for (key, child) in members {
                    path.push('/');
                    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    self.collect(child, path)?;
                    path.truncate(here);
                }
            }
            Value::Array(elements) => {
                for (index, child) in elements.iter().enumerate() {
                    path.push('/');
                    path.push_str(&index.to_string());
                    self.collect(child, path)?;
                    path.truncate(here);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn declare(&mut self, node: &Value, path: &str) -> Result<(), OutOfBounds> {
        let mut names: Vec<&str> = ["$anchor", "$dynamicAnchor"]
            .iter()
            .filter_map(|key| node.get(*key).and_then(Value::as_str))
            .collect();
        names.dedup();
        for name in names {
            self.bytes = self.bytes.saturating_add(path.len());
            if self.bytes > ANCHOR_PATHS_BYTES_MAX {
                return Err(OutOfBounds::TooLarge);
            }
            self.paths
                .entry(name.to_owned())
                .and_modify(|known| *known = None)
                .or_insert_with(|| Some(path.to_owned()));
        }
        Ok(())
    }
}

/// The schema that a local reference names: `#`, `#/json/pointer`, or `#anchor`.
pub(crate) fn resolve<'schema>(root: &'schema Value, anchors: &Anchors, reference: &str) -> Option<&'schema Value> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() || fragment.starts_with('/') {
        return root.pointer(&percent_decoded(fragment)?);
    }
    root.pointer(anchors.paths.get(fragment)?.as_ref()?)
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

/// The subschemas that stand inside `node` and apply to the same place: its combinators.
fn combined(node: &Value) -> impl Iterator<Item = &Value> {
    let one = IN_PLACE_ONE.iter().filter_map(|key| node.get(*key));
    let lists = IN_PLACE_LIST.iter().filter_map(|key| node.get(*key)?.as_array());
    let maps = IN_PLACE_MAP.iter().filter_map(|key| node.get(*key)?.as_object());
    one.chain(lists.flatten()).chain(maps.flat_map(|map| map.values()))
}

/// What the reference keywords of `node` say.
fn references(node: &Value) -> impl Iterator<Item = &str> {
    REFERENCES.iter().filter_map(|key| node.get(*key)?.as_str())
}

/// What `node` refers to.
fn referred<'schema>(
    root: &'schema Value,
    anchors: &Anchors,
    node: &'schema Value,
) -> Result<Vec<&'schema Value>, OutOfBounds> {
    references(node)
        .map(|reference| resolve(root, anchors, reference).ok_or_else(|| OutOfBounds::Unresolved(reference.to_owned())))
        .collect()
}

/// The schemas applied to the same place as `node`: its combinators and what it refers to.
pub(crate) fn in_place_children<'schema>(
    root: &'schema Value,
    anchors: &Anchors,
    node: &'schema Value,
) -> Result<Vec<&'schema Value>, OutOfBounds> {
    let mut children = referred(root, anchors, node)?;
    children.extend(combined(node));
    Ok(children)
}

#[cfg(test)]
mod tests;
