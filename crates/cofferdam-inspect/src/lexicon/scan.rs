//! Finds terms by their first four bytes: one bit says of nearly every place in a text that no term begins there.
//!
//! An automaton over thousands of terms reads every byte through a table that no cache holds. Here each place is looked at by
//! itself, and only where the bit is set are the few terms with this beginning compared.

use super::{Concept, Term, joins};
use crate::text::bits::{before, bits_of, places};

/// Bits of a beginning's hash.
const HASH_BITS: u32 = 17;
const HASHES: usize = 1 << HASH_BITS;

/// What a pattern stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// A term, and whether any ending may follow.
    Term(Concept, bool),
    /// Obligations that deeds follow: the number of their list.
    Order(usize),
    /// A deed that may be part of another tool's name: `send` in `send_mail`.
    Named,
}

/// Deeds that follow an obligation, and what both mean together.
pub(super) type Deeds = (Concept, Vec<&'static str>);

#[derive(Debug)]
pub(super) struct Scanner {
    /// By hash: whether a pattern begins so.
    bits: Box<[u64; HASHES / 64]>,
    /// By hash: the group of patterns that begin so.
    heads: Vec<u16>,
    groups: Vec<Group>,
    patterns: Vec<(String, Meaning)>,
    deeds: Vec<Deeds>,
}

/// Patterns that begin alike.
#[derive(Debug, Default)]
struct Group {
    /// By the low six bits of the fifth and the sixth byte: whether a pattern goes on so. Short ones go on with anything.
    fifth: u64,
    sixth: u64,
    beginnings: Vec<Beginning>,
}

impl Group {
    fn add(&mut self, begins: Beginning, text: &[u8]) {
        self.fifth |= text.get(4).map_or(u64::MAX, |byte| 1 << (byte % 64));
        self.sixth |= text.get(5).map_or(u64::MAX, |byte| 1 << (byte % 64));
        self.beginnings.push(begins);
    }

    /// Whether a pattern may begin with these bytes.
    fn may_hold(&self, first: u64) -> bool {
        (self.fifth >> (first >> 32 & 63)) & (self.sixth >> (first >> 40 & 63)) & 1 == 1
    }
}

/// How one pattern of a group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Beginning {
    /// Its first eight bytes, and which bits of them it has.
    first: u64,
    has: u64,
    number: usize,
}

/// Eight bytes as one number, padded with zeros.
fn first_bytes(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    let mut padded = [0; 8];
    padded.iter_mut().zip(bytes).for_each(|(padded, byte)| *padded = *byte);
    u64::from_le_bytes(padded)
}

impl Scanner {
    /// Patterns of ASCII characters, plain (see [`crate::text::plain`]), of two bytes or more.
    pub(super) fn new(patterns: Vec<(String, Meaning)>, deeds: Vec<Deeds>) -> Self {
        let mut scanner = Self {
            bits: Box::new([0; HASHES / 64]),
            heads: vec![0; HASHES],
            // The first group belongs to no beginning.
            groups: vec![Group::default()],
            patterns: Vec::new(),
            deeds,
        };
        for (number, (text, meaning)) in patterns.iter().enumerate() {
            let begins = Beginning {
                first: first_bytes(text.as_bytes()),
                has: first_bytes(&vec![u8::MAX; text.len()]),
                number,
            };
            for beginning in beginnings(text, *meaning) {
                scanner.add(hash(beginning), begins, text);
            }
        }
        scanner.patterns = patterns;
        scanner
    }

    fn add(&mut self, hash: usize, begins: Beginning, text: &str) {
        if let Some(bits) = self.bits.get_mut(hash / 64) {
            *bits |= 1 << (hash % 64);
        }
        let Some(head) = self.heads.get_mut(hash) else { return };
        if *head == 0 {
            // As many groups as hashes at most.
            *head = u16::try_from(self.groups.len()).unwrap_or(u16::MAX);
            self.groups.push(Group::default());
        }
        if let Some(group) = self.groups.get_mut(usize::from(*head))
            && group.beginnings.last() != Some(&begins)
        {
            group.add(begins, text.as_bytes());
        }
    }

    /// Every pattern in `text` (plain), in order of where it begins.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Term> {
        let mut classes = Vec::with_capacity(text.len() + 3);
        classes.extend(text.iter().map(|byte| class(*byte)));
        classes.extend([0; 3]);
        let mut found = Vec::new();
        for at in places(openings(text)) {
            let Some(beginning) = classes.get(at..).and_then(|rest| rest.first_chunk()) else {
                continue;
            };
            let hash = hash(*beginning);
            let bits = self.bits.get(hash / 64).copied().unwrap_or_default();
            if bits >> (hash % 64) & 1 == 1 {
                self.compare(text, at, hash, &mut found);
            }
        }
        found
    }

    fn compare(&self, text: &[u8], at: usize, hash: usize, found: &mut Vec<Term>) {
        let (Some((before, here)), Some(head)) = (text.split_at_checked(at), self.heads.get(hash)) else {
            return;
        };
        let first = first_bytes(here);
        let Some(group) = self
            .groups
            .get(usize::from(*head))
            .filter(|group| group.may_hold(first))
        else {
            return;
        };
        let before = before.last().copied();
        let joined = here
            .first()
            .is_none_or(|first| before.is_some_and(|before| joins(*first, before)));
        let group = group.beginnings.iter();
        let alike = group.filter(|begins| (begins.first ^ first) & begins.has == 0);
        for (pattern, meaning) in alike.filter_map(|begins| self.patterns.get(begins.number)) {
            let Some(after) = here.strip_prefix(pattern.as_bytes()) else {
                continue;
            };
            let end = at + pattern.len();
            match meaning {
                Meaning::Named if is_part_of_name(before, after.first().copied()) => {
                    found.push(term(at, end, Concept::Named));
                }
                Meaning::Term(concept, any_ending) if !joined && (*any_ending || ends(pattern, after)) => {
                    found.push(term(at, end, *concept));
                }
                Meaning::Order(list) if !joined => self.ordered(*list, (at, end), after, found),
                _ => {}
            }
        }
    }

    /// The deeds behind an obligation.
    fn ordered(&self, list: usize, (at, end): (usize, usize), after: &[u8], found: &mut Vec<Term>) {
        let (Some((concept, deeds)), Some(after)) = (self.deeds.get(list), after.strip_prefix(b" ")) else {
            return;
        };
        for deed in deeds {
            if after
                .strip_prefix(deed.as_bytes())
                .is_some_and(|after| ends(deed, after))
            {
                found.push(term(at, end + 1 + deed.len(), *concept));
            }
        }
    }
}

fn term(start: usize, end: usize, concept: Concept) -> Term {
    Term { start, end, concept }
}

/// Whether a word ends where `pattern` does and `after` begins.
fn ends(pattern: &str, after: &[u8]) -> bool {
    match (pattern.as_bytes().last(), after.first()) {
        (Some(last), Some(after)) => !joins(*last, *after),
        _ => true,
    }
}

/// A deed between underscores, or between one and the edge of a word.
fn is_part_of_name(before: Option<u8>, after: Option<u8>) -> bool {
    let is_inside = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    !is_inside(before) && !is_inside(after) && (before == Some(b'_') || after == Some(b'_'))
}

/// A bit for each place where a pattern can begin: where a word begins, behind an underscore, and at every mark. No pattern begins with
/// a space, a line's end or a character beyond ASCII.
fn openings(text: &[u8]) -> impl Iterator<Item = u64> {
    let words = bits_of(text, |byte| class(byte) > 1);
    let underscores = bits_of(text, |byte| byte == b'_');
    let marks = bits_of(text, |byte| (class(byte) == 0) & (byte != b' ') & (byte != b'\n'));
    let inside: Vec<u64> = before(&words)
        .zip(before(&underscores))
        .map(|(word, underscore)| word & !underscore)
        .collect();
    let places = words.into_iter().zip(inside).zip(marks);
    places.map(|((word, inside), mark)| word & !inside | mark)
}

/// Bytes of words as they are; everything else ends a word, and looks the same within ASCII and beyond it.
fn class(byte: u8) -> u8 {
    let in_word = byte.is_ascii_lowercase() | byte.is_ascii_digit() | (byte == b'_');
    if in_word { byte } else { u8::from(byte >= 0x80) }
}

fn hash(beginning: [u8; 4]) -> usize {
    let mixed = u32::from_le_bytes(beginning).wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS);
    usize::try_from(mixed).unwrap_or_default()
}

/// Every beginning that a text may have where `pattern` stands: short ones leave bytes open.
fn beginnings(pattern: &str, meaning: Meaning) -> Vec<[u8; 4]> {
    let is_whole = matches!(meaning, Meaning::Term(_, false) | Meaning::Order(_));
    let ends_in_word = pattern.bytes().last().is_some_and(|last| class(last) != 0);
    let mut all = vec![Vec::new()];
    for at in 0..4 {
        let open: Vec<u8> = match pattern.as_bytes().get(at) {
            Some(byte) => vec![class(*byte)],
            // What follows a whole word is no part of one.
            None if is_whole && ends_in_word && at == pattern.len() => vec![0, 1],
            None => (0..128).filter(|byte| class(*byte) == *byte || *byte == 1).collect(),
        };
        all = all
            .iter()
            .flat_map(|begun| open.iter().map(move |byte| [begun.as_slice(), &[*byte]].concat()))
            .collect();
    }
    all.iter()
        .filter_map(|beginning| beginning.as_slice().try_into().ok())
        .collect()
}
