//! Arguments of a call, each judged by its role with a parser for it.

use std::collections::BTreeMap;

use cofferdam_manifest::Role;
use serde_json::Value;

use crate::finding::{Confidence, Finding, show_safely};
use crate::role::infer_role;
use crate::rule::Rule;
use crate::secret::SecretValues;

mod argv;
mod facts;
mod identifier;
mod path;
mod secret;
mod shell;
mod sql;
mod url;

pub use facts::{ArgumentFacts, FactsUnknown};
pub use path::{Links, NoLinks};

/// Findings reported for one call at most; more say nothing new.
const FINDINGS_MAX: usize = 16;
/// Bytes of one value that a parser reads; in roles with a grammar a longer one is itself a finding.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The rules about arguments, in the order they are documented.
pub(crate) static RULES: &[&Rule] = &[
    &path::OUTSIDE,
    &path::TRICK,
    &path::SENSITIVE,
    &url::PRIVATE,
    &url::TRICK,
    &url::SCHEME,
    &shell::OBFUSCATED,
    &shell::DANGEROUS,
    &argv::OPTION,
    &identifier::SHELL,
    &identifier::QUERY,
    &sql::STACKED,
    &sql::DANGEROUS,
    &secret::RULE,
    &TOO_LONG,
];

pub(crate) static TOO_LONG: Rule = Rule {
    id: "argument/too-long",
    summary: "an argument whose role has a grammar is longer than what a parser is given",
    severity: crate::finding::Severity::High,
    help: "send long texts in arguments whose role is code or prose, or set the role in the manifest",
};

/// The roles of one tool's arguments, worked out once.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    tool: String,
    /// By the argument's name; members of nested objects by their own name.
    roles: BTreeMap<String, Role>,
    is_read_only: bool,
    /// Paths by argument: the roots that the manifest keeps it in.
    within: BTreeMap<String, Vec<String>>,
    /// Where relative paths begin, where that is known.
    directory: Option<String>,
}

/// What the caller knows about the world in which a call would run.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Absolute paths that the server may reach; `None` where none are known.
    pub roots: Option<&'a [String]>,
    /// Where symbolic links lead.
    pub links: &'a dyn Links,
    /// Hosts that the manifest allows by name.
    pub hosts: &'a [String],
    /// Values of live secrets.
    pub secrets: &'a SecretValues,
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts")
            .field("roots", &self.roots)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// The roles of `tool` by its input schema, where the manifest (`set`) does not say otherwise.
    #[must_use]
    pub fn new(tool: &str, schema: Option<&Value>, set: &BTreeMap<String, Role>) -> Self {
        let mut roles = BTreeMap::new();
        if let Some(schema) = schema {
            collect(tool, schema, &mut roles, 8);
        }
        roles.extend(set.iter().map(|(name, role)| (name.clone(), *role)));
        let text = schema.map(Value::to_string).unwrap_or_default();
        let is_read_only = tool.starts_with("read") || tool.contains("read_only") || text.contains("read-only");
        Self {
            tool: tool.to_owned(),
            roles,
            is_read_only,
            within: BTreeMap::new(),
            directory: None,
        }
    }

    /// Keeps arguments that are paths in these absolute roots; a relative path begins in `directory`, and without one is refused.
    #[must_use]
    pub fn within(mut self, within: BTreeMap<String, Vec<String>>, directory: Option<String>) -> Self {
        for name in within.keys() {
            let role = self.roles.entry(name.clone()).or_insert(Role::Path);
            if *role != Role::Glob {
                *role = Role::Path;
            }
        }
        Self {
            within,
            directory,
            ..self
        }
    }

    /// The tool says of itself that it only reads (`annotations.readOnlyHint`).
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            is_read_only: true,
            ..self
        }
    }

    /// Each argument's role, for people.
    pub fn roles(&self) -> impl Iterator<Item = (&str, Role)> {
        self.roles.iter().map(|(name, role)| (name.as_str(), *role))
    }

    /// What is suspicious in the arguments of one call; pointers begin at the request.
    #[must_use]
    pub fn check(&self, arguments: &Value, facts: &Facts<'_>) -> Vec<Finding> {
        let mut call = Call {
            guard: self,
            facts,
            findings: Vec::new(),
        };
        call.walk("", arguments, &mut String::from("/params/arguments"));
        call.findings
    }
}

/// Roles of every property anywhere in a schema.
fn collect(tool: &str, schema: &Value, roles: &mut BTreeMap<String, Role>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        roles
            .entry(name.clone())
            .or_insert_with(|| infer_role(tool, name, Some(property)));
        collect(tool, property, roles, depth);
        if let Some(items) = property.get("items") {
            collect(tool, items, roles, depth);
        }
    }
}

struct Call<'a> {
    guard: &'a Guard,
    facts: &'a Facts<'a>,
    findings: Vec<Finding>,
}

impl Call<'_> {
    fn walk(&mut self, name: &str, value: &Value, at: &mut String) {
        if self.findings.len() >= FINDINGS_MAX {
            return;
        }
        let here = at.len();
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    at.push('/');
                    at.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    self.walk(key, value, at);
                    at.truncate(here);
                }
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    at.push_str(&format!("/{index}"));
                    self.walk(name, element, at);
                    at.truncate(here);
                }
            }
            Value::String(text) => self.judge(name, text, at),
            _ => {}
        }
    }

    fn judge(&mut self, name: &str, text: &str, at: &str) {
        let role = self
            .guard
            .roles
            .get(name)
            .copied()
            .unwrap_or_else(|| infer_role(&self.guard.tool, name, None));
        let seen = Seen { text, at };
        if role != Role::Secret {
            self.findings.extend(secret::check(&seen, self.facts.secrets));
        }
        if !matches!(role, Role::Code | Role::Prose | Role::Secret) && text.len() > VALUE_BYTES_MAX {
            self.findings
                .push(seen.finding(&TOO_LONG, Confidence::High, "too long to be judged"));
            return;
        }
        let found = match role {
            Role::Path | Role::Glob if self.guard.within.contains_key(name) => self.judge_within(name, role, &seen),
            Role::Path => path::check(&seen, &self.guard.tool, self.facts),
            Role::Glob => path::check_glob(&seen, self.facts),
            Role::Url => url::check(&seen, self.facts),
            Role::Host => url::check_host(&seen, self.facts),
            Role::Shell => shell::check(&seen),
            Role::ArgvItem => argv::check(&seen),
            Role::Sql => sql::check(&seen, self.guard.is_read_only),
            Role::SqlIdentifier => sql::check_identifier(&seen),
            Role::Identifier => identifier::check(&seen),
            Role::Prose if is_statement(name, text) => sql::check(&seen, self.guard.is_read_only),
            Role::Query | Role::Code | Role::Prose | Role::Secret => Vec::new(),
        };
        self.findings.extend(found);
    }
}

impl Call<'_> {
    /// A path that the manifest keeps in roots of its own.
    fn judge_within(&self, name: &str, role: Role, seen: &Seen<'_>) -> Vec<Finding> {
        let facts = Facts {
            roots: self.guard.within.get(name).map(Vec::as_slice),
            ..*self.facts
        };
        let path = seen.text.strip_prefix("file://").unwrap_or(seen.text);
        let absolute = match &self.guard.directory {
            _ if path.starts_with('/') => path.to_owned(),
            Some(directory) if !path.starts_with('~') => format!("{directory}/{path}"),
            _ => {
                return vec![seen.finding(
                    &path::OUTSIDE,
                    Confidence::High,
                    "does not say which folder it begins in",
                )];
            }
        };
        let seen = Seen {
            text: &absolute,
            at: seen.at,
        };
        if role == Role::Glob {
            path::check_glob(&seen, &facts)
        } else {
            path::check(&seen, &self.guard.tool, &facts)
        }
    }
}

/// Whether a free `query` is an SQL statement by how it begins.
fn is_statement(name: &str, text: &str) -> bool {
    if !matches!(name, "query" | "statement" | "q" | "sql_query") {
        return false;
    }
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let verbs = [
        "select", "insert", "update", "delete", "drop", "create", "alter", "with", "copy", "attach", "commit",
        "rollback", "truncate", "grant", "pragma",
    ];
    verbs.contains(&first.as_str())
}

/// One value and where it stands.
pub(crate) struct Seen<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: &'a str,
}

impl Seen<'_> {
    /// A finding about this value; `words` may quote structure, never the whole value.
    pub(crate) fn finding(&self, rule: &'static Rule, confidence: Confidence, words: &str) -> Finding {
        Finding::new(rule, confidence, show_safely(self.at), show_safely(words))
    }
}

#[cfg(test)]
mod tests;
