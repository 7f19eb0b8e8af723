//! What changed in what a tool says of itself: MCP's tool annotations.

use std::collections::BTreeSet;

use super::tool::{Members, members, shortened, text_differs, value_differs};
use super::words::exact;
use super::{ChangeKind, Difference, Weight};

/// One of MCP's hints.
struct Hint {
    name: &'static str,
    /// What its absence means (MCP 2025-11-25, schema `ToolAnnotations`).
    default: bool,
    /// What the tool says when it is true.
    says: &'static str,
    /// How closely to look when it flips, either way: a client may ask less often for a tool that claims to be harmless,
    /// and a tool that owns up to more does more than what was accepted.
    weight: Weight,
}

const HINTS: &[Hint] = &[
    Hint {
        name: "readOnlyHint",
        default: false,
        says: "it only reads",
        weight: Weight::Risky,
    },
    Hint {
        name: "destructiveHint",
        default: true,
        says: "it may destroy what is there",
        weight: Weight::Risky,
    },
    Hint {
        name: "idempotentHint",
        default: false,
        says: "calling it twice is calling it once",
        weight: Weight::Notable,
    },
    Hint {
        name: "openWorldHint",
        default: true,
        says: "it reaches the outside world",
        weight: Weight::Risky,
    },
];

/// Compares two `annotations` members, given as canonical JSON.
pub(super) fn compare(before: Option<&str>, after: Option<&str>) -> Vec<Difference> {
    let (Some(then), Some(now)) = (annotations(before), annotations(after)) else {
        return vec![value_differs("`annotations`", Weight::Risky, before, after)];
    };
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        let (then, now) = (then.get(name).map(String::as_str), now.get(name).map(String::as_str));
        if then != now {
            differences.push(annotation(name, then, now));
        }
    }
    if differences.is_empty() {
        // `{}` for nothing at all.
        differences.push(value_differs("`annotations`", Weight::Notable, before, after));
    }
    differences
}

/// Absent annotations say nothing, as empty ones do.
fn annotations(json: Option<&str>) -> Option<Members> {
    json.map_or_else(|| Some(Members::new()), members)
}

fn annotation(name: &str, before: Option<&str>, after: Option<&str>) -> Difference {
    let hint = HINTS.iter().find(|hint| hint.name == name);
    match (hint, flag(before), flag(after)) {
        (Some(hint), Some(from), Some(to)) => flipped(hint, from, to),
        _ if name == "title" => text_differs("the title among the annotations", before, after),
        _ => value_differs(
            &format!("the annotation `{}`", exact(&shortened(name))),
            Weight::Risky,
            before,
            after,
        ),
    }
}

/// The outer `None` is a value that is no flag.
fn flag(json: Option<&str>) -> Option<Option<bool>> {
    match json {
        None => Some(None),
        Some("true") => Some(Some(true)),
        Some("false") => Some(Some(false)),
        Some(_) => None,
    }
}

fn flipped(hint: &Hint, from: Option<bool>, to: Option<bool>) -> Difference {
    let Hint {
        name,
        default,
        says,
        weight,
    } = hint;
    let kind = ChangeKind::Annotation { hint: name, from, to };
    let spelled = |flag: Option<bool>| match flag {
        Some(flag) => flag.to_string(),
        None => format!("absent, which means {default}"),
    };
    let line = format!("`{name}`: {} → {}", spelled(from), spelled(to));
    let (before, after) = (from.unwrap_or(*default), to.unwrap_or(*default));
    let (weight, summary) = match (before, after) {
        (false, true) => (*weight, format!("it says now that {says}")),
        (true, false) => (*weight, format!("it no longer says that {says}")),
        _ => (
            Weight::Notable,
            format!("`{name}` is written differently and means the same"),
        ),
    };
    Difference::new(kind, weight, summary).line(line)
}
