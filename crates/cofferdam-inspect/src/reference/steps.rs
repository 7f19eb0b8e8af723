//! The work of one check, counted while it runs: recursion over an instance stops when the budget is spent.

use std::cell::Cell;
use std::collections::BTreeMap;

use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value, json};

use super::{OutOfBounds, REFERENCES};

/// Keyword that charges one step of recursion; its value is the weight of what comes after it.
pub(crate) const STEP_KEYWORD: &str = "x-cofferdam-step";
/// Where the guarded references lie in the schema that is compiled.
const STEPS_AT: &str = "x-cofferdam-steps";
/// Subschemas times values that one check may take. Each costs nanoseconds, so that a check ends within seconds at worst.
pub(crate) const WORK_MAX: u64 = 20_000_000;

thread_local! {
    static WORK_LEFT: Cell<u64> = const { Cell::new(0) };
}

/// What is left of the work of the check that runs on this thread. A check runs on one thread and holds no other.
#[derive(Debug)]
pub(crate) struct Budget;

impl Budget {
    /// Starts a check.
    pub(crate) fn start() -> Self {
        WORK_LEFT.set(WORK_MAX);
        Self
    }

    /// Takes the work of judging `instance` by `weight` subschemas; false when there is not enough left.
    pub(crate) fn charge(&self, instance: &Value, weight: u64) -> bool {
        charge(instance, weight)
    }

    /// Whether any charge failed. What the check found then counts for nothing.
    pub(crate) fn is_spent(&self) -> bool {
        WORK_LEFT.get() == 0
    }
}

fn charge(instance: &Value, weight: u64) -> bool {
    let left = WORK_LEFT.get();
    let mut values_left = left / weight.max(1);
    let affordable = count_down(instance, &mut values_left);
    let rest = if affordable {
        values_left.saturating_mul(weight.max(1))
    } else {
        0
    };
    WORK_LEFT.set(rest);
    rest > 0
}

/// Takes every value inside `instance` and itself from `left`; false when they are more. Never takes longer than what it takes.
fn count_down(instance: &Value, left: &mut u64) -> bool {
    let Some(rest) = left.checked_sub(1) else { return false };
    *left = rest;
    match instance {
        Value::Object(members) => members.values().all(|value| count_down(value, left)),
        Value::Array(elements) => elements.iter().all(|value| count_down(value, left)),
        _ => true,
    }
}

/// The keyword [`STEP_KEYWORD`], compiled.
#[derive(Debug)]
pub(crate) struct Step {
    weight: u64,
}

impl Step {
    /// The keyword with its value. A server that writes it into its schema only charges itself.
    pub(crate) fn new(value: &Value) -> Self {
        Self {
            weight: value.as_u64().unwrap_or(u64::MAX),
        }
    }
}

impl<'i> Keyword<'i> for Step {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if charge(instance, self.weight) {
            Ok(())
        } else {
            Err(ValidationError::custom("the work of this check is spent"))
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        charge(instance, self.weight)
    }
}

/// Puts a [`Step`] before every reference of `recursive` (by preorder number with its weight, as `check_bounds` found them).
///
/// An `allOf` is judged in order, so a step that fails ends the recursion there, whatever the validator remembers or repeats.
/// Where `siblings_count`, step and reference go into an `allOf` of their object; drafts that ignore what stands beside a
/// reference get it by reference, so that it stays ignored.
///
/// # Errors
/// [`OutOfBounds::TooLarge`] when the schema already uses the place where the steps go.
pub(crate) fn guard_recursion(
    root: &mut Value,
    recursive: &BTreeMap<usize, u64>,
    siblings_count: bool,
) -> Result<(), OutOfBounds> {
    if recursive.is_empty() {
        return Ok(());
    }
    if root.get(STEPS_AT).is_some() {
        return Err(OutOfBounds::TooLarge);
    }
    let mut guards = Guards {
        recursive,
        siblings_count,
        number: 0,
        steps: Map::new(),
    };
    guards.visit(root)?;
    if let Value::Object(members) = root
        && !siblings_count
    {
        members.insert(STEPS_AT.to_owned(), Value::Object(guards.steps));
    }
    Ok(())
}

struct Guards<'expansion> {
    recursive: &'expansion BTreeMap<usize, u64>,
    siblings_count: bool,
    /// Preorder number of the next object.
    number: usize,
    steps: Map<String, Value>,
}

impl Guards<'_> {
    fn visit(&mut self, value: &mut Value) -> Result<(), OutOfBounds> {
        match value {
            Value::Object(members) => {
                let mine = self.number;
                self.number += 1;
                members.values_mut().try_for_each(|child| self.visit(child))?;
                match self.recursive.get(&mine) {
                    Some(weight) => self.guard(members, mine, *weight),
                    None => Ok(()),
                }
            }
            Value::Array(elements) => elements.iter_mut().try_for_each(|child| self.visit(child)),
            _ => Ok(()),
        }
    }

    fn guard(&mut self, members: &mut Map<String, Value>, number: usize, weight: u64) -> Result<(), OutOfBounds> {
        let mut parts = vec![json!({STEP_KEYWORD: weight})];
        for keyword in REFERENCES {
            if members.get(keyword).is_some_and(Value::is_string) {
                parts.extend(members.remove(keyword).map(|reference| json!({keyword: reference})));
            }
        }
        if self.siblings_count {
            let all = members.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
            all.as_array_mut().ok_or(OutOfBounds::TooLarge)?.extend(parts);
        } else {
            members.insert("$ref".to_owned(), Value::String(format!("#/{STEPS_AT}/{number}")));
            self.steps.insert(number.to_string(), json!({"allOf": parts}));
        }
        Ok(())
    }
}
