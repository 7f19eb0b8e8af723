//! Which conditions of a policy a request does not meet, each looked at by itself.

use cedar_policy::{Authorizer, Decision, Entities, Policy, PolicySet, Request};
use serde_json::{Value, json};

use super::source::words;

/// Conditions of one policy that are looked at; a policy with more is told as a whole.
const CONDITIONS_MAX: usize = 256;

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The condition, as Cedar writes it.
    pub condition: String,
    /// Why it cannot be told by itself, where it cannot.
    pub untold: Option<String>,
}

/// The conditions of `policy`, in Cedar's JSON form, that do not hold for `request`. What is joined by `&&` is looked at piece by piece; a piece
/// that cannot be evaluated behind one that is false is left out, since Cedar would not have come to it either.
pub(super) fn unmet(policy: &Value, request: &Request, entities: &Entities) -> Vec<Unmet> {
    let conditions = policy.get("conditions").and_then(Value::as_array);
    let mut pieces = Vec::new();
    for condition in conditions.into_iter().flatten() {
        let body = condition.get("body").unwrap_or(&Value::Null);
        match condition.get("kind").and_then(Value::as_str) {
            Some("unless") => split("||", body, &mut |body| {
                pieces.push(json!({"kind": "unless", "body": body}))
            }),
            _ => split("&&", body, &mut |body| {
                pieces.push(json!({"kind": "when", "body": body}))
            }),
        }
    }
    let mut all: Vec<Unmet> = Vec::new();
    for piece in pieces.into_iter().take(CONDITIONS_MAX) {
        match holds(&piece, request, entities) {
            Ok((true, _)) => {}
            Ok((false, condition)) => all.push(Unmet {
                condition,
                untold: None,
            }),
            Err((cause, condition)) if all.is_empty() => all.push(Unmet {
                condition,
                untold: Some(cause),
            }),
            Err(_behind_a_false_one) => {}
        }
    }
    all
}

/// The pieces of a chain of one operator, from left to right.
fn split(operator: &str, body: &Value, each: &mut impl FnMut(&Value)) {
    let Some(sides) = body.get(operator) else {
        each(body);
        return;
    };
    for side in ["left", "right"] {
        split(operator, sides.get(side).unwrap_or(&Value::Null), each);
    }
}

/// Whether one condition holds, and how Cedar writes it; the cause where it cannot be told.
fn holds(condition: &Value, request: &Request, entities: &Entities) -> Result<(bool, String), (String, String)> {
    let policy = json!({
        "effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": [condition],
    });
    let policy = Policy::from_json(None, policy).map_err(|error| (words(&error), String::new()))?;
    let text = policy.to_cedar().map_or_else(String::new, |text| body_of(&text));
    let set = PolicySet::from_policies([policy]).map_err(|error| (words(&error), text.clone()))?;
    let response = Authorizer::new().is_authorized(request, &set, entities);
    match response.diagnostics().errors().next() {
        Some(error) => Err((words(error), text)),
        None => Ok((response.decision() == Decision::Allow, text)),
    }
}

/// What stands between the braces of the one condition, with `unless` in front where it is one.
fn body_of(policy: &str) -> String {
    let begin = policy.find('{').unwrap_or_default();
    let end = policy.rfind('}').unwrap_or(policy.len());
    let body = policy.get(begin.saturating_add(1)..end).unwrap_or_default().trim();
    let is_unless = policy.get(..begin).is_some_and(|head| head.contains("unless"));
    // Lines are Cedar's layout: a line break of a value is escaped.
    let body: Vec<&str> = body.lines().map(str::trim).collect();
    let prefix = if is_unless { "unless " } else { "" };
    format!("{prefix}{}", as_written(body.join(" ")))
}

/// Cedar keeps `a >= b` as `!(a < b)`: a comparison of two plain terms is told as somebody would write it.
fn as_written(body: String) -> String {
    let inner = body.strip_prefix("!(").and_then(|rest| rest.strip_suffix(')'));
    let is_plain = |inner: &&str| !inner.contains(['(', ')', '"', '&', '|']);
    let written = inner.filter(is_plain).and_then(|inner| {
        let operators = [(" < ", " >= "), (" <= ", " > "), (" == ", " != ")];
        operators.into_iter().find_map(|(kept, written)| {
            let (left, right) = inner.split_once(kept)?;
            Some(format!("{left}{written}{right}"))
        })
    });
    written.unwrap_or(body)
}
