//! What changed in a tool's input or output schema (JSON Schema 2020-12 and the drafts before it).
//!
//! A keyword that is understood is said to be wider or narrower; everything else "changed", which weighs most. That holds
//! only where a part of a schema constrains its value by itself: below `oneOf`, `not` and the like a wider part may make
//! the whole narrower, so nothing there is said to be either.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::keyword::{self, Verdict};
use super::object;
use super::place::{Place, Trust};
use super::tool::{shortened, shown_value, text_differs, verb};
use super::words::exact;
use super::{ChangeKind, Difference, Direction, Weight};
use crate::canonical::canonical;

/// Whose schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// What the tool takes.
    Input,
    /// What it gives.
    Output,
}

/// Keywords below which, or beside which, a wider part may make the whole narrower.
const TURNING: &[&str] = &[
    "contains",
    "disallow",
    "if",
    "not",
    "oneOf",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that bring another place's schema here.
const REFERRING: &[&str] = &["$dynamicRef", "$recursiveRef", "$ref"];

pub(super) type Object = Map<String, Value>;

/// Compares two schemas, given as canonical JSON that differs.
pub(super) fn compare(side: Side, before: Option<&str>, after: Option<&str>) -> Vec<Difference> {
    let word = side.word();
    let (Some(then), Some(now)) = (before, after) else {
        let weight = if side == Side::Input {
            Weight::Risky
        } else {
            Weight::Notable
        };
        let summary = format!("the {word} schema {}", verb(before, after));
        let shown = before.or(after).map(shown_value).unwrap_or_default();
        return vec![Difference::new(side.kind(Direction::Changed), weight, summary).line(shown)];
    };
    let (Some(then), Some(now)) = (faithful(then), faithful(now)) else {
        let summary = format!("the {word} schema changed and holds numbers that programs read differently");
        return vec![Difference::new(side.kind(Direction::Changed), Weight::Risky, summary)];
    };
    let turns = [&then, &now]
        .into_iter()
        .any(|schema| mentions(schema, TURNING) && mentions(schema, REFERRING));
    let mut walk = Walk {
        side,
        differences: Vec::new(),
    };
    walk.node(
        &Place::root(if turns { Trust::Nothing } else { Trust::Whole }),
        &then,
        &now,
    );
    walk.differences
}

/// The value of canonical JSON; `None` when the value does not stand for exactly this text (integers beyond 64 bits).
fn faithful(json: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(json).ok()?;
    (canonical(&value.to_string()).ok()? == json).then_some(value)
}

fn mentions(value: &Value, keys: &[&str]) -> bool {
    match value {
        Value::Object(object) => object
            .iter()
            .any(|(key, value)| keys.contains(&key.as_str()) || mentions(value, keys)),
        Value::Array(list) => list.iter().any(|value| mentions(value, keys)),
        _ => false,
    }
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }

    fn kind(self, direction: Direction) -> ChangeKind {
        match self {
            Self::Input => ChangeKind::InputSchema(direction),
            Self::Output => ChangeKind::OutputSchema(direction),
        }
    }

    /// A wider input lets calls through that nobody accepted; a narrower one, or another output, breaks calls at worst.
    pub(super) fn weight(self, direction: Direction) -> Weight {
        match (self, direction) {
            (_, Direction::Changed) | (Self::Input, Direction::Widened) => Weight::Risky,
            _ => Weight::Notable,
        }
    }
}

/// One keyword of a schema, then and now.
#[derive(Clone, Copy)]
pub(super) struct Pair<'v> {
    key: &'v str,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
}

impl Pair<'_> {
    pub(super) fn values(&self) -> [Option<&Value>; 2] {
        [self.before, self.after]
    }

    /// `` `key` was added ``, and the like.
    fn verb(&self) -> String {
        format!("`{}` {}", exact(&shortened(self.key)), verb(self.before, self.after))
    }
}

/// Collects what differs.
pub(super) struct Walk {
    pub(super) side: Side,
    differences: Vec<Difference>,
}

impl Walk {
    /// Compares the schemas of one place, which differ as JSON.
    pub(super) fn node(&mut self, place: &Place, before: &Value, after: &Value) {
        let empty = Object::new();
        let values = [Some(before), Some(after)];
        match (constraints(before, &empty), constraints(after, &empty)) {
            (Some(then), Some(now)) if then == now => self.respelled(place, "the schema"),
            (Some(then), Some(now)) => self.keywords(place, then, now),
            (Some(_), None) if *after == Value::Bool(false) => {
                self.report(place, Direction::Narrowed, "nothing is allowed now", values);
            }
            (None, Some(_)) if *before == Value::Bool(false) => {
                self.report(place, Direction::Widened, "nothing was allowed", values);
            }
            _ => self.report(place, Direction::Changed, "the schema changed", values),
        }
    }

    fn keywords(&mut self, place: &Place, before: &Object, after: &Object) {
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let pair = Pair {
                key,
                before: before.get(key),
                after: after.get(key),
            };
            if pair.before == pair.after {
                continue;
            }
            let known = self.differences.len();
            match key.as_str() {
                "description" | "title" | "$comment" | "examples" => self.text(place, pair),
                "default" => self.report(
                    place,
                    Direction::Changed,
                    "what leaving it out means changed",
                    pair.values(),
                ),
                "properties" => self.properties(place, before, after),
                "required" => self.required(place, before, after),
                "additionalProperties" => self.additional(place, pair),
                "items" => self.items(place, before, after),
                "anyOf" | "oneOf" | "allOf" => self.branches(place, pair),
                "$defs" | "definitions" => self.definitions(place, pair),
                _ => {
                    let Verdict { direction, summary } = keyword::judge(key, pair.before, pair.after);
                    self.report(place, direction, &summary, pair.values());
                }
            }
            // Every difference is told, if only as one that means nothing.
            if self.differences.len() == known && !object::is_told_elsewhere(key, before, after) {
                self.respelled(place, &format!("`{}`", exact(&shortened(key))));
            }
        }
    }

    fn text(&mut self, place: &Place, pair: Pair<'_>) {
        let what = format!("`{}` of {}", pair.key, self.named(place));
        let [before, after] = pair.values().map(|value| value.map(Value::to_string));
        self.differences
            .push(text_differs(&what, before.as_deref(), after.as_deref()));
    }

    /// `items` for every element; beside `prefixItems`, and as the list it was before 2020-12, only for some.
    fn items(&mut self, place: &Place, before: &Object, after: &Object) {
        let open = Value::Bool(true);
        let [then, now] = [before, after].map(|schema| schema.get("items").unwrap_or(&open));
        let is_schema = |value: &Value| value.is_object() || value.is_boolean();
        let is_for_some = [before, after]
            .into_iter()
            .any(|schema| schema.contains_key("prefixItems"));
        if is_for_some || !is_schema(then) || !is_schema(now) {
            let values = [before.get("items"), after.get("items")];
            self.report(place, Direction::Changed, "`items` changed", values);
        } else if then != now {
            self.node(&place.below("[]", Trust::Whole), then, now);
        }
    }

    /// What only grew or shrank is known for `anyOf`; one branch against another is told without a direction.
    fn branches(&mut self, place: &Place, pair: Pair<'_>) {
        let (Some(Value::Array(then)), Some(Value::Array(now))) = (pair.before, pair.after) else {
            return self.report(place, Direction::Changed, &pair.verb(), pair.values());
        };
        let [before, after]: [BTreeSet<String>; 2] =
            [then, now].map(|list| list.iter().map(Value::to_string).collect());
        let gone: Vec<&Value> = then
            .iter()
            .filter(|branch| !after.contains(&branch.to_string()))
            .collect();
        let new: Vec<&Value> = now
            .iter()
            .filter(|branch| !before.contains(&branch.to_string()))
            .collect();
        if gone.is_empty() && new.is_empty() && then.len() == now.len() {
            return;
        }
        if gone.len() == new.len() && then.len() == now.len() {
            let below = place.below(&format!("[{}]", pair.key), Trust::Nothing);
            for (then, now) in gone.into_iter().zip(new) {
                self.node(&below, then, now);
            }
            return;
        }
        let grown = keyword::grown(&before, &after).filter(|_| pair.key == "anyOf");
        let direction = grown.unwrap_or(Direction::Changed);
        self.report(
            place,
            direction,
            &format!("the alternatives of `{}` changed", pair.key),
            pair.values(),
        );
    }

    fn definitions(&mut self, place: &Place, pair: Pair<'_>) {
        let empty = Value::Object(Object::new());
        let [then, now] = pair.values().map(|value| value.unwrap_or(&empty));
        let (Value::Object(then), Value::Object(now)) = (then, now) else {
            return self.report(place, Direction::Changed, &pair.verb(), pair.values());
        };
        let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        for name in names {
            let below = place.below(pair.key, Trust::Direction).property(name);
            match (then.get(name), now.get(name)) {
                (Some(then), Some(now)) if then == now => {}
                (Some(then), Some(now)) => self.node(&below, then, now),
                (None, now) => self.report(&below, Direction::Changed, "a new shared schema", [None, now]),
                (then, None) => self.report(&below, Direction::Changed, "the shared schema is gone", [then, None]),
            }
        }
    }

    /// The same meaning in other words.
    fn respelled(&mut self, place: &Place, what: &str) {
        let summary = format!("{what} is written differently");
        self.push(place, (Direction::Changed, Weight::Notable), &summary, [None, None]);
    }

    pub(super) fn report(&mut self, place: &Place, direction: Direction, summary: &str, values: [Option<&Value>; 2]) {
        let direction = if place.trust == Trust::Nothing {
            Direction::Changed
        } else {
            direction
        };
        self.push(place, (direction, self.side.weight(direction)), summary, values);
    }

    pub(super) fn push(
        &mut self,
        place: &Place,
        (direction, weight): (Direction, Weight),
        summary: &str,
        values: [Option<&Value>; 2],
    ) {
        let summary = format!("{}: {summary}", self.named(place));
        let mut difference = Difference::new(self.side.kind(direction), weight, summary);
        for (when, value) in ["accepted", "now"].into_iter().zip(values) {
            if let Some(value) = value {
                difference = difference.line(format!("{when}: {}", shown_value(&value.to_string())));
            }
        }
        self.differences.push(difference);
    }

    fn named(&self, place: &Place) -> String {
        let word = self.side.word();
        match place.path() {
            "" => format!("the {word} schema"),
            path => format!("{word} `{path}`"),
        }
    }
}

/// The keywords of a schema: none for `true`; `None` when it is no set of keywords.
fn constraints<'v>(schema: &'v Value, empty: &'v Object) -> Option<&'v Object> {
    match schema {
        Value::Bool(true) => Some(empty),
        Value::Object(object) => Some(object),
        _ => None,
    }
}
