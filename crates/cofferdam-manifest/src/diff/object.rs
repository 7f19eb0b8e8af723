//! What changed in the properties of an object: which there are, which are required, and whether others are allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::place::{Place, Trust};
use super::schema::{Object, Pair, Side, Walk};
use super::{Direction, Weight, keyword};

/// The only keywords under which a new property is nothing but a new property.
const PLAIN_SIBLINGS: &[&str] = &[
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "additionalProperties",
    "definitions",
    "description",
    "examples",
    "properties",
    "required",
    "title",
    "type",
];

/// The properties of one schema, read once.
struct Shape<'v> {
    /// `None` when `properties` is no object.
    properties: Option<BTreeMap<&'v str, &'v Value>>,
    /// `None` when `required` is no list of names.
    required: Option<BTreeSet<&'v str>>,
    /// Nothing else decides which properties there may be.
    is_plain: bool,
    refuses_others: bool,
}

impl<'v> Shape<'v> {
    fn of(schema: &'v Object) -> Self {
        let properties = match schema.get("properties") {
            None => Some(BTreeMap::new()),
            Some(Value::Object(all)) => Some(all.iter().map(|(name, value)| (name.as_str(), value)).collect()),
            Some(_) => None,
        };
        let required = match schema.get("required") {
            None => Some(BTreeSet::new()),
            Some(Value::Array(names)) => names.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };
        let others = schema.get("additionalProperties");
        Self {
            properties,
            required,
            is_plain: schema.keys().all(|key| PLAIN_SIBLINGS.contains(&key.as_str()))
                && others.is_none_or(Value::is_boolean),
            refuses_others: others == Some(&Value::Bool(false)),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.properties.as_ref().is_some_and(|all| all.contains_key(name))
    }

    /// What cannot be read might require anything.
    fn requires(&self, name: &str) -> bool {
        self.required.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// Whether a change of `required` is told in full by the properties that came and went.
pub(super) fn is_told_elsewhere(key: &str, before: &Object, after: &Object) -> bool {
    let (then, now) = (Shape::of(before), Shape::of(after));
    key == "required" && then.required != now.required
}

impl Walk {
    pub(super) fn properties(&mut self, place: &Place, before: &Object, after: &Object) {
        let (then, now) = (Shape::of(before), Shape::of(after));
        let (Some(old), Some(new)) = (&then.properties, &now.properties) else {
            let values = [before.get("properties"), after.get("properties")];
            return self.report(place, Direction::Changed, "`properties` changed", values);
        };
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        for name in names {
            let below = place.property(name);
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) if old == new => {}
                (Some(old), Some(new)) => self.node(&below, old, new),
                (None, Some(new)) => self.property_added(&below, [&then, &now], name, new),
                (old, _) => self.property_removed(&below, [&then, &now], name, old.copied()),
            }
        }
    }

    fn property_added(&mut self, place: &Place, [then, now]: [&Shape<'_>; 2], name: &str, schema: &Value) {
        let values = [None, Some(schema)];
        if now.requires(name) {
            // Every call has to say something new, which is how a tool is made to carry data out.
            let direction = if self.side == Side::Input {
                Direction::Changed
            } else {
                Direction::Narrowed
            };
            return self.report(place, direction, "a new required property", values);
        }
        let summary = "a new optional property";
        if place.trust == Trust::Nothing || !then.is_plain || !now.is_plain {
            return self.report(place, Direction::Changed, summary, values);
        }
        let is_additive = place.trust == Trust::Whole && keyword::says_nothing(name, schema);
        let weight = if is_additive { Weight::Additive } else { Weight::Notable };
        self.push(place, (Direction::Widened, weight), summary, values);
    }

    /// On input this is risky: a call that says `dry_run` is a real one as soon as nobody reads that property.
    fn property_removed(&mut self, place: &Place, [then, now]: [&Shape<'_>; 2], name: &str, schema: Option<&Value>) {
        let summary = match then.requires(name) {
            true => "the property is gone; it was required",
            false => "the property is gone",
        };
        let is_narrower = now.refuses_others && now.is_plain && place.trust > Trust::Nothing;
        let direction = if is_narrower {
            Direction::Narrowed
        } else {
            Direction::Changed
        };
        let weight = if self.side == Side::Input {
            Weight::Risky
        } else {
            self.side.weight(direction)
        };
        self.push(place, (direction, weight), summary, [schema, None]);
    }

    pub(super) fn required(&mut self, place: &Place, before: &Object, after: &Object) {
        let (then, now) = (Shape::of(before), Shape::of(after));
        let (Some(old), Some(new)) = (&then.required, &now.required) else {
            let values = [before.get("required"), after.get("required")];
            return self.report(place, Direction::Changed, "`required` changed", values);
        };
        for name in new.difference(old) {
            let told = match (then.has(name), now.has(name)) {
                (true, _) => (Direction::Narrowed, "it is required now"),
                (false, false) => (Direction::Changed, "it is required now and described nowhere"),
                // Told with the new property.
                (false, true) => continue,
            };
            self.report(&place.property(name), told.0, told.1, [None, None]);
        }
        for name in old.difference(new) {
            // A property that is gone altogether is told by itself.
            if now.has(name) || !then.has(name) {
                self.report(
                    &place.property(name),
                    Direction::Widened,
                    "it is no longer required",
                    [None, None],
                );
            }
        }
    }

    pub(super) fn additional(&mut self, place: &Place, pair: Pair<'_>) {
        let open = Value::Bool(true);
        let [then, now] = pair.values().map(|value| match value {
            None => &open,
            Some(Value::Object(object)) if object.is_empty() => &open,
            Some(value) => value,
        });
        let (direction, summary) = match (then, now) {
            (Value::Bool(true), Value::Bool(false)) => (Direction::Narrowed, "other properties are no longer allowed"),
            (Value::Bool(false), Value::Bool(true)) => (Direction::Widened, "any other property is allowed now"),
            (Value::Bool(false), Value::Object(_)) => (Direction::Widened, "some other properties are allowed now"),
            _ if then == now => return,
            _ => return self.node(&place.below("*", Trust::Direction), then, now),
        };
        self.report(place, direction, summary, pair.values());
    }
}
