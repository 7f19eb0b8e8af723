//! What holds of every comparison: nothing for equal definitions, something for any other, never too light.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use cofferdam_manifest::{Accepted, Change, Definitions, Live, Weight, diff, tool_digest};
use proptest::prelude::{Just, Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Map, Value, json};

fn between(before: &str, after: &str) -> Vec<Change> {
    let (before, after) = (
        Definitions::collect([before]).unwrap(),
        Definitions::collect([after]).unwrap(),
    );
    let live = Live {
        definitions: &after,
        program: None,
    };
    diff(&Accepted { definitions: &before }, &live)
}

/// Keys that mean something and keys that mean nothing, so that every branch is met.
fn key() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "oneOf",
        "not",
        "$defs",
        "$ref",
        "enum",
        "default",
        "maximum",
        "pattern",
        "uniqueItems",
        "description",
        "title",
        "a",
    ]);
    prop_oneof![9 => known.prop_map(str::to_owned), 1 => "[a-z\u{200b}\"]{0,3}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec!["string", "number", "integer", "a", "#/$defs/a", ""]).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::vec((key(), inner), 0..5).prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

fn tool() -> impl Strategy<Value = Value> {
    let member = prop::sample::select(vec![
        "inputSchema",
        "outputSchema",
        "annotations",
        "description",
        "_meta",
        "x",
    ]);
    prop::collection::vec((member, value()), 0..4).prop_map(|members| {
        let mut tool = json!({"name": "t"});
        for (member, value) in members {
            tool[member] = value;
        }
        tool
    })
}

/// An object's schema as servers write them.
fn object_schema() -> impl Strategy<Value = Value> {
    let properties = prop::collection::btree_map("[a-z]{1,2}", prop_oneof![value(), plain()], 1..4);
    let required = prop::collection::vec("[a-z]{1,2}", 0..3);
    (properties, required, prop::option::of(any::<bool>())).prop_map(|(properties, required, others)| {
        let mut schema = json!({"type": "object", "properties": properties, "required": required});
        if let Some(others) = others {
            schema["additionalProperties"] = json!(others);
        }
        schema
    })
}

/// A property without a word of text.
fn plain() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["string", "integer", "boolean"]);
    (kind, 0_u8..9).prop_map(|(kind, most)| json!({"type": kind, "maxLength": most}))
}

/// The same value in another spelling: members in reverse, white space, escapes.
fn respelled(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .rev()
                .map(|(key, value)| format!("{} :\n{}", escaped(key), respelled(value)))
                .collect();
            format!("{{ {} }}", members.join(" ,\t"))
        }
        Value::Array(list) => format!("[ {} ]", list.iter().map(respelled).collect::<Vec<_>>().join(" , ")),
        Value::String(text) => escaped(text),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", units.collect::<String>())
}

proptest! {
    #[test]
    fn equal_definitions_give_nothing(tool in tool()) {
        prop_assert_eq!(between(&tool.to_string(), &respelled(&tool)), []);
    }

    #[test]
    fn another_digest_gives_a_change_and_only_that(before in tool(), after in tool()) {
        let (before, after) = (before.to_string(), after.to_string());
        let differ = tool_digest(&before).unwrap() != tool_digest(&after).unwrap();
        prop_assert_eq!(!between(&before, &after).is_empty(), differ, "{} {}", before, after);
    }

    #[test]
    fn one_changed_place_gives_a_change(tool in tool(), place in any::<prop::sample::Index>(), new in value()) {
        let before = tool.to_string();
        let mut changed = tool;
        let places = pointers(&changed);
        let chosen = place.get(&places);
        if chosen != "/name" {
            *changed.pointer_mut(chosen).unwrap() = new;
        }
        let after = changed.to_string();
        let differ = tool_digest(&before).unwrap() != tool_digest(&after).unwrap();
        prop_assert_eq!(!between(&before, &after).is_empty(), differ, "{} {}", before, after);
    }

    #[test]
    fn a_changed_text_is_never_additive_alone(mut tool in tool(), one in ".{0,30}", other in ".{0,30}") {
        tool["description"] = json!(one);
        let before = tool.to_string();
        tool["description"] = json!(other);
        let heaviest = between(&before, &tool.to_string()).first().map(|change| change.weight);
        prop_assert_eq!(heaviest, (one != other).then_some(Weight::Risky));
    }

    #[test]
    fn what_is_additive_only_adds_properties(
        before in object_schema(),
        names in prop::collection::vec("[a-z]{1,3}", 1..3),
        new in prop_oneof![value(), plain()],
        place in any::<prop::sample::Index>(),
        replaced in prop::option::weighted(0.5, value()),
    ) {
        let mut after = before.clone();
        for name in names {
            after["properties"][name] = new.clone();
        }
        if let Some(replaced) = replaced {
            let places = pointers(&after);
            let chosen: &String = place.get(&places);
            *after.pointer_mut(chosen).unwrap() = replaced;
        }
        let tool = |schema: &Value| json!({"name": "t", "inputSchema": schema}).to_string();
        let changes = between(&tool(&before), &tool(&after));
        let all_additive = changes.iter().all(|change| change.weight == Weight::Additive);
        prop_assert!(!all_additive || only_adds_properties(&before, &after), "{} {}", before, after);
    }

    #[test]
    fn what_is_shown_is_safe_to_print(before in tool(), after in tool()) {
        for change in between(&before.to_string(), &after.to_string()) {
            let details = change.details.iter().map(ToString::to_string);
            for line in std::iter::once(change.summary.clone()).chain(details) {
                prop_assert!(!line.chars().any(|c| c.is_control() || c == '\u{200b}'), "{:?}", line);
            }
        }
    }
}

/// What is in `before` is in `after` as it was, and what is new stands under `properties` and holds no text. Written
/// without a look at how the comparison decides.
fn only_adds_properties(before: &Value, after: &Value) -> bool {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return before == after;
    };
    let kept = before.iter().all(|(key, before)| {
        after
            .get(key)
            .is_some_and(|after| key == "properties" || only_adds_properties(before, after))
    });
    let new_members = after.keys().any(|key| !before.contains_key(key));
    let empty = json!({});
    let (old, new) = (
        before.get("properties").unwrap_or(&empty),
        after.get("properties").unwrap_or(&empty),
    );
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return kept && !new_members && old == new;
    };
    let required = after.get("required").map(ToString::to_string).unwrap_or_default();
    kept && !new_members
        && old
            .iter()
            .all(|(name, old)| new.get(name).is_some_and(|new| only_adds_properties(old, new)))
        && new
            .iter()
            .filter(|(name, _)| !old.contains_key(*name))
            .all(|(name, schema)| {
                let text = schema.to_string();
                let silent = ["description", "enum", "pattern", "$ref", "properties", "not"]
                    .iter()
                    .all(|word| !text.contains(word));
                silent && !required.contains(&format!("\"{name}\""))
            })
}

/// Every place in a value, the root left out.
fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for (step, child) in children {
        all.push(format!("/{step}"));
        all.extend(pointers(child).into_iter().map(|rest| format!("/{step}{rest}")));
    }
    all
}
