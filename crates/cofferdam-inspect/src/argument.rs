//! Arguments of a `tools/call` against the tool's pinned input schema (JSON Schema 2020-12, or draft 7 where it says so).

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use cofferdam_protocol::{DEPTH_MAX, fold};
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::finding::{Confidence, Finding, show_safely};
use crate::reference::{
    Anchors, Budget, Expansion, OutOfBounds, STEP_KEYWORD, Step, check_bounds, guard_recursion, in_place_children,
};
use crate::rule::{ARGUMENT_CASE_FOLDED_KEY, ARGUMENT_SCHEMA, TOOL_SCHEMA_UNUSABLE};

mod closing;

use closing::{closed, is_old_draft};

/// Findings reported for one call at most; more say nothing new.
const FINDINGS_MAX: usize = 8;
/// Subschemas times values up to which a refusal says where and why; the list of all errors is built before any is read.
const WORDS_WORK_MAX: u64 = 200_000;
/// Steps a look-around or back-reference pattern of a server may take before the value counts as not matching.
const PATTERN_BACKTRACK_MAX: usize = 20_000;
/// Evidence when the bound on the work of one check is reached.
const TOO_MUCH_WORK: &str = "the arguments take too much work to judge by the schema";
/// Where arguments lie in a `tools/call` request.
const ARGUMENTS_AT: &str = "/params/arguments";

/// A tool's input schema, compiled once, that judges the arguments of its calls.
#[derive(Debug)]
pub struct ArgumentSchema {
    validator: Validator,
    root: Value,
    anchors: Anchors,
    expansion: Expansion,
    /// Every property name the schema knows, by its case-folded form.
    known_names: BTreeMap<String, HashSet<String>>,
}

/// Why a tool's schema cannot judge arguments. A tool with such a schema must not be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaUnusable {
    /// The cause, for people.
    pub cause: String,
}

impl std::fmt::Display for SchemaUnusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the tool's input schema cannot be used: {}", self.cause)
    }
}

impl std::error::Error for SchemaUnusable {}

impl SchemaUnusable {
    fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into() }
    }

    /// The same as a finding, for the record and for `tools`.
    #[must_use]
    pub fn finding(&self) -> Finding {
        Finding::new(
            &TOOL_SCHEMA_UNUSABLE,
            Confidence::High,
            "/inputSchema",
            show_safely(&self.cause),
        )
    }
}

impl ArgumentSchema {
    /// Compiles the `inputSchema` of a tool definition (raw JSON text as listed by the server).
    ///
    /// A root that says nothing about unknown properties is closed (`unevaluatedProperties: false`); nested objects stay as the
    /// schema has them. Without `$schema` the dialect is 2020-12, as MCP says.
    ///
    /// # Errors
    /// The definition is not an object with an object `inputSchema`, refers outside itself, is endless or exponential, or is not a valid schema.
    pub fn compile(definition: &str) -> Result<Self, SchemaUnusable> {
        let definition: Value =
            serde_json::from_str(definition).map_err(|error| SchemaUnusable::new(format!("not JSON: {error}")))?;
        let schema = definition.get("inputSchema").filter(|schema| schema.is_object());
        let schema = schema.ok_or_else(|| SchemaUnusable::new("`inputSchema` is missing or not an object"))?;
        let root = closed(schema).map_err(|why| SchemaUnusable::new(out_of_bounds_words(&why)))?;
        Self::of(root)
    }

    /// Compiles a schema as it stands.
    pub(crate) fn of(root: Value) -> Result<Self, SchemaUnusable> {
        let out_of_bounds = |why: OutOfBounds| SchemaUnusable::new(out_of_bounds_words(&why));
        let anchors = Anchors::of(&root).map_err(out_of_bounds)?;
        let expansion = check_bounds(&root, &anchors).map_err(out_of_bounds)?;
        let mut guarded = root.clone();
        guard_recursion(&mut guarded, &expansion.recursive, !is_old_draft(&root)).map_err(out_of_bounds)?;
        Ok(Self {
            validator: catch_unwind(|| compiled(&guarded))
                .unwrap_or_else(|_| Err(SchemaUnusable::new("it cannot be compiled")))?,
            known_names: known_names(&root),
            root,
            anchors,
            expansion,
        })
    }

    /// Judges the raw text of `params.arguments`; absent arguments are an empty object.
    #[must_use]
    pub fn check(&self, arguments: Option<&str>) -> Vec<Finding> {
        match serde_json::from_str(arguments.unwrap_or("{}")) {
            Ok(instance) => self.check_value(&instance),
            Err(_) => vec![Self::unreadable()],
        }
    }

    /// What is found where arguments cannot be parsed at all.
    #[must_use]
    pub fn unreadable() -> Finding {
        refusal("the arguments hold a number or a form that cannot be read exactly")
    }

    /// Judges arguments that were parsed.
    #[must_use]
    pub fn check_value(&self, instance: &Value) -> Vec<Finding> {
        let Some(values) = values_within_depth(instance, DEPTH_MAX) else {
            return vec![refusal("the arguments are nested too deep")];
        };
        let budget = Budget::start();
        if !budget.charge(instance, self.expansion.weight) {
            return vec![refusal(TOO_MUCH_WORK)];
        }
        // The validator was seen to panic on deep recursive schemas (`pending schema target dropped`); it keeps nothing
        // between checks, so that a panic is one refused call and not the end of the session.
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let valid = self.validator.is_valid(instance);
            if valid || budget.is_spent() {
                Vec::new()
            } else {
                self.mismatches(instance, values)
            }
        }));
        let Ok(mut findings) = judged else {
            return vec![refusal("the schema's recursion cannot be judged")];
        };
        if budget.is_spent() {
            return vec![refusal(TOO_MUCH_WORK)];
        }
        if self.may_hold_folded_key(instance) {
            self.folded_keys(&[&self.root], instance, ARGUMENTS_AT, &mut findings);
        }
        findings
    }

    /// What does not match, in words where they are cheap: listing errors repeats work that judging does not.
    fn mismatches(&self, instance: &Value, values: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.expansion.has_references && values.saturating_mul(self.expansion.weight) <= WORDS_WORK_MAX {
            findings.extend(self.validator.iter_errors(instance).take(FINDINGS_MAX).map(|error| {
                let at = format!("{ARGUMENTS_AT}{}", error.instance_path().as_str());
                let words = error.masked_with("the value").to_string();
                Finding::new(&ARGUMENT_SCHEMA, Confidence::High, at, show_safely(&words))
            }));
        }
        if findings.is_empty() {
            findings.push(refusal("the arguments do not match the schema"));
        }
        findings
    }

    /// Whether any key anywhere folds to a known name without being one. Cheap, and almost always false.
    fn may_hold_folded_key(&self, instance: &Value) -> bool {
        match instance {
            Value::Object(members) => members.iter().any(|(key, value)| {
                let odd = self
                    .known_names
                    .get(fold(key).as_ref())
                    .is_some_and(|spellings| !spellings.contains(key));
                odd || self.may_hold_folded_key(value)
            }),
            Value::Array(elements) => elements.iter().any(|element| self.may_hold_folded_key(element)),
            _ => false,
        }
    }

    /// Walks instance and schema together, so that free-form objects (headers, environments) may hold what they like.
    fn folded_keys(&self, schemas: &[&Value], instance: &Value, at: &str, findings: &mut Vec<Finding>) {
        if findings.len() >= FINDINGS_MAX {
            return;
        }
        let here = self.in_place(schemas);
        match instance {
            Value::Object(members) => {
                let known: HashSet<&str> = here
                    .iter()
                    .filter_map(|node| node.get("properties"))
                    .filter_map(Value::as_object)
                    .flat_map(Map::keys)
                    .map(String::as_str)
                    .collect();
                let known_folded: HashSet<_> = known.iter().map(|name| fold(name)).collect();
                for (key, value) in members {
                    let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    if !known.contains(key.as_str()) && known_folded.contains(&fold(key)) {
                        findings.push(Finding::new(
                            &ARGUMENT_CASE_FOLDED_KEY,
                            Confidence::High,
                            show_safely(&place),
                            format!("`{}`", show_safely(key)),
                        ));
                    }
                    self.folded_keys(&member_schemas(&here, key), value, &place, findings);
                }
            }
            Value::Array(elements) => {
                let schemas = element_schemas(&here);
                for (index, element) in elements.iter().enumerate() {
                    self.folded_keys(&schemas, element, &format!("{at}/{index}"), findings);
                }
            }
            _ => {}
        }
    }

    /// `schemas` and everything they apply in place. Bounded, since [`check_bounds`] passed.
    fn in_place<'schema>(&'schema self, schemas: &[&'schema Value]) -> Vec<&'schema Value> {
        let mut seen = HashSet::new();
        let mut all: Vec<&Value> = Vec::new();
        let mut open: Vec<&Value> = schemas.to_vec();
        while let Some(node) = open.pop() {
            if seen.insert(std::ptr::from_ref(node).addr()) {
                all.push(node);
                open.extend(in_place_children(&self.root, &self.anchors, node).unwrap_or_default());
            }
        }
        all
    }
}

fn refusal(words: &str) -> Finding {
    Finding::new(&ARGUMENT_SCHEMA, Confidence::High, ARGUMENTS_AT, words)
}

/// How many values `instance` holds, itself included; none when they are nested deeper than `depth`.
fn values_within_depth(instance: &Value, depth: usize) -> Option<u64> {
    let inside = |value| values_within_depth(value, depth.checked_sub(1)?);
    match instance {
        Value::Object(members) => members.values().try_fold(1, |sum, value| Some(sum + inside(value)?)),
        Value::Array(elements) => elements.iter().try_fold(1, |sum, value| Some(sum + inside(value)?)),
        _ => Some(1),
    }
}

/// What may describe the member `key`: its own property schema, and every pattern or additional schema.
fn member_schemas<'schema>(here: &[&'schema Value], key: &str) -> Vec<&'schema Value> {
    let mut schemas = Vec::new();
    for node in here {
        schemas.extend(node.get("properties").and_then(|properties| properties.get(key)));
        schemas.extend(
            node.get("patternProperties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|map| map.values()),
        );
        schemas.extend(
            ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .filter_map(|name| node.get(*name))
                .filter(|schema| schema.is_object()),
        );
    }
    schemas
}

fn element_schemas<'schema>(here: &[&'schema Value]) -> Vec<&'schema Value> {
    let names = [
        "items",
        "prefixItems",
        "additionalItems",
        "contains",
        "unevaluatedItems",
    ];
    let values = here
        .iter()
        .flat_map(|node| names.iter().filter_map(|name| node.get(*name)));
    values
        .flat_map(|value| {
            value
                .as_array()
                .map_or_else(|| vec![value], |list| list.iter().collect())
        })
        .collect()
}

fn out_of_bounds_words(why: &OutOfBounds) -> String {
    match why {
        OutOfBounds::Unresolved(reference) => format!(
            "`$ref` to `{}` leads out of the schema or to nothing",
            show_safely(reference)
        ),
        OutOfBounds::Rebased => "a nested `$id` changes what its references name".to_owned(),
        OutOfBounds::Endless => "it refers to itself without end".to_owned(),
        OutOfBounds::TooLarge => "it expands beyond the bound".to_owned(),
    }
}

/// Every property name anywhere in the schema, by folded form.
fn known_names(root: &Value) -> BTreeMap<String, HashSet<String>> {
    fn collect(node: &Value, names: &mut BTreeMap<String, HashSet<String>>) {
        match node {
            Value::Object(members) => {
                if let Some(Value::Object(properties)) = members.get("properties") {
                    for name in properties.keys() {
                        names.entry(fold(name).into_owned()).or_default().insert(name.clone());
                    }
                }
                members.values().for_each(|child| collect(child, names));
            }
            Value::Array(elements) => elements.iter().for_each(|child| collect(child, names)),
            _ => {}
        }
    }
    let mut names = BTreeMap::new();
    collect(root, &mut names);
    names
}

/// Linear-time patterns first; only a schema that needs look-around gets the backtracking engine, with a limit.
fn compiled(root: &Value) -> Result<Validator, SchemaUnusable> {
    let options = || {
        jsonschema::options()
            .with_retriever(NothingOutside)
            .with_keyword(STEP_KEYWORD, |_, value, _| Ok(Box::new(Step::new(value))))
    };
    let linear = options().with_pattern_options(PatternOptions::regex()).build(root);
    match linear {
        Ok(validator) => Ok(validator),
        Err(_) => options()
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(PATTERN_BACKTRACK_MAX))
            .build(root)
            .map_err(|error| SchemaUnusable::new(show_safely(&error.to_string()))),
    }
}

/// Schemas never reach out: every retrieval is refused.
struct NothingOutside;

impl jsonschema::Retrieve for NothingOutside {
    fn retrieve(&self, uri: &jsonschema::Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{}` lies outside the schema", show_safely(uri.as_str())).into())
    }
}

#[cfg(test)]
mod tests;
