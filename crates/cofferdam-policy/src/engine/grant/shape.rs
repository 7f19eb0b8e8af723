//! The template of a grant and the schema it must fit, in Cedar's JSON form: values are values there, whatever characters they have.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cedar_policy::Schema;
use serde_json::{Map, Value, json};

use super::{GrantPattern, GrantTerms, Touched};
use crate::engine::PolicyError;
use crate::engine::source::words;

/// Requests that can wait for consent.
const METHODS: [&str; 8] = [
    "tools/call",
    "tools/list",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
];

/// What grants may look at.
pub(super) static GRANT_SCHEMA: LazyLock<Result<Schema, PolicyError>> = LazyLock::new(|| {
    let typed = |kind: Value, names: &[&str]| -> Map<String, Value> {
        names.iter().map(|name| ((*name).to_owned(), kind.clone())).collect()
    };
    let mut attributes = typed(
        json!({"type": "String"}),
        &["manifest", "policies", "digest", "session"],
    );
    attributes.extend(typed(json!({"type": "Long"}), &["now", "severity"]));
    let booleans = ["outsideRoots", "privateNetwork", "runs"];
    attributes.extend(typed(json!({"type": "Boolean"}), &booleans));
    let sets = ["findings", "labels", "carried", "paths", "within", "hosts", "others"];
    attributes.extend(typed(json!({"type": "Set", "element": {"type": "String"}}), &sets));
    let actions: Map<String, Value> = METHODS
        .iter()
        .map(|method| {
            let resource = if *method == "tools/call" { "Tool" } else { "Server" };
            let context = json!({"type": "Record", "attributes": attributes});
            let applies = json!({"principalTypes": ["User"], "resourceTypes": [resource], "context": context});
            ((*method).to_owned(), json!({"appliesTo": applies}))
        })
        .collect();
    let fragment = json!({"": {"entityTypes": {"User": {}, "Tool": {}, "Server": {}}, "actions": actions}});
    Schema::from_json_value(fragment).map_err(|error| PolicyError::NoSchema {
        server: String::new(),
        cause: words(&error),
    })
});

/// The template that permits what `terms` say: its slots are the user and what is called.
pub(super) fn template(terms: &GrantTerms) -> Value {
    let conditions = conditions(terms);
    let conditions: Vec<Value> = conditions
        .into_iter()
        .map(|body| json!({"kind": "when", "body": body}))
        .collect();
    json!({
        "effect": "permit",
        "principal": {"op": "==", "slot": "?principal"},
        "action": {"op": "==", "entity": {"type": "Action", "id": terms.method}},
        "resource": {"op": "==", "slot": "?resource"},
        "conditions": conditions,
        "annotations": {"id": terms.id},
    })
}

fn conditions(terms: &GrantTerms) -> Vec<Value> {
    let seen = &terms.seen;
    let mut all = vec![
        operator("<", attribute("now"), value(terms.until)),
        operator("==", attribute("manifest"), value(&*terms.manifest)),
        operator("==", attribute("policies"), value(&*terms.policies)),
        among("findings", &seen.findings),
        operator("<=", attribute("severity"), value(seen.severity)),
        among("carried", &seen.carried),
    ];
    // The very same call brings nothing out that the first one did not.
    let as_tainted = || among("labels", &seen.labels);
    match &terms.pattern {
        GrantPattern::Call { digest } => all.push(operator("==", attribute("digest"), value(&**digest))),
        GrantPattern::Tool { session } => {
            all.extend([operator("==", attribute("session"), value(&**session)), as_tainted()]);
        }
        GrantPattern::Path { folder } => {
            all.extend([
                operator("contains", attribute("within"), value(&**folder)),
                as_tainted(),
            ]);
            let hosts = among("hosts", &touched(terms).hosts);
            all.extend([not("outsideRoots"), hosts]);
            all.extend(beside(&touched(terms)));
        }
        GrantPattern::Host { hosts } => {
            let some = json!({"!": {"arg": is_empty("hosts")}});
            all.extend([some, among("hosts", hosts), as_tainted()]);
            all.push(among("paths", &touched(terms).paths));
            if !touched(terms).outside_roots {
                all.push(not("outsideRoots"));
            }
            all.extend(beside(&touched(terms)));
        }
    }
    all
}

/// Without facts nothing but the pattern itself is let through.
fn touched(terms: &GrantTerms) -> Touched {
    terms.seen.touched.clone().unwrap_or_default()
}

/// What a pattern about paths or hosts leaves no room for.
fn beside(touched: &Touched) -> Vec<Value> {
    let mut all = vec![not("runs"), among("others", &touched.others)];
    if !touched.private_network {
        all.push(not("privateNetwork"));
    }
    all
}

fn value(value: impl Into<Value>) -> Value {
    json!({"Value": value.into()})
}

fn attribute(name: &str) -> Value {
    json!({".": {"left": {"Var": "context"}, "attr": name}})
}

fn operator(operator: &str, left: Value, right: Value) -> Value {
    let mut members = Map::new();
    members.insert(operator.to_owned(), json!({"left": left, "right": right}));
    Value::Object(members)
}

fn not(name: &str) -> Value {
    json!({"!": {"arg": attribute(name)}})
}

fn is_empty(name: &str) -> Value {
    json!({"isEmpty": {"arg": attribute(name)}})
}

/// Every value of the attribute is one of these. Cedar's strict types know no empty set.
fn among(name: &str, values: &BTreeSet<String>) -> Value {
    if values.is_empty() {
        return is_empty(name);
    }
    let values: Vec<Value> = values.iter().map(|one| value(&**one)).collect();
    operator("containsAll", json!({"Set": values}), attribute(name))
}
