//! A second opinion on an accepted line, written without the decoder's code.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Parses the line and fails unless first-wins and last-wins parsers, and those that stop at NUL, would read the same.
pub fn same_for_every_parser(line: &[u8]) -> Value {
    serde_json::from_slice::<OneKeyEach>(line).expect("an accepted line is JSON without duplicate keys and NUL");
    serde_json::from_slice(line).expect("an accepted line is JSON")
}

/// Any JSON value in which no object has a key twice and no text has a NUL.
struct OneKeyEach;

impl<'de> Deserialize<'de> for OneKeyEach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Looker)
    }
}

struct Looker;

impl<'de> Visitor<'de> for Looker {
    type Value = OneKeyEach;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<OneKeyEach, E> {
        Ok(OneKeyEach)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<OneKeyEach, E> {
        Ok(OneKeyEach)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<OneKeyEach, E> {
        Ok(OneKeyEach)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<OneKeyEach, E> {
        Ok(OneKeyEach)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<OneKeyEach, E> {
        Ok(OneKeyEach)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OneKeyEach, E> {
        if text.contains('\0') {
            Err(E::custom("a NUL"))
        } else {
            Ok(OneKeyEach)
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<OneKeyEach, A::Error> {
        while elements.next_element::<OneKeyEach>()?.is_some() {}
        Ok(OneKeyEach)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<OneKeyEach, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            Looker.visit_str::<A::Error>(&key)?;
            if !seen.insert(key) {
                return Err(Error::custom("a duplicate key"));
            }
            members.next_value::<OneKeyEach>()?;
        }
        Ok(OneKeyEach)
    }
}
