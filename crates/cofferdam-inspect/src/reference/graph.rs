//! The schema as a graph of places, and how far it expands along any instance.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Anchors, OutOfBounds, combined, references, referred};

/// Subschemas that one place of an instance may be judged by, references followed. Real tools stay below 300.
pub(crate) const IN_PLACE_SUBSCHEMAS_MAX: u64 = 4096;
/// References and applicators that may be nested in place. With the nesting of a message this bounds the stack of a check.
pub(crate) const IN_PLACE_DEPTH_MAX: u64 = 16;
/// Subschemas, counted as often as they are reached through places and their children, that one schema may expand to.
pub(crate) const EXPANSION_MAX: u64 = 100_000;
/// Keywords whose value is one schema, or a list of schemas, for what lies inside the place.
const CHILD_ONE: [&str; 8] = [
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
];
/// Keywords whose value is an object of schemas for what lies inside the place.
const CHILD_MAP: [&str; 2] = ["properties", "patternProperties"];

/// How far a schema within bounds expands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// Subschemas reached from the root, each as often as it is reached, recursion cut.
    pub(crate) weight: u64,
    /// The objects whose references lead back to themselves, by preorder number, with the weight of what they refer to.
    pub(crate) recursive: BTreeMap<usize, u64>,
    /// Whether the schema refers to anything at all.
    pub(crate) has_references: bool,
}

/// Checks `root`: references resolve inside it, no place refers to itself in place, and nothing expands beyond the bounds.
///
/// # Errors
/// The first way in which the schema is [`OutOfBounds`].
pub(crate) fn check_bounds(root: &Value, anchors: &Anchors) -> Result<Expansion, OutOfBounds> {
    let graph = Graph::of(root, anchors)?;
    graph.check_in_place()?;
    let expansion = graph.expansion();
    let heaviest = expansion.recursive.values().copied().fold(expansion.weight, u64::max);
    if heaviest > EXPANSION_MAX {
        return Err(OutOfBounds::TooLarge);
    }
    Ok(expansion)
}

/// Every object of `value`, parents before their members. [`super::guard_recursion`] counts in the same order.
fn preorder<'schema>(value: &'schema Value, all: &mut Vec<&'schema Value>) {
    match value {
        Value::Object(members) => {
            all.push(value);
            members.values().for_each(|child| preorder(child, all));
        }
        Value::Array(elements) => elements.iter().for_each(|child| preorder(child, all)),
        _ => {}
    }
}

/// Whether `node` starts a resource of its own, against which its references would be read.
fn rebases(node: &Value, with_old_id: bool) -> bool {
    let names_itself = |key| {
        node.get(key)
            .and_then(Value::as_str)
            .is_some_and(|id| !id.starts_with('#'))
    };
    names_itself("$id") || (with_old_id && names_itself("id"))
}

fn child_schemas(node: &Value) -> impl Iterator<Item = &Value> {
    let one = CHILD_ONE.iter().filter_map(|key| node.get(*key));
    let maps = CHILD_MAP.iter().filter_map(|key| node.get(*key)?.as_object());
    one.flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice))
        .chain(maps.flat_map(|map| map.values()))
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    to: usize,
    in_place: bool,
    reference: bool,
}

/// One object of the schema document; what is no schema has no edge that leads to it.
#[derive(Debug, Default)]
struct Node {
    edges: Vec<Edge>,
    /// Whether it has `unevaluatedProperties` or `unevaluatedItems`, which judge the combinators beside them again.
    asks_again: bool,
}

#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<Node>,
    has_references: bool,
}

impl Graph {
    fn of(root: &Value, anchors: &Anchors) -> Result<Self, OutOfBounds> {
        let mut objects = Vec::new();
        preorder(root, &mut objects);
        let numbers: HashMap<usize, usize> = objects
            .iter()
            .enumerate()
            .map(|(number, object)| (std::ptr::from_ref(*object).addr(), number))
            .collect();
        let number = |node: &Value| numbers.get(&std::ptr::from_ref(node).addr()).copied();
        let has_references = objects.iter().any(|object| references(object).next().is_some());
        let with_old_id = objects.iter().any(|object| {
            let dialect = object.get("$schema").and_then(Value::as_str);
            dialect.is_some_and(|dialect| dialect.contains("draft-04"))
        });
        if has_references && objects.iter().skip(1).any(|object| rebases(object, with_old_id)) {
            return Err(OutOfBounds::Rebased);
        }
        let mut nodes = Vec::with_capacity(objects.len());
        for object in &objects {
            let mut edges = Vec::new();
            let mut add = |node: &Value, in_place, reference| {
                edges.extend(number(node).map(|to| Edge {
                    to,
                    in_place,
                    reference,
                }));
            };
            combined(object).for_each(|node| add(node, true, false));
            child_schemas(object).for_each(|node| add(node, false, false));
            referred(root, anchors, object)?
                .into_iter()
                .for_each(|node| add(node, true, true));
            let asks_again = object
                .get("unevaluatedProperties")
                .or_else(|| object.get("unevaluatedItems"));
            nodes.push(Node {
                edges,
                asks_again: asks_again.is_some(),
            });
        }
        Ok(Self { nodes, has_references })
    }

    fn edges(&self, node: usize) -> &[Edge] {
        self.nodes.get(node).map_or(&[], |node| &node.edges)
    }

    /// Every node after all that it leads to by the edges `follow` takes, and whether there is a cycle among them.
    fn postorder(&self, follow: impl Fn(usize, &Edge) -> bool) -> (Vec<usize>, bool) {
        let mut state = vec![Visit::Unseen; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut cyclic = false;
        for start in 0..self.nodes.len() {
            let mut open = vec![(start, 0)];
            while let Some((node, next)) = open.pop() {
                let Some(visit) = state.get_mut(node) else { continue };
                if next == 0 {
                    match visit {
                        Visit::Unseen => *visit = Visit::Open,
                        Visit::Open => {
                            cyclic = true;
                            continue;
                        }
                        Visit::Done => continue,
                    }
                }
                if let Some(edge) = self.edges(node).get(next) {
                    open.push((node, next + 1));
                    if follow(node, edge) {
                        open.push((edge.to, 0));
                    }
                } else {
                    *visit = Visit::Done;
                    order.push(node);
                }
            }
        }
        (order, cyclic)
    }

    /// For every node the number of its strongly connected component: those with the same number reach each other.
    fn components(&self) -> Vec<usize> {
        let mut backward: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (from, node) in self.nodes.iter().enumerate() {
            for edge in &node.edges {
                if let Some(sources) = backward.get_mut(edge.to) {
                    sources.push(from);
                }
            }
        }
        let mut component = vec![usize::MAX; self.nodes.len()];
        for start in self.postorder(|_, _| true).0.into_iter().rev() {
            let mut open = vec![start];
            while let Some(node) = open.pop() {
                if let Some(mine) = component.get_mut(node).filter(|mine| **mine == usize::MAX) {
                    *mine = start;
                    open.extend(backward.get(node).into_iter().flatten());
                }
            }
        }
        component
    }

    /// One place of an instance: no cycle, not too many subschemas, not too deep.
    fn check_in_place(&self) -> Result<(), OutOfBounds> {
        let (order, cyclic) = self.postorder(|_, edge| edge.in_place);
        if cyclic {
            return Err(OutOfBounds::Endless);
        }
        let mut known = vec![(0_u64, 0_u64); self.nodes.len()];
        for node in order {
            let (mut count, mut depth) = (1_u64, 0_u64);
            for edge in self.edges(node).iter().filter(|edge| edge.in_place) {
                let (below, deep) = known.get(edge.to).copied().unwrap_or_default();
                count = count.saturating_add(below);
                depth = depth.max(deep + 1);
            }
            if count > IN_PLACE_SUBSCHEMAS_MAX || depth > IN_PLACE_DEPTH_MAX {
                return Err(OutOfBounds::TooLarge);
            }
            if let Some(slot) = known.get_mut(node) {
                *slot = (count, depth);
            }
        }
        Ok(())
    }

    /// Weighs every node along the instance, references that lead back cut (these get a [`super::Step`] instead).
    fn expansion(&self) -> Expansion {
        let component = self.components();
        let leads_back = |from: usize, edge: &Edge| edge.reference && component.get(from) == component.get(edge.to);
        // (judging, asking again what was evaluated)
        let mut weights = vec![(0_u64, 0_u64); self.nodes.len()];
        for node in self.postorder(|from, edge| !leads_back(from, edge)).0 {
            let (mut judge, mut ask) = (1_u64, 1_u64);
            for edge in self.edges(node) {
                let back = leads_back(node, edge);
                let (below, asked) = if back {
                    (1, 1)
                } else {
                    weights.get(edge.to).copied().unwrap_or_default()
                };
                judge = judge.saturating_add(below);
                ask = ask
                    .saturating_add(below)
                    .saturating_add(if edge.in_place { asked } else { 0 });
            }
            if self.nodes.get(node).is_some_and(|node| node.asks_again) {
                judge = judge.saturating_add(ask);
            }
            if let Some(slot) = weights.get_mut(node) {
                *slot = (judge, ask);
            }
        }
        let weight = |node: usize| weights.get(node).map_or(0, |weight| weight.0);
        let mut recursive: BTreeMap<usize, u64> = BTreeMap::new();
        for (from, node) in self.nodes.iter().enumerate() {
            for edge in node.edges.iter().filter(|edge| leads_back(from, edge)) {
                let sum = recursive.entry(from).or_default();
                *sum = sum.saturating_add(weight(edge.to));
            }
        }
        Expansion {
            weight: weight(0),
            recursive,
            has_references: self.has_references,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Visit {
    Unseen,
    Open,
    Done,
}
