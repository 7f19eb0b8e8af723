//! Looking into raw JSON text without building a tree, and the case folding of keys.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Text that is not the JSON object or array it was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotThisShape;

impl fmt::Display for NotThisShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the JSON text is not of the expected shape")
    }
}

impl std::error::Error for NotThisShape {}

/// The members of a JSON object given as raw text, in order: decoded key and raw value, a slice of `object`.
///
/// Repeated keys come back as often as they stand there; a decoded message has none.
///
/// # Errors
/// `object` is not one JSON object.
pub fn members(object: &str) -> Result<Vec<(Cow<'_, str>, &str)>, NotThisShape> {
    let mut reader = serde_json::Deserializer::from_str(object);
    let members = reader.deserialize_map(Members).map_err(|_syntax| NotThisShape)?;
    reader.end().map_err(|_trailing| NotThisShape)?;
    Ok(members)
}

/// The elements of a JSON array given as raw text, in order, as slices of `array`.
///
/// # Errors
/// `array` is not one JSON array.
pub fn elements(array: &str) -> Result<Vec<&str>, NotThisShape> {
    let mut reader = serde_json::Deserializer::from_str(array);
    let elements = reader.deserialize_seq(Elements).map_err(|_syntax| NotThisShape)?;
    reader.end().map_err(|_trailing| NotThisShape)?;
    Ok(elements)
}

/// The canonical form of a key under Unicode simple case folding (statuses C and S of Unicode's `CaseFolding.txt`).
///
/// Two keys that Go's `encoding/json` takes for the same have the same form: `K` (U+212A) folds to `k`, `ſ` (U+017F) to `s`.
#[must_use]
pub fn fold(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    if key.is_ascii() {
        return Cow::Owned(key.to_ascii_lowercase());
    }
    Cow::Owned(key.chars().map(fold_char).collect())
}

fn fold_char(char: char) -> char {
    unicode_case_mapping::case_folded(char)
        .and_then(|folded| char::from_u32(folded.get()))
        .unwrap_or(char)
}

/// Reads a key, borrowed unless it is spelled with escapes.
pub(crate) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            members.push((key, map.next_value::<&'de RawValue>()?.get()));
        }
        Ok(members)
    }
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&'de RawValue>()? {
            elements.push(element.get());
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::{elements, fold, members};

    #[test]
    fn members_are_slices_of_the_text_with_decoded_keys() {
        let text = r#" {"a":1.0, "\u0062" : [1, 2] ,"a":{}} "#;
        let found = members(text).unwrap();
        let shown: Vec<_> = found.iter().map(|(key, value)| (&**key, *value)).collect();
        assert_eq!(shown, [("a", "1.0"), ("b", "[1, 2]"), ("a", "{}")]);
        assert!(text.as_bytes().as_ptr_range().contains(&found[1].1.as_ptr()));
    }

    #[test]
    fn only_whole_objects_have_members_and_only_whole_arrays_elements() {
        for text in ["", "[]", "1", "null", r#"{"a":1}x"#, r#"{"a":1"#, r#"{"a"}"#, r#""a""#] {
            assert!(members(text).is_err(), "{text}");
        }
        for text in ["", "{}", "1", "[1]x", "[1", "[1,]", "[1 2]"] {
            assert!(elements(text).is_err(), "{text}");
        }
        assert_eq!(members("{}").unwrap(), []);
        assert_eq!(elements(" [ 1 , \"a\" ] ").unwrap(), ["1", "\"a\""]);
    }

    #[test]
    fn folding_joins_what_go_joins() {
        for (key, form) in [
            ("name", "name"),
            ("Name", "name"),
            ("\u{212A}ey", "key"),
            ("param\u{17F}", "params"),
            ("\u{1E9E}", "ß"),
            ("ΣΑΣ", "σασ"),
            ("ς", "σ"),
        ] {
            assert_eq!(fold(key), form, "{key}");
        }
    }

    #[test]
    fn folding_is_simple_and_without_locale() {
        for (one, other) in [
            ("ß", "ss"),
            ("ﬁ", "fi"),
            ("\u{131}d", "id"),
            ("\u{130}d", "id"),
            ("é", "e"),
        ] {
            assert_ne!(fold(one), fold(other), "{one}");
        }
    }
}
