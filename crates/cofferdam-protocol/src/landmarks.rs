//! Where the members of the envelope and of `params` lie, found from the keys that the strict pass borrowed from the text.
//!
//! A value reaches from behind its key's colon to before the comma of the next key, so no second scan of the values is needed.
//! Keys spelled with escapes are not borrowed: then nothing is known, and [`crate::structure`] walks instead.

use std::ops::Range;

use crate::structure::{MemberRange, skip_space, space_start};

/// Keys that are noted for one object; objects with more are walked.
const NOTED_MAX: usize = 32;

/// The keys of one object, in order, as ranges of the text without the quotes.
#[derive(Debug, Default)]
pub(crate) struct Landmarks {
    keys: Vec<Range<usize>>,
    /// A key could not be noted.
    is_partial: bool,
}

impl Landmarks {
    /// Takes note of a key; `None` for one that is not a slice of `text`.
    pub(crate) fn note(&mut self, text: &str, key: Option<&str>) {
        let range = key.and_then(|key| {
            let start = key.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
            Some(start..start.checked_add(key.len())?)
        });
        match range.filter(|range| range.end < text.len() && self.keys.len() < NOTED_MAX) {
            Some(range) => self.keys.push(range),
            None => self.is_partial = true,
        }
    }

    /// All members of the object, whose closing bracket is the last byte before `end`. `None` if not all keys were noted.
    pub(crate) fn members(self, text: &str, end: usize) -> Option<Vec<MemberRange>> {
        if self.is_partial {
            return None;
        }
        let text = text.as_bytes();
        let ends = self
            .keys
            .iter()
            .skip(1)
            .map(|next| next.start.saturating_sub(1))
            .chain([end]);
        self.keys
            .iter()
            .zip(ends)
            .map(|(key, next)| {
                let colon = skip_space(text, key.end.checked_add(1)?);
                let start = skip_space(text, colon.checked_add(1)?);
                // `next` is the quote of the next key, preceded by a comma; or the end, preceded by the bracket.
                let separator = space_start(text, next).checked_sub(1)?;
                let value = start..space_start(text, separator);
                (value.start < value.end).then(|| MemberRange {
                    key: key.clone(),
                    value,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Landmarks, NOTED_MAX};

    fn found(text: &str, keys: &[&str]) -> Option<Vec<String>> {
        let mut landmarks = Landmarks::default();
        for key in keys {
            let start = text.find(&format!("\"{key}\"")).unwrap() + 1;
            landmarks.note(text, text.get(start..start + key.len()));
        }
        let members = landmarks.members(text, text.len())?;
        Some(
            members
                .into_iter()
                .map(|member| text.get(member.value).unwrap().to_owned())
                .collect(),
        )
    }

    #[test]
    fn values_lie_between_keys() {
        let text = "{ \"a\" : {\"x\":[1 , 2]} , \"b\":1.0,\"c\"\t:\"}\"  }";
        assert_eq!(
            found(text, &["a", "b", "c"]).unwrap(),
            ["{\"x\":[1 , 2]}", "1.0", "\"}\""]
        );
        assert_eq!(found("{}", &[]).unwrap(), [""; 0]);
    }

    #[test]
    fn what_could_not_be_noted_is_not_guessed() {
        let text = "{\"a\":1}";
        let mut foreign = Landmarks::default();
        foreign.note(text, Some("a"));
        foreign.note(text, None);
        assert!(foreign.members(text, text.len()).is_none());
        let mut crowded = Landmarks::default();
        for _ in 0..=NOTED_MAX {
            crowded.note(text, text.get(2..3));
        }
        assert!(crowded.members(text, text.len()).is_none());
    }
}
