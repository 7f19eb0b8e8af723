//! One pass over a line that refuses what two JSON parsers could read differently. `serde_json` does the grammar.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::fault::grammar_fault;
use crate::keys::{FoldedKeys, KeySet};
use crate::landmarks::Landmarks;
use crate::reason::Reason;
use crate::structure::skip_space;
use crate::value::Key;

/// Objects and arrays nested in one message, the message itself counted.
pub const DEPTH_MAX: usize = 64;

/// Keys that start like this are markers of `serde_json` itself (`RawValue`, arbitrary precision numbers): a tree built from such an
/// object is not the object that was sent.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// What a fault is and where it was noticed, in bytes from the start of the text (best effort).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) offset: usize,
}

/// What the pass learned on the way; of no use for a batch.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) envelope: Landmarks,
    pub(crate) params: Landmarks,
}

/// Checks one message (`{…}`) or one batch (`[…]`); whitespace may surround it.
pub(crate) fn check(text: &str) -> Result<Survey, Fault> {
    let mut walk = Walk {
        text,
        depth: 0,
        reason: None,
        survey: Survey::default(),
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let open = text.as_bytes().get(skip_space(text.as_bytes(), 0));
    let place = if open == Some(&b'[') {
        Place::Batch
    } else {
        Place::Envelope
    };
    let outcome = Strict { walk: &mut walk, place }.deserialize(&mut reader);
    let (error, unless_known) = match outcome {
        Ok(()) => match reader.end() {
            Ok(()) => return Ok(walk.survey),
            Err(error) => (error, Reason::TrailingData),
        },
        Err(error) => (error, Reason::NotJson),
    };
    // One line, so the column counts its bytes.
    let offset = error.column().saturating_sub(1).min(text.len());
    Err(match walk.reason {
        Some(reason) => Fault { reason, offset },
        None => grammar_fault(text, offset, unless_known),
    })
}

/// What is known so far, shared by all levels.
#[derive(Debug)]
struct Walk<'de> {
    text: &'de str,
    depth: usize,
    /// Set before an error of our own is raised, which `serde_json` cannot carry.
    reason: Option<Reason>,
    survey: Survey,
}

impl Walk<'_> {
    fn refuse<E: de::Error>(&mut self, reason: Reason) -> E {
        self.reason = Some(reason);
        E::custom(reason.text())
    }

    fn enter<E: de::Error>(&mut self, place: Place) -> Result<(), E> {
        if place != Place::Batch {
            self.depth = self.depth.saturating_add(1);
        }
        if self.depth > DEPTH_MAX {
            Err(self.refuse(Reason::TooDeep))
        } else {
            Ok(())
        }
    }

    fn leave(&mut self, place: Place) {
        if place != Place::Batch {
            self.depth = self.depth.saturating_sub(1);
        }
    }

    /// Checks a key alone, and notes where it stands (`borrowed`) if that helps to find values.
    fn check_key<E: de::Error>(&mut self, place: Place, key: &str, borrowed: Option<&str>) -> Result<(), E> {
        if borrowed.is_none() {
            self.check_unescaped(key)?;
        }
        match place {
            Place::Envelope => self.survey.envelope.note(self.text, borrowed),
            Place::Params => self.survey.params.note(self.text, borrowed),
            _ => {}
        }
        if key.starts_with(RESERVED_PREFIX) {
            Err(self.refuse(Reason::ReservedKey))
        } else {
            Ok(())
        }
    }

    /// Text that was spelled with escapes: the only way U+0000 can be in it.
    fn check_unescaped<E: de::Error>(&mut self, text: &str) -> Result<(), E> {
        if memchr(0, text.as_bytes()).is_some() {
            Err(self.refuse(Reason::Nul))
        } else {
            Ok(())
        }
    }
}

/// Where a value stands, as far as it matters for its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The outermost array.
    Batch,
    /// A message.
    Envelope,
    /// `params` of a message.
    Params,
    /// `params._meta`.
    Meta,
    /// `result` of a message.
    Result,
    /// Anywhere else.
    Free,
}

impl Place {
    /// Where the value of the member `key` stands.
    fn of_member(self, key: &str) -> Self {
        match (self, key) {
            (Self::Envelope, "params") => Self::Params,
            (Self::Envelope, "result") => Self::Result,
            (Self::Params, "_meta") => Self::Meta,
            _ => Self::Free,
        }
    }

    fn of_element(self) -> Self {
        if self == Self::Batch {
            Self::Envelope
        } else {
            Self::Free
        }
    }
}

struct Strict<'walk, 'de> {
    walk: &'walk mut Walk<'de>,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Strict<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E: de::Error>(self, _text: &'de str) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.walk.check_unescaped(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        self.walk.enter(self.place)?;
        let place = self.place.of_element();
        while elements.next_element_seed(Strict { walk: self.walk, place })?.is_some() {}
        self.walk.leave(self.place);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.walk.enter(self.place)?;
        let mut keys = KeySet::new();
        let mut folded = FoldedKeys::of(self.place);
        while let Some(key) = members.next_key_seed(Key)? {
            let borrowed = if let Cow::Borrowed(borrowed) = key {
                Some(borrowed)
            } else {
                None
            };
            self.walk.check_key(self.place, &key, borrowed)?;
            let place = self.place.of_member(&key);
            let is_fold_of_another = folded.as_mut().is_some_and(|folded| !folded.insert(&key));
            // First whether it is new, so that a plain duplicate is called one.
            if !keys.insert(key) {
                return Err(self.walk.refuse(Reason::DuplicateKey));
            }
            if is_fold_of_another {
                return Err(self.walk.refuse(Reason::CaseFoldedKey));
            }
            members.next_value_seed(Strict { walk: self.walk, place })?;
        }
        self.walk.leave(self.place);
        Ok(())
    }
}
