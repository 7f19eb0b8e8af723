//! The rules of this crate, by their stable ids.

use crate::finding::Severity;

/// One rule: what it looks for and how bad a hit is.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, `area/name` in kebab case; also the anchor in `docs/rules.md`.
    pub id: &'static str,
    /// What a hit means, one sentence for people.
    pub summary: &'static str,
    /// Severity of a hit.
    pub severity: Severity,
    /// What to do about it.
    pub help: &'static str,
}

/// `tools/call` arguments that the pinned input schema does not allow.
pub(crate) static ARGUMENT_SCHEMA: Rule = Rule {
    id: "argument/schema",
    summary: "the arguments of a tool call are not what the tool's pinned input schema allows",
    severity: Severity::High,
    help: "send the arguments the schema describes; if the tool changed, review and accept its new definition",
};

/// A key that differs from a known one only under case folding.
pub(crate) static ARGUMENT_CASE_FOLDED_KEY: Rule = Rule {
    id: "argument/case-folded-key",
    summary: "an argument's name differs from a known one only by letter case, which some parsers (Go's) treat as the same",
    severity: Severity::High,
    help: "spell the argument exactly as the schema does, once",
};

/// The input schema itself cannot be used to judge arguments.
pub(crate) static TOOL_SCHEMA_UNUSABLE: Rule = Rule {
    id: "tool/schema-unusable",
    summary: "a tool's input schema cannot be compiled within bounds, so its arguments cannot be judged",
    severity: Severity::High,
    help: "ask the server's author to publish a self-contained JSON Schema without remote or endless references",
};

/// A `tools/list` answer that is not a list of tools.
pub(crate) static TOOL_LIST_UNREADABLE: Rule = Rule {
    id: "tool/list-unreadable",
    summary: "an answer to `tools/list` cannot be read as a list of tools, so nothing in it can be compared with its pin",
    severity: Severity::High,
    help: "the server's author should send `tools` as an array of objects with string names",
};

/// The rules about schemas and lists.
static SCHEMA_RULES: &[&Rule] = &[
    &ARGUMENT_SCHEMA,
    &ARGUMENT_CASE_FOLDED_KEY,
    &TOOL_SCHEMA_UNUSABLE,
    &TOOL_LIST_UNREADABLE,
];

/// Every rule of this crate, in the order they are documented.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        SCHEMA_RULES,
        crate::shadow::RULES,
        crate::guard::RULES,
        crate::intent::RULES,
        crate::answer::RULES,
        crate::flow::RULES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn ids_are_unique_and_well_formed() {
        let mut ids: Vec<_> = rules().map(|rule| rule.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(ids.iter().all(|id| {
            id.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'/' || byte == b'-')
        }));
    }
}
