//! What of a single call a policy looks at. What looks at nothing of it is decided at load.

use std::collections::BTreeSet;

use cedar_policy::{Context, Policy};
use serde_json::Value;

/// Attributes of the context that are known at load, for each level of the ladder.
const KNOWN_AT_LOAD: [&str; 2] = ["consent", "ci"];
/// The attribute that holds the arguments of a call.
pub(super) const INPUT: &str = "input";

/// Which attributes of the context are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads {
    attributes: BTreeSet<String>,
    /// First-level attributes of the arguments.
    input: BTreeSet<String>,
    /// The context, or the arguments, as a whole: then everything counts as read.
    is_everything: bool,
}

impl Reads {
    /// What `policy` reads. Errs on the side of more.
    pub(super) fn of(policy: &Policy) -> Self {
        let mut reads = Self::default();
        match policy.to_json() {
            Ok(json) => reads.walk(json.get("conditions").unwrap_or(&Value::Null)),
            Err(_cause) => reads.is_everything = true,
        }
        reads
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.attributes.extend(other.attributes.iter().cloned());
        self.input.extend(other.input.iter().cloned());
        self.is_everything |= other.is_everything;
    }

    /// Whether nothing of a single call is read.
    pub(super) fn is_known_at_load(&self) -> bool {
        !self.is_everything && self.attributes.iter().all(|name| KNOWN_AT_LOAD.contains(&&**name))
    }

    /// Whether this attribute of the context is read.
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.is_everything || self.attributes.contains(attribute)
    }

    /// The attributes of `context` that are read, but for the level.
    pub(super) fn names(&self, context: &Context) -> Vec<String> {
        let there = context.clone().into_iter().map(|(name, _)| name);
        let mut names: Vec<String> = there.filter(|name| name != "consent" && self.has(name)).collect();
        names.sort();
        names
    }

    /// Whether this argument is read.
    pub(super) fn has_argument(&self, name: &str) -> bool {
        self.is_everything || self.input.contains(name)
    }

    fn walk(&mut self, expression: &Value) {
        match expression {
            Value::Array(many) => many.iter().for_each(|one| self.walk(one)),
            Value::Object(members) => {
                for operator in [".", "has"] {
                    if let Some(access) = members.get(operator) {
                        self.access(operator, access);
                        return;
                    }
                }
                if members.get("Var").is_some_and(|name| name == "context") {
                    self.is_everything = true;
                }
                members.values().for_each(|one| self.walk(one));
            }
            _ => {}
        }
    }

    fn access(&mut self, operator: &str, access: &Value) {
        let left = access.get("left").unwrap_or(&Value::Null);
        // `has` may name a path: its first step is what is read.
        let attribute = match access.get("attr") {
            Some(Value::String(attribute)) => Some(attribute.as_str()),
            Some(Value::Array(path)) => path.first().and_then(Value::as_str),
            _ => None,
        };
        let is_context = |value: &Value| value.get("Var").is_some_and(|name| name == "context");
        let is_input = left.get(".").is_some_and(|inner| {
            inner.get("left").is_some_and(is_context) && inner.get("attr") == Some(&Value::from(INPUT))
        });
        match attribute {
            // The arguments as a whole, unless only whether there are any.
            Some(INPUT) if is_context(left) && (operator == "." || access.get("attr").is_some_and(Value::is_array)) => {
                self.is_everything = true;
            }
            Some(attribute) if is_context(left) => {
                self.attributes.insert(attribute.to_owned());
            }
            Some(attribute) if is_input => {
                self.attributes.insert(INPUT.to_owned());
                self.input.insert(attribute.to_owned());
            }
            Some(_) => self.walk(left),
            None => self.is_everything = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::Reads;

    fn reads(condition: &str) -> Reads {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        Reads::of(&Policy::parse(None, text).unwrap())
    }

    #[test]
    fn the_level_and_entities_are_known_at_load() {
        for condition in [
            "context.consent >= 2 && !context.ci",
            "resource.readOnly",
            "principal in Group::\"x\"",
            "true",
        ] {
            assert!(reads(condition).is_known_at_load(), "{condition}");
        }
    }

    #[test]
    fn whatever_touches_a_call_is_not() {
        for condition in [
            "context.bytes > 3",
            "context has bytes",
            "context[\"bytes\"] == 2",
            "context.input.path like \"/x/*\"",
            "context.input has path",
            "context has input.path",
            "context has input && true",
            "[context].contains(context)",
            "{a: context}.a.bytes == 1",
            "(if true then context else context).bytes == 1",
            "context.input == {}",
        ] {
            assert!(!reads(condition).is_known_at_load(), "{condition}");
        }
    }

    #[test]
    fn single_arguments_are_told_apart() {
        let reads = reads("context.input has path && context.input.path like \"/*\" && context.input.a.b == 1");
        assert!(reads.has_argument("path") && reads.has_argument("a"));
        assert!(!reads.has_argument("b") && !reads.has("bytes"));
    }

    #[test]
    fn the_whole_of_the_arguments_is_all_of_them() {
        assert!(reads("context.input == {}").has_argument("anything"));
        assert!(reads("context has input.path").has_argument("anything"));
        assert!(reads("[context.input].isEmpty()").has_argument("anything"));
    }
}
