//! Arguments of a call as Cedar values, typed by the tool's pinned input schema.
//!
//! What a type cannot say (a union, a reference, a number that Cedar has no value for) is never guessed: a property without a plain type is
//! not part of the schema, so a policy about it does not load, and a value that its type cannot hold denies the call.

use std::collections::BTreeMap;

use cedar_policy::RestrictedExpression;
use cofferdam_protocol::members;
use serde_json::{Map, Value, json};

use super::reads::Reads;

/// Properties of one object that policies see; an object with more is not seen at all.
const PROPERTIES_MAX: usize = 256;
/// Depth to which objects and arrays are seen.
const DEPTH_MAX: usize = 8;

/// The type of a tool's arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct InputType(BTreeMap<String, Property>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Property {
    kind: Kind,
    is_required: bool,
    is_nullable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Text,
    Boolean,
    Integer,
    Number,
    Set(Box<Self>),
    Record(InputType),
}

/// A value that its type cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unrepresentable {
    /// The argument.
    pub(super) name: String,
}

impl InputType {
    /// The type of the arguments of a tool with this definition.
    pub(super) fn of(definition: &str) -> Self {
        let definition: Value = serde_json::from_str(definition).unwrap_or_default();
        definition
            .get("inputSchema")
            .and_then(|schema| Self::of_object(schema, 0))
            .unwrap_or_default()
    }

    fn of_object(schema: &Value, depth: usize) -> Option<Self> {
        let properties = schema.get("properties")?.as_object()?;
        if properties.len() > PROPERTIES_MAX || depth > DEPTH_MAX {
            return None;
        }
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        let typed = properties.iter().filter_map(|(name, schema)| {
            let (kind, is_nullable) = kind(schema, depth)?;
            let property = Property {
                kind,
                is_required: is_required(name) && !is_nullable,
                is_nullable,
            };
            Some((name.clone(), property))
        });
        Some(Self(typed.collect()))
    }

    /// In Cedar's JSON form of a schema.
    pub(super) fn to_cedar(&self) -> Value {
        let attributes: Map<String, Value> = self
            .0
            .iter()
            .map(|(name, property)| {
                let mut kind = property.kind.to_cedar();
                if let Some(members) = kind.as_object_mut() {
                    members.insert("required".to_owned(), json!(property.is_required));
                }
                (name.clone(), kind)
            })
            .collect();
        json!({"type": "Record", "attributes": attributes})
    }

    /// The arguments that policies read, as one Cedar record. `raw` is JSON that the pinned schema was checked against.
    pub(super) fn record(&self, raw: Option<&str>, reads: &Reads) -> Result<RestrictedExpression, Unrepresentable> {
        let whole = || Unrepresentable {
            name: "arguments".to_owned(),
        };
        let members = members(raw.unwrap_or("{}")).map_err(|_cause| whole())?;
        let mut fields = Vec::new();
        for (name, property) in self.0.iter().filter(|(name, _)| reads.has_argument(name)) {
            let unrepresentable = || Unrepresentable { name: name.clone() };
            let found = members.iter().find(|(key, _)| *key == **name);
            let value: Value = match found {
                Some((_, raw)) => serde_json::from_str(raw).map_err(|_cause| unrepresentable())?,
                None if property.is_required => return Err(unrepresentable()),
                None => continue,
            };
            if value.is_null() && property.is_nullable {
                continue;
            }
            fields.push((name.clone(), property.kind.value(&value).ok_or_else(unrepresentable)?));
        }
        RestrictedExpression::new_record(fields).map_err(|_cause| whole())
    }

    fn value(&self, object: &Map<String, Value>) -> Option<RestrictedExpression> {
        let mut fields = Vec::new();
        for (name, property) in &self.0 {
            match object.get(name) {
                Some(Value::Null) if property.is_nullable => {}
                Some(value) => fields.push((name.clone(), property.kind.value(value)?)),
                None if property.is_required => return None,
                None => {}
            }
        }
        RestrictedExpression::new_record(fields).ok()
    }
}

/// The plain type of a schema, and whether `null` is one of its values. `None` where there is no plain type.
fn kind(schema: &Value, depth: usize) -> Option<(Kind, bool)> {
    let named: Vec<&str> = match schema.get("type")? {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    let is_nullable = named.contains(&"null");
    let [one] = named.iter().filter(|name| **name != "null").collect::<Vec<_>>()[..] else {
        return None;
    };
    let kind = match *one {
        "string" => Kind::Text,
        "boolean" => Kind::Boolean,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "array" if depth < DEPTH_MAX && schema.get("prefixItems").is_none() => {
            let (element, false) = kind(schema.get("items")?, depth.saturating_add(1))? else {
                return None;
            };
            Kind::Set(Box::new(element))
        }
        "object" => Kind::Record(InputType::of_object(schema, depth.saturating_add(1))?),
        _ => return None,
    };
    Some((kind, is_nullable))
}

impl Kind {
    fn to_cedar(&self) -> Value {
        match self {
            Self::Text => json!({"type": "String"}),
            Self::Boolean => json!({"type": "Boolean"}),
            Self::Integer => json!({"type": "Long"}),
            Self::Number => json!({"type": "Extension", "name": "decimal"}),
            Self::Set(element) => json!({"type": "Set", "element": element.to_cedar()}),
            Self::Record(input) => input.to_cedar(),
        }
    }

    fn value(&self, value: &Value) -> Option<RestrictedExpression> {
        match (self, value) {
            (Self::Text, Value::String(text)) => Some(RestrictedExpression::new_string(text.clone())),
            (Self::Boolean, Value::Bool(is)) => Some(RestrictedExpression::new_bool(*is)),
            (Self::Integer, Value::Number(number)) => Some(RestrictedExpression::new_long(integer(number)?)),
            (Self::Number, Value::Number(number)) => Some(RestrictedExpression::new_decimal(decimal(number)?)),
            (Self::Set(element), Value::Array(values)) => {
                let values: Option<Vec<_>> = values.iter().map(|value| element.value(value)).collect();
                Some(RestrictedExpression::new_set(values?))
            }
            (Self::Record(input), Value::Object(members)) => input.value(members),
            _ => None,
        }
    }
}

/// JSON Schema takes `1.0` for an integer.
fn integer(number: &serde_json::Number) -> Option<i64> {
    if let Some(integer) = number.as_i64() {
        return Some(integer);
    }
    let float = number
        .as_f64()
        .filter(|float| float.fract() == 0.0 && float.abs() < EXACT_INTEGER_MAX)?;
    format!("{float:.0}").parse().ok()
}

/// Beyond this a double skips integers: 2^53.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;
/// Digits behind the point that Cedar's decimal has.
const DECIMAL_DIGITS: usize = 4;
/// Absolute values below this fit Cedar's decimal.
const DECIMAL_MAX: f64 = 922_337_203_685_477.0;

/// The number with at most four digits behind the point, exactly; `None` where it has more or is too large.
fn decimal(number: &serde_json::Number) -> Option<String> {
    let float = number.as_f64().filter(|float| float.abs() < DECIMAL_MAX)?;
    let text = format!("{float:.DECIMAL_DIGITS$}");
    #[expect(
        clippy::float_cmp,
        reason = "a value that is not exactly the same is not representable"
    )]
    let is_exact = text.parse::<f64>().is_ok_and(|back| back == float);
    is_exact.then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::Number;

    use super::{InputType, decimal, integer};

    #[test]
    fn numbers_are_exact_or_nothing() {
        let decimal = |text: &str| decimal(&text.parse::<Number>().unwrap());
        assert_eq!(decimal("0.1").as_deref(), Some("0.1000"));
        assert_eq!(decimal("-15e2").as_deref(), Some("-1500.0000"));
        for none in ["0.00001", "1e15", "1e300", "123456.78901"] {
            assert_eq!(decimal(none), None, "{none}");
        }
        let integer = |text: &str| integer(&text.parse::<Number>().unwrap());
        assert_eq!(integer("1.0"), Some(1));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        for none in ["1.5", "9223372036854775808", "1e300"] {
            assert_eq!(integer(none), None, "{none}");
        }
    }

    #[test]
    fn only_plain_types_are_seen() {
        let input = InputType::of(
            r##"{"inputSchema":{"type":"object","required":["a","n"],"properties":{
                "a":{"type":"string"},"n":{"type":["integer","null"]},"u":{"type":["string","integer"]},"r":{"$ref":"#/x"},
                "s":{"type":"array","items":{"type":"string"}},"t":{"type":"array"},"o":{"type":"object","properties":{"x":{"type":"boolean"}}},
                "any":true,"free":{"type":"object"}}}}"##,
        );
        let names: Vec<&str> = input.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "n", "o", "s"]);
        assert!(input.0["a"].is_required);
        assert!(!input.0["n"].is_required, "null stands for absent");
    }
}
