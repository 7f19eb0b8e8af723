//! The keys of one object: has this one been there, and does it differ from a known one only in case?

use std::borrow::Cow;
use std::collections::HashSet;

use crate::strict::Place;
use crate::value::fold;

/// Keys kept in place; beyond, a hash set, so that an object of a hundred thousand keys costs no more than linear time.
const FEW: usize = 16;

/// Exact set of decoded keys.
#[derive(Debug)]
pub(crate) struct KeySet<'de> {
    few: [&'de str; FEW],
    len: usize,
    /// One bit for each key's look; a key whose bit is not set is new without comparing.
    looks: u64,
    /// Set once there are too many keys, or one is spelled with escapes and cannot be borrowed.
    many: Option<HashSet<Cow<'de, str>>>,
}

impl<'de> KeySet<'de> {
    pub(crate) const fn new() -> Self {
        Self {
            few: [""; FEW],
            len: 0,
            looks: 0,
            many: None,
        }
    }

    /// Adds `key`. `false` if it is already there.
    pub(crate) fn insert(&mut self, key: Cow<'de, str>) -> bool {
        if let (None, Cow::Borrowed(key)) = (&self.many, &key) {
            let here = self.few.get(..self.len).unwrap_or_default();
            let look = look(key);
            if self.looks & look != 0 && here.contains(key) {
                return false;
            }
            if let Some(free) = self.few.get_mut(self.len) {
                *free = key;
                self.len = self.len.saturating_add(1);
                self.looks |= look;
                return true;
            }
        }
        let few = self.few.get(..self.len).unwrap_or_default();
        let many = self.many.get_or_insert_with(|| {
            let mut many = HashSet::with_capacity(FEW.saturating_mul(4));
            many.extend(few.iter().map(|key| Cow::Borrowed(*key)));
            many
        });
        many.insert(key)
    }
}

/// A bit for the key's length and ends: most keys of one object have different ones.
fn look(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let ends = bytes
        .first()
        .zip(bytes.last())
        .map_or(0, |(first, last)| u32::from(*first) ^ (u32::from(*last) << 2));
    let length = u32::try_from(bytes.len() & 0x3f).unwrap_or_default();
    1 << ((ends ^ (length << 1)) & 0x3f)
}

/// Keys of an envelope: JSON-RPC's.
const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
/// Keys of `params` on which a decision or the bookkeeping rests, in any revision.
const PARAMS: &[&str] = &[
    "name",
    "arguments",
    "uri",
    "_meta",
    "requestId",
    "progressToken",
    "requestState",
    "inputResponses",
    "cursor",
    "level",
    "ref",
    "argument",
    "protocolVersion",
    "capabilities",
    "task",
    "taskId",
    "url",
    "mode",
    "message",
    "requestedSchema",
];
/// Keys of `params._meta` that the specification reserves and the era is found by.
const META: &[&str] = &[
    "progressToken",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/subscriptionId",
];
/// Keys of `result` that a client acts on or that inspection looks at.
const RESULT: &[&str] = &[
    "tools",
    "resources",
    "resourceTemplates",
    "prompts",
    "messages",
    "contents",
    "content",
    "structuredContent",
    "isError",
    "nextCursor",
    "_meta",
    "protocolVersion",
    "capabilities",
    "instructions",
    "resultType",
    "inputRequests",
    "requestState",
    "ttlMs",
    "cacheScope",
    "task",
];

/// Finds keys that a case-folding parser (Go's `encoding/json`) takes for another key or for a known one.
#[derive(Debug)]
pub(crate) struct FoldedKeys {
    known: &'static [&'static str],
    /// Folded forms of the keys that are not known.
    others: Vec<Box<str>>,
    many: HashSet<Box<str>>,
}

impl FoldedKeys {
    /// A checker for the keys of the object at `place`, if folding matters there.
    pub(crate) fn of(place: Place) -> Option<Self> {
        let known = match place {
            Place::Envelope => ENVELOPE,
            Place::Params => PARAMS,
            Place::Meta => META,
            Place::Result => RESULT,
            Place::Batch | Place::Free => return None,
        };
        Some(Self {
            known,
            others: Vec::new(),
            many: HashSet::new(),
        })
    }

    /// Adds `key`. `false` if it folds to a known key that it is not, or to the form of a key already there.
    pub(crate) fn insert(&mut self, key: &str) -> bool {
        if self.known.contains(&key) {
            return true;
        }
        let form = fold(key);
        // A known key is ASCII, so its form is as long as itself.
        if self
            .known
            .iter()
            .any(|known| known.len() == form.len() && known.eq_ignore_ascii_case(&form))
        {
            return false;
        }
        if self.others.len() < FEW {
            let is_new = !self.others.iter().any(|other| **other == *form);
            self.others.push(form.into());
            return is_new;
        }
        let is_new = !self.others.iter().any(|other| **other == *form);
        is_new && self.many.insert(form.into())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{ENVELOPE, FoldedKeys, KeySet, META, PARAMS, RESULT};
    use crate::strict::Place;
    use crate::value::fold;

    #[test]
    fn a_key_is_new_once_however_many_there_are() {
        for count in [1, 15, 16, 17, 40, 1000] {
            let keys: Vec<String> = (0..count).map(|number| format!("k{number}")).collect();
            let mut set = KeySet::new();
            assert!(keys.iter().all(|key| set.insert(Cow::Borrowed(key))));
            assert!(keys.iter().all(|key| !set.insert(Cow::Borrowed(key))), "{count}");
            assert!(set.insert(Cow::Borrowed("k")));
        }
    }

    #[test]
    fn spelling_does_not_matter() {
        let mut set = KeySet::new();
        assert!(set.insert(Cow::Borrowed("a")));
        assert!(!set.insert(Cow::Owned("a".to_owned())));
        assert!(set.insert(Cow::Owned("b".to_owned())));
        assert!(!set.insert(Cow::Borrowed("b")));
        assert!(set.insert(Cow::Borrowed("")));
        assert!(!set.insert(Cow::Owned(String::new())));
    }

    #[test]
    fn known_names_are_ascii_and_distinct_when_folded() {
        for known in [ENVELOPE, PARAMS, META, RESULT] {
            assert!(known.iter().all(|key| key.is_ascii()));
            let mut forms: Vec<_> = known.iter().map(|key| fold(key)).collect();
            forms.sort();
            forms.dedup();
            assert_eq!(forms.len(), known.len());
        }
    }

    #[test]
    fn folded_keys_are_found_at_any_count() {
        for count in [0, 15, 16, 17, 100] {
            let mut folded = FoldedKeys::of(Place::Params).unwrap();
            assert!((0..count).all(|number| folded.insert(&format!("Key{number}"))));
            for known in PARAMS {
                assert!(folded.insert(known));
                assert!(!folded.insert(&known.to_uppercase()) || known.to_uppercase() == **known);
            }
            assert!(folded.insert("Other") && !folded.insert("oTHER"), "{count}");
            assert_eq!(
                (0..count)
                    .filter(|number| folded.insert(&format!("kEY{number}")))
                    .count(),
                0
            );
        }
        assert!(FoldedKeys::of(Place::Free).is_none());
    }
}
