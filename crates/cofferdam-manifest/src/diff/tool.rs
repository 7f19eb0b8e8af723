//! What changed in one tool's definition, member by member.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::schema::Side;
use super::words::{exact, exact_json};
use super::{ChangeKind, Difference, Weight, annotations, schema};
use crate::canonical::canonical;
use crate::digest::tool_digest;

/// Characters of a JSON value that are shown; the rest is counted.
const VALUE_CHARACTERS_MAX: usize = 2000;

/// Characters of a name that are shown in a summary; the rest is counted.
const NAME_CHARACTERS_MAX: usize = 100;

/// Members of a definition that MCP gives a meaning no model reads.
const MEMBERS_FOR_CLIENTS: &[&str] = &["_meta", "execution", "icons"];

/// The members of a JSON object, each in canonical form, so that equal texts are equal values and no other ones are.
pub(super) type Members = BTreeMap<String, String>;

/// A tool that was not accepted: it stays hidden until it is, so nothing that was accepted changes.
pub(super) fn added(after: &str) -> Difference {
    let summary = "a new tool, hidden until it is accepted";
    let added = Difference::new(ChangeKind::ToolAdded, Weight::Additive, summary);
    let mut members = members(after).unwrap_or_default();
    let described = members.remove("description").and_then(|description| text(&description));
    let added = match described {
        Some(description) => added.words("", &description),
        None => added.line("it has no description"),
    };
    // A schema is read by models too, so all of it is there to be seen.
    members.remove("name");
    let lines = members
        .iter()
        .map(|(name, json)| format!("{}: {}", exact(name), exact_json(json)));
    lines.fold(added, Difference::line)
}

pub(super) fn removed() -> Difference {
    let summary = "the tool is not listed";
    Difference::new(ChangeKind::ToolRemoved, Weight::Notable, summary)
        .line("a server may list other tools to a client with other capabilities")
}

/// Everything that differs between two definitions of one tool; empty exactly when their digests are equal.
pub(super) fn compare(before: &str, after: &str) -> Vec<Difference> {
    if before == after || matches!((tool_digest(before), tool_digest(after)), (Ok(one), Ok(other)) if one == other) {
        return Vec::new();
    }
    let mut differences = Vec::new();
    if let (Some(before), Some(after)) = (members(before), members(after)) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (then, now) = (before.get(name), after.get(name));
            if then != now {
                differences.extend(member(name, then.map(String::as_str), now.map(String::as_str)));
            }
        }
    }
    if differences.is_empty() {
        let summary = "the definition changed in a way that cannot be shown";
        differences.push(Difference::new(ChangeKind::Member, Weight::Risky, summary));
    }
    differences
}

/// The members of a JSON object; `None` when the text is none, or not strict.
pub(super) fn members(object: &str) -> Option<Members> {
    let raw: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
    let canonical = |(name, raw): (String, &RawValue)| Some((name, canonical(raw.get()).ok()?));
    raw.into_iter().map(canonical).collect()
}

fn member(name: &str, before: Option<&str>, after: Option<&str>) -> Vec<Difference> {
    match name {
        "title" | "description" => vec![text_differs(&format!("the {name}"), before, after)],
        "inputSchema" => schema::compare(Side::Input, before, after),
        "outputSchema" => schema::compare(Side::Output, before, after),
        "annotations" => annotations::compare(before, after),
        _ => {
            let weight = if MEMBERS_FOR_CLIENTS.contains(&name) {
                Weight::Notable
            } else {
                Weight::Risky
            };
            vec![value_differs(
                &format!("`{}`", exact(&shortened(name))),
                weight,
                before,
                after,
            )]
        }
    }
}

/// A text that people or models read differs; what it says now was accepted by nobody.
pub(super) fn text_differs(what: &str, before: Option<&str>, after: Option<&str>) -> Difference {
    let (then, now) = (before.and_then(text), after.and_then(text));
    let is_text = before.is_some() == then.is_some() && after.is_some() == now.is_some();
    if !is_text {
        let mut difference = value_differs(what, Weight::Risky, before, after);
        difference.kind = ChangeKind::Text;
        return difference;
    }
    let summary = format!("{what} {}", verb(before, after));
    Difference::new(ChangeKind::Text, Weight::Risky, summary).words(&then.unwrap_or_default(), &now.unwrap_or_default())
}

/// A member whose meaning is not known here differs.
pub(super) fn value_differs(what: &str, weight: Weight, before: Option<&str>, after: Option<&str>) -> Difference {
    let mut difference = Difference::new(ChangeKind::Member, weight, format!("{what} {}", verb(before, after)));
    for (when, value) in [("accepted", before), ("now", after)] {
        if let Some(value) = value {
            difference = difference.line(format!("{when}: {}", shown_value(value)));
        }
    }
    difference
}

pub(super) fn verb<T>(before: Option<T>, after: Option<T>) -> &'static str {
    match (before, after) {
        (None, _) => "was added",
        (_, None) => "was removed",
        _ => "changed",
    }
}

/// JSON text, escaped and bounded.
pub(super) fn shown_value(json: &str) -> String {
    match json.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => {
            let (head, tail) = json.split_at_checked(end).unwrap_or((json, ""));
            format!("{}… ({} more characters)", exact_json(head), tail.chars().count())
        }
        None => exact_json(json),
    }
}

/// A name that stays short in a summary, whatever a server chose.
pub(super) fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARACTERS_MAX) {
        Some((end, _)) => {
            let (head, tail) = name.split_at_checked(end).unwrap_or((name, ""));
            format!("{head}…+{}", tail.chars().count())
        }
        None => name.to_owned(),
    }
}

/// The text a JSON string holds.
fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}
