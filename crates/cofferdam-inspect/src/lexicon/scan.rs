//! Finds terms by their first four bytes: one bit says of nearly every place in a text that no term begins there.
//!
//! An automaton over thousands of terms reads every byte through a table that no cache holds. Here each place is looked at by
//! itself, and only where the bit is set are the few terms with this beginning compared.

use super::{Concept, Term, joins};

/// Bits of a beginning's hash.
const HASH_BITS: u32 = 15;
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
    groups: Vec<Vec<usize>>,
    patterns: Vec<(String, Meaning)>,
    deeds: Vec<Deeds>,
}

impl Scanner {
    /// Patterns of ASCII characters, plain (see [`crate::text::plain`]), of two bytes or more.
    pub(super) fn new(patterns: Vec<(String, Meaning)>, deeds: Vec<Deeds>) -> Self {
        let mut scanner = Self {
            bits: Box::new([0; HASHES / 64]),
            heads: vec![0; HASHES],
            // The first group belongs to no beginning.
            groups: vec![Vec::new()],
            patterns: Vec::new(),
            deeds,
        };
        for (number, (text, meaning)) in patterns.iter().enumerate() {
            for beginning in beginnings(text, *meaning) {
                scanner.add(hash(beginning), number);
            }
        }
        scanner.patterns = patterns;
        scanner
    }

    fn add(&mut self, hash: usize, number: usize) {
        if let Some(bits) = self.bits.get_mut(hash / 64) {
            *bits |= 1 << (hash % 64);
        }
        let Some(head) = self.heads.get_mut(hash) else { return };
        if *head == 0 {
            // As many groups as hashes at most.
            *head = u16::try_from(self.groups.len()).unwrap_or(u16::MAX);
            self.groups.push(Vec::new());
        }
        if let Some(group) = self.groups.get_mut(usize::from(*head))
            && group.last() != Some(&number)
        {
            group.push(number);
        }
    }

    /// Every pattern in `text` (plain), in order of where it begins.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Term> {
        let mut classes = Vec::with_capacity(text.len() + 3);
        classes.extend(text.iter().map(|byte| class(*byte)));
        classes.extend([0; 3]);
        let mut found = Vec::new();
        for (at, beginning) in classes.array_windows().enumerate() {
            let hash = hash(*beginning);
            let bits = self.bits.get(hash / 64).copied().unwrap_or_default();
            if bits >> (hash % 64) & 1 == 1 {
                self.compare(text, at, hash, &mut found);
            }
        }
        found
    }

    #[cold]
    fn compare(&self, text: &[u8], at: usize, hash: usize, found: &mut Vec<Term>) {
        let (Some((before, here)), Some(head)) = (text.split_at_checked(at), self.heads.get(hash)) else {
            return;
        };
        let before = before.last().copied();
        let joined = here
            .first()
            .is_none_or(|first| before.is_some_and(|before| joins(*first, before)));
        for number in self.groups.get(usize::from(*head)).into_iter().flatten() {
            let Some((pattern, meaning)) = self.patterns.get(*number) else {
                continue;
            };
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

/// Bytes of words as they are; everything else ends a word and looks the same.
fn class(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' {
        byte
    } else {
        0
    }
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
            None if is_whole && ends_in_word && at == pattern.len() => vec![0],
            None => (0..128).filter(|byte| class(*byte) == *byte).collect(),
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
