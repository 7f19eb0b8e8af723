//! Two texts compared word by word, shown so that nothing in them stays unseen.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::edits::{Edit, edits};
use crate::diagnostic::is_invisible;

/// Characters of an unchanged part that are shown on either side of a change.
const CONTEXT_CHARACTERS_MAX: usize = 40;

/// One part of a comparison. The text is escaped: invisible characters, line ends and spaces other than the ordinary
/// one are written `\u{…}`, `\n` or `\t`, a backslash is doubled, so two texts that differ never look alike for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    /// In both texts.
    Kept(String),
    /// In the accepted text only.
    Removed(String),
    /// In the present text only.
    Added(String),
}

/// The parts of two texts in order: what is kept or removed is the accepted text, what is kept or added the present one.
///
/// Shown, what was removed stands in `[-…-]`, what was added in `{+…+}`, and long unchanged parts are left out (`…`);
/// what was removed or added never is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(Vec<Piece>);

impl Words {
    /// Compares two texts, in time and memory bounded whatever they hold.
    #[must_use]
    pub fn between(before: &str, after: &str) -> Self {
        let (before, after) = (words(before), words(after));
        let prefix = common(before.iter(), after.iter());
        let (kept_first, before) = before.split_at_checked(prefix).unwrap_or_default();
        let after = after.get(prefix..).unwrap_or_default();
        let suffix = common(before.iter().rev(), after.iter().rev());
        let (before, kept_last) = before.split_at_checked(before.len() - suffix).unwrap_or_default();
        let after = after.get(..after.len() - suffix).unwrap_or_default();

        let mut pieces = Pieces::default();
        pieces.keep(kept_first);
        match edits(before, after) {
            Some(edits) => pieces.apply(&edits, before, after),
            None => pieces.replace(before, after),
        }
        pieces.keep(kept_last);
        Self(pieces.finish())
    }

    /// The parts, in order; two neighbours are never of one kind.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Kept(text) => {
                    f.write_str(&shortened(&unmarked(text), index == 0, index + 1 == self.0.len()))?;
                }
                Piece::Removed(text) => write!(f, "[-{}-]", unmarked(text))?,
                Piece::Added(text) => write!(f, "{{+{}+}}", unmarked(text))?,
            }
        }
        Ok(())
    }
}

/// Text that holds what looks like one of our marks has it escaped, so that no text can close a mark or open one.
fn unmarked(text: &str) -> Cow<'_, str> {
    if ["[-", "-]", "{+", "+}"].iter().any(|mark| text.contains(mark)) {
        return Cow::Owned(text.replace('-', "\\u{2d}").replace('+', "\\u{2b}"));
    }
    Cow::Borrowed(text)
}

/// The ends of an unchanged part that touch a change.
fn shortened(text: &str, is_first: bool, is_last: bool) -> String {
    let characters = text.chars().count();
    let head = if is_first { 0 } else { CONTEXT_CHARACTERS_MAX };
    let tail = if is_last { 0 } else { CONTEXT_CHARACTERS_MAX };
    if characters <= 2 * CONTEXT_CHARACTERS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(characters - tail).collect();
    format!("{start}…{end}")
}

/// The text as a person can check it: one line, every character seen, no two texts alike.
pub(super) fn exact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_unseen(character) => out.extend(character.escape_unicode()),
            _ => out.push(character),
        }
    }
    out
}

/// JSON text as a person can check it; its own escapes stay as they are.
pub(super) fn exact_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unseen(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Shows nothing, or shows a space that is another one (U+2800 is an empty Braille cell).
fn is_unseen(character: char) -> bool {
    is_invisible(character) || (character.is_whitespace() && character != ' ') || character == '\u{2800}'
}

/// Runs of letters and digits, runs of white space, and every other character by itself; together they are the text.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let class = class(first);
        let end = match class {
            Class::Other => first.len_utf8(),
            _ => rest.find(|c: char| self::class(c) != class).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        words.push(word);
        rest = after;
    }
    words
}

#[derive(PartialEq, Eq)]
enum Class {
    Word,
    Space,
    Other,
}

fn class(character: char) -> Class {
    if character.is_alphanumeric() {
        Class::Word
    } else if character.is_whitespace() {
        Class::Space
    } else {
        Class::Other
    }
}

fn common<'w>(one: impl Iterator<Item = &'w &'w str>, other: impl Iterator<Item = &'w &'w str>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// Collects pieces; removals and additions in a row become one of each.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    removed: String,
    added: String,
}

impl Pieces {
    fn keep(&mut self, words: &[&str]) {
        if words.is_empty() {
            return;
        }
        self.settle();
        let text: String = words.iter().map(|word| exact(word)).collect();
        if let Some(Piece::Kept(before)) = self.done.last_mut() {
            before.push_str(&text);
        } else {
            self.done.push(Piece::Kept(text));
        }
    }

    fn replace(&mut self, before: &[&str], after: &[&str]) {
        self.removed.extend(before.iter().map(|word| exact(word)));
        self.added.extend(after.iter().map(|word| exact(word)));
    }

    fn apply(&mut self, edits: &[Edit], before: &[&str], after: &[&str]) {
        let (mut before, mut after) = (before, after);
        for run in edits.chunk_by(|one, other| one == other) {
            let takes = |keep_or: Edit| {
                if run.first().is_some_and(|edit| *edit == Edit::Keep || *edit == keep_or) {
                    run.len()
                } else {
                    0
                }
            };
            let (from_before, rest_before) = before.split_at_checked(takes(Edit::Remove)).unwrap_or_default();
            let (from_after, rest_after) = after.split_at_checked(takes(Edit::Add)).unwrap_or_default();
            (before, after) = (rest_before, rest_after);
            let is_kept = run.first() == Some(&Edit::Keep);
            let joins = from_before.len() == 1 && from_before.iter().all(|word| word.trim().is_empty());
            let is_between = self.is_open() && !(before.is_empty() && after.is_empty());
            if is_kept && !(joins && is_between) {
                self.keep(from_before);
            } else {
                // One space between two changed words belongs to the change: phrases read better than single words.
                self.replace(from_before, from_after);
            }
        }
    }

    fn is_open(&self) -> bool {
        !(self.removed.is_empty() && self.added.is_empty())
    }

    fn settle(&mut self) {
        let (removed, added) = (std::mem::take(&mut self.removed), std::mem::take(&mut self.added));
        if !removed.is_empty() {
            self.done.push(Piece::Removed(removed));
        }
        if !added.is_empty() {
            self.done.push(Piece::Added(added));
        }
    }

    fn finish(mut self) -> Vec<Piece> {
        self.settle();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::{Piece, Words, exact, words};
    use crate::diff::edits::EDITS_MAX;

    fn sides(words: &Words) -> (String, String) {
        let (mut before, mut after) = (String::new(), String::new());
        for piece in words.pieces() {
            match piece {
                Piece::Kept(text) => {
                    before.push_str(text);
                    after.push_str(text);
                }
                Piece::Removed(text) => before.push_str(text),
                Piece::Added(text) => after.push_str(text),
            }
        }
        (before, after)
    }

    #[test]
    fn a_change_is_shown_in_its_place() {
        let shown = |before, after| Words::between(before, after).to_string();
        assert_eq!(shown("reads one file", "reads any file"), "reads [-one-]{+any+} file");
        assert_eq!(
            shown("reads one file", "writes any file"),
            "[-reads one-]{+writes any+} file"
        );
        assert_eq!(shown("reads", "reads, then sends"), "reads{+, then sends+}");
        assert_eq!(shown("a b", "a b"), "a b");
        assert_eq!(shown("", "new"), "{+new+}");
        assert_eq!(shown("", ""), "");
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        let shown = |before, after| Words::between(before, after).to_string();
        assert_eq!(shown("read", "re\u{200b}ad"), "[-read-]{+re\\u{200b}ad+}");
        assert_eq!(shown("a b", "a\u{a0}b"), "a[- -]{+\\u{a0}+}b");
        assert_eq!(shown("a b", "a\n\tb"), "a[- -]{+\\n\\t+}b");
        assert_eq!(shown("a", "a\u{e0041}\u{e0042}"), "a{+\\u{e0041}\\u{e0042}+}");
        assert_eq!(shown("\\n", "\n"), "[-\\\\n-]{+\\n+}");
    }

    #[test]
    fn a_text_cannot_forge_a_mark() {
        let shown = Words::between("safe", "safe+} and unchanged {+").to_string();
        assert_eq!(shown, "safe{+\\u{2b}} and unchanged {\\u{2b}+}");
    }

    #[test]
    fn what_is_unchanged_is_shortened_and_what_changed_is_not() {
        let (long, new) = ("word ".repeat(100), "evil ".repeat(100));
        let shown = Words::between(&format!("{long}{long}"), &format!("{long}{new}{long}")).to_string();
        let (head, tail) = ("word ".repeat(8), "word ".repeat(8));
        assert_eq!(shown, format!("…{head}{{+{new}+}}{tail}…"));
    }

    #[test]
    fn texts_beyond_the_bounds_are_shown_whole() {
        let before: String = (0..EDITS_MAX).map(|n| format!("a{n} b ")).collect();
        let after: String = (0..EDITS_MAX).map(|n| format!("c{n} b ")).collect();
        let words = Words::between(&before, &after);
        assert_eq!(words.pieces().len(), 3, "one removed, one added, the same end");
        assert_eq!(sides(&words), (before, after));
    }

    proptest! {
        #[test]
        fn both_texts_can_be_read_off(before in "[a-c \n.\u{200b}]{0,40}", after in "[a-c \n.\u{200b}]{0,40}") {
            let words = Words::between(&before, &after);
            prop_assert_eq!(sides(&words), (exact(&before), exact(&after)));
            let changed = words.pieces().iter().any(|piece| !matches!(piece, Piece::Kept(_)));
            prop_assert_eq!(changed, before != after);
        }

        #[test]
        fn any_text_is_made_of_its_words_and_shown_like_no_other(one in ".{0,20}", other in ".{0,20}") {
            prop_assert_eq!(words(&one).concat(), one.clone());
            prop_assert_eq!(exact(&one) == exact(&other), one == other);
            prop_assert!(exact(&one).chars().all(|c| c == ' ' || !c.is_whitespace()));
        }
    }
}
